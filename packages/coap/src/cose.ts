// SPDX-License-Identifier: Apache-2.0
// COSE_Mac0 (RFC 9052 section 6.2) with HMAC (RFC 9053 section 3.1) and nothing else of COSE: the kept libraries bring
// asymmetric keys, JWKs and a lenient CBOR decoder for a structure of four elements.
import { createHmac, timingSafeEqual } from "node:crypto";

/** `alg` values: HMAC with SHA-256, whole or truncated to 64 bits. */
export const MacAlgorithm = { hmac256_64: 4, hmac256: 5 } as const;
export type MacAlgorithm = (typeof MacAlgorithm)[keyof typeof MacAlgorithm];

const tagBytes: Readonly<Record<MacAlgorithm, number>> = { 4: 8, 5: 32 };

/** The protected header: algorithm (1), key id (4), partial IV (6). */
export interface MacHeader {
  readonly algorithm: MacAlgorithm;
  /** The device's id in ASCII, 1 to 64 bytes; absent in what the host sends. */
  readonly keyId?: Uint8Array;
  /** A counter, 1 to 7 bytes without leading zeros; here as a number. */
  readonly sequence?: number;
}

/** A COSE_Mac0 whose payload is detached (RFC 9052 section 2): it is the message that carries it. */
export interface Mac0 {
  readonly header: MacHeader;
  /** The header's bytes as they were authenticated. */
  readonly protectedBytes: Uint8Array;
  readonly tag: Uint8Array;
}

function head(major: number, value: number): number[] {
  const top = major << 5;
  if (value < 24) {
    return [top | value];
  }
  if (value < 0x100) {
    return [top | 24, value];
  }
  return value < 0x1_0000 ? [top | 25, value >> 8, value & 255] : [top | 26, value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255];
}

function counterBytes(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; rest > 0 || bytes.length === 0; rest = Math.floor(rest / 256)) {
    bytes.unshift(rest % 256);
  }
  return bytes;
}

/** Encodes a protected header deterministically (RFC 8949 section 4.2.1). */
export function encodeHeader(header: MacHeader): Uint8Array {
  const { algorithm, keyId, sequence } = header;
  const bytes = [0xa1 + (keyId === undefined ? 0 : 1) + (sequence === undefined ? 0 : 1), 1, algorithm];
  if (keyId !== undefined) {
    bytes.push(4, ...head(2, keyId.length), ...keyId);
  }
  if (sequence !== undefined) {
    const counter = counterBytes(sequence);
    bytes.push(6, ...head(2, counter.length), ...counter);
  }
  return Uint8Array.from(bytes);
}

const macStructureStart = [0x84, 0x64, 0x4d, 0x41, 0x43, 0x30]; // ["MAC0",

/** Where MAC_structures are put together: one call into the hash costs less than one for each part. */
let scratch = new Uint8Array(4_096);

/** HMAC over the MAC_structure (RFC 9052 section 6.3), truncated as the algorithm says. */
export function macTag(options: {
  readonly algorithm: MacAlgorithm;
  readonly key: Uint8Array;
  readonly protectedBytes: Uint8Array;
  readonly externalAad: readonly Uint8Array[];
  readonly payload: Uint8Array;
}): Uint8Array {
  const { algorithm, key, protectedBytes, externalAad, payload } = options;
  let aadLength = 0;
  for (const part of externalAad) {
    aadLength += part.length;
  }
  const most = macStructureStart.length + 15 + protectedBytes.length + aadLength + payload.length;
  if (most > scratch.length) {
    scratch = new Uint8Array(most);
  }
  scratch.set(macStructureStart, 0);
  let at = writeHead(macStructureStart.length, protectedBytes.length);
  scratch.set(protectedBytes, at);
  at = writeHead(at + protectedBytes.length, aadLength);
  for (const part of externalAad) {
    scratch.set(part, at);
    at += part.length;
  }
  at = writeHead(at, payload.length);
  scratch.set(payload, at);
  const tag = createHmac("sha256", key).update(scratch.subarray(0, at + payload.length)).digest();
  return new Uint8Array(tag.buffer, tag.byteOffset, tagBytes[algorithm]);
}

