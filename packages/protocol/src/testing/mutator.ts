// SPDX-License-Identifier: Apache-2.0
import { fromHex } from "./hex.ts";
import { codecs, samples } from "./messages.ts";

/** Pieces that made other decoders slow, wrong or dead; they are spliced into valid messages. */
const hostile: readonly Uint8Array[] = [
  "c249010000000000000000", // a bignum
  `c2590400${"ff".repeat(1_024)}`, // a large one
  "bb7fffffffffffffff", // a map of 2^63 - 1 pairs
  "9affffffff", // an array of 2^32 - 1
  "5bffffffffffffffff", // a byte string of 2^64 - 1
  "7b7fffffffffffffff",
  "81".repeat(512), // depth
  "a100".repeat(512),
  "d81c".repeat(64), // shared values
  "d81d00",
  "d823612a", // a regular expression
  "695f5f70726f746f5f5f", // __proto__
  "6b636f6e7374727563746f72", // constructor
  "62c328",
  "63eda080", // a surrogate
  "f97e00",
  "fb7ff8000000000000",
  "fb8000000000000000",
  "fb7ff0000000000000",
  "1bffffffffffffffff",
  "3bffffffffffffffff",
  "1800",
  "190000",
  "5f4100ff",
  "7f6161ff",
  "9fff",
  "bfff",
  "f7",
  "f818",
  "ff",
  "1c",
  "00",
].map(fromHex);

const interesting = [0x00, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1f, 0x20, 0x40, 0x58, 0x5f, 0x60, 0x78, 0x7f, 0x80, 0xa0, 0xbf, 0xc2, 0xf4, 0xf5, 0xf6, 0xf7, 0xf9, 0xfa, 0xfb, 0xff];

/** Whole inputs of up to 64 KiB, hostile by their size. */
export const oversized: readonly Uint8Array[] = [
  fromHex(`c25a0000fff9${"ff".repeat(65_530)}`),
  new Uint8Array(65_536).fill(0x81),
  new Uint8Array(65_536).fill(0xa1),
  new Uint8Array(65_536).fill(0x9f),
  new Uint8Array(65_536).fill(0xc2),
  new Uint8Array(65_536),
  new Uint8Array(16_448).fill(0x81),
  new Uint8Array(8_192).fill(0xbf),
  new Uint8Array(8_192).fill(0xd8),
];

const seeds = samples.map(({ type, value }) => codecs[type].encode(value));

/** Mutant number `n` of the run `seed`: the same two numbers give the same bytes. */
export function mutant(seed: number, n: number): Uint8Array {
  const random = generator(seed, n);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  let bytes = pick(seeds);
  for (let left = 1 + random(4); left > 0; left -= 1) {
    const at = random(bytes.length + 1);
    switch (random(9)) {
      case 0:
        bytes = splice(bytes, at, 1, Uint8Array.of(pick(interesting)));
        break;
      case 1:
        bytes = splice(bytes, at, 1, Uint8Array.of((bytes[at] ?? 0) ^ (1 << random(8))));
        break;
      case 2:
        bytes = splice(bytes, at, 1, Uint8Array.of((bytes[at] ?? 0) + (random(2) === 0 ? 1 : 255)));
        break;
      case 3:
        bytes = splice(bytes, at, random(8), new Uint8Array(0));
        break;
      case 4:
        bytes = splice(bytes, at, 0, pick(hostile));
        break;
      case 5:
        bytes = splice(bytes, at, 1 + random(10), pick(hostile));
        break;
      case 6: {
        const from = random(bytes.length);
        bytes = splice(bytes, at, 0, bytes.subarray(from, from + random(40)));
        break;
      }
      case 7: {
        const other = pick(seeds);
        const cut = random(other.length);
        bytes = splice(bytes, at, random(40), other.subarray(cut, cut + random(60)));
        break;
      }
      default:
        bytes = bytes.subarray(0, at);
    }
  }
  return bytes;
}

function splice(bytes: Uint8Array, at: number, remove: number, insert: Uint8Array): Uint8Array {
  const end = Math.min(bytes.length, at + remove);
  const result = new Uint8Array(at + insert.length + bytes.length - end);
  result.set(bytes.subarray(0, at));
  result.set(insert, at);
  result.set(bytes.subarray(end), at + insert.length);
  return result;
}

/** Whole numbers below a bound, drawn by (seed, n): SplitMix32 counted from a mix of the two. */
function generator(seed: number, n: number): (bound: number) => number {
  let state = (Math.imul(seed, 0x9e37_79b1) ^ Math.imul(n, 0x85eb_ca77)) >>> 0;
  return (bound) => {
    state = (state + 0x9e37_79b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0_aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a_2d97);
    return ((z ^ (z >>> 15)) >>> 0) % Math.max(1, bound);
  };
}
