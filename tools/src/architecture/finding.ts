// SPDX-License-Identifier: Apache-2.0

/** One broken rule. `file` is relative to the repository and `line` counts from 1. */
export type Finding = {
  readonly rule: "layer" | "declared" | "pure" | "relative" | "licence" | "top-level" | "package";
  readonly file: string;
  readonly line?: number;
  readonly message: string;
};

/** One line a terminal makes clickable. */
export function findingLine({ rule, file, line, message }: Finding): string {
  return `${file}${line === undefined ? "" : `:${line}`} [${rule}] ${message}`;
}
