// SPDX-License-Identifier: Apache-2.0
import process from "node:process";
import { printable } from "./text.ts";

/**
 * Where a command's words go. Results go to stdout: one JSON document with --json, else text for people. Everything
 * else goes to stderr.
 */
export interface Output {
  readonly json: boolean;
  /** The command's result. Called once. */
  result(value: unknown, text: () => string): void;
  /** A line about what is going on. */
  note(text: string): void;
}

export function output(options: { readonly json?: boolean | undefined }): Output {
  const json = options.json === true;
  return {
    json,
    result(value, text) {
      if (json) {
        writeJson(value);
      } else {
        process.stdout.write(`${text()}\n`);
      }
    },
    note(text) {
      process.stderr.write(`${printable(text)}\n`);
    },
  };
}

/** The one JSON document of a command on stdout. */
export function writeJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined)}\n`);
}
