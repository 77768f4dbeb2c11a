// SPDX-License-Identifier: Apache-2.0
// The three forms a Zephyr coredump travels in: raw bytes, the flash partition, and a log capture.

import { Broken, Reader } from "./reader.ts";

/** The header of Zephyr's flash-partition backend (16 bytes, then padding up to the write block). */
export interface PartitionHeader {
  readonly version: number;
  readonly size: number;
  readonly flags: number;
  readonly checksum: number;
  readonly error: number;
  readonly dataOffset: number;
}

/** The dump itself, with what its container says about it. */
export interface Unwrapped {
  readonly form: "raw" | "flash-partition" | "log-capture";
  readonly data: Uint8Array;
  readonly partition: PartitionHeader | null;
  readonly warnings: readonly string[];
}

const isId = (bytes: Uint8Array, at: number, id: string): boolean =>
  bytes[at] === id.charCodeAt(0) && bytes[at + 1] === id.charCodeAt(1);

/**
 * Recognises the form by its first bytes and takes the dumps out, in the order in which they were made. Only a log may have several.
 *
 * A dump that cannot be taken out is a {@link Broken} in its place.
 */
export function unwrapAll(input: Uint8Array): readonly (Unwrapped | Broken)[] {
  const text = isId(input, 0, "ZE") || isId(input, 0, "CD") ? "" : new TextDecoder("latin1").decode(input);
  if (text.includes("#CD:")) {
    return logCaptures(text).map((data) => (data instanceof Broken ? data : { form: "log-capture", data, partition: null, warnings: [] }));
  }
  try {
    return [unwrap(input)];
  } catch (error) {
    if (error instanceof Broken) return [error];
    throw error;
  }
}

function unwrap(input: Uint8Array): Unwrapped {
  if (isId(input, 0, "ZE")) return { form: "raw", data: input, partition: null, warnings: [] };
  if (isId(input, 0, "CD")) return unwrapPartition(input);
  if (input.length >= 16 && input.every((byte) => byte === 0xff)) throw new Broken("partition header", 0, "the partition is erased: it holds no dump");
  if (input.subarray(0, 16).every((byte) => byte === 0) && [16, 32, 64, 128, 256, 512].some((at) => isId(input, at, "ZE"))) {
    throw new Broken("partition header", 0, "the header was wiped: the device has given the dump up");
  }
  if (input.length < 12) throw new Broken("file header", 0, `${input.length} bytes are too few for a coredump`);
  throw new Broken("file header", 0, 'starts neither with "ZE" (raw) nor "CD" (flash partition) and has no "#CD:" line (log capture)');
}

/** Partitions are whole erase blocks; none is smaller. */
const PARTITION_UNIT = 512;

/** Sum of bytes modulo 65536: the flash backend's checksum. */
function byteSum(bytes: Uint8Array): number {
  let sum = 0;
  for (const byte of bytes) sum = (sum + byte) & 0xffff;
  return sum;
}

