// SPDX-License-Identifier: Apache-2.0
import { limits } from "../limits.ts";
import { kinds } from "./words.ts";

const scratch = new DataView(new ArrayBuffer(8));

function refuse(field: string, problem: string): never {
  throw new Error(`cannot encode ${field}: ${problem}`);
}

/**
 * Writes deterministically encoded CBOR (RFC 8949 section 4.2.1): shortest arguments, definite lengths, map keys in the
 * bytewise order of their encodings. Two deviations, both for the sake of a C writer: a field that is a real number is
 * always float64, also where a shorter float or an integer would do (one branch, one byte swap, no rounding), and -0 is
 * written as 0.
 *
 * A value outside the limits is a bug of the caller and throws: what comes from people or files is checked before it
 * becomes a message.
 */
export class Writer {
  readonly #bytes = new Uint8Array(limits.blockAnswer);
  #at = 0;

  /** Opens a message: a map of `pairs` with its version and kind. */
  begin(pairs: number, kind: keyof typeof kinds): void {
    this.#at = 0;
    this.map(pairs);
    this.#put(0);
    this.#put(limits.version);
    this.#put(1);
    this.#put(kinds[kind]);
  }

  /** The finished message, in memory of its own. */
  end(max: number): Uint8Array {
    if (this.#at > max) {
      refuse("message", `${this.#at} bytes, at most ${max}`);
    }
    return this.#bytes.slice(0, this.#at);
  }

  map(pairs: number): void {
    this.#put(0xa0 | pairs);
  }

  /** An integer key; all keys of the format are below 24, so one byte. */
  key(key: number): void {
    this.#put(key);
  }

  uint(key: number, field: string, value: number, max: number): void {
    this.#put(key);
    if (!Number.isInteger(value) || value < 0 || value > max) {
      refuse(field, `${value} is not a whole number from 0 to ${max}`);
    }
    this.#argument(0x00, value);
  }

  bool(key: number, field: string, value: boolean): void {
    this.#put(key);
    if (typeof value !== "boolean") {
      refuse(field, "not a boolean");
    }
    this.#put(value ? 0xf5 : 0xf4);
  }

  none(key: number): void {
    this.#put(key);
    this.#put(0xf6);
  }

  /** A word as its index in `words`. */
  word<Word extends string>(key: number, field: string, value: Word, words: readonly Word[]): void {
    const index = words.indexOf(value);
    if (index < 0) {
      refuse(field, `${JSON.stringify(value)} is not one of ${words.join(", ")}`);
    }
    this.#put(key);
    this.#put(index);
  }

  bytes(key: number, field: string, value: Uint8Array, min: number, max: number): void {
    if (value.length < min || value.length > max) {
      refuse(field, `${value.length} bytes, not ${min} to ${max}`);
    }
    this.#put(key);
    this.#argument(0x40, value.length);
    this.#room(field, value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  /** Printable ASCII of at most `max` characters. */
  text(key: number, field: string, value: string, max: number): void {
    this.#put(key);
    this.textItem(field, value, max);
  }

  /** As `text`, of the label form: not empty, `A-Z a-z 0-9 . _ + -`, first a letter or digit. */
  label(key: number, field: string, value: string, max: number): void {
    if (!/^[A-Za-z0-9][A-Za-z0-9._+-]*$/.test(value)) {
      refuse(field, `${JSON.stringify(value)} is not a label`);
    }
    this.text(key, field, value, max);
  }

  /** A text without a key: an entry of `attributes` or `metrics`. */
  textItem(field: string, value: string, max: number): void {
    const length = value.length;
    if (length > max) {
      refuse(field, `${length} characters, at most ${max}`);
    }
    this.#argument(0x60, length);
    this.#room(field, length);
    for (let i = 0; i < length; i += 1) {
      const code = value.charCodeAt(i);
      if (code < 0x20 || code > 0x7e) {
        refuse(field, `${JSON.stringify(value)} is not printable ASCII`);
      }
      this.#bytes[this.#at + i] = code;
    }
    this.#at += length;
  }

  real(key: number, field: string, value: number, min: number, max: number): void {
    this.#put(key);
    this.realItem(field, value, min, max);
  }

  /** A float64 without a key: a metric. */
  realItem(field: string, value: number, min: number, max: number): void {
    // NaN fails both comparisons, infinities fail one: min and max are finite.
    if (!(value >= min && value <= max)) {
      refuse(field, `${value} is not a number from ${min} to ${max}`);
    }
    this.#room(field, 9);
    scratch.setFloat64(0, value + 0); // -0 + 0 is 0
    this.#bytes[this.#at] = 0xfb;
    for (let i = 0; i < 8; i += 1) {
      this.#bytes[this.#at + 1 + i] = scratch.getUint8(i);
    }
    this.#at += 9;
  }

  #put(byte: number): void {
    this.#bytes[this.#at] = byte;
    this.#at += 1;
  }

  #room(field: string, length: number): void {
    if (this.#at + length > this.#bytes.length) {
      refuse(field, "the message is too long");
    }
  }

  /** A head in its shortest form (RFC 8949 section 3). */
  #argument(major: number, value: number): void {
    if (value < 24) {
      this.#put(major | value);
    } else if (value < 0x100) {
      this.#put(major | 24);
      this.#put(value);
    } else if (value < 0x1_0000) {
      this.#put(major | 25);
      this.#put(value >>> 8);
      this.#put(value & 0xff);
    } else if (value <= 0xffff_ffff) {
      this.#put(major | 26);
      this.#word32(value);
    } else {
      this.#put(major | 27);
      this.#word32(Math.floor(value / 0x1_0000_0000));
      this.#word32(value % 0x1_0000_0000);
    }
  }

  #word32(value: number): void {
    this.#put((value >>> 24) & 0xff);
    this.#put((value >>> 16) & 0xff);
    this.#put((value >>> 8) & 0xff);
    this.#put(value & 0xff);
  }
}

/** Order of text keys in a map: shorter first, then bytewise (RFC 8949 section 4.2.1 on short keys). */
export function compareNames(a: string, b: string): number {
  if (a.length !== b.length) {
    return a.length - b.length;
  }
  return a < b ? -1 : a > b ? 1 : 0;
}
