// SPDX-License-Identifier: Apache-2.0
//
// Why a reader of our own and not cborg in its strictest mode: a generic decoder hands over JavaScript values, and by
// then 1 and 1.0 are the same, bad UTF-8 has become U+FFFD, -0 has passed, the offset is gone, and depth was the call
// stack. Reading fixed shapes needs no recursion, no generic values, no allocation by a length the sender chose, and
// takes a quarter of the time (1 µs against 2 µs plus the shape check, per heartbeat). cborg stays as the second opinion
// in the tests: whatever this reader accepts, cborg's strict mode must read too. RFC 8949 Appendix A and F are tests.
//
// D1. No bytes make a decoder throw.
// D2. Every message has one encoding: whatever is accepted encodes to the same bytes again.
// D3. Work and memory are bounded by the length of the message, which is checked first.
// D4. The reason is made of schema words only; nothing of the sender's gets into it.
import type { Decoded } from "../decoded.ts";
import { isFactName, limits } from "../limits.ts";
import { compareNames } from "./writer.ts";

const UINT = 0;
const NEGATIVE = 1;
const BYTES = 2;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;
const TAG = 6;
const FALSE = 0xf4;
const TRUE = 0xf5;
const NULL = 0xf6;
const FLOAT64 = 0xfb;

const scratch = new DataView(new ArrayBuffer(8));

/**
 * Reads the items a schema asks for, in order, and remembers the first fault.
 *
 * After a fault every further read answers an empty value at once, so decoders are written straight down and ask for
 * the fault at the end.
 */
