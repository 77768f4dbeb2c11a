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
}

const isId = (bytes: Uint8Array, at: number, id: string): boolean =>
  bytes[at] === id.charCodeAt(0) && bytes[at + 1] === id.charCodeAt(1);

/** Recognises the form by its first bytes and takes the dump out. Throws {@link Broken}. */
export function unwrap(input: Uint8Array): Unwrapped {
  if (isId(input, 0, "ZE")) return { form: "raw", data: input, partition: null };
  if (isId(input, 0, "CD")) return unwrapPartition(input);
  const text = new TextDecoder("latin1").decode(input);
  if (text.includes("#CD:")) return { form: "log-capture", data: logCapture(text), partition: null };
  if (input.length < 12) throw new Broken("file header", 0, `${input.length} bytes are too few for a coredump`);
  throw new Broken("file header", 0, 'starts neither with "ZE" (raw) nor "CD" (flash partition) and has no "#CD:" line (log capture)');
}

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
  return { form: "flash-partition", data, partition: { version, size, flags, checksum, error, dataOffset } };
}

// ESC [ ... letter, spelled by code because a control character in a pattern is easily lost.
const COLOUR = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*[A-Za-z]`, "g");

/**
 * The bytes of the last dump in a log. Zephyr colours its lines by default, so escape sequences and carriage returns go first.
 */
function logCapture(text: string): Uint8Array {
  let bytes: number[] | undefined;
  let done: number[] | undefined;
  let failed: string | undefined;
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.replaceAll(COLOUR, "").replaceAll("\r", "").trimEnd();
    const dropped = /messages? dropped/.test(line);
    if (dropped && bytes !== undefined) throw new Broken("log capture", index + 1, `line ${index + 1}: the logger dropped messages in the middle of the dump`);
    const mark = line.indexOf("#CD:");
    if (mark < 0) continue;
    const content = line.slice(mark + 4);
    if (content === "BEGIN#") {
      [bytes, done, failed] = [[], undefined, undefined];
    } else if (content === "END#") {
      if (bytes === undefined) throw new Broken("log capture", index + 1, `line ${index + 1}: #CD:END# without #CD:BEGIN#`);
      [done, bytes] = [bytes, undefined];
    } else if (content.startsWith("ERROR")) {
      failed = `line ${index + 1}: the device could not dump (${content})`;
    } else if (bytes !== undefined) {
      if (!/^(?:[0-9a-fA-F]{2})+$/.test(content)) throw new Broken("log capture", index + 1, `line ${index + 1}: ${JSON.stringify(content.slice(0, 80))} is not whole bytes in hex`);
      for (let i = 0; i < content.length; i += 2) bytes.push(parseInt(content.slice(i, i + 2), 16));
    } else if (done === undefined) {
      throw new Broken("log capture", index + 1, `line ${index + 1}: data before #CD:BEGIN#: the start of the capture is missing`);
    }
  }
  if (failed !== undefined) throw new Broken("log capture", 0, failed);
  if (done === undefined) throw new Broken("log capture", 0, "no #CD:END#: the capture is truncated");
  return Uint8Array.from(done);
}
