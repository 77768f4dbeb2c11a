// SPDX-License-Identifier: Apache-2.0
import type { BlockAnswer } from "../block.ts";
import type { Attempt, Deferred, DowngradePrevention, LogChunk, ProgressState, ResetCause, SwapMode } from "../report.ts";

/**
 * Words travel as their index in these tables, so their order is part of the format: append, never reorder.
 * An index past the end is undecodable: version 1 has no words a reader may skip.
 */
export const resetCauses = [
  "power-on",
  "pin",
  "software",
  "watchdog",
  "brownout",
  "fault",
  "unknown",
] as const satisfies readonly ResetCause[];

export const swapModes = [
  "swap-move",
  "swap-offset",
  "swap-scratch",
  "overwrite",
  "direct-xip",
] as const satisfies readonly SwapMode[];

export const downgradePreventions = ["none", "version", "version+build", "counter"] as const satisfies readonly DowngradePrevention[];

export const outcomes = [
  "applying",
  "testing",
  "confirmed",
  "reverted",
  "refused",
  "failed",
] as const satisfies readonly Attempt["outcome"][];

export const progressStates = [
  "accepted",
  "downloading",
  "downloaded",
  "applying",
  "testing",
] as const satisfies readonly ProgressState[];

export const deferralReasons = ["battery", "busy", "link", "operator"] as const satisfies readonly Deferred["reason"][];

export const streams = ["log", "coredump"] as const satisfies readonly LogChunk["stream"][];

export const refusals = ["not-offered", "unknown", "range"] as const satisfies readonly Extract<
  BlockAnswer,
  { kind: "refused" }
>["reason"][];

/**
 * Numbers of the message kinds. One space for all directions, so that a message on the wrong topic says what it is
 * instead of being read as something else.
 */
export const kinds = {
  hello: 1,
  heartbeat: 2,
  progress: 3,
  deferred: 4,
  result: 5,
  crash: 6,
  log: 7,
  offer: 10,
  cancel: 11,
  "swap-back": 12,
  confirm: 13,
  identify: 14,
  renumber: 15,
  "block-request": 20,
  block: 21,
  refused: 22,
} as const;

/** Keys of the outermost map of every message. */
export const envelope = { version: 0, kind: 1, boot: 2, sequence: 3, uptime_s: 4, body: 5 } as const;