export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #reason: string | undefined;
  #offset = 0;

  constructor(bytes: Uint8Array, max: number) {
    this.#bytes = bytes;
    if (bytes.length > max) {
      this.fail("message", `more than ${max} bytes`);
    } else if (bytes.length === 0) {
      this.fail("message", "empty");
    }
  }

  get failed(): boolean {
    return this.#reason !== undefined;
  }

  /** Records the first fault; later ones follow from it and are dropped. */
  fail(field: string, problem: string, at = this.#at): void {
    if (this.#reason === undefined) {
      this.#reason = `${field}: ${problem}`;
      this.#offset = at;
      // Nothing after this is looked at.
      this.#at = this.#bytes.length;
    }
  }

  /** The value when all went well and nothing follows it. */
  finish<T>(value: T | undefined): Decoded<T> {
    if (this.#reason === undefined && this.#at < this.#bytes.length) {
      this.fail("message", "bytes after the end");
    }
    if (this.#reason !== undefined || value === undefined) {
      return { kind: "undecodable", reason: this.#reason ?? "message: empty", offset: this.#offset };
    }
    return { kind: "ok", value };
  }

  /**
   * Reads the head of a message and answers its kind. The version is judged first, because it decides how all the rest
   * is read; then the kind, from `first` to `last`; then the number of pairs.
   */
  begin(what: string, pairs: number, first: number, last: number): number {
    const count = this.#head("message", MAP, "a map", limits.uint32);
    this.key("version", 0);
    const versionAt = this.#at;
    const version = this.#head("version", UINT, "an unsigned integer", limits.safe);
    if (!this.failed && version !== limits.version) {
      this.fail("version", "unknown", versionAt);
    }
    this.key("kind", 1);
    const kindAt = this.#at;
    const kind = this.#head("kind", UINT, "an unsigned integer", limits.uint32);
    if (!this.failed && (kind < first || kind > last)) {
      this.fail("kind", `not ${what}`, kindAt);
    }
    this.#count("message", count, pairs, 0);
    return kind;
  }

  /** A map of exactly `pairs`: there are no unknown keys. */
  map(field: string, pairs: number): void {
    this.openMap(field, pairs, pairs);
  }

  /** A map of `least` pairs and up to `most` with the optional ones at its end; how many it has. */
  openMap(field: string, least: number, most: number): number {
    const start = this.#at;
    const count = this.#head(field, MAP, "a map", limits.uint32);
    this.#count(field, count, Math.min(most, Math.max(least, count)), start);
    return count;
  }

  /** The key that the schema has next; keys rise, so a repeated one is never the next. */
  key(field: string, key: number): void {
    if (this.failed) {
      return;
    }
    const byte = this.#bytes[this.#at];
    if (byte === key) {
      this.#at += 1;
    } else if (byte === undefined) {
      this.fail(field, "the message ends early");
    } else if (key > 0 && byte === key - 1) {
      this.fail(field, "the key before it is repeated");
    } else {
      this.fail(field, "its key is not next");
    }
  }

  uint(key: number, field: string, max: number): number {
    this.key(field, key);
    return this.#head(field, UINT, "an unsigned integer", max);
  }

  bool(key: number, field: string): boolean {
    this.key(field, key);
    if (this.failed) {
      return false;
    }
    const byte = this.#bytes[this.#at];
    if (byte !== TRUE && byte !== FALSE) {
      this.#mismatch(field, "a boolean");
      return false;
    }
    this.#at += 1;
    return byte === TRUE;
  }

  /** Reads the key; true when null follows it and was read. */
  none(key: number, field: string): boolean {
    this.key(field, key);
    if (this.failed || this.#bytes[this.#at] !== NULL) {
      return false;
    }
    this.#at += 1;
    return true;
  }

  word<Word extends string>(key: number, field: string, words: readonly [Word, ...Word[]]): Word {
    this.key(field, key);
    const at = this.#at;
    const index = this.#head(field, UINT, "an unsigned integer", limits.uint32);
    const word = words[index];
    if (word === undefined) {
      this.fail(field, "unknown word", at);
      return words[0];
    }
    return word;
  }

  /** A copy: what is decoded outlives the buffer it came in, which drivers reuse. */
  bytes(key: number, field: string, min: number, max: number): Uint8Array {
    this.key(field, key);
    const start = this.#at;
    const length = this.#span(field, BYTES, "a byte string", max);
    if (!this.failed && length < min) {
      this.fail(field, `fewer than ${min} bytes`, start);
    }
    if (this.failed) {
      return new Uint8Array(0);
    }
    const copy = new Uint8Array(length);
    if (length <= 32) {
      for (let i = 0; i < length; i += 1) {
        copy[i] = this.#bytes[this.#at + i] as number;
      }
    } else {
      copy.set(this.#bytes.subarray(this.#at, this.#at + length));
    }
    this.#at += length;
    return copy;
  }

  /**
   * Printable ASCII, space to tilde. Whatever a device says is shown to people, so there is no escape sequence, no
   * right-to-left override, no look-alike letter and no ill-formed UTF-8 to think about further on.
   */
  text(key: number, field: string, max: number): string {
    this.key(field, key);
    return this.#textItem(field, max);
  }

  label(key: number, field: string, max: number): string {
    this.key(field, key);
    const start = this.#at;
    const text = this.#textItem(field, max);
    if (!this.failed && !/^[A-Za-z0-9][A-Za-z0-9._+-]*$/.test(text)) {
      this.fail(field, "not a label", start);
    }
    return text;
  }

  real(key: number, field: string, min: number, max: number): number {
    this.key(field, key);
    return this.#realItem(field, min, max);
  }

  /** `null` or a real number. */
  realOrNone(key: number, field: string, min: number, max: number): number | null {
    return this.none(key, field) ? null : this.#realItem(field, min, max);
  }

  attributes(key: number, field: string): Readonly<Record<string, string>> {
    return this.#entries(key, field, () => this.#textItem(field, limits.value));
  }

  metrics(key: number, field: string): Readonly<Record<string, number>> {
    return this.#entries(key, field, () => this.#realItem(field, -Number.MAX_VALUE, Number.MAX_VALUE));
  }

  /** A map with names as keys. Names rise (shorter first, then bytewise), which also rules out repeated ones. */
  #entries<T>(key: number, field: string, read: () => T): Readonly<Record<string, T>> {
    this.key(field, key);
    const count = this.#head(field, MAP, "a map", limits.entries);
    // No prototype: asking for a metric that is not there must not find Object's members, whatever it is called.
    const entries = Object.create(null) as Record<string, T>;
    let last = "";
    for (let i = 0; i < count && !this.failed; i += 1) {
      const start = this.#at;
      const name = this.#textItem(field, limits.name);
      if (this.failed) {
        break;
      }
      if (!isFactName(name)) {
        this.fail(field, "not a name", start);
      } else if (name === last) {
        this.fail(field, "a name is repeated", start);
      } else if (compareNames(last, name) > 0) {
        this.fail(field, "names are not in order", start);
      } else {
        entries[name] = read();
        last = name;
      }
    }
    return entries;
  }

  #textItem(field: string, max: number): string {
    const length = this.#span(field, TEXT, "a text string", max);
    if (this.failed || length === 0) {
      return "";
    }
    const end = this.#at + length;
    for (let i = this.#at; i < end; i += 1) {
      const code = this.#bytes[i] as number;
      if (code < 0x20 || code > 0x7e) {
        this.fail(field, "not printable ASCII", i);
        return "";
      }
    }
    const text = ascii(this.#bytes, this.#at, end);
    this.#at = end;
    return text;
  }

  #realItem(field: string, min: number, max: number): number {
    if (this.failed) {
      return 0;
    }
    const start = this.#at;
    if (this.#bytes[start] !== FLOAT64) {
      this.#mismatch(field, "a float64");
      return 0;
    }
    if (start + 9 > this.#bytes.length) {
      this.fail(field, "the message ends early", start);
      return 0;
    }
    for (let i = 0; i < 8; i += 1) {
      scratch.setUint8(i, this.#bytes[start + 1 + i] as number);
    }
    const value = scratch.getFloat64(0);
    if (!Number.isFinite(value)) {
      this.fail(field, "not a finite number", start);
    } else if (Object.is(value, -0)) {
      this.fail(field, "negative zero", start);
    } else if (value < min || value > max) {
      this.fail(field, "out of range", start);
    } else {
      this.#at += 9;
    }
    return value;
  }

  /** The length of a string whose bytes are all there. Nothing is allocated by a length that is not. */
  #span(field: string, major: number, expected: string, max: number): number {
    const start = this.#at;
    const length = this.#head(field, major, expected, max);
    if (!this.failed && this.#at + length > this.#bytes.length) {
      this.fail(field, "the message ends early", start);
    }
    return this.failed ? 0 : length;
  }

  /** Reads a head of major type `major`, whose argument must be in its shortest form and at most `max`. */
  #head(field: string, major: number, expected: string, max: number): number {
    if (this.failed) {
      return 0;
    }
    const start = this.#at;
    const initial = this.#bytes[start];
    if (initial === undefined || initial >> 5 !== major || (initial & 0x1f) > 27) {
      this.#mismatch(field, expected);
      return 0;
    }
    const info = initial & 0x1f;
    let value = info;
    if (info < 24) {
      this.#at += 1;
    } else {
      const size = 1 << (info - 24);
      if (start + 1 + size > this.#bytes.length) {
        this.fail(field, "the message ends early", start);
        return 0;
      }
      value = 0;
      for (let i = 1; i <= size; i += 1) {
        // Past 2^53 this rounds, but only ever to 2^53 or more, and that is over every limit.
        value = value * 256 + (this.#bytes[start + i] as number);
      }
      if (value < (shortest[info - 24] as number)) {
        this.fail(field, "not in its shortest form", start);
        return 0;
      }
      this.#at += 1 + size;
    }
    if (value > max) {
      this.fail(field, `more than ${max}`, start);
      return 0;
    }
    return value;
  }

  #count(field: string, count: number, pairs: number, at: number): void {
    if (!this.failed && count !== pairs) {
      this.fail(field, count < pairs ? "pairs are missing" : "unknown pairs", at);
    }
  }

  #mismatch(field: string, expected: string): void {
    const byte = this.#bytes[this.#at];
    this.fail(field, byte === undefined ? "the message ends early" : `expected ${expected}, found ${nameOf(byte)}`);
  }
}

