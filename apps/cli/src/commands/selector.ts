// SPDX-License-Identifier: Apache-2.0
import type { Command } from "commander";
import { gather, gatherPairs } from "./arguments.ts";

export interface SelectorFlags {
  readonly device?: readonly string[];
  readonly tag?: readonly string[];
  readonly attribute?: Readonly<Record<string, string>>;
}

/** Adds the parts of a selector. All given parts must match. */
export function selectorOptions(command: Command): Command {
  return command
    .option("--device <id>", "these devices (repeatable)", gather)
    .option("--tag <tag>", "devices with this tag (repeatable: all of them)", gather)
    .option("--attribute <name=value>", "devices that report this, such as site=field or hardware=revB (repeatable)", gatherPairs);
}

/** The selector of the flags; undefined when none was given. */
export function selectorOf(flags: SelectorFlags): { ids?: readonly string[]; tags?: readonly string[]; attributes?: Readonly<Record<string, string>> } | undefined {
  const { device, tag, attribute } = flags;
  if (device === undefined && tag === undefined && attribute === undefined) {
    return undefined;
  }
  return { ...(device === undefined ? {} : { ids: device }), ...(tag === undefined ? {} : { tags: tag }), ...(attribute === undefined ? {} : { attributes: attribute }) };
}
