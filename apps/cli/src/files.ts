// SPDX-License-Identifier: Apache-2.0
import { readFileSync, writeFileSync } from "node:fs";
import { badUsage } from "./output/exit.ts";

/** A file the caller named. Trouble with it is trouble with the input. */
export function readBytes(file: string, options: { readonly what: string; readonly bytesMax?: number }): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(readFileSync(file));
  } catch (cause) {
    throw badUsage(`cannot read ${options.what} ${file}: ${reason(cause)}`, cause);
  }
  const { bytesMax = 256 * 1024 * 1024 } = options;
  if (bytes.length > bytesMax) {
    throw badUsage(`${options.what} ${file} has ${bytes.length} bytes, more than ${bytesMax}`);
  }
  return bytes;
}

export function readText(file: string, options: { readonly what: string; readonly bytesMax?: number; readonly encoding?: "utf-8" | "latin1" }): string {
  const bytes = readBytes(file, options);
  try {
    return new TextDecoder(options.encoding ?? "utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw badUsage(`${options.what} ${file} is not UTF-8 text`, cause);
  }
}

/** Reads JSON. The message names file and place. */
export function readJson(file: string, options: { readonly what: string }): unknown {
  const text = readText(file, { ...options, bytesMax: 16 * 1024 * 1024 });
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw badUsage(`${options.what} ${file} is not JSON: ${(cause as Error).message}`, cause);
  }
}

/** Writes a file. `secret` files are readable by their owner alone and never replace another. */
export function writeBytes(file: string, bytes: Uint8Array | string, options: { readonly what: string; readonly secret?: boolean; readonly replace?: boolean }): void {
  try {
    writeFileSync(file, bytes, { flag: options.replace === false || options.secret === true ? "wx" : "w", mode: options.secret === true ? 0o600 : 0o644 });
  } catch (cause) {
    const exists = (cause as NodeJS.ErrnoException).code === "EEXIST";
    throw badUsage(exists ? `${file} exists; ${options.what} does not replace it` : `cannot write ${options.what} ${file}: ${reason(cause)}`, cause);
  }
}

function reason(cause: unknown): string {
  switch ((cause as NodeJS.ErrnoException).code) {
    case "ENOENT":
      return "there is no such file or folder";
    case "EISDIR":
      return "it is a folder";
    case "EACCES":
      return "permission denied";
    default:
      return (cause as Error).message;
  }
}