/** The least argument that needs 1, 2, 4 or 8 bytes. */
const shortest = [24, 0x100, 0x1_0000, 0x1_0000_0000];

/** What an initial byte stands for, in words (RFC 8949 Appendix B). */
function nameOf(byte: number): string {
  const major = byte >> 5;
  const info = byte & 0x1f;
  if (byte === 0xff) {
    return "a break";
  }
  if (info >= 28 && info <= 30) {
    return "a reserved byte";
  }
  if (info === 31) {
    return major >= BYTES && major <= MAP ? "an indefinite length" : "a reserved byte";
  }
  switch (major) {
    case UINT:
      return "an unsigned integer";
    case NEGATIVE:
      return "a negative integer";
    case BYTES:
      return "a byte string";
    case TEXT:
      return "a text string";
    case ARRAY:
      return "an array";
    case MAP:
      return "a map";
    case TAG:
      return "a tag";
    default:
      return simpleName(info);
  }
}

function simpleName(info: number): string {
  switch (info) {
    case 20:
    case 21:
      return "a boolean";
    case 22:
      return "null";
    case 23:
      return "undefined";
    case 25:
      return "a float16";
    case 26:
      return "a float32";
    case 27:
      return "a float64";
    default:
      return "a simple value";
  }
}

/** A flat string at once: adding characters one by one leaves a chain of pieces that weighs 32 bytes each. */
function ascii(bytes: Uint8Array, start: number, end: number): string {
  return String.fromCharCode.apply(null, bytes.subarray(start, end) as unknown as number[]);
}
