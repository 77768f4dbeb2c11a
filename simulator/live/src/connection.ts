// SPDX-License-Identifier: Apache-2.0
import type { DeviceId } from "@coalmine/core";
import type { Socket } from "node:net";
import type { Asked, Posted } from "./outbox.ts";

export const Phase = { idle: 0, connecting: 1, greeting: 2, subscribing: 3, up: 4, closed: 5 } as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

/**
 * All that the driver keeps for one device: a flat object of a fixed shape, with no closure, map or listener of its
 * own. A hundred bytes more here are a megabyte for ten thousand devices.
 */
export class Connection<B> {
  /** Number of the device's timer. */
  readonly index: number;
  readonly id: DeviceId;
  readonly board: B;
  socket: Socket | null = null;
  phase: Phase = Phase.idle;
  /** Powered on at least once. */
  powered = false;
  /** Attempts since the last success. */
  attempts = 0;
  lastPacketId = 0;
  /** Messages of each kind so far, for draws by name. */
  report = 0;
  piece = 0;
  request = 0;
  command = 0;
  block = 0;
  /** The start of a packet whose rest has not come. */
  rest: Buffer | null = null;
  outbox: Posted[] | null = null;
  /** Block requests without an answer. */
  asked: Asked[] | null = null;
  /** Shared-timer rounds at which something was last written and read. */
  wroteAt = 0;
  readAt = 0;

  constructor(index: number, id: DeviceId, board: B) {
    this.index = index;
    this.id = id;
    this.board = board;
  }
}

/** The next free packet id (section 2.3.1): never 0, and none that is in flight. */
export function nextPacketId<B>(connection: Connection<B>): number {
  do {
    connection.lastPacketId = (connection.lastPacketId % 65_535) + 1;
  } while (connection.outbox?.some((item) => item.packetId === connection.lastPacketId) === true);
  return connection.lastPacketId;
}
