// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { Code, emptyMessage, formatMessage, type Message, optionsMax, parseMessage } from "./message.ts";
import { checkOptions, OptionNumber, optionOf, readBlock, readUint, szxOf, writeBlock, writeUint } from "./option.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const get: Message = {
  type: "con",
  code: Code.get,
  id: 0x7d34,
  token: hex("0102030405060708"),
  options: [
    { number: OptionNumber.uriPath, value: Buffer.from("temperature") },
    { number: OptionNumber.echo, value: Buffer.alloc(14, 1) },
    { number: OptionNumber.mac, value: Buffer.alloc(40, 2) },
  ],
  payload: Buffer.from([0xff, 0x00]),
};

describe("a datagram", () => {
  test("RFC 7252 appendix A, figure 16: a GET and its piggybacked answer", () => {
    const request = hex("40017d34 bb74656d7065726174757265");
    expect(parseMessage(request)).toMatchObject({
      kind: "message",
      message: { type: "con", code: Code.get, id: 0x7d34, options: [{ number: OptionNumber.uriPath, value: Buffer.from("temperature") }] },
    });
    const answer = hex("60457d34 ff 32322e332043");
    expect(parseMessage(answer)).toMatchObject({ kind: "message", message: { type: "ack", code: Code.content, payload: Buffer.from("22.3 C") } });
  });

  test("is written as it is read, with all sizes of options", () => {
    for (const length of [0, 1, 12, 13, 14, 268, 269, 270, 1_000]) {
      const message: Message = { ...get, options: [...get.options.slice(0, 2), { number: 2_050, value: Buffer.alloc(length, 7) }] };
      expect(parseMessage(formatMessage(message))).toMatchObject({ kind: "message", message });
    }
  });

  test("gives the encoded options before the Mac option, which is what an envelope covers", () => {
    const parsed = parseMessage(formatMessage(get));
    const without = parseMessage(formatMessage({ ...get, options: get.options.slice(0, 2) }));
    expect(parsed.kind === "message" && Buffer.from(parsed.optionBytes).toString("hex")).toBe(without.kind === "message" && Buffer.from(without.optionBytes).toString("hex"));
  });

  test("that is short or of another version is ignored without an answer", () => {
    for (const bytes of ["", "40", "400100", "00010001", "80010001", "c0010001"]) {
      expect({ bytes, kind: parseMessage(hex(bytes)).kind }).toEqual({ bytes, kind: "ignored" });
    }
  });

  test.each([
    ["4900 0001 010203040506070809", "token of more than 8 bytes"],
    ["4901 0001 010203040506070809", "token of more than 8 bytes"],
    ["4f01 0001", "token of more than 8 bytes"],
    ["4401 0001 0102", "token past the end"],
    ["4100 0001 01", "empty message with content"],
    ["4000 0001 ff", "empty message with content"],
    ["4001 0001 ff", "payload marker without payload"],
    ["4020 0001", "reserved class"],
    ["40e0 0001", "reserved class"],
    ["4001 0001 b5 61", "option past the end"],
    ["4001 0001 d1", "option past the end"],
    ["4001 0001 ee ffff", "option past the end"],
    ["4001 0001 f1 00", "reserved option delta or length"],
    ["4001 0001 1f 00", "reserved option delta or length"],
    [`4001 0001 ${"e0ffff".repeat(2)}`, "option number past 65535"],
    [`4001 0001 ${"10".repeat(optionsMax + 1)}`, "too many options"],
  ])("%s is malformed: %s", (bytes, reason) => {
    expect(parseMessage(hex(bytes))).toMatchObject({ kind: "malformed", reason, type: "con", id: 1 });
  });

  test("an empty message has four bytes", () => {
    expect(emptyMessage("rst", 0x1234)).toEqual(hex("70001234"));
    expect(parseMessage(emptyMessage("ack", 0xffff))).toMatchObject({ message: { type: "ack", code: 0, id: 0xffff } });
  });
});

describe("options", () => {
  test("numbers are written without leading zeros and read back", () => {
    for (const value of [0, 1, 255, 256, 65_535, 65_536, 0xffff_ffff]) {
      expect(readUint(writeUint(value))).toBe(value);
    }
    expect(writeUint(0)).toHaveLength(0);
    expect(writeUint(256)).toEqual(Uint8Array.of(1, 0));
  });

  test("blocks are written and read at every size, and size exponent 7 is refused (RFC 7959 section 2.2)", () => {
    for (const num of [0, 1, 15, 16, 4_095, 4_096, 0xf_ffff]) {
      for (let szx = 0; szx <= 6; szx += 1) {
        for (const more of [true, false]) {
          expect(readBlock(writeBlock({ num, more, szx }))).toEqual({ num, more, szx });
        }
      }
    }
    expect(readBlock(Uint8Array.of(7))).toBeUndefined();
    expect([16, 32, 1_000, 1_024, 5_000].map(szxOf)).toEqual([0, 1, 5, 6, 6]);
  });

  test("a critical option that is unknown, too long or repeated is refused; an elective one is ignored", () => {
    const value = Uint8Array.of(1);
    expect(checkOptions([{ number: 9, value }])).toEqual({ kind: "bad-option", number: 9 });
    expect(checkOptions([{ number: OptionNumber.ifMatch, value }])).toMatchObject({ kind: "bad-option" });
    expect(checkOptions([{ number: OptionNumber.block2, value: new Uint8Array(4) }])).toMatchObject({ kind: "bad-option" });
    expect(checkOptions([{ number: OptionNumber.accept, value }, { number: OptionNumber.accept, value }])).toMatchObject({ kind: "bad-option" });
    expect(checkOptions([{ number: OptionNumber.uriPath, value }, { number: OptionNumber.uriPath, value }])).toEqual({ kind: "ok" });
    expect(checkOptions([{ number: OptionNumber.proxyUri, value }])).toEqual({ kind: "proxy" });
    expect(checkOptions([{ number: 2_048, value }, { number: OptionNumber.size1, value: new Uint8Array(5) }])).toEqual({ kind: "ok" });
    expect(optionOf([{ number: OptionNumber.size1, value: new Uint8Array(5) }], OptionNumber.size1)).toBeUndefined();
  });
});
