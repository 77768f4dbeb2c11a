// SPDX-License-Identifier: Apache-2.0
import type { LogEntry } from "@coalmine/orchestrator";

// The one byte form of an entry. Hashes are taken over it, so it never changes within a schema version:
//
//   sequence  8 bytes, unsigned, big-endian
//   at        8 bytes, IEEE 754 binary64, big-endian (milliseconds since 1970)
//   type      1 byte length, then ASCII
//   device    1 byte length, then ASCII; length 0 is "no device"
//   body      4 bytes length, unsigned, big-endian, then the bytes
//
// Every part carries its length, so two different lists of entries never give the same bytes.

const FIXED_BYTES = 8 + 8 + 1 + 1 + 4;
const NAME_BYTES_MAX = 255;

/** Throws plainly for an entry that has no canonical form: a bug of the caller. */
export function assertLoggable({ at, type, device }: LogEntry): void {
  if (!Number.isFinite(at) || !isName(type) || !(device === null || isName(device))) {
    throw new Error(`cannot be logged: type ${JSON.stringify(type)}, device ${JSON.stringify(device)}, at ${at}`);
  }
}

function isName(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    if (text.charCodeAt(index) > 127) {
      return false;
    }
  }
  return text.length > 0 && text.length <= NAME_BYTES_MAX;
}

/** A growing buffer that entries are written into in canonical form. Reused, so a hot loop allocates nothing. */
export class CanonicalWriter {
  #bytes: Uint8Array;
  #view: DataView;
  /** Bytes written since the last `clear`. */
  size = 0;

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** What was written; valid until the next write. */
  get written(): Uint8Array {
    return this.#bytes.subarray(0, this.size);
  }

  clear(): void {
    this.size = 0;
  }

  /** Writes raw bytes, for what a hash covers beside entries. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.size);
    this.size += bytes.length;
  }

  uint64(value: number): void {
    this.#reserve(8);
    this.#uint64(value);
  }

  /** Writes one entry. Throws as `assertLoggable` does, and then has written nothing. */
  entry(sequence: number, entry: LogEntry): void {
    assertLoggable(entry);
    const { at, type, device, body } = entry;
    const name = device ?? "";
    this.#reserve(FIXED_BYTES + type.length + name.length + body.length);
    this.#uint64(sequence);
    this.#view.setFloat64(this.size, at);
    this.size += 8;
    this.#name(type);
    this.#name(name);
    this.#view.setUint32(this.size, body.length);
    this.size += 4;
    this.#bytes.set(body, this.size);
    this.size += body.length;
  }

  #uint64(value: number): void {
    this.#view.setUint32(this.size, Math.floor(value / 0x1_0000_0000));
    this.#view.setUint32(this.size + 4, value >>> 0);
    this.size += 8;
  }

  /** Types and device ids are short ASCII: a loop beats an encoder several times over. */
  #name(text: string): void {
    const bytes = this.#bytes;
    let end = this.size;
    bytes[end++] = text.length;
    for (let index = 0; index < text.length; index += 1) {
      bytes[end++] = text.charCodeAt(index);
    }
    this.size = end;
  }

  #reserve(more: number): void {
    const needed = this.size + more;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      grown.set(this.written);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
  }
}
