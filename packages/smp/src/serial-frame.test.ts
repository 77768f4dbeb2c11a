// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { SERIAL_LINE_MAX, SerialDecoder, crc16, encodeSerial } from "./serial-frame.ts";

const packetOf = (length: number): Uint8Array => new Uint8Array(length).map((_, i) => (i * 31 + length) & 0xff);

function decode(bytes: Uint8Array, decoder = new SerialDecoder(4096)): Uint8Array[] {
  const packets: Uint8Array[] = [];
  decoder.push(bytes, (packet) => packets.push(packet.slice()));
  return packets;
}

describe("serial frames", () => {
  test("carry CRC-16/XMODEM, whose check value is 0x31c3", () => {
    expect(crc16(new TextEncoder().encode("123456789"))).toBe(0x31c3);
  });

  test("are lines of at most 127 bytes with the right markers, and come back whole at every length", () => {
    for (const length of [...Array(400).keys()].map((i) => i + 1)) {
      const lines = Buffer.from(encodeSerial(packetOf(length))).toString("latin1").split("\n");
      expect(lines.pop()).toBe("");
      expect(lines.every((line) => line.length < SERIAL_LINE_MAX)).toBe(true);
      expect(lines.map((line) => line.slice(0, 2))).toEqual(lines.map((_, i) => (i === 0 ? "\x06\x09" : "\x04\x14")));
      expect(decode(encodeSerial(packetOf(length)))).toEqual([packetOf(length)]);
    }
  });

  test("begin with the length of packet and CRC, and end with the CRC (Zephyr, UART/serial and console)", () => {
    const [line] = Buffer.from(encodeSerial(Uint8Array.of(2, 0, 0, 1, 0, 0, 1, 5, 0xa0))).toString("latin1").split("\n");
    const raw = Buffer.from((line as string).slice(2), "base64");
    expect(raw.toString("hex")).toBe(`000b0200000100000105a0${crc16(Uint8Array.of(2, 0, 0, 1, 0, 0, 1, 5, 0xa0)).toString(16).padStart(4, "0")}`);
  });

  test("are found between and inside a console's other output, byte by byte", () => {
    const decoder = new SerialDecoder(4096);
    const stream = Buffer.concat([Buffer.from("*** Booting Zephyr ***\r\nuart:~$ "), encodeSerial(packetOf(300)), Buffer.from("[00:01] log\n\x06not a marker\n"), Buffer.from(encodeSerial(packetOf(20)))]);
    const packets = [...stream].flatMap((byte) => decode(Uint8Array.of(byte), decoder));
    expect(packets).toEqual([packetOf(300), packetOf(20)]);
    expect(decoder.counts.malformed).toBe(0);
    expect(decoder.counts.noise).toBeGreaterThan(40);
  });

  test("a log line in the middle of a packet does not break it, and carriage returns do not matter", () => {
    const lines = Buffer.from(encodeSerial(packetOf(300))).toString("latin1").split("\n");
    expect(decode(Buffer.from(lines.join("\r\n[00:01] log\r\n"), "latin1"))).toEqual([packetOf(300)]);
  });

  test("a broken frame costs its own packet and no other", () => {
    const whole = Buffer.from(encodeSerial(packetOf(300)));
    const lines = whole.toString("latin1").split("\n");
    const broken = [
      Buffer.from(whole.toString("latin1").replace(/.(?=\n)/, "*"), "latin1"),
      Buffer.from([lines[0], lines[2], ""].join("\n"), "latin1"),
      Buffer.from([lines[0], lines[1], ""].join("\n"), "latin1"),
      Buffer.from([lines[1], lines[2], ""].join("\n"), "latin1"),
      whole.subarray(0, 200),
      Buffer.from(encodeSerial(packetOf(5_000))),
      Buffer.from("\x06\x09AAA=\n\x06\x09\n\x06\x09AAE=\n", "latin1"),
    ];
    const flipped = Buffer.from(whole);
    flipped[10] = flipped[10] === 0x41 ? 0x42 : 0x41;
    for (const bytes of [...broken, flipped]) {
      const decoder = new SerialDecoder(4096);
      expect(decode(Buffer.concat([bytes, encodeSerial(packetOf(99))]), decoder)).toEqual([packetOf(99)]);
      expect(decoder.counts.malformed).toBeGreaterThan(0);
    }
  });
});
