// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import type { Check } from "./checks.ts";

export type Outcome = { readonly name: string; readonly passed: boolean; readonly seconds: number; readonly output: string };

/** Runs one check in a process of its own, in the repository, and keeps what it prints. */
export async function runCheck({ name, args }: Check, root: string): Promise<Outcome> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, args, {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined },
  });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
  const passed = await new Promise<boolean>((resolve) => {
    child.on("error", (error) => {
      chunks.push(Buffer.from(`${error.message}\n`));
      resolve(false);
    });
    child.on("close", (code) => resolve(code === 0));
  });
  return { name, passed, seconds: (performance.now() - startedAt) / 1000, output: Buffer.concat(chunks).toString("utf8") };
}

/** One line for a passed check; for a failed one also what it printed. */
export function outcomeText({ name, passed, seconds, output }: Outcome, what: string): string {
  const line = `${passed ? "ok    " : "FAILED"} ${name.padEnd(12)} ${seconds.toFixed(1).padStart(5)} s  ${what}\n`;
  return passed ? line : `${line}${output.trim()}\n`;
}
