// SPDX-License-Identifier: Apache-2.0
import { decode as cborgDecode } from "cborg";
import { describe, expect, test } from "vitest";
import { limits } from "../limits.ts";
import { fromHex, toHex } from "../testing/hex.ts";
import { readItem } from "../testing/item.ts";
import { codecs, samples, type MessageType } from "../testing/messages.ts";
import { mutant, oversized } from "../testing/mutator.ts";
import { fuzzSeed } from "../testing/seed.ts";
import { Reader } from "./reader.ts";

const types = Object.keys(codecs) as MessageType[];

/** cborg with every strictness it has: the second opinion. */
function cborg(bytes: Uint8Array): unknown {
  return cborgDecode(bytes, {
    strict: true,
    useMaps: true,
    rejectDuplicateMapKeys: true,
    allowIndefinite: false,
    allowUndefined: false,
    allowNaN: false,
    allowInfinity: false,
    allowBigInt: false,
  });
}

/** What each field type makes of one item: its value, or undefined when it refuses. Keys are not the point: key 0. */
const fields = {
  uint: (reader: Reader) => reader.uint(0, "field", limits.safe),
  real: (reader: Reader) => reader.real(0, "field", -Number.MAX_VALUE, Number.MAX_VALUE),
  bool: (reader: Reader) => reader.bool(0, "field"),
  none: (reader: Reader) => (reader.none(0, "field") ? null : undefined),
  bytes: (reader: Reader) => toHex(reader.bytes(0, "field", 0, 64)),
  text: (reader: Reader) => reader.text(0, "field", 64),
  metrics: (reader: Reader) => ({ ...reader.metrics(0, "field") }),
  attributes: (reader: Reader) => ({ ...reader.attributes(0, "field") }),
} as const;

function readField(field: keyof typeof fields, hex: string): unknown {
  const reader = new Reader(fromHex(`00${hex}`), limits.message);
  const decoded = reader.finish(fields[field](reader));
  return decoded.kind === "ok" ? decoded.value : undefined;
}

/** The fields that accept an item, with what they read. */
function readers(hex: string): Record<string, unknown> {
  const names = Object.keys(fields) as (keyof typeof fields)[];
  return Object.fromEntries(names.map((name) => [name, readField(name, hex)]).filter(([, value]) => value !== undefined));
}