function unwrapPartition(input: Uint8Array): Unwrapped {
  const reader = new Reader(input);
  reader.block = "partition header";
  reader.take(2, "id");
  const version = reader.u16("version");
  if (version !== 1) throw new Broken(reader.block, 2, `version ${version} is unknown`);
  const size = reader.u32("size");
  const flags = reader.u16("flags");
  const checksum = reader.u16("checksum");
  const error = reader.i32("error");
  if (error !== 0) throw new Broken(reader.block, 12, `the device noted error ${error} while it wrote the dump`);
  if (size === 0) throw new Broken(reader.block, 4, "the partition holds no dump (size 0)");
  // The header is padded to the flash's write block, whose size is not recorded.
  const candidates = [16, 32, 64, 128, 256, 512].filter((at) => isId(input, at, "ZE"));
  const fits = candidates.filter((at) => at + size <= input.length);
  if (candidates.length > 0 && fits.length === 0) {
    throw new Broken("partition data", candidates[0] as number, `the header promises ${size} bytes, ${input.length - (candidates[0] as number)} are there: the file is truncated`);
  }
  const dataOffset = fits.find((at) => byteSum(input.subarray(at, at + size)) === checksum);
  if (dataOffset === undefined) {
    const why = candidates.length === 0 ? 'no "ZE" follows the header' : `the sum of the data is not ${checksum}`;
    throw new Broken("partition data", fits[0] ?? 16, `${why}: header or data are damaged`);
  }
  const data = input.subarray(dataOffset, dataOffset + size);
  // Erased flash follows a dump that ended by itself; one that ends with the partition may have been cut between two blocks.
  const full = dataOffset + size === input.length && input.length % PARTITION_UNIT === 0;
  const warnings = full ? ["the dump fills the partition to its last byte: whole blocks may be missing at its end"] : [];
  return { form: "flash-partition", data, partition: { version, size, flags, checksum, error, dataOffset }, warnings };
}

// ESC [ ... letter, spelled by code because a control character in a pattern is easily lost.
const COLOUR = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*[A-Za-z]`, "g");

/**
 * The dumps in a log, in order. Zephyr colours its lines by default, so escape sequences and carriage returns go first.
 * Lines of others between those of a dump are passed over; a line of the dump that is damaged or missing breaks it.
 */
function logCaptures(text: string): readonly (Uint8Array | Broken)[] {
  const found: (Uint8Array | Broken)[] = [];
  /** Inside a dump whose start is missing: one complaint is enough for all its lines. */
  let headless = false;
  /** The dump being read; its line in the log, and what is wrong with it. */
  let open: { readonly from: number; readonly bytes: number[]; broken: Broken | undefined } | undefined;
  const broken = (line: number, detail: string): Broken => new Broken("log capture", line, `line ${line}: ${detail}`);
  const close = (end: Uint8Array | Broken): void => {
    found.push(end);
    open = undefined;
  };
  const cut = (why: string): void => {
    if (open !== undefined) close(open.broken ?? broken(open.from, `no #CD:END# for the dump that begins here: ${why}`));
  };
  for (const [index, raw] of text.split("\n").entries()) {
    const number = index + 1;
    const line = raw.replaceAll(COLOUR, "").replaceAll("\r", "").trimEnd();
    if (open !== undefined && /messages? dropped/.test(line)) open.broken ??= broken(number, "the logger dropped messages in the middle of the dump");
    const mark = line.indexOf("#CD:");
    if (mark < 0) continue;
    const content = line.slice(mark + 4);
    if (content === "BEGIN#") {
      cut(`another begins in line ${number}`);
      headless = false;
      open = { from: number, bytes: [], broken: undefined };
    } else if (content === "END#") {
      if (open === undefined && !headless) found.push(broken(number, "#CD:END# without #CD:BEGIN#: the start of the capture is missing"));
      else if (open !== undefined) close(open.broken ?? Uint8Array.from(open.bytes));
      headless = false;
    } else if (content.startsWith("ERROR")) {
      // An error ends the dump it is in; Zephyr prints an END after it, which belongs to it.
      const failure = broken(number, `the device could not dump (${content.slice(0, 80)})`);
      if (open === undefined && !headless) found.push(failure);
      else if (open !== undefined) open.broken = failure;
    } else if (open === undefined) {
      if (!headless) found.push(broken(number, "data before #CD:BEGIN#: the start of the capture is missing"));
      headless = true;
    } else if (/^(?:[0-9a-fA-F]{2})+$/.test(content)) {
      for (let i = 0; i < content.length; i += 2) open.bytes.push(parseInt(content.slice(i, i + 2), 16));
    } else {
      open.broken ??= broken(number, `${JSON.stringify(content.slice(0, 80))} is not whole bytes in hex`);
    }
  }
  cut("the capture is truncated");
  return found;
}
