// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";

/**
 * Follows the packets of a connection by their fixed headers (MQTT 3.1.1 section 2.2) and tells when one announces more
 * bytes than allowed. The parser behind it would collect up to 256 MB before anybody may object.
 */
export class FrameMeter {
  readonly #bytesMax: number;
  /** Bytes of the current packet still to come; -1 while its length is being read. */
  #left = 0;
  #length = 0;
  #shift = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** False when a packet in or after this chunk is too large or its length is malformed. */
  admit(chunk: Uint8Array): boolean {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const skipped = Math.min(this.#left, chunk.length - at);
        this.#left -= skipped;
        at += skipped;
        continue;
      }
      if (this.#left === 0) {
        this.#left = -1;
        this.#length = 0;
        this.#shift = 0;
        at += 1; // packet type and flags
        continue;
      }
      const digit = chunk[at] as number;
      at += 1;
      this.#length += (digit & 0x7f) << this.#shift;
      this.#shift += 7;
      if (this.#length > this.#bytesMax || (digit >= 0x80 && this.#shift > 21)) {
        return false;
      }
      if (digit < 0x80) {
        this.#left = this.#length;
      }
    }
    return true;
  }
}

/** Closes a connection that announces a packet larger than allowed, before the packet is collected. */
export function limitFrames(socket: Socket, bytesMax: number, refused: () => void): void {
  const meter = new FrameMeter(bytesMax);
  const read = socket.read.bind(socket);
  socket.read = (size?: number): unknown => {
    const chunk: unknown = read(size);
    if (chunk instanceof Uint8Array && !meter.admit(chunk)) {
      refused();
      socket.destroy();
      return null;
    }
    return chunk;
  };
}
