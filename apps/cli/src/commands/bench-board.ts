// SPDX-License-Identifier: Apache-2.0
// The board that benchmarks speak for: what it is, and what it says of itself.
import type { Variant } from "@coalmine/core";
import type { Hello } from "@coalmine/protocol";

export const benchVariant: Variant = { board: "bench", revision: "A", partitionMap: "pm" };

/** @param slotSize bytes of a slot */
export function benchHello(slotSize: number): Hello {
  const imageHash = new Uint8Array(32).fill(1);
  return {
    kind: "hello",
    hardware: { ...benchVariant, mode: "swap-move", slotSize },
    running: { imageHash, version: "1.0.0", buildId: imageHash.subarray(0, 20), confirmed: true },
    slot1: null,
    resetCause: "power-on",
    attempt: null,
    interval_s: 300,
    attributes: {},
    storageSchema: 1,
  };
}
