// SPDX-License-Identifier: Apache-2.0
import { createHmac, timingSafeEqual } from "node:crypto";

const timeBytes = 6;
const tagBytes = 8;

/**
 * Echo values (RFC 9175 section 2) that need no memory: the time, and an HMAC over the time and the peer's address
 * under a key that only this run of the server knows (appendix A, item 2).
 */
export class EchoValues {
  readonly #key: Uint8Array;
  readonly #lifetime_s: number;

  constructor(options: { readonly key: Uint8Array; readonly lifetime_s: number }) {
    this.#key = options.key;
    this.#lifetime_s = options.lifetime_s;
  }

  /** A value for this peer: 14 bytes. */
  make(peer: string, now_s: number): Uint8Array {
    const value = Buffer.alloc(timeBytes + tagBytes);
    value.writeUIntBE(Math.floor(now_s * 1_000), 0, timeBytes);
    this.#tag(peer, value.subarray(0, timeBytes)).copy(value, timeBytes);
    return value;
  }

  /** True for a value that was made for this peer and is young enough. */
  isFresh(value: Uint8Array, peer: string, now_s: number): boolean {
    if (value.length !== timeBytes + tagBytes) {
      return false;
    }
    const time = Buffer.from(value.buffer, value.byteOffset, timeBytes);
    const age_s = now_s - time.readUIntBE(0, timeBytes) / 1_000;
    return timingSafeEqual(this.#tag(peer, time), value.subarray(timeBytes)) && age_s <= this.#lifetime_s;
  }

  #tag(peer: string, time: Buffer): Buffer {
    return createHmac("sha256", this.#key).update(time).update(peer).digest().subarray(0, tagBytes);
  }
}