// RFC 8949 Appendix A, all of it: what each example is to us. {} is refused everywhere.
const examples: readonly (readonly [hex: string, accepted: Record<string, unknown>])[] = [
  ["00", { uint: 0 }],
  ["01", { uint: 1 }],
  ["0a", { uint: 10 }],
  ["17", { uint: 23 }],
  ["1818", { uint: 24 }],
  ["1819", { uint: 25 }],
  ["1864", { uint: 100 }],
  ["1903e8", { uint: 1_000 }],
  ["1a000f4240", { uint: 1_000_000 }],
  ["1b000000e8d4a51000", { uint: 1_000_000_000_000 }],
  ["1bffffffffffffffff", {}],
  ["c249010000000000000000", {}],
  ["3bffffffffffffffff", {}],
  ["c349010000000000000000", {}],
  ["20", {}],
  ["29", {}],
  ["3863", {}],
  ["3903e7", {}],
  ["f90000", {}],
  ["f98000", {}],
  ["f93c00", {}],
  ["fb3ff199999999999a", { real: 1.1 }],
  ["f93e00", {}],
  ["f97bff", {}],
  ["fa47c35000", {}],
  ["fa7f7fffff", {}],
  ["fb7e37e43c8800759c", { real: 1e300 }],
  ["f90001", {}],
  ["f90400", {}],
  ["f9c400", {}],
  ["fbc010666666666666", { real: -4.1 }],
  ["f97c00", {}],
  ["f97e00", {}],
  ["f9fc00", {}],
  ["fa7f800000", {}],
  ["fa7fc00000", {}],
  ["faff800000", {}],
  ["fb7ff0000000000000", {}],
  ["fb7ff8000000000000", {}],
  ["fbfff0000000000000", {}],
  ["f4", { bool: false }],
  ["f5", { bool: true }],
  ["f6", { none: null }],
  ["f7", {}],
  ["f0", {}],
  ["f8ff", {}],
  ["c074323031332d30332d32315432303a30343a30305a", {}],
  ["c11a514b67b0", {}],
  ["c1fb41d452d9ec200000", {}],
  ["d74401020304", {}],
  ["d818456449455446", {}],
  ["d82076687474703a2f2f7777772e6578616d706c652e636f6d", {}],
  ["40", { bytes: "" }],
  ["4401020304", { bytes: "01020304" }],
  ["60", { text: "" }],
  ["6161", { text: "a" }],
  ["6449455446", { text: "IETF" }],
  ["62225c", { text: '"\\' }],
  ["62c3bc", {}],
  ["63e6b0b4", {}],
  ["64f0908591", {}],
  ["80", {}],
  ["83010203", {}],
  ["8301820203820405", {}],
  ["98190102030405060708090a0b0c0d0e0f101112131415161718181819", {}],
  ["a0", { metrics: {}, attributes: {} }],
  ["a201020304", {}],
  ["a26161016162820203", {}],
  ["826161a161626163", {}],
  ["a56161614161626142616361436164614461656145", { attributes: { a: "A", b: "B", c: "C", d: "D", e: "E" } }],
  ["5f42010243030405ff", {}],
  ["7f657374726561646d696e67ff", {}],
  ["9fff", {}],
  ["9f018202039f0405ffff", {}],
  ["9f01820203820405ff", {}],
  ["83018202039f0405ff", {}],
  ["83019f0203ff820405", {}],
  ["9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff", {}],
  ["bf61610161629f0203ffff", {}],
  ["826161bf61626163ff", {}],
  ["bf6346756ef563416d7421ff", {}],
];

// RFC 8949 Appendix F: what is not well-formed, by its sorts.
const illFormed: readonly string[] = Object.values({
  "End of input in a head": ["18", "19", "1a", "1b", "1901", "1a0102", "1b01020304050607", "38", "58", "78", "98", "9a01ff00", "b8", "d8", "f8", "f900", "fa0000", "fb000000"],
  "Definite-length strings with short data": ["41", "61", "5affffffff00", "5bffffffffffffffff010203", "7affffffff00", "7b7fffffffffffffff010203"],
  "Definite-length maps and arrays not closed with enough items": ["81", "818181818181818181", "8200", "a1", "a20102", "a100", "a2000000"],
  "Tag number not followed by tag content": ["c0"],
  "Indefinite-length strings not closed by a break": ["5f4100", "7f6100"],
  "Indefinite-length maps and arrays not closed by a break": ["9f", "9f0102", "bf", "bf01020102", "819f", "9f8000", "9f9f9f9f9fffffffff", "9f819f819f9fffffff"],
  "Reserved additional information values": ["1c", "1d", "1e", "3c", "3d", "3e", "5c", "5d", "5e", "7c", "7d", "7e", "9c", "9d", "9e", "bc", "bd", "be", "dc", "dd", "de", "fc", "fd", "fe"],
  "Reserved two-byte encodings of simple values": ["f800", "f801", "f818", "f81f"],
  "Indefinite-length string chunks not of the correct type": ["5f00ff", "5f21ff", "5f6100ff", "5f80ff", "5fa0ff", "5fc000ff", "5fe0ff", "7f4100ff"],
  "Indefinite-length string chunks not definite length": ["5f5f4100ffff", "7f7f6100ffff"],
  "Break occurring on its own outside of an indefinite-length item": ["ff"],
  "Break occurring in a definite-length array or map or a tag": ["81ff", "8200ff", "a1ff", "a1ff00", "a100ff", "a20000ff", "9f81ff", "9f829f819f9fffffffff"],
  "Break in an indefinite-length map that would lead to an odd number of items": ["bf00ff", "bf000000ff"],
  "Major type 0, 1, 6 with additional information 31": ["1f", "3f", "df"],
}).flat();

