// SPDX-License-Identifier: Apache-2.0
// The file of `serve --smp`: the boards that are reached by SMP, and what SMP does not tell of them.
import { CoalmineError, type DeviceId, deviceId, parseDuration } from "@coalmine/core";
import { checkShape, readYaml } from "@coalmine/orchestrator";
import { type Hardware, isAttributeValue, isFactName, limits } from "@coalmine/protocol";
import { z } from "zod";
import { readAddress } from "./address.ts";

export interface SmpBoard {
  readonly id: DeviceId;
  /** `udp://HOST[:1337]` or `serial:///dev/ttyACM0`. */
  readonly url: string;
  readonly hardware: Hardware;
  readonly attributes: Readonly<Record<string, string>>;
  readonly storageSchema: number;
}

export interface SmpBoards {
  readonly boards: readonly SmpBoard[];
  /** Seconds between two looks at a board. */
  readonly poll_s: number;
}

const boardsMax = 1_000;
const printable = z.string().refine(isAttributeValue, "must be at most 64 printable ASCII characters");
const text = printable.min(1);

const shape = z.strictObject({
  poll: z.string().default("30s"),
  boards: z
    .array(
      z.strictObject({
        id: z.string(),
        smp: z.string().max(300),
        board: text,
        revision: printable.default(""),
        partitionMap: text,
        mode: z.enum(["swap-move", "swap-offset", "swap-scratch", "overwrite", "direct-xip"]),
        slotSize: z.int().min(1).max(limits.uint32),
        storageSchema: z.int().min(0).max(limits.uint32).default(0),
        attributes: z
          .record(z.string(), z.union([z.string(), z.number()]).transform(String))
          .refine((given) => Object.entries(given).length <= limits.entries && Object.entries(given).every(([name, value]) => isFactName(name) && isAttributeValue(value)), `must be at most ${limits.entries} names of letters and digits with values of at most ${limits.value} characters`)
          .default({}),
      }),
    )
    .min(1)
    .max(boardsMax),
});

/** Reads the file. Throws `yaml/...`, `smp/boards` naming the field, `smp/bad-url`. */
export function parseSmpBoards(given: string, source: string): SmpBoards {
  const { poll, boards } = checkShape(shape as z.ZodType<z.output<typeof shape>>, readYaml(given, source) ?? {}, { code: "smp/boards", source });
  const refuse = (why: string): never => {
    throw new CoalmineError("smp/boards", `${source}: ${why}`);
  };
  const poll_s = parseDuration(poll) / 1_000;
  if (!(poll_s >= 0.1 && poll_s <= 86_400)) {
    refuse(`poll: ${JSON.stringify(poll)} is not from 100ms to 1d`);
  }
  const seen = new Set<string>();
  return {
    poll_s,
    boards: boards.map(({ id, smp, attributes, storageSchema, ...hardware }) => {
      if (seen.has(id) || seen.has(smp)) {
        refuse(`boards: ${seen.has(id) ? id : smp} stands twice`);
      }
      seen.add(id).add(smp);
      readAddress(smp);
      return { id: deviceId(id), url: smp, hardware, attributes, storageSchema };
    }),
  };
}
