// SPDX-License-Identifier: Apache-2.0
// Small pieces of large buffers. A buffer of its own for every few hundred bytes costs more than what is done with them, and again
// when it is freed; pieces that are taken one after the other mostly end together.

const slabBytes = 64 * 1024;
let slab = new Uint8Array(0);
let used = 0;

/** So many zeroed bytes that nobody else has. Their memory is freed when all pieces of their slab have gone. */
export function piece(bytes: number): Uint8Array {
  if (bytes > slabBytes / 8) {
    return new Uint8Array(bytes);
  }
  if (used + bytes > slab.length) {
    slab = new Uint8Array(slabBytes);
    used = 0;
  }
  used += bytes;
  return slab.subarray(used - bytes, used);
}
