// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { impurities } from "./purity.ts";
import { parseSource } from "./syntax.ts";

function messages(text: string, layer: "core" | "pure" = "pure"): string[] {
  return impurities(parseSource("planted.ts", text), layer).map(({ line, message }) => `${line}: ${message}`);
}

test.each([
  ["Date.now()", "reads the clock with Date.now"],
  ['Date["now"]()', "reads the clock with Date.now"],
  ["new Date()", "reads the clock with new Date()"],
  ["new Date(...[])", "reads the clock with new Date()"],
  ["new Date(2026, 1, 1)", "builds a Date from local time; use Date.UTC"],
  ["Date()", "passes Date on, or calls it; either may read the clock"],
  ["[Date]", "passes Date on, or calls it; either may read the clock"],
  ["Date[name]", "uses Date in a way that may read the clock"],
  ["performance.now()", "uses the global performance"],
  ["Math.random()", "uses Math.random; draw by name from the seed"],
  ["Math[`random`]()", "uses Math.random; draw by name from the seed"],
  ["[Math]", "passes Math on; write Math.name, so that Math.random cannot hide"],
  ["Math[name]", "passes Math on; write Math.name, so that Math.random cannot hide"],
  ["setTimeout(f, 1)", "uses the global setTimeout"],
  ["setInterval(f, 1)", "uses the global setInterval"],
  ["setImmediate(f)", "uses the global setImmediate"],
  ["queueMicrotask(f)", "uses the global queueMicrotask"],
  ["process.env", "uses the global process"],
  ["globalThis.process", "uses the global globalThis"],
  ["Buffer.from([])", "uses the global Buffer"],
  ["crypto.randomUUID()", "uses the global crypto"],
  ["fetch('x')", "uses the global fetch"],
  ["console.log(1)", "uses the global console"],
  ["eval('1')", "uses the global eval"],
  ["new Function('return 1')", "uses the global Function"],
  ["'a'.localeCompare('b')", "uses localeCompare, which depends on the machine's language or time zone"],
  ["new Intl.Collator()", "uses the global Intl"],
  ["import.meta.url", "reads import.meta, which is about the machine it runs on"],
  ["import(name)", "imports something computed at run time"],
])("refused in core and pure code: %s", (expression, message) => {
  const text = `declare const f: () => void, name: string;\n// a line\nexport const value = ${expression};`;
  // What was only declared is still what the machine provides.
  expect(messages(text).filter((line) => !/global (f|name)$/.test(line))).toEqual([`3: ${message}`]);
});

test.each([
  "new Date(0).toISOString()",
  "Date.UTC(2026, 1)",
  "[1].map((x) => x instanceof Date)",
  "Math.max(1, Math.PI)",
  "new TextEncoder().encode('a')",
  "((process: number, fetch = 2, ...Buffer: []) => process + fetch + Buffer.length)(1)",
  "({ process: 1, setTimeout() {} }).process",
  "(() => { var fetch = 1; { let performance = 2; return fetch + performance; } })()",
  "(() => { for (const process of [1]) { return process; } })()",
  "(() => { try { return 1; } catch (console) { return console; } })()",
  "(() => { const { crypto: process, ...rest } = { crypto: 1 }; return [process, rest]; })()",
  "(function process(): unknown { return process; })()",
  "(class Buffer { static fetch = 1; process = Buffer.fetch; })",
  "(() => { fetch: for (;;) { break fetch; } })()",
])("allowed in core and pure code: %s", (expression) => {
  expect(messages(`export const value = ${expression};`)).toEqual([]);
});

test("a type is no use: typeof process, a parameter's type, a type import", () => {
  const text = `import type { Buffer } from "node:crypto";
export type Clock = typeof process;
export function f(this: Buffer, when: NodeJS.Timeout): asserts when is NodeJS.Timeout {}`;
  expect(messages(text)).toEqual([]);
});

test("a binding in one function does not excuse the global in another", () => {
  expect(messages("export const f = (process: number) => process;\nexport const g = () => process.pid;")).toEqual(["2: uses the global process"]);
});

test("declare makes nothing of one's own", () => {
  expect(messages("declare const process: { pid: number };\nexport const pid = process.pid;")).toEqual(["2: uses the global process"]);
});

test("a type import binds no value", () => {
  expect(messages(`import { type process } from "./process.ts";\nexport const pid = process;`)).toEqual(["2: uses the global process"]);
});

test("pure packages take named deterministic functions of node:crypto, and nothing else of Node", () => {
  expect(messages(`import { createHash, verify, type KeyObject } from "node:crypto";\nimport type { Hash } from "node:crypto";`)).toEqual([]);
  expect(messages(`import { hash, randomBytes } from "node:crypto";`)).toEqual([
    "1: takes randomBytes of node:crypto, which is not on the list of deterministic functions",
  ]);
  expect(messages(`export { randomUUID as hash } from "node:crypto";`)).toEqual([
    "1: takes randomUUID of node:crypto, which is not on the list of deterministic functions",
  ]);
  const whole = "1: takes all of node:crypto; import the deterministic functions by name";
  expect(messages(`import * as crypto from "node:crypto";`)).toEqual([whole]);
  expect(messages(`import crypto from "node:crypto";`)).toEqual([whole]);
  expect(messages(`export * from "node:crypto";`)).toEqual([whole]);
  expect(messages(`export const crypto = await import("node:crypto");`)).toEqual([whole]);
  expect(messages(`import { generateKeyPairSync } from "crypto";`)).toHaveLength(1);
  expect(messages(`import { readFileSync } from "node:fs";`)).toHaveLength(1);
  expect(messages(`import "node:fs";`)).toHaveLength(1);
});

test("core takes nothing of Node, not even hashes or types", () => {
  expect(messages(`import { createHash } from "node:crypto";`, "core")).toEqual(["1: uses the Node module node:crypto; core uses none"]);
  expect(messages(`import type { KeyObject } from "node:crypto";`, "core")).toHaveLength(1);
});
