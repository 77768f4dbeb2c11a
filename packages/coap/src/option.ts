// SPDX-License-Identifier: Apache-2.0

/** Option numbers (RFC 7252 section 12.2, RFC 7641, 7959, 9175) and two of ours from the experimental range. */
export const OptionNumber = {
  ifMatch: 1,
  uriHost: 3,
  etag: 4,
  ifNoneMatch: 5,
  observe: 6,
  uriPort: 7,
  locationPath: 8,
  uriPath: 11,
  contentFormat: 12,
  maxAge: 14,
  uriQuery: 15,
  accept: 17,
  locationQuery: 20,
  block2: 23,
  block1: 27,
  size2: 28,
  proxyUri: 35,
  proxyScheme: 39,
  size1: 60,
  echo: 252,
  requestTag: 292,
  /**
   * Elective. Empty in a 2.04: the server knows no observation of this device; it should register again. In a signed 4.01: the
   * highest sequence number that was used; the device should go on above it.
   */
  renew: 65_000,
  /** Critical: the COSE_Mac0 of the message, see `envelope.ts`. It has the highest number, so it is always last. */
  mac: 65_001,
} as const;

/** One option as it is on the wire. */
export interface Option {
  readonly number: number;
  readonly value: Uint8Array;
}

/** Content formats we speak: application/link-format, octet-stream, cbor, cbor-seq; text/plain for diagnostics. */
export const ContentFormat = { text: 0, linkFormat: 40, octets: 42, cbor: 60, cborSequence: 63 } as const;

interface Shape {
  readonly min: number;
  readonly max: number;
  readonly repeatable?: true;
}

/** Options that requests may carry and the server acts on, with their lengths (RFC 7252 table 4, RFC 7959 table 1). */
const shapes: ReadonlyMap<number, Shape> = new Map<number, Shape>([
  [OptionNumber.uriHost, { min: 1, max: 255 }],
  [OptionNumber.etag, { min: 1, max: 8, repeatable: true }],
  [OptionNumber.observe, { min: 0, max: 3 }],
  [OptionNumber.uriPort, { min: 0, max: 2 }],
  [OptionNumber.uriPath, { min: 0, max: 255, repeatable: true }],
  [OptionNumber.contentFormat, { min: 0, max: 2 }],
  [OptionNumber.uriQuery, { min: 0, max: 255, repeatable: true }],
  [OptionNumber.accept, { min: 0, max: 2 }],
  [OptionNumber.block2, { min: 0, max: 3 }],
  [OptionNumber.block1, { min: 0, max: 3 }],
  [OptionNumber.size2, { min: 0, max: 4 }],
  [OptionNumber.size1, { min: 0, max: 4 }],
  [OptionNumber.echo, { min: 1, max: 40 }],
  [OptionNumber.requestTag, { min: 0, max: 8, repeatable: true }],
  [OptionNumber.mac, { min: 1, max: 160 }],
]);

/** What the options of a request come to. */
export type OptionCheck =
  | { readonly kind: "ok" }
  /** A critical option that is unknown, of a wrong length, or repeated (RFC 7252 sections 5.4.1, 5.4.3, 5.4.5). */
  | { readonly kind: "bad-option"; readonly number: number }
  | { readonly kind: "proxy" };

const ok: OptionCheck = { kind: "ok" };

/**
 * Looks for options that must be understood and are not. An elective option with the same trouble is ignored:
 * `optionOf` skips values of a wrong length.
 */
export function checkOptions(options: readonly Option[]): OptionCheck {
  let previous = -1;
  for (const { number, value } of options) {
    const critical = (number & 1) === 1;
    if (number === OptionNumber.proxyUri || number === OptionNumber.proxyScheme) {
      return { kind: "proxy" };
    }
    const shape = shapes.get(number);
    if (critical && (shape === undefined || value.length < shape.min || value.length > shape.max || (number === previous && shape.repeatable !== true))) {
      return { kind: "bad-option", number };
    }
    previous = number;
  }
  return ok;
}

/** The first option with this number and a value of a permitted length; undefined without one. */
export function optionOf(options: readonly Option[], number: number): Uint8Array | undefined {
  for (let index = 0; index < options.length; index += 1) {
    const option = options[index] as Option;
    if (option.number === number) {
      const shape = shapes.get(number);
      return shape === undefined || (option.value.length >= shape.min && option.value.length <= shape.max) ? option.value : undefined;
    }
  }
  return undefined;
}

/** Reads an option of format uint (RFC 7252 section 3.2); at most 6 bytes, or 7 of a safe integer. */
export function readUint(value: Uint8Array): number {
  let number = 0;
  for (const byte of value) {
    number = number * 256 + byte;
  }
  return number;
}

const noBytes = new Uint8Array(0);

/** Writes an option of format uint: no leading zeros, 0 is empty. */
export function writeUint(number: number): Uint8Array {
  if (number === 0) {
    return noBytes;
  }
  let length = 1;
  while (number >= 256 ** length) {
    length += 1;
  }
  const bytes = new Uint8Array(length);
  for (let index = length - 1, rest = number; index >= 0; index -= 1) {
    bytes[index] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return bytes;
}

/** A Block1 or Block2 option (RFC 7959 section 2.2). */
export interface Block {
  readonly num: number;
  readonly more: boolean;
  /** Size exponent, 0 to 6: blocks of 16 to 1,024 bytes. */
  readonly szx: number;
}

/** Bytes of a block with this size exponent. */
export const blockSize = (szx: number): number => 16 << szx;

/** The size exponent of a block size from 16 to 1,024. */
export function szxOf(size: number): number {
  return Math.max(0, Math.min(6, Math.floor(Math.log2(size)) - 4));
}

/** Reads a block option; undefined for the reserved size exponent 7 (RFC 7959 section 2.2). */
export function readBlock(value: Uint8Array): Block | undefined {
  const number = readUint(value);
  const szx = number & 7;
  return szx === 7 ? undefined : { num: number >>> 4, more: (number & 8) !== 0, szx };
}

/** Writes a block option. */
export function writeBlock(block: Block): Uint8Array {
  return writeUint(block.num * 16 + (block.more ? 8 : 0) + block.szx);
}
