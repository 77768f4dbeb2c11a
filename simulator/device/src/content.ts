// SPDX-License-Identifier: Apache-2.0
import { hash } from "node:crypto";

/**
 * The bytes of one artifact as they arrive at a fleet: thousands of devices that download the same bytes hold them once.
 *
 * A device's own flash is the truth; this is a way of writing down "the first n bytes of slot 1 are those of artifact
 * X". Every block is compared with what others received, so a device that got different bytes keeps its own.
 */
export class Content {
  readonly bytes: Uint8Array;
  /** Received ranges, sorted and apart: from, to, from, to ... */
  readonly #known: number[] = [];
  /** Where all bytes so far were a view of: then a further view of the same place needs no comparison. */
  #source: ArrayBufferLike | null = null;
  #sourceAt = 0;
  #digest: string | undefined;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }

  /** Takes a block. False when it contradicts what is known here: the caller then keeps a copy of its own. */
  accept(offset: number, data: Uint8Array): boolean {
    const end = offset + data.length;
    if (end > this.bytes.length) {
      return false;
    }
    const sameSource = this.#source === data.buffer && this.#sourceAt === data.byteOffset - offset;
    if (this.#has(offset, end)) {
      return sameSource || equal(this.bytes, offset, data);
    }
    if (this.#overlaps(offset, end) && !this.#agrees(offset, data)) {
      return false;
    }
    if (this.#known.length === 0) {
      this.#source = data.buffer;
      this.#sourceAt = data.byteOffset - offset;
    } else if (!sameSource) {
      this.#source = null;
    }
    this.bytes.set(data, offset);
    this.#note(offset, end);
    return true;
  }

  /** SHA-256 over all bytes in hex; undefined while some are missing. Computed once. */
  digest(): string | undefined {
    if (this.#known.length !== 2 || this.#known[0] !== 0 || this.#known[1] !== this.bytes.length) {
      return undefined;
    }
    this.#digest ??= hash("sha256", this.bytes, "hex");
    return this.#digest;
  }

  #has(from: number, to: number): boolean {
    for (let i = 0; i < this.#known.length; i += 2) {
      if (from >= (this.#known[i] as number) && to <= (this.#known[i + 1] as number)) {
        return true;
      }
    }
    return false;
  }

  #overlaps(from: number, to: number): boolean {
    for (let i = 0; i < this.#known.length; i += 2) {
      if (from < (this.#known[i + 1] as number) && to > (this.#known[i] as number)) {
        return true;
      }
    }
    return false;
  }

  #agrees(offset: number, data: Uint8Array): boolean {
    for (let i = 0; i < this.#known.length; i += 2) {
      const from = Math.max(offset, this.#known[i] as number);
      const to = Math.min(offset + data.length, this.#known[i + 1] as number);
      if (from < to && !equal(this.bytes, from, data.subarray(from - offset, to - offset))) {
        return false;
      }
    }
    return true;
  }

  #note(from: number, to: number): void {
    const ranges: [number, number][] = [];
    for (let i = 0; i < this.#known.length; i += 2) {
      ranges.push([this.#known[i] as number, this.#known[i + 1] as number]);
    }
    ranges.push([from, to]);
    ranges.sort((a, b) => a[0] - b[0]);
    this.#known.length = 0;
    for (const [begin, end] of ranges) {
      const last = this.#known.length - 1;
      if (last > 0 && begin <= (this.#known[last] as number)) {
        this.#known[last] = Math.max(this.#known[last] as number, end);
      } else {
        this.#known.push(begin, end);
      }
    }
  }
}

function equal(bytes: Uint8Array, offset: number, data: Uint8Array): boolean {
  for (let i = 0; i < data.length; i++) {
    if (bytes[offset + i] !== data[i]) {
      return false;
    }
  }
  return true;
}

/** The artifacts in flight, by digest; the least recently begun ones are let go. */
export class ContentCache {
  readonly #byDigest = new Map<string, Content>();
  readonly #entriesMax: number;

  constructor(entriesMax = 64) {
    this.#entriesMax = entriesMax;
  }

  /** The shared bytes of an artifact. `digest` in hex. */
  get(digest: string, size: number): Content {
    const name = `${digest}:${size}`;
    const known = this.#byDigest.get(name);
    if (known !== undefined) {
      return known;
    }
    const content = new Content(size);
    this.#byDigest.set(name, content);
    if (this.#byDigest.size > this.#entriesMax) {
      for (const oldest of this.#byDigest.keys()) {
        this.#byDigest.delete(oldest);
        break;
      }
    }
    return content;
  }

  /** Forgets bytes whose digest turned out wrong, so that the next download begins anew. */
  drop(digest: string, size: number): void {
    this.#byDigest.delete(`${digest}:${size}`);
  }
}
