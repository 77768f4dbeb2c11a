// SPDX-License-Identifier: Apache-2.0
// The part of CBOR (RFC 8949) that SMP bodies use. Zephyr's encoder writes maps and lists of indefinite length, so the
// reader takes both forms; everything else it holds to the letter: text keys, no duplicates, no tags, nothing left over.

export type CborValue = number | bigint | string | boolean | null | Uint8Array | readonly CborValue[] | CborMap;
export type CborMap = ReadonlyMap<string, CborValue>;

/** What can be written. `undefined` members of a record are left out. */
export type CborInput = number | bigint | string | boolean | Uint8Array | readonly CborInput[] | CborRecord;
export interface CborRecord {
  readonly [key: string]: CborInput | undefined;
}

export interface CborLimits {
  /** How deep lists and maps may lie in each other. */
  readonly depthMax: number;
  /** How many values a body may have in all. */
  readonly valuesMax: number;
}

export type CborBody = { readonly kind: "body"; readonly body: CborMap } | { readonly kind: "malformed"; readonly reason: string; readonly offset: number };

const LIMITS: CborLimits = { depthMax: 8, valuesMax: 4096 };

/** Reads one map that fills `bytes`. Never throws, for any bytes; memory is bounded by the input and the limits. */
export function decodeBody(bytes: Uint8Array, limits: CborLimits = LIMITS): CborBody {
  const reader = new Reader(bytes, limits);
  try {
    const value = reader.value(0);
    if (!(value instanceof Map)) {
      return { kind: "malformed", reason: "the body is not a map", offset: 0 };
    }
    return reader.at === bytes.length ? { kind: "body", body: value } : { kind: "malformed", reason: "bytes follow the map", offset: reader.at };
  } catch (error) {
    if (error instanceof Malformed) {
      return { kind: "malformed", reason: error.message, offset: reader.at };
    }
    throw error;
  }
}

/** Writes a map. `indefinite` writes maps and lists the way Zephyr does. */
export function encodeBody(body: CborRecord, options: { readonly indefinite?: boolean } = {}): Uint8Array {
  const parts: Uint8Array[] = [];
  write(parts, body, options.indefinite === true);
  return concat(parts);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

class Malformed extends Error {}

const Major = { uint: 0, negative: 1, bytes: 2, text: 3, list: 4, map: 5, tag: 6, simple: 7 } as const;
const BREAK = 0xff;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const toUtf8 = new TextEncoder();

class Reader {
  at = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #limits: CborLimits;
  #values = 0;

  constructor(bytes: Uint8Array, limits: CborLimits) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#limits = limits;
  }

  value(depth: number): CborValue {
    if (++this.#values > this.#limits.valuesMax) {
      throw new Malformed(`more than ${this.#limits.valuesMax} values`);
    }
    if (depth > this.#limits.depthMax) {
      throw new Malformed(`more than ${this.#limits.depthMax} levels`);
    }
    const initial = this.#bytes[this.#take(1)] ?? 0;
    const major = initial >> 5;
    const info = initial & 31;
    switch (major) {
      case Major.uint:
        return this.#argument(info);
      case Major.negative: {
        const value = this.#argument(info);
        return typeof value === "bigint" || value === Number.MAX_SAFE_INTEGER ? -1n - BigInt(value) : -1 - value;
      }
      case Major.bytes:
        return this.#span(info).slice();
      case Major.text:
        return this.#text(info);
      case Major.list:
        return this.#list(info, depth);
      case Major.map:
        return this.#map(info, depth);
      case Major.tag:
        throw new Malformed("a tag");
      default:
        return this.#simple(info);
    }
  }

  #take(count: number): number {
    const from = this.at;
    if (count > this.#bytes.length - from) {
      throw new Malformed("the body ends early");
    }
    this.at = from + count;
    return from;
  }

  #argument(info: number): number | bigint {
    switch (info) {
      case 24:
        return this.#view.getUint8(this.#take(1));
      case 25:
        return this.#view.getUint16(this.#take(2));
      case 26:
        return this.#view.getUint32(this.#take(4));
      case 27: {
        const value = this.#view.getBigUint64(this.#take(8));
        return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
      }
      default:
        if (info < 24) {
          return info;
        }
        throw new Malformed(info === 31 ? "an indefinite length where none can be" : "a reserved length");
    }
  }

  /** A length that the rest of the body can hold, counting at least one byte per unit. */
  #length(info: number): number {
    const length = this.#argument(info);
    if (length > this.#bytes.length - this.at) {
      throw new Malformed("a length beyond the body");
    }
    return Number(length);
  }

  #span(info: number): Uint8Array {
    const length = this.#length(info);
    const from = this.#take(length);
    return this.#bytes.subarray(from, from + length);
  }

  #text(info: number): string {
    try {
      return utf8.decode(this.#span(info));
    } catch (error) {
      throw error instanceof Malformed ? error : new Malformed("text that is not UTF-8");
    }
  }

  /** Visits members until the count is reached or, of indefinite length, the break. */
  #members(info: number, visit: () => void): void {
    if (info !== 31) {
      for (let left = this.#length(info); left > 0; left--) {
        visit();
      }
      return;
    }
    while (this.#bytes[this.at] !== BREAK) {
      visit();
    }
    this.at++;
  }

  #list(info: number, depth: number): CborValue[] {
    const list: CborValue[] = [];
    this.#members(info, () => list.push(this.value(depth + 1)));
    return list;
  }

  #map(info: number, depth: number): CborMap {
    const map = new Map<string, CborValue>();
    this.#members(info, () => {
      const key = this.value(depth + 1);
      if (typeof key !== "string") {
        throw new Malformed("a key that is not text");
      }
      if (map.has(key)) {
        throw new Malformed(`the key ${JSON.stringify(key)} twice`);
      }
      map.set(key, this.value(depth + 1));
    });
    return map;
  }

  #simple(info: number): CborValue {
    switch (info) {
      case 20:
        return false;
      case 21:
        return true;
      case 22:
      case 23:
        return null;
      case 25:
        return half(this.#view.getUint16(this.#take(2)));
      case 26:
        return this.#view.getFloat32(this.#take(4));
      case 27:
        return this.#view.getFloat64(this.#take(8));
      default:
        throw new Malformed("a simple value without meaning");
    }
  }
}

