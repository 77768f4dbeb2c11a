// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { limits } from "./limits.ts";
import { conforms } from "./testing/cddl-check.ts";
import { parseCddl } from "./testing/cddl-parser.ts";
import { fromHex } from "./testing/hex.ts";
import { readItem } from "./testing/item.ts";
import { malformed } from "./testing/malformed.ts";
import { codecs, samples, type MessageType } from "./testing/messages.ts";
import { mutant } from "./testing/mutator.ts";
import { fuzzSeed } from "./testing/seed.ts";

const source = readFileSync(new URL("../coalmine.cddl", import.meta.url), "utf8");
const schema = parseCddl(source);
const types = Object.keys(codecs) as MessageType[];

function valid(type: string, bytes: Uint8Array): boolean {
  const item = readItem(bytes);
  return item !== undefined && conforms(schema, type, item);
}

/** What a decoder may refuse although the schema allows it: CDDL speaks of values, not of their one encoding. */
const beyondSchema =
  /: (not in its shortest form|negative zero|its key is not next|names are not in order|more than \d+ bytes)$|found an indefinite length$/;

describe("every encoder writes what coalmine.cddl describes", () => {
  test.each(samples)("$type: $name", ({ type, value }) => {
    const bytes = codecs[type].encode(value);
    expect(valid(type, bytes)).toBe(true);
    expect(valid("message", bytes)).toBe(true);
    for (const other of types.filter((name) => name !== type)) {
      expect(valid(other, bytes), `as ${other}`).toBe(false);
    }
  });
});

test("what the schema refuses, the decoders refuse; what only they refuse is a matter of encoding or size", () => {
  for (const { type, name, bytes, reason } of malformed) {
    if (valid(type, bytes)) {
      expect(reason, `${name}`).toMatch(beyondSchema);
    }
  }
});

test("20,000 mutants: decoders and coalmine.cddl agree on what is a message", () => {
  const seed = fuzzSeed;
  console.log(`fuzz seed ${seed}`);
  let accepted = 0;
  for (let n = 0; n < 20_000; n += 1) {
    const bytes = mutant(seed, n);
    const item = readItem(bytes);
    for (const type of types) {
      const decoded = codecs[type].decode(bytes);
      const inSchema = item !== undefined && conforms(schema, type, item);
      if (decoded.kind === "ok") {
        accepted += 1;
        expect(inSchema, `seed ${seed} mutant ${n}: ${type} accepted, but not in the schema`).toBe(true);
      } else if (inSchema) {
        expect(decoded.reason, `seed ${seed} mutant ${n}: ${type} refused, but in the schema`).toMatch(beyondSchema);
      }
    }
  }
  expect(accepted).toBeGreaterThan(200);
});

test("the schema states the limits that the code has", () => {
  const number = (name: string, end: "from" | "to"): number | undefined => {
    const type = schema.types.get(name);
    const range = type?.kind === "control" ? type.argument : type;
    const bound = range?.kind === "range" ? range[end] : undefined;
    return bound?.kind === "number" ? bound.value : undefined;
  };
  const pattern = (name: string): string | undefined => {
    const type = schema.types.get(name);
    return type?.kind === "control" && type.argument.kind === "text" ? type.argument.value : undefined;
  };
  expect(number("uint32", "to")).toBe(limits.uint32);
  expect(number("safe", "to")).toBe(limits.safe);
  expect(number("build-id", "from")).toBe(limits.buildIdMin);
  expect(number("build-id", "to")).toBe(limits.buildIdMax);
  expect(number("real", "to")).toBe(Number.MAX_VALUE);
  expect(number("real", "from")).toBe(-Number.MAX_VALUE);
  expect(pattern("name")).toContain(`{0,${limits.name - 1}}`);
  expect(pattern("value")).toContain(`{0,${limits.value}}`);
  expect(pattern("hardware-text")).toContain(`{0,${limits.hardware}}`);
  expect(pattern("reason")).toContain(`{0,${limits.reason}}`);
  expect(pattern("version-text")).toContain(`{0,${limits.versionText - 1}}`);
  expect(pattern("release-text")).toContain(`{0,${limits.release - 1}}`);
  for (const text of [`0*${limits.entries} `, `(0..${limits.logData})`, `(0..${limits.blockData})`, `1..${limits.blockData}`]) {
    expect(source).toContain(text);
  }
  for (const bytes of [limits.message, limits.report, limits.blockAnswer]) {
    expect(source).toContain(`${bytes}`);
  }
});

describe("the checker reads CDDL and is not content with anything", () => {
  const check = (cddl: string, hex: string): boolean => {
    const item = readItem(fromHex(hex));
    return item !== undefined && conforms(parseCddl(cddl), "a", item);
  };

  test.each([
    ["a = uint", "01", true],
    ["a = uint", "20", false],
    ["a = int", "20", true],
    ["a = 0..4", "04", true],
    ["a = 0..4", "05", false],
    ["a = 0...4", "04", false],
    ["a = 0..4", "f94000", false],
    ["a = 0.0..4.0", "f94000", true],
    ["a = 0.0..4.0", "02", false],
    ["a = 0.0..4.0", "f97e00", false],
    ["a = float64 .and (0.0..4.0)", "f94000", false],
    ["a = float64 .and (0.0..4.0)", "fb4000000000000000", true],
    ["a = bstr .size 2", "420102", true],
    ["a = bstr .size 2", "4101", false],
    ["a = bstr .size (1..2)", "4101", true],
    ["a = bstr .size (1..2)", "40", false],
    ['a = tstr .regexp "[a-c]{1,2}"', "626163", true],
    ['a = tstr .regexp "[a-c]{1,2}"', "63616263", false],
    ["a = tstr", "62c328", false],
    ["a = bool / null", "f6", true],
    ["a = bool / null", "f7", false],
    ['a = "x"', "6178", true],
    ["a = { 0 => uint }", "a10001", true],
    ["a = { 0 => uint }", "a0", false],
    ["a = { 0 => uint }", "a200010102", false],
    ["a = { 0 => uint }", "a200010001", false],
    ["a = { ? 0 => uint }", "a0", true],
    ["a = { x: uint }", "a1617801", true],
    ["a = { g, 1 => b }\ng = (0 => b)\nb = uint ; a comment", "a200010102", true],
    ["a = { (0 => uint) }", "a10001", true],
    ["a = { 0*1 tstr => uint }", "a1617801", true],
    ["a = { 0*1 tstr => uint }", "a2617801617901", false],
    ["a = { + tstr => uint }", "a0", false],
    ["a = {}", "a0", true],
    ["a = any", "c001", true],
  ])("%s on %s is %s", (cddl, hex, expected) => {
    expect(check(cddl, hex)).toBe(expected);
  });

  test.each([["a = [uint]"], ["a = "], ["a = uint\na = tstr"], ["a = { uint .size }"], ["a = %"], ["a = { 0 uint }"]])(
    "%s cannot be read",
    (cddl) => {
      expect(() => parseCddl(cddl)).toThrow(/^line \d/);
    },
  );

  test("an undefined name is an error, not a match", () => {
    expect(() => check("a = b", "00")).toThrow("b is not a type");
    expect(() => check("a = { b }", "a0")).toThrow("b is not a group");
  });
});
