// SPDX-License-Identifier: Apache-2.0
// The command as a child process, as a user runs it.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const bin = fileURLToPath(new URL("../../bin/coalmine.js", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(args: readonly string[], environment: Record<string, string>): ChildProcess {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("COALMINE_")));
  return spawn(process.execPath, [bin, ...args], { stdio: ["ignore", "pipe", "pipe"], env: { ...clean, ...environment } });
}

/** Runs a command to its end. */
export async function coalmine(args: readonly string[], environment: Record<string, string> = {}): Promise<Ended> {
  const child = start(args, environment);
  let stdout = "";
  let stderr = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

export interface Served {
  readonly http: string;
  readonly mqtt: string;
  /** `none` when CoAP is not served. */
  readonly coap: string;
  /** Undefined when DDI is not served. */
  readonly ddi: string | undefined;
  readonly lines: readonly string[];
  /** Ends it by a signal and gives the exit code; null when the signal ended it. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/** Starts `serve` and waits for its first line on stderr, which must say that it is ready. */
export async function served(args: readonly string[], environment: Record<string, string> = {}): Promise<Served> {
  const child = start(["serve", ...args], environment);
  const lines: string[] = [];
  const ended = once(child, "close") as Promise<[number | null]>;
  const ready = await new Promise<string>((resolve, reject) => {
    let text = "";
    child.stderr?.setEncoding("utf8").on("data", (more: string) => {
      text += more;
      const complete = text.split("\n");
      text = complete.pop() ?? "";
      lines.push(...complete);
      if (lines[0] !== undefined) {
        resolve(lines[0]);
      }
    });
    child.once("close", (code) => reject(new Error(`serve ended with ${code}: ${lines.join("\n")}`)));
  });
  const match = /^ready http=(\S+) mqtt=(\S+) coap=(\S+)(?: ddi=(\S+))?$/.exec(ready);
  if (match === null) {
    child.kill("SIGKILL");
    throw new Error(`the first line is not the ready line: ${ready}`);
  }
  return {
    http: match[1] as string,
    mqtt: match[2] as string,
    coap: match[3] as string,
    ddi: match[4],
    lines,
    async end(signal) {
      child.kill(signal);
      return (await ended)[0];
    },
  };
}
