// SPDX-License-Identifier: Apache-2.0
// The tests written in C (firmware/tests/*_test.c), run and counted.
import { spawnSync } from "node:child_process";

export interface HostRun {
  readonly passed: number;
  readonly failed: number;
  /** All it printed, sanitizer reports included. */
  readonly output: string;
}

/** Runs the program; a crash or a sanitizer's complaint is a failure even when no test says so. */
export function runHostTests(program: string): HostRun {
  const run = spawnSync(program, { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
  const counts = /^(\d+) passed, (\d+) failed$/m.exec(run.stdout);
  const passed = Number(counts?.[1] ?? 0);
  const failed = Number(counts?.[2] ?? 0);
  const output = `${run.stdout}${run.stderr}`;
  return { passed, failed: run.status === 0 ? failed : Math.max(1, failed), output };
}
