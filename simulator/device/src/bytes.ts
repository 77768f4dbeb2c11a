// SPDX-License-Identifier: Apache-2.0
// Numbers, bytes and texts in stored records. Little endian.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class ByteWriter {
  readonly #bytes: number[] = [];
  u8(value: number): this {
    this.#bytes.push(value & 0xff);
    return this;
  }
  u16(value: number): this {
    return this.u8(value).u8(value >>> 8);
  }
  u32(value: number): this {
    return this.u8(value).u8(value >>> 8).u8(value >>> 16).u8(value >>> 24);
  }
  get length(): number {
    return this.#bytes.length;
  }
  zeros(count: number): this {
    for (let i = 0; i < count; i++) {
      this.#bytes.push(0);
    }
    return this;
  }
  /** Bytes without their length. */
  bytes(bytes: Uint8Array): this {
    for (const byte of bytes) {
      this.#bytes.push(byte);
    }
    return this;
  }
  /** A whole number up to 2^53. */
  u64(value: number): this {
    return this.u32(value >>> 0).u32(Math.floor(value / 2 ** 32));
  }
  raw(bytes: Uint8Array): this {
    this.u8(bytes.length);
    for (const byte of bytes) {
      this.#bytes.push(byte);
    }
    return this;
  }
  text(text: string): this {
    return this.raw(encoder.encode(text.slice(0, 64)));
  }
  done(): Uint8Array {
    return new Uint8Array(this.#bytes);
  }
}

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