describe("RFC 8949 Appendix A", () => {
  test.each(examples)("%s is read as %j and nothing else", (hex, accepted) => {
    expect(readItem(fromHex(hex))).toBeDefined();
    expect(readers(hex)).toEqual(accepted);
  });

  test("has its 81 examples here, all different", () => {
    expect(new Set(examples.map(([hex]) => hex)).size).toBe(examples.length);
    expect(examples.length).toBe(81);
  });
});

describe("RFC 8949 Appendix F", () => {
  test.each(illFormed)("%s is refused by every field, and by the tests' own reader", (hex) => {
    expect(readers(hex)).toEqual({});
    expect(readItem(fromHex(hex))).toBeUndefined();
  });
});

describe("D1, D2, D3: any bytes", () => {
  test("20,000 mutants never throw, and what is accepted encodes to the same bytes and is CBOR to cborg too", () => {
    const seed = fuzzSeed;
    console.log(`fuzz seed ${seed}`);
    let accepted = 0;
    for (let n = 0; n < 20_000; n += 1) {
      const bytes = mutant(seed, n);
      for (const type of types) {
        const decoded = codecs[type].decode(bytes);
        if (decoded.kind === "ok") {
          accepted += 1;
          expect(toHex(codecs[type].encode(decoded.value)), `seed ${seed} mutant ${n}`).toBe(toHex(bytes));
          cborg(bytes);
        } else if (!/^[ -~]{1,120}$/.test(decoded.reason) || (decoded.offset as number) > bytes.length) {
          throw new Error(`seed ${seed} mutant ${n}: ${decoded.reason} at ${decoded.offset}`);
        }
      }
    }
    expect(accepted).toBeGreaterThan(200);
  });

  test("64 KiB of anything is refused for its size alone", () => {
    for (const bytes of oversized.filter(({ length }) => length > limits.blockAnswer)) {
      for (const type of types) {
        expect(codecs[type].decode(bytes)).toMatchObject({ kind: "undecodable", reason: expect.stringMatching(/more than \d+ bytes/) as string });
      }
    }
  });

  test("D4: reasons are a finite set, whatever numbers and texts arrive", () => {
    const reasons = new Set<string>();
    for (let n = 0; n < 500; n += 1) {
      const bytes = fromHex("a60001010302030319019c041a00014ff005a3000701010219ffff");
      new DataView(bytes.buffer).setUint16(25, n);
      bytes[22] = 5 + (n % 19);
      const decoded = codecs.report.decode(bytes);
      reasons.add(decoded.kind === "undecodable" ? decoded.reason : "ok");
    }
    expect([...reasons]).toEqual(["progress.state: unknown word"]);
  });
});

describe("what is decoded", () => {
  test("shares no memory with the buffer it came in, also when that is a Buffer", () => {
    for (const { type, value } of samples) {
      const buffer = Buffer.from(codecs[type].encode(value));
      const decoded = codecs[type].decode(buffer);
      const before = toHex(codecs[type].encode(value));
      buffer.fill(0xee);
      if (decoded.kind !== "ok") {
        throw new Error(decoded.reason);
      }
      expect(toHex(codecs[type].encode(decoded.value))).toBe(before);
    }
  });

  test("has plain byte arrays and no inherited metrics or attributes", () => {
    const hello = samples.find(({ name }) => name === "hello")!;
    const decoded = codecs.report.decode(Buffer.from(codecs.report.encode(hello.value)));
    if (decoded.kind !== "ok" || !("body" in decoded.value) || decoded.value.body.kind !== "hello") {
      throw new Error("not a hello");
    }
    const { running, attributes } = decoded.value.body;
    expect(running.imageHash.constructor).toBe(Uint8Array);
    expect(attributes["constructor"]).toBeUndefined();
    expect(attributes["__proto__"]).toBeUndefined();
    expect(attributes["site"]).toBe("lab");
  });
});
