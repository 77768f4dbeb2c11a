// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import type { CborMap, CborValue } from "./cbor.ts";
import type { SmpAnswer } from "./client.ts";
import { SmpRefused } from "./refusal.ts";

/** The body of an answer. @throws SmpRefused */
export function granted(what: string, answer: SmpAnswer): CborMap {
  if (answer.kind === "refused") {
    throw new SmpRefused(what, answer);
  }
  return answer.body;
}

/** The answer was CBOR, but not what the command answers with. */
export function badAnswer(what: string, problem: string): CoalmineError {
  return new CoalmineError("smp/bad-answer", `the board's answer to ${what} ${problem}`);
}

export function textOf(what: string, body: CborMap, key: string): string {
  const value = body.get(key);
  return typeof value === "string" ? value : missing(what, key, "text");
}

export function wholeOf(what: string, body: CborMap, key: string): number {
  const value = body.get(key);
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : missing(what, key, "a whole number");
}

export function bytesOf(what: string, body: CborMap, key: string): Uint8Array {
  const value = body.get(key);
  return value instanceof Uint8Array ? value : missing(what, key, "bytes");
}

export function listOf(what: string, body: CborMap, key: string): readonly CborValue[] {
  const value = body.get(key);
  return isList(value) ? value : missing(what, key, "a list");
}

export function mapOf(what: string, value: CborValue | undefined, key: string): CborMap {
  return value instanceof Map ? (value as CborMap) : missing(what, key, "a map");
}

/** Boards with the frugal list leave out what is false. */
export function flagOf(what: string, body: CborMap, key: string): boolean {
  const value = body.get(key) ?? false;
  return typeof value === "boolean" ? value : missing(what, key, "true or false");
}

function isList(value: CborValue | undefined): value is readonly CborValue[] {
  return Array.isArray(value);
}

function missing(what: string, key: string, expected: string): never {
  throw badAnswer(what, `has no ${JSON.stringify(key)} that is ${expected}`);
}
