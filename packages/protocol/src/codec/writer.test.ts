// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import type { Offer } from "../command.ts";
import { isAttributeValue, isFactName, limits } from "../limits.ts";
import type { Heartbeat, Hello, LogChunk, Report, ReportBody } from "../report.ts";
import { toHex } from "../testing/hex.ts";
import { samples } from "../testing/messages.ts";
import { encodeBlockAnswer, encodeBlockRequest } from "./block.ts";
import { encodeCommand } from "./command.ts";
import { decodeReport, encodeReport } from "./report.ts";

function body<T extends ReportBody>(name: string): T {
  return (samples.find((sample) => sample.name === name)!.value as Report).body as T;
}

const hello = body<Hello>("hello");
const heartbeat = body<Heartbeat>("heartbeat");
const log = body<LogChunk>("log");
const offer = samples.find(({ name }) => name === "offer")!.value as Offer;

function encode(of: ReportBody, at: Partial<Report> = {}): Uint8Array {
  return encodeReport({ boot: 1, sequence: 2, uptime_s: 3, ...at, body: of });
}

test.each<[string, () => Uint8Array, RegExp]>([
  ["a fraction of a second", () => encode(heartbeat, { uptime_s: 1.5 }), /uptime_s: 1.5 is not a whole number/],
  ["a negative boot", () => encode(heartbeat, { boot: -1 }), /boot: -1/],
  ["a boot above 32 bits", () => encode(heartbeat, { boot: 2 ** 32 }), /boot: 4294967296/],
  ["an offer above 2^53 - 1", () => encode({ kind: "progress", offer: 2 ** 53, state: "accepted", offset: 0 }), /progress.offer/],
  ["a battery above 100", () => encode({ ...heartbeat, battery: 100.1 }), /heartbeat.battery/],
  ["a link uptime of NaN", () => encode({ ...heartbeat, linkUptime: NaN }), /heartbeat.linkUptime: NaN/],
  ["an infinite metric", () => encode({ ...heartbeat, metrics: { a: Infinity } }), /heartbeat.metrics: Infinity/],
  ["17 metrics", () => encode({ ...heartbeat, metrics: Object.fromEntries(Array.from({ length: 17 }, (_, n) => [`m${n}`, n])) }), /17 entries, at most 16/],
  ["a metric without a name", () => encode({ ...heartbeat, metrics: { "": 1 } }), /"" is not a name/],
  ["an attribute with a long name", () => encode({ ...hello, attributes: { ["n".repeat(33)]: "" } }), /33 characters, at most 32/],
  ["an attribute with a long value", () => encode({ ...hello, attributes: { a: "v".repeat(65) } }), /65 characters, at most 64/],
  ["an attribute with a line break", () => encode({ ...hello, attributes: { a: "\n" } }), /not printable ASCII/],
  ["a board beyond ASCII", () => encode({ ...hello, hardware: { ...hello.hardware, board: "Grüße" } }), /hardware.board/],
  ["a hash of 31 bytes", () => encode({ ...heartbeat, imageHash: new Uint8Array(31) }), /31 bytes, not 32 to 32/],
  ["a build id of 3 bytes", () => encode({ ...log, buildId: new Uint8Array(3) }), /3 bytes, not 4 to 32/],
  ["too much log", () => encode({ ...log, data: new Uint8Array(limits.logData + 1) }), /log.data: 4097 bytes/],
  ["a word of no table", () => encode({ ...hello, resetCause: "magic" as "pin" }), /"magic" is not one of power-on/],
  ["a release with a space", () => encodeCommand({ ...offer, release: "a b" }), /"a b" is not a label/],
  ["an empty version", () => encodeCommand({ ...offer, version: "" }), /offer.version: "" is not a label/],
  ["a request for nothing", () => encodeBlockRequest({ request: 1, digest: new Uint8Array(8), offset: 0, length: 0 }), /block-request.length/],
  ["too much block", () => encodeBlockAnswer({ kind: "block", request: 1, offset: 0, data: new Uint8Array(limits.blockData + 1) }), /block.data: 16385 bytes/],
])("%s is not encoded: the message names the field", (_, act, message) => {
  expect(act).toThrow(message);
});

test("a failed encoding leaves nothing behind in the next one", () => {
  const before = toHex(encode(heartbeat));
  expect(() => encode({ ...hello, storageSchema: -1 })).toThrow("hello.storageSchema");
  expect(toHex(encode(heartbeat))).toBe(before);
});

test("-0 is written as 0", () => {
  const bytes = encode({ ...heartbeat, linkUptime: -0, battery: -0, metrics: { a: -0 } });
  expect(toHex(bytes)).toBe(toHex(encode({ ...heartbeat, linkUptime: 0, battery: 0, metrics: { a: 0 } })));
  expect(decodeReport(bytes).kind).toBe("ok");
});

test("the order in which metrics were set does not show in the bytes", () => {
  const names = ["b", "aa", "a", "B", "10x", "a.b", "ab"].filter(isFactName);
  const forward = Object.fromEntries(names.map((name, i) => [name, i]));
  const backward = Object.fromEntries(names.map((name, i) => [name, i] as const).reverse());
  expect(toHex(encode({ ...heartbeat, metrics: forward }))).toBe(toHex(encode({ ...heartbeat, metrics: backward })));
});

test("a message has memory of its own: the next one does not write into it", () => {
  const first = encode(heartbeat);
  const copy = toHex(first);
  encode(hello);
  expect(toHex(first)).toBe(copy);
  expect(first.buffer.byteLength).toBe(first.length);
});

test("the predicates for names and values say what the encoder accepts", () => {
  for (const name of ["a", "A1", "heap.free", "n".repeat(32), "", "1a", "_a", "__proto__", "a b", "n".repeat(33), "ä", "a\n"]) {
    const act = (): Uint8Array => encode({ ...heartbeat, metrics: Object.fromEntries([[name, 1]]) });
    if (isFactName(name)) {
      expect(act()).toBeInstanceOf(Uint8Array);
    } else {
      expect(act).toThrow("heartbeat.metrics");
    }
  }
  for (const value of ["", "a b~", "v".repeat(64), "v".repeat(65), "\t", "ä", "a\n"]) {
    const act = (): Uint8Array => encode({ ...hello, attributes: { a: value } });
    if (isAttributeValue(value)) {
      expect(act()).toBeInstanceOf(Uint8Array);
    } else {
      expect(act).toThrow("hello.attributes");
    }
  }
});
