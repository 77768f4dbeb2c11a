// SPDX-License-Identifier: Apache-2.0

/** A dump that cannot be trusted: which part, where, and why. Thrown inside this package only; callers get it as a value. */
export class Broken extends Error {
  readonly block: string;
  readonly offset: number;

  constructor(block: string, offset: number, detail: string) {
    super(detail);
    this.block = block;
    this.offset = offset;
  }
}

/** Reads little-endian fields in order; never past the end, and every complaint names the block being read. */
export class Reader {
  readonly bytes: Uint8Array;
  offset = 0;
  block = "file header";
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.bytes.length - this.offset;
  }

  /** Moves over `size` bytes and returns where they start. */
  #take(size: number, what: string): number {
    if (this.left < size) {
      throw new Broken(this.block, this.offset, `${what} needs ${size} bytes, the dump has ${this.left} left: it is truncated`);
    }
    const at = this.offset;
    this.offset += size;
    return at;
  }

  u8(what: string): number {
    return this.#view.getUint8(this.#take(1, what));
  }

  u16(what: string): number {
    return this.#view.getUint16(this.#take(2, what), true);
  }

  u32(what: string): number {
    return this.#view.getUint32(this.#take(4, what), true);
  }

  i32(what: string): number {
    return this.#view.getInt32(this.#take(4, what), true);
  }

  /** An address of `size` bytes. */
  pointer(size: 4 | 8, what: string): bigint {
    const at = this.#take(size, what);
    return size === 4 ? BigInt(this.#view.getUint32(at, true)) : this.#view.getBigUint64(at, true);
  }

  take(size: number, what: string): Uint8Array {
    const at = this.#take(size, what);
    return this.bytes.subarray(at, at + size);
  }
}
