// SPDX-License-Identifier: Apache-2.0
// Numbers, bytes and texts in stored records. Little endian.
import { piece } from "@coalmine/nvs";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Buffers that no writer has: a record is copied out of one when it is done. */
const spare: Uint8Array[] = [];
/** Most records are shorter. */
const bufferBytes = 256;
const spareMax = 4_096;

/** Writes one record. `done` ends it. */
export class ByteWriter {
  #bytes = spare.pop() ?? new Uint8Array(bufferBytes);
  #length = 0;
  u8(value: number): this {
    this.#room(1);
    this.#bytes[this.#length++] = value;
    return this;
  }
  u16(value: number): this {
    return this.u8(value).u8(value >>> 8);
  }
  u32(value: number): this {
    return this.u8(value).u8(value >>> 8).u8(value >>> 16).u8(value >>> 24);
  }
  get length(): number {
    return this.#length;
  }
  zeros(count: number): this {
    this.#room(count);
    this.#bytes.fill(0, this.#length, this.#length + count);
    this.#length += count;
    return this;
  }
  /** Bytes without their length. */
  bytes(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }
  /** A whole number up to 2^53. */
  u64(value: number): this {
    return this.u32(value >>> 0).u32(Math.floor(value / 2 ** 32));
  }
  raw(bytes: Uint8Array): this {
    return this.u8(bytes.length).bytes(bytes);
  }
  text(text: string): this {
    return this.raw(encoder.encode(text.slice(0, 64)));
  }
  done(): Uint8Array {
    const record = piece(this.#length);
    record.set(this.#bytes.subarray(0, this.#length));
    if (this.#bytes.length <= spareMax) {
      spare.push(this.#bytes);
    }
    this.#bytes = nothing;
    this.#length = 0;
    return record;
  }
  #room(bytes: number): void {
    if (this.#length + bytes > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(bufferBytes, 2 * (this.#length + bytes)));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
  }
}

const nothing = new Uint8Array(0);

export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  u8(): number {
    return this.#bytes[this.#at++] ?? 0;
  }
  u16(): number {
    return this.u8() | (this.u8() << 8);
  }
  u32(): number {
    return (this.u8() | (this.u8() << 8) | (this.u8() << 16) | (this.u8() << 24)) >>> 0;
  }
  u64(): number {
    const low = this.u32();
    return low + this.u32() * 2 ** 32;
  }
  raw(): Uint8Array {
    const length = this.u8();
    this.#at += length;
    return this.#bytes.slice(this.#at - length, this.#at);
  }
  text(): string {
    return decoder.decode(this.raw());
  }
}
