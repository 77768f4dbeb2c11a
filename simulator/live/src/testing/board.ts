// SPDX-License-Identifier: Apache-2.0
import type { DeviceId, Instant } from "@coalmine/core";
import type { DeviceEffect, DeviceInput } from "@coalmine/device";
import type { Report } from "@coalmine/protocol";

/** A device that writes down what happens to it and does what a test says. */
export interface ScriptedBoard {
  readonly id: DeviceId;
  readonly inputs: DeviceInput[];
  react: (input: DeviceInput, now: Instant) => readonly DeviceEffect[];
  sequence: number;
}

export function scriptedBoard(id: string, react: ScriptedBoard["react"] = () => []): ScriptedBoard {
  return { id: id as DeviceId, inputs: [], react, sequence: 0 };
}

export function stepScripted(board: ScriptedBoard, input: DeviceInput, now: Instant): readonly DeviceEffect[] {
  board.inputs.push(input);
  return board.react(input, now);
}

/** The board's next heartbeat. */
export function heartbeat(board: ScriptedBoard): Report {
  board.sequence += 1;
  return {
    boot: 1,
    sequence: board.sequence - 1,
    uptime_s: board.sequence,
    body: { kind: "heartbeat", imageHash: new Uint8Array(32), confirmed: true, battery: null, linkUptime: 1, metrics: {} },
  };
}

export const beat = (board: ScriptedBoard): DeviceEffect => ({ kind: "report", report: heartbeat(board) });
