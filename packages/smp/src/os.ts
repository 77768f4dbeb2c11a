// SPDX-License-Identifier: Apache-2.0
// Group 0 (Zephyr, "Default/OS Management Group").
import { CoalmineError } from "@coalmine/core";
import type { SmpClient } from "./client.ts";
import { granted, textOf, wholeOf } from "./fields.ts";
import { Group, Op, OsCommand } from "./frame.ts";
import type { Refusal } from "./refusal.ts";
import { Rc } from "./refusal.ts";

/** What the board says back: shows that it is there. */
export async function echo(client: SmpClient, text: string): Promise<string> {
  return textOf("echo", granted("echo", await client.request({ op: Op.write, group: Group.os, command: OsCommand.echo, body: { d: text } })), "r");
}

/**
 * Reboots the board, into a requested image if there is one.
 *
 * Sent once: a repetition that arrives after the reboot would reboot the image on trial, and that is a revert. So
 * `silent` means unknown; the image state tells later.
 */
export async function reset(client: SmpClient, options: { readonly timeout?: number } = {}): Promise<{ readonly kind: "answered" } | { readonly kind: "silent" } | Refusal> {
  try {
    const answer = await client.request({ op: Op.write, group: Group.os, command: OsCommand.reset }, { attempts: 1, ...options });
    return answer.kind === "refused" ? answer : { kind: "answered" };
  } catch (error) {
    if (error instanceof CoalmineError && (error.code === "smp/timeout" || error.code === "smp/closed")) {
      return { kind: "silent" };
    }
    throw error;
  }
}

/** The board's buffers: bytes of one, and how many. */
export interface SmpParameters {
  readonly bufferBytes: number;
  readonly buffers: number;
}

/** `undefined` from a board built without this command. */
export async function readParameters(client: SmpClient): Promise<SmpParameters | undefined> {
  const answer = await client.request({ op: Op.read, group: Group.os, command: OsCommand.parameters });
  if (answer.kind === "refused" && (answer.rc === Rc.notSupported || answer.rc === Rc.noEntry)) {
    return undefined;
  }
  const body = granted("parameters", answer);
  return { bufferBytes: wholeOf("parameters", body, "buf_size"), buffers: wholeOf("parameters", body, "buf_count") };
}
