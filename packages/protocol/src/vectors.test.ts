// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { limits } from "./limits.ts";
import { fromHex, toHex } from "./testing/hex.ts";
import { malformed } from "./testing/malformed.ts";
import { codecs, samples, type MessageType } from "./testing/messages.ts";
import { bytesToHex, goldenVectors } from "./testing/vectors.ts";
import { kinds } from "./codec/words.ts";

interface Vector {
  readonly name: string;
  readonly type: MessageType;
  readonly hex: string;
  readonly value?: unknown;
  readonly reason?: string;
  readonly offset?: number;
}

const folder = new URL("../vectors/", import.meta.url);
const files = readdirSync(folder).sort();

function read(file: string): Vector[] {
  return JSON.parse(readFileSync(new URL(file, folder), "utf8")) as Vector[];
}

test("the committed vectors are what the encoders give now", () => {
  const golden = goldenVectors();
  expect(files).toEqual([...golden.keys()].sort());
  for (const [file, text] of golden) {
    expect(readFileSync(new URL(file, folder), "utf8"), `${file}: run tools/src/vectors.ts`).toBe(text);
  }
});

test("there is a vector of every kind of message, and no two share name or bytes", () => {
  const vectors = files.filter((file) => file !== "malformed.json").flatMap(read);
  const found = vectors.map(({ hex }) => (fromHex(hex)[4] as number));
  expect([...new Set(found)].sort((a, b) => a - b)).toEqual(Object.values(kinds).sort((a, b) => a - b));
  expect(new Set(vectors.map(({ name }) => name)).size).toBe(vectors.length);
  expect(new Set(vectors.map(({ type, hex }) => `${type} ${hex}`)).size).toBe(vectors.length);
});

describe.each(files.filter((file) => file !== "malformed.json"))("%s", (file) => {
  test.each(read(file))("$name decodes to its value and encodes to its bytes", ({ type, hex, value }) => {
    const decoded = codecs[type].decode(fromHex(hex));
    if (decoded.kind !== "ok") {
      throw new Error(decoded.reason);
    }
    expect(bytesToHex(decoded.value)).toEqual(value);
    expect(toHex(codecs[type].encode(decoded.value))).toBe(hex);
  });
});

test.each(read("malformed.json"))("malformed.json: $type: $name is refused", ({ type, hex, reason, offset }) => {
  expect(codecs[type].decode(fromHex(hex))).toEqual({ kind: "undecodable", reason, offset });
});

test.each(malformed)("$type: $name is refused for the promised reason, at the promised byte", ({ type, bytes, reason, offset }) => {
  expect(codecs[type].decode(bytes)).toEqual({ kind: "undecodable", reason, offset });
});

test.each(samples)("every cut of $name is refused", ({ type, value }) => {
  const bytes = codecs[type].encode(value);
  const cuts = bytes.length > 600 ? [...Array(300).keys(), bytes.length - 1, bytes.length - 2] : [...Array(bytes.length).keys()];
  for (const cut of cuts) {
    expect(codecs[type].decode(bytes.subarray(0, cut)).kind, `cut at ${cut}`).toBe("undecodable");
  }
  expect(codecs[type].decode(Uint8Array.of(...bytes, 0))).toMatchObject({ kind: "undecodable" });
});

test("the largest messages fit their caps, and a device's reports fit the topic's 4 KiB", () => {
  for (const { type, value, name } of samples) {
    const { length } = codecs[type].encode(value);
    const log = "body" in value && value.body.kind === "log";
    expect(length, `${name}`).toBeLessThanOrEqual(log ? limits.message : type === "block-answer" ? limits.blockAnswer : limits.report);
  }
  const block = { kind: "block", request: limits.uint32, offset: limits.uint32, data: new Uint8Array(limits.blockData).fill(9) } as const;
  const bytes = codecs["block-answer"].encode(block);
  expect(bytes.length).toBeLessThanOrEqual(limits.blockAnswer);
  expect(codecs["block-answer"].decode(bytes)).toEqual({ kind: "ok", value: block });
  expect(codecs["block-answer"].decode(new Uint8Array(limits.blockAnswer + 1))).toEqual({
    kind: "undecodable",
    reason: "message: more than 16448 bytes",
    offset: 0,
  });
});
