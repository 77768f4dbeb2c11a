// SPDX-License-Identifier: Apache-2.0
// coalmine's own commands as child processes, for whoever looks at them from outside.
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../../../apps/cli/bin/coalmine.js", import.meta.url));

export interface Running {
  /** Resolves with the first line on stderr that matches; rejects when the command ends before. */
  line(pattern: RegExp): Promise<RegExpExecArray>;
  /** Ends it and waits until it has ended. */
  end(): Promise<void>;
}

/** Starts a command that runs until it is ended. */
export function start(args: readonly string[]): Running {
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  let ended = false;
  const wake = (): void => waiting.forEach((look) => look());
  createInterface({ input: child.stderr }).on("line", (line) => {
    lines.push(line);
    wake();
  });
  const closed = once(child, "close").then(() => {
    ended = true;
    wake();
  });
  return {
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = lines.map((line) => pattern.exec(line)).find((match) => match !== null);
          if (found !== undefined && found !== null) {
            waiting.delete(look);
            resolve(found);
          } else if (ended) {
            waiting.delete(look);
            reject(new Error(`coalmine ${args.join(" ")} ended: ${lines.slice(-5).join(" / ")}`));
          }
        };
        waiting.add(look);
        look();
      }),
    end: async () => {
      child.kill("SIGTERM");
      await closed;
    },
  };
}

/** Runs a command to its end and gives what it printed; throws what it said when that is a bad one. */
export async function complete(args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  let printed = "";
  child.stdout.on("data", (bytes: Buffer) => (printed += bytes.toString("utf8")));
  child.stderr.on("data", (bytes: Buffer) => (said += bytes.toString("utf8")));
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) {
    throw new Error(`coalmine ${args.join(" ")} ended with ${code}: ${said.slice(-1_000)}`);
  }
  return printed;
}
