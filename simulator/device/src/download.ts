// SPDX-License-Identifier: Apache-2.0
// The blocks of a download: a window of requests, and the bytes that came.
import { limits } from "@coalmine/protocol";
import { type Device, never, type Turn, type Update } from "./device.ts";
import { isConnected } from "./outbox.ts";

/** Keeps the window full. */
export function ask(turn: Turn, update: Update): void {
  const { device, now } = turn;
  const { window, blockSize } = device.description.connectivity;
  if (isConnected(device)) {
    while (update.inFlight.length < window && update.next < update.offer.size) {
      const length = Math.min(blockSize, update.offer.size - update.next);
      request(turn, update, update.next, length);
      update.next += length;
    }
  }
  const oldest = update.inFlight.reduce((least, block) => Math.min(least, block.at), now);
  device.retryAt = oldest + patience(device);
}

function request(turn: Turn, update: Update, offset: number, length: number): void {
  const { device, now, out } = turn;
  const number = device.requests++;
  update.inFlight.push({ request: number, offset, length, at: now });
  out.push({ kind: "request", request: { request: number, digest: update.offer.digest.subarray(0, limits.digestPrefix), offset, length } });
}

function patience(device: Device): number {
  return Math.max(10_000, 10 * device.description.connectivity.latency);
}

/** Asks again for what has not come. */
export function askAgain(turn: Turn): void {
  const { device, now } = turn;
  const { update } = device;
  device.retryAt = never;
  if (update === null || update.startAt !== never || update.applyAt !== never) {
    return;
  }
  if (!isConnected(device)) {
    device.retryAt = now + patience(device);
    return;
  }
  const late = update.inFlight.filter((block) => now - block.at >= patience(device));
  if (late.length > 0) {
    update.inFlight = update.inFlight.filter((block) => now - block.at < patience(device));
    for (const block of late) {
      request(turn, update, block.offset, block.length);
    }
  }
  ask(turn, update);
}

/** Notes a block's bytes, in what all boards share or, when they differ, in a copy of this board's own. */
export function keepBlock(update: Update, offset: number, data: Uint8Array): void {
  if (update.own === null) {
    if (update.content.accept(offset, data)) {
      return;
    }
    update.own = update.content.bytes.slice();
  }
  update.own.set(data, offset);
}

/** Moves the written length over blocks that came early. */
export function advance(update: Update): void {
  const { ahead } = update;
  for (let again = true; again; ) {
    again = false;
    for (let i = 0; i < ahead.length; i += 2) {
      if (ahead[i] === update.offset) {
        update.offset += ahead[i + 1] as number;
        ahead.splice(i, 2);
        again = true;
        break;
      }
    }
  }
}
