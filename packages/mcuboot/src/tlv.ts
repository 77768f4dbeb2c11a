// SPDX-License-Identifier: Apache-2.0
import type { ImageHeader } from "./format.ts";
import { PROTECTED_TLV_MAGIC, TLV_HEADER_BYTES, TLV_MAGIC, u16 } from "./format.ts";

/** Reads `len` bytes at `off`, or nothing when a byte of them lies outside what is readable. */
export type Read = (off: number, len: number) => Uint8Array | undefined;

/** Where the TLVs of an image lie. Offsets are absolute in the area read from. */
export interface TlvArea {
  /** First byte of the (protected, if any) TLV area's header. */
  readonly base: number;
  /** First byte after the protected area; `base` when there is none. */
  readonly protectedEnd: number;
  /** First byte after the last TLV. */
  readonly end: number;
}

export interface TlvEntry {
  readonly type: number;
  /** Offset of the value. */
  readonly off: number;
  readonly len: number;
}

/** Finds the TLV area behind header and payload; nothing when its magics or sizes contradict the header. */
export function locateTlvs(header: ImageHeader, read: Read, start = 0): TlvArea | undefined {
  const base = (header.hdrSize + header.imgSize + start) >>> 0;
  let info = read(base, TLV_HEADER_BYTES);
  if (info === undefined) {
    return undefined;
  }
  if (u16(info, 0) === PROTECTED_TLV_MAGIC) {
    if (u16(info, 2) !== header.protTlvSize) {
      return undefined;
    }
    info = read((base + header.protTlvSize) >>> 0, TLV_HEADER_BYTES);
    if (info === undefined) {
      return undefined;
    }
  } else if (header.protTlvSize !== 0) {
    return undefined;
  }
  if (u16(info, 0) !== TLV_MAGIC) {
    return undefined;
  }
  const protectedEnd = (base + header.protTlvSize) >>> 0;
  return { base, protectedEnd, end: (protectedEnd + u16(info, 2)) >>> 0 };
}

/**
 * Walks TLV entries one at a time, as the bootloader does: each entry must fit into the section walked,
 * and the header between the protected and the unprotected area is skipped.
 */
export class TlvCursor {
  readonly #area: TlvArea;
  readonly #read: Read;
  readonly #hasProtected: boolean;
  readonly #protectedOnly: boolean;
  #off: number;

  constructor(header: ImageHeader, area: TlvArea, read: Read, options: { protectedOnly?: boolean } = {}) {
    this.#area = area;
    this.#read = read;
    this.#hasProtected = header.protTlvSize > 0;
    this.#protectedOnly = options.protectedOnly ?? false;
    this.#off = area.base + TLV_HEADER_BYTES;
  }

  /** The next entry; `end` when there is none; `malformed` when an entry's header or value leaves its section. */
  next(): TlvEntry | "end" | "malformed" {
    const { protectedEnd, end } = this.#area;
    while (this.#off < end) {
      if (this.#protectedOnly && this.#off >= protectedEnd) {
        return "end";
      }
      if (this.#hasProtected && this.#off === protectedEnd) {
        this.#off += TLV_HEADER_BYTES;
        continue;
      }
      const limit = this.#protectedOnly ? protectedEnd : end;
      if (limit - this.#off < TLV_HEADER_BYTES) {
        return "malformed";
      }
      const head = this.#read(this.#off, TLV_HEADER_BYTES);
      if (head === undefined) {
        return "malformed";
      }
      const entry = { type: u16(head, 0), off: this.#off + TLV_HEADER_BYTES, len: u16(head, 2) };
      if (entry.len > limit - entry.off) {
        return "malformed";
      }
      this.#off = entry.off + entry.len;
      return entry;
    }
    return "end";
  }

  /** The next entry of one type, skipping others. */
  nextOf(type: number): TlvEntry | "end" | "malformed" {
    for (;;) {
      const entry = this.next();
      if (typeof entry === "string" || entry.type === type) {
        return entry;
      }
    }
  }
}