/** Writes the head of a byte string into the scratch; returns where its content goes. */
function writeHead(at: number, length: number): number {
  if (length < 24) {
    scratch[at] = 0x40 | length;
    return at + 1;
  }
  const bytes = head(2, length);
  scratch.set(bytes, at);
  return at + bytes.length;
}

/** True when two tags are the same; takes equally long whatever they are. */
export function tagsEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Encodes an untagged COSE_Mac0 with a detached payload: `[protected, {}, nil, tag]`. */
export function encodeMac0(protectedBytes: Uint8Array, tag: Uint8Array): Uint8Array {
  return Uint8Array.from([0x84, ...head(2, protectedBytes.length), ...protectedBytes, 0xa0, 0xf6, ...head(2, tag.length), ...tag]);
}

/** Reads forward through bytes; any step past the end leaves it broken. */
class Cursor {
  readonly bytes: Uint8Array;
  at = 0;
  broken = false;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  byte(): number {
    const value = this.bytes[this.at];
    this.at += 1;
    if (value === undefined) {
      this.broken = true;
      return -1;
    }
    return value;
  }

  /** A byte string of `min` to `max` bytes with the shortest length. */
  string(min: number, max: number): Uint8Array {
    const first = this.byte();
    let length = first - 0x40;
    if (first === 0x58) {
      length = this.byte();
      this.broken ||= length < 24;
    }
    if (this.broken || first < 0x40 || first > 0x58 || length < min || length > max || this.at + length > this.bytes.length) {
      this.broken = true;
      return this.bytes.subarray(0, 0);
    }
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
}

function decodeHeader(bytes: Uint8Array): MacHeader | undefined {
  const cursor = new Cursor(bytes);
  const pairs = cursor.byte() - 0xa0;
  const algorithmKey = cursor.byte();
  const algorithm = cursor.byte();
  if (cursor.broken || pairs < 1 || pairs > 3 || algorithmKey !== 1 || (algorithm !== MacAlgorithm.hmac256_64 && algorithm !== MacAlgorithm.hmac256)) {
    return undefined;
  }
  let keyId: Uint8Array | undefined;
  let sequence: number | undefined;
  for (let left = pairs - 1; left > 0; left -= 1) {
    const key = cursor.byte();
    if (key === 4 && keyId === undefined && sequence === undefined) {
      keyId = cursor.string(1, 64);
    } else if (key === 6 && sequence === undefined) {
      const counter = cursor.string(1, 7);
      sequence = counter.reduce((sum, byte) => sum * 256 + byte, 0);
      cursor.broken ||= (counter.length > 1 && counter[0] === 0) || !Number.isSafeInteger(sequence);
    } else {
      return undefined;
    }
  }
  if (cursor.broken || cursor.at !== bytes.length) {
    return undefined;
  }
  return { algorithm, ...(keyId === undefined ? {} : { keyId }), ...(sequence === undefined ? {} : { sequence }) };
}

/** Decodes what `encodeMac0` writes, and only that; undefined for anything else. Never throws. */
export function decodeMac0(bytes: Uint8Array): Mac0 | undefined {
  const cursor = new Cursor(bytes);
  if (cursor.byte() !== 0x84) {
    return undefined;
  }
  const protectedBytes = cursor.string(3, 96);
  if (cursor.byte() !== 0xa0 || cursor.byte() !== 0xf6) {
    return undefined;
  }
  const tag = cursor.string(8, 32);
  if (cursor.broken || cursor.at !== bytes.length) {
    return undefined;
  }
  const header = decodeHeader(protectedBytes);
  return header === undefined || tagBytes[header.algorithm] !== tag.length ? undefined : { header, protectedBytes, tag };
}
