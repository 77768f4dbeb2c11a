// SPDX-License-Identifier: Apache-2.0
// SMP over a console (Zephyr, "SMP Transport Specification", section UART/serial and console): lines of at most 127 bytes,
// each a two-byte marker, base64 and a newline; together they carry length, packet and CRC.

/** Bytes of one line with marker and newline. */
export const SERIAL_LINE_MAX = 127;
/** Bytes of a board's buffer that length and CRC take beside the packet. */
export const SERIAL_OVERHEAD = 4;

const START = [0x06, 0x09] as const;
const CONTINUE = [0x04, 0x14] as const;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const RAW_PER_LINE = Math.floor((SERIAL_LINE_MAX - 3) / 4) * 3;
/** Lines of other senders may be longer; beyond this a line is noise. */
const LINE_ACCEPTED_MAX = 512;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** CRC-16 with polynomial 0x1021 and initial value 0 (CRC-16/XMODEM). Over data followed by its CRC it is 0. */
export function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) {
      crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
    }
    crc &= 0xffff;
  }
  return crc;
}

/** The lines of one packet, in one piece. */
export function encodeSerial(packet: Uint8Array): Uint8Array {
  const raw = new Uint8Array(packet.length + SERIAL_OVERHEAD);
  const view = new DataView(raw.buffer);
  view.setUint16(0, packet.length + 2);
  raw.set(packet, 2);
  view.setUint16(packet.length + 2, crc16(packet));
  const lines: Buffer[] = [];
  for (let at = 0; at < raw.length; at += RAW_PER_LINE) {
    const text = Buffer.from(raw.subarray(at, at + RAW_PER_LINE)).toString("base64");
    lines.push(Buffer.from(at === 0 ? START : CONTINUE), Buffer.from(text, "latin1"), Buffer.from([NEWLINE]));
  }
  return new Uint8Array(Buffer.concat(lines));
}

/** What was not a packet, by cause. */
export interface SerialCounts {
  /** Bytes outside frames: a console's other output. */
  noise: number;
  /** Frames dropped: base64, length, order or CRC. */
  malformed: number;
}

/**
 * Finds packets in a byte stream that a console shares.
 *
 * Marker bytes occur neither in base64 nor in text, so each begins a frame wherever it stands; a broken frame costs the
 * packet it belongs to and nothing after it. Memory is bounded by one line and one packet.
 */
export class SerialDecoder {
  readonly counts: SerialCounts = { noise: 0, malformed: 0 };
  readonly #packetMax: number;
  readonly #line = Buffer.alloc(LINE_ACCEPTED_MAX);
  /** Bytes of the current line, its marker included; 0 outside frames. */
  #filled = 0;
  #packet: { readonly bytes: Uint8Array; filled: number } | undefined;

  constructor(packetMax: number) {
    this.#packetMax = packetMax;
  }

  /** Takes the next bytes and calls `found` for every packet completed. */
  push(bytes: Uint8Array, found: (packet: Uint8Array) => void): void {
    for (const byte of bytes) {
      this.#byte(byte, found);
    }
  }

  #byte(byte: number, found: (packet: Uint8Array) => void): void {
    if (byte === START[0] || byte === CONTINUE[0]) {
      if (this.#filled > 0) {
        this.#drop();
      }
      this.#line[0] = byte;
      this.#filled = 1;
      return;
    }
    if (this.#filled === 0) {
      this.counts.noise++;
      return;
    }
    if (byte === NEWLINE) {
      const line = this.#line.subarray(0, this.#filled);
      this.#filled = 0;
      this.#endOfLine(line, found);
      return;
    }
    if (this.#filled === 1 && byte !== (this.#line[0] === START[0] ? START[1] : CONTINUE[1])) {
      this.#filled = 0;
      this.counts.noise += 2;
      return;
    }
    if (this.#filled === LINE_ACCEPTED_MAX) {
      this.#filled = 0;
      this.#drop();
      return;
    }
    // A terminal may have turned the newline into carriage return and newline.
    if (byte !== RETURN) {
      this.#line[this.#filled++] = byte;
    }
  }

  #endOfLine(line: Buffer, found: (packet: Uint8Array) => void): void {
    const text = line.toString("latin1", 2);
    if (line.length < 2 || !BASE64.test(text)) {
      this.#drop();
      return;
    }
    let raw: Uint8Array = Buffer.from(text, "base64");
    if (line[0] === START[0]) {
      if (this.#packet !== undefined) {
        this.#drop();
      }
      const length = raw.length < 2 ? 0 : ((raw[0] ?? 0) << 8) | (raw[1] ?? 0);
      if (length < 3 || length > this.#packetMax + 2) {
        this.#drop();
        return;
      }
      this.#packet = { bytes: new Uint8Array(length), filled: 0 };
      raw = raw.subarray(2);
    }
    const packet = this.#packet;
    if (packet === undefined || packet.filled + raw.length > packet.bytes.length) {
      this.#drop();
      return;
    }
    packet.bytes.set(raw, packet.filled);
    packet.filled += raw.length;
    if (packet.filled === packet.bytes.length) {
      this.#packet = undefined;
      if (crc16(packet.bytes) === 0) {
        found(packet.bytes.subarray(0, packet.bytes.length - 2));
      } else {
        this.counts.malformed++;
      }
    }
  }

  #drop(): void {
    this.counts.malformed++;
    this.#packet = undefined;
  }
}
