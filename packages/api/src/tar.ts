// SPDX-License-Identifier: Apache-2.0
// A tar archive (POSIX ustar, IEEE Std 1003.1 "pax") as bytes that depend on nothing but what goes in: no user, no clock.
import { CoalmineError } from "@coalmine/core";

export interface TarEntry {
  readonly name: string;
  readonly size: number;
  /** Exactly `size` bytes. */
  readonly content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

const block = 512;
const octalSizeMax = 8 ** 11 - 1;

/** Bytes of a tar archive of files of these sizes. */
export function tarSize(sizes: Iterable<number>): number {
  let sum = 2 * block;
  for (const size of sizes) {
    sum += block + Math.ceil(size / block) * block;
  }
  return sum;
}

/**
 * The archive piece by piece. Throws `tar/name` for a name that ustar cannot hold, `tar/size` for a file of 8 GiB or more, or
 * one whose content is not of its size.
 * @param mtime of every file, in seconds since 1970
 */
export async function* tar(entries: AsyncIterable<TarEntry> | Iterable<TarEntry>, mtime: number): AsyncGenerator<Uint8Array> {
  for await (const { name, size, content } of entries) {
    yield header(name, size, mtime);
    let sent = 0;
    for await (const piece of content) {
      sent += piece.length;
      yield piece;
    }
    if (sent !== size) {
      throw new CoalmineError("tar/size", `${name} has ${sent} bytes, and ${size} were announced`);
    }
    yield new Uint8Array((block - (size % block)) % block);
  }
  yield new Uint8Array(2 * block);
}

function header(name: string, size: number, mtime: number): Uint8Array {
  if (size > octalSizeMax) {
    throw new CoalmineError("tar/size", `${name} has ${size} bytes, more than a tar header holds`);
  }
  const { prefix, rest } = split(name);
  const bytes = new Uint8Array(block);
  const text = (offset: number, value: string): void => bytes.set(new TextEncoder().encode(value), offset);
  const octal = (offset: number, digits: number, value: number): void => text(offset, Math.floor(value).toString(8).padStart(digits, "0"));
  text(0, rest);
  octal(100, 7, 0o644);
  octal(108, 7, 0);
  octal(116, 7, 0);
  octal(124, 11, size);
  octal(136, 11, mtime);
  text(148, " ".repeat(8));
  text(156, "0");
  text(257, "ustar\u000000");
  text(345, prefix);
  // The checksum counts its own field as blanks; then six digits, NUL and a blank.
  octal(148, 6, bytes.reduce((sum, byte) => sum + byte, 0));
  bytes[154] = 0;
  return bytes;
}

/** A name of more than 100 bytes is cut at a slash; what is before it has at most 155. */
function split(name: string): { readonly prefix: string; readonly rest: string } {
  if (/^[\x20-\x7e]{1,100}$/.test(name)) {
    return { prefix: "", rest: name };
  }
  const [, prefix, rest] = /^([\x20-\x7e]{1,155})\/([\x20-\x7e]{1,100})$/.exec(name) ?? [];
  if (prefix === undefined || rest === undefined) {
    throw new CoalmineError("tar/name", `${JSON.stringify(name.slice(0, 200))} is too long for a tar header`);
  }
  return { prefix, rest };
}
