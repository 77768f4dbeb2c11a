// SPDX-License-Identifier: Apache-2.0

/** Nesting of one item; our reports have two levels. */
const depthMax = 8;

/**
 * The end of the CBOR item that starts at `at` (RFC 8949 section 3), definite lengths only; -1 when it is none or runs past
 * the end. It looks at the outline only: what is inside is for the decoder of the item.
 */
function itemEnd(bytes: Uint8Array, at: number): number {
  /** Items still to come, by level. */
  const left: number[] = [1];
  let next = at;
  while (left.length > 0) {
    const level = left.length - 1;
    if ((left[level] as number) === 0) {
      left.pop();
      continue;
    }
    left[level] = (left[level] as number) - 1;
    const first = bytes[next];
    if (first === undefined) {
      return -1;
    }
    next += 1;
    const major = first >> 5;
    let argument = first & 31;
    if (argument > 27) {
      return -1;
    }
    if (argument > 23) {
      const width = 1 << (argument - 24);
      if (next + width > bytes.length) {
        return -1;
      }
      argument = 0;
      for (let index = 0; index < width; index += 1) {
        argument = argument * 256 + (bytes[next + index] as number);
      }
      next += width;
    }
    if (major === 2 || major === 3) {
      next += argument;
    } else if (major === 4 || major === 5 || major === 6) {
      if (left.length >= depthMax || argument > bytes.length) {
        return -1;
      }
      left.push(major === 6 ? 1 : argument * (major - 3));
    }
    if (next > bytes.length) {
      return -1;
    }
  }
  return next;
}

/** Cuts a CBOR sequence (RFC 8742) into its items; undefined when it is none, or has more than `most`. */
export function splitSequence(bytes: Uint8Array, most: number): Uint8Array[] | undefined {
  const items: Uint8Array[] = [];
  let at = 0;
  while (at < bytes.length) {
    const end = itemEnd(bytes, at);
    if (end < 0 || items.length >= most) {
      return undefined;
    }
    items.push(bytes.subarray(at, end));
    at = end;
  }
  return items;
}
