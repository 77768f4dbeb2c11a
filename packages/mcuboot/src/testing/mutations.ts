// SPDX-License-Identifier: Apache-2.0
import { HEADER_BYTES, putU16, putU32, u16 } from "../format.ts";
import { draws } from "./boards.ts";

/**
 * A damaged or forged variant of one of `originals`; equal arguments give the same bytes.
 *
 * Besides random damage it aims at what parsers trip over: sizes in the header, TLV magics, types and lengths, entries
 * removed, repeated and moved between images. A variant may happen to equal its original.
 */
export function mutateImage(originals: readonly Uint8Array[], seed: number, number: number): { readonly of: number; readonly bytes: Uint8Array } {
  const next = draws(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(number + 1, 0x85ebca6b));
  // The first numbers of similar seeds are similar.
  for (let i = 0; i < 4; i++) {
    next();
  }
  const of = next() % originals.length;
  let bytes: Uint8Array = (originals[of] ?? new Uint8Array(0)).slice();
  const rounds = 1 + (next() % 3);
  for (let round = 0; round < rounds; round++) {
    bytes = mutateOnce(bytes, originals[next() % originals.length] ?? bytes, next);
  }
  return { of, bytes };
}

function mutateOnce(bytes: Uint8Array, other: Uint8Array, next: () => number): Uint8Array {
  const at = bytes.length === 0 ? 0 : next() % bytes.length;
  const tail = Math.max(0, bytes.length - 1 - (next() % Math.min(600, bytes.length + 1)));
  switch (next() % 12) {
    case 0:
      return withByte(bytes, at, (bytes[at] ?? 0) ^ (1 << (next() % 8)));
    case 1:
      return withByte(bytes, tail, next() & 0xff);
    case 2:
      return withByte(bytes, next() % HEADER_BYTES, next() & 0xff);
    case 3:
      return bytes.subarray(0, at).slice();
    case 4:
      return join(bytes, new Uint8Array(1 + (next() % 64)).fill(next() % 2 === 0 ? 0xff : next() & 0xff));
    case 5: {
      const size = 1 + (next() % 40);
      return join(bytes.subarray(0, tail), bytes.subarray(Math.min(bytes.length, tail + size)));
    }
    case 6: {
      const size = 1 + (next() % 80);
      return join(bytes.subarray(0, tail), bytes.subarray(tail, tail + size), bytes.subarray(tail));
    }
    case 7: {
      const out = bytes.slice();
      const field = [8, 10, 12, 16][next() % 4] ?? 8;
      const value = [0, 1, 0xffff, 0x7fffffff, 0xffffffff, bytes.length, next()][next() % 7] ?? 0;
      if (field < 12) {
        putU16(out, Math.min(field, out.length), value & 0xffff);
      } else {
        putU32(out, Math.min(field, out.length), value >>> 0);
      }
      return out.subarray(0, bytes.length);
    }
    case 8: {
      const out = bytes.slice();
      putU16(out, tail, [0, 1, 4, 0x10, 0x24, 0xff, 0x6907, 0x6908, 0xffff, u16(out, tail) + 1][next() % 10] ?? 0);
      return out.subarray(0, bytes.length);
    }
    case 9:
      return join(bytes.subarray(0, at), other.subarray(Math.min(at, other.length)));
    case 10:
      return join(bytes.subarray(0, tail), other.subarray(Math.max(0, other.length - (bytes.length - tail))));
    default: {
      const out = bytes.slice();
      out.fill(next() % 2 === 0 ? 0 : 0xff, at, at + 1 + (next() % 200));
      return out;
    }
  }
}

function withByte(bytes: Uint8Array, at: number, value: number): Uint8Array {
  if (at < bytes.length) {
    bytes[at] = value & 0xff;
  }
  return bytes;
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