/** IEEE 754 binary16, RFC 8949 appendix D. */
function half(bits: number): number {
  const sign = (bits & 0x8000) === 0 ? 1 : -1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 0x3ff;
  if (exponent === 31) {
    return fraction === 0 ? sign * Infinity : NaN;
  }
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

function write(parts: Uint8Array[], value: CborInput, indefinite: boolean): void {
  if (typeof value === "number" || typeof value === "bigint") {
    if (typeof value === "number" && !Number.isSafeInteger(value)) {
      throw new Error(`cbor: ${value} is not a whole number`);
    }
    parts.push(value < 0 ? head(Major.negative, -1n - BigInt(value)) : head(Major.uint, value));
  } else if (typeof value === "string") {
    const text = toUtf8.encode(value);
    parts.push(head(Major.text, text.length), text);
  } else if (typeof value === "boolean") {
    parts.push(Uint8Array.of((Major.simple << 5) | (value ? 21 : 20)));
  } else if (value instanceof Uint8Array) {
    parts.push(head(Major.bytes, value.length), value);
  } else if (isList(value)) {
    collection(parts, Major.list, value.length, indefinite, () => {
      for (const member of value) {
        write(parts, member, indefinite);
      }
    });
  } else {
    const members = Object.entries(value).filter((member): member is [string, CborInput] => member[1] !== undefined);
    collection(parts, Major.map, members.length, indefinite, () => {
      for (const [key, member] of members) {
        write(parts, key, indefinite);
        write(parts, member, indefinite);
      }
    });
  }
}

function isList(value: readonly CborInput[] | CborRecord): value is readonly CborInput[] {
  return Array.isArray(value);
}

function collection(parts: Uint8Array[], major: number, count: number, indefinite: boolean, members: () => void): void {
  parts.push(indefinite ? Uint8Array.of((major << 5) | 31) : head(major, count));
  members();
  if (indefinite) {
    parts.push(Uint8Array.of(BREAK));
  }
}

/** The shortest form, RFC 8949 section 4.2.1. */
function head(major: number, argument: number | bigint): Uint8Array {
  const type = major << 5;
  if (argument < 24) {
    return Uint8Array.of(type | Number(argument));
  }
  const bytes = argument <= 0xff ? 1 : argument <= 0xffff ? 2 : argument <= 0xffff_ffff ? 4 : 8;
  const out = new Uint8Array(1 + bytes);
  out[0] = type | { 1: 24, 2: 25, 4: 26, 8: 27 }[bytes];
  let rest = BigInt(argument);
  for (let at = bytes; at > 0; at--) {
    out[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return out;
}
