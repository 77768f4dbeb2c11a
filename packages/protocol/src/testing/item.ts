// SPDX-License-Identifier: Apache-2.0

/** One CBOR data item as it stands in the bytes: nothing is converted, so 1, 1.0 and "1" stay apart. */
export type Item =
  | { readonly major: 0 | 1; readonly value: bigint }
  | { readonly major: 2; readonly bytes: Uint8Array }
  | { readonly major: 3; readonly bytes: Uint8Array; readonly text: string }
  | { readonly major: 4; readonly items: readonly Item[] }
  | { readonly major: 5; readonly pairs: readonly (readonly [Item, Item])[] }
  | { readonly major: 6; readonly tag: bigint; readonly item: Item }
  /** `info` is the additional information: 25, 26 and 27 are floats of that width, else `value` is the simple value. */
  | { readonly major: 7; readonly info: number; readonly value: number };

type Head = { readonly major: number; readonly info: number; readonly argument: bigint };

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const DEPTH = 64;

/**
 * Reads any well-formed item (RFC 8949 Appendix C), for the tests only: a second reader, written without regard to
 * the first, that the schema checker and the properties stand on. Undefined when the bytes are not exactly one
 * well-formed item or a text is not UTF-8.
 */
export function readItem(bytes: Uint8Array): Item | undefined {
  const cursor = { bytes, at: 0 };
  try {
    const item = next(cursor, 0);
    return cursor.at === bytes.length ? item : undefined;
  } catch (error) {
    if (error instanceof IllFormed || error instanceof TypeError) {
      return undefined;
    }
    throw error;
  }
}

class IllFormed extends Error {}

interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

function next(cursor: Cursor, depth: number): Item {
  if (depth > DEPTH) {
    throw new IllFormed("depth");
  }
  const head = readHead(cursor);
  const { info, argument } = head;
  switch (head.major) {
    case 0:
      definite(info);
      return { major: 0, value: argument };
    case 1:
      definite(info);
      return { major: 1, value: -1n - argument };
    case 2:
      return { major: 2, bytes: string(cursor, head) };
    case 3: {
      const content = string(cursor, head);
      return { major: 3, bytes: content, text: utf8.decode(content) };
    }
    case 4: {
      const items: Item[] = [];
      while (more(cursor, head, items.length)) {
        items.push(next(cursor, depth + 1));
      }
      return { major: 4, items };
    }
    case 5: {
      const pairs: [Item, Item][] = [];
      while (more(cursor, head, pairs.length)) {
        pairs.push([next(cursor, depth + 1), next(cursor, depth + 1)]);
      }
      return { major: 5, pairs };
    }
    case 6:
      definite(info);
      return { major: 6, tag: argument, item: next(cursor, depth + 1) };
    default:
      return simple(info, argument);
  }
}

function readHead(cursor: Cursor): Head {
  const initial = byte(cursor);
  const info = initial & 0x1f;
  if (info >= 28 && info <= 30) {
    throw new IllFormed("reserved");
  }
  let argument = BigInt(info);
  if (info >= 24 && info <= 27) {
    argument = 0n;
    for (let left = 1 << (info - 24); left > 0; left -= 1) {
      argument = (argument << 8n) | BigInt(byte(cursor));
    }
  }
  return { major: initial >> 5, info, argument };
}

function byte(cursor: Cursor): number {
  const value = cursor.bytes[cursor.at];
  if (value === undefined) {
    throw new IllFormed("too short");
  }
  cursor.at += 1;
  return value;
}

function definite(info: number): void {
  if (info === 31) {
    throw new IllFormed("indefinite");
  }
}

function string(cursor: Cursor, head: Head): Uint8Array {
  if (head.info !== 31) {
    if (head.argument > BigInt(cursor.bytes.length - cursor.at)) {
      throw new IllFormed("too short");
    }
    const start = cursor.at;
    cursor.at += Number(head.argument);
    return Uint8Array.from(cursor.bytes.subarray(start, cursor.at));
  }
  const parts: number[] = [];
  while (more(cursor, head, 0)) {
    const chunk = readHead(cursor);
    if (chunk.major !== head.major || chunk.info === 31) {
      throw new IllFormed("chunk");
    }
    const content = string(cursor, chunk);
    if (chunk.major === 3) {
      utf8.decode(content); // every chunk must be UTF-8 by itself
    }
    parts.push(...content);
  }
  return Uint8Array.from(parts);
}

function more(cursor: Cursor, head: Head, count: number): boolean {
  if (head.info !== 31) {
    return BigInt(count) < head.argument;
  }
  if (cursor.bytes[cursor.at] !== 0xff) {
    return true;
  }
  cursor.at += 1;
  return false;
}

function simple(info: number, argument: bigint): Item {
  if (info === 31 || (info === 24 && argument < 32n)) {
    throw new IllFormed("simple");
  }
  const view = new DataView(new ArrayBuffer(8));
  switch (info) {
    case 25:
      return { major: 7, info, value: float16(Number(argument)) };
    case 26:
      view.setUint32(0, Number(argument));
      return { major: 7, info, value: view.getFloat32(0) };
    case 27:
      view.setBigUint64(0, argument);
      return { major: 7, info, value: view.getFloat64(0) };
    default:
      return { major: 7, info, value: Number(argument) };
  }
}

/** RFC 8949 Appendix D. */
function float16(half: number): number {
  const exponent = (half >> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  const size =
    exponent === 0
      ? mantissa * 2 ** -24
      : exponent === 31
        ? mantissa === 0
          ? Infinity
          : NaN
        : (mantissa + 1024) * 2 ** (exponent - 25);
  return (half & 0x8000) === 0 ? size : -size;
}
