// SPDX-License-Identifier: Apache-2.0
import type { Command } from "commander";

/** Adds examples below a command's help. Each line is one command line. */
export function example(command: Command, ...lines: readonly string[]): Command {
  return command.addHelpText("after", `\nExample${lines.length === 1 ? "" : "s"}:\n${lines.map((line) => `  $ ${line}`).join("\n")}\n`);
}
