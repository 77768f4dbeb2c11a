// SPDX-License-Identifier: Apache-2.0
// Block-wise transfers (RFC 7959).
//
// B1. A download keeps nothing: each block is cut from what the resource is now, and its ETag says which that is.
// B2. An upload is kept by peer, device and path (and Request-Tag), never by token; memory grows with what arrived, not
//     with what was announced.
// B3. The bytes of one device's uploads, of all uploads, and their number stay within the limits. A device's new upload
//     pushes out its own older ones; else the one that rested longest goes first.
import type { CoapLimits } from "./limits.ts";
import { type Block, blockSize } from "./option.ts";

/** What became of a block of an upload. */
export type UploadStep =
  | { readonly kind: "continue" }
  | { readonly kind: "whole"; readonly payload: Uint8Array }
  /** A block is missing before this one, or the upload is unknown: 4.08 (section 2.9.2). */
  | { readonly kind: "incomplete" }
  /** Over a limit: 4.13 (section 2.9.3). */
  | { readonly kind: "too-large" }
  /** A block that is not last and not full: 4.00. */
  | { readonly kind: "ragged" };

interface Upload {
  readonly device: string;
  bytes: Uint8Array;
  length: number;
  at_s: number;
}

const firstBytes = 1_024;

export class Uploads {
  readonly #limits: CoapLimits;
  /** The longest resting first. */
  readonly #byKey = new Map<string, Upload>();
  readonly #keysOf = new Map<string, Set<string>>();
  #bytes = 0;

  constructor(limits: CoapLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** Bytes of memory held by unfinished uploads. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Takes one block.
   * @param key peer, method and path of the upload
   * @param announced the Size1 option, when there is one: believed only if it is too much
   */
  take(options: {
    readonly key: string;
    readonly device: string;
    readonly block: Block;
    readonly payload: Uint8Array;
    readonly announced: number | undefined;
    readonly now_s: number;
  }): UploadStep {
    const { key, device, block, payload, announced, now_s } = options;
    this.expire(now_s);
    const size = blockSize(block.szx);
    const offset = block.num * size;
    const end = offset + payload.length;
    if ((announced ?? 0) > this.#limits.uploadBytes || offset + (block.more ? size : payload.length) > this.#limits.uploadBytes) {
      this.#drop(key);
      return { kind: "too-large" };
    }
    if (payload.length > size || (block.more && payload.length !== size)) {
      this.#drop(key);
      return { kind: "ragged" };
    }
    if (block.num === 0) {
      this.#drop(key);
      if (!block.more) {
        return { kind: "whole", payload };
      }
    }
    const upload = block.num === 0 ? this.#start(key, device, now_s) : this.#byKey.get(key);
    if (upload === undefined || (upload.length !== offset && !isRepeat(upload, offset, payload))) {
      return { kind: "incomplete" };
    }
    this.#fit(key, upload, end);
    upload.bytes.set(payload, offset);
    upload.length = end;
    upload.at_s = now_s;
    this.#byKey.delete(key);
    this.#byKey.set(key, upload);
    if (block.more) {
      return { kind: "continue" };
    }
    const whole = upload.bytes.subarray(0, end);
    this.#drop(key);
    return { kind: "whole", payload: whole };
  }

  /** Drops uploads that have rested for too long. */
  expire(now_s: number): void {
    for (const [key, upload] of this.#byKey) {
      if (now_s - upload.at_s <= this.#limits.uploadPause_s) {
        return;
      }
      this.#drop(key);
    }
  }

  #start(key: string, device: string, now_s: number): Upload {
    if (this.#byKey.size >= this.#limits.uploads) {
      this.#dropOldest();
    }
    const upload: Upload = { device, bytes: new Uint8Array(0), length: 0, at_s: now_s };
    this.#byKey.set(key, upload);
    const keys = this.#keysOf.get(device);
    if (keys === undefined) {
      this.#keysOf.set(device, new Set([key]));
    } else {
      keys.add(key);
    }
    return upload;
  }

  /** Makes room for `end` bytes, which is within what one device may have. */
  #fit(key: string, upload: Upload, end: number): void {
    if (end <= upload.bytes.length) {
      return;
    }
    const grown = new Uint8Array(Math.min(this.#limits.uploadBytes, Math.max(firstBytes, upload.bytes.length * 2, end)));
    const more = grown.length - upload.bytes.length;
    for (const other of this.#keysOf.get(upload.device) ?? []) {
      if (other !== key && this.#bytesOf(upload.device) + more > this.#limits.uploadBytes) {
        this.#drop(other);
      }
    }
    // Not the first to go to make room for itself.
    this.#byKey.delete(key);
    this.#byKey.set(key, upload);
    while (this.#bytes + more > this.#limits.uploadsBytes && this.#byKey.size > 1) {
      this.#dropOldest();
    }
    grown.set(upload.bytes.subarray(0, upload.length));
    upload.bytes = grown;
    this.#bytes += more;
  }

  #bytesOf(device: string): number {
    let sum = 0;
    for (const key of this.#keysOf.get(device) ?? []) {
      sum += this.#byKey.get(key)?.bytes.length ?? 0;
    }
    return sum;
  }

  #dropOldest(): void {
    for (const key of this.#byKey.keys()) {
      this.#drop(key);
      return;
    }
  }

  #drop(key: string): void {
    const upload = this.#byKey.get(key);
    if (upload === undefined) {
      return;
    }
    this.#byKey.delete(key);
    this.#bytes -= upload.bytes.length;
    const keys = this.#keysOf.get(upload.device);
    keys?.delete(key);
    if (keys?.size === 0) {
      this.#keysOf.delete(upload.device);
    }
  }
}

/** The last block once more, under a new message id: its answer was lost. */
function isRepeat(upload: Upload, offset: number, payload: Uint8Array): boolean {
  return offset + payload.length === upload.length && payload.every((byte, index) => byte === upload.bytes[offset + index]);
}

/** A piece of a representation. */
export interface Piece {
  readonly data: Uint8Array;
  readonly block: Block;
}

/** Cuts the asked-for block out of a representation; undefined when it begins past the end (and it is not the first). */
export function cut(content: Uint8Array, asked: Block): Piece | undefined {
  const size = blockSize(asked.szx);
  const offset = asked.num * size;
  if (offset >= content.length && asked.num > 0) {
    return undefined;
  }
  const end = Math.min(content.length, offset + size);
  return { data: content.subarray(offset, end), block: { num: asked.num, more: end < content.length, szx: asked.szx } };
}
