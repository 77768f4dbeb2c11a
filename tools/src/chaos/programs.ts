// SPDX-License-Identifier: Apache-2.0
// The programs of a run, each a process of its own: broker, orchestrator, devices.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { userInfo } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Lab } from "./lab.ts";

/** The command, as its users start it. */
export const coalmine = fileURLToPath(new URL("../../../apps/cli/bin/coalmine.js", import.meta.url));

/** A child process that is ended by its own handle alone. */
export class Program {
  readonly name: string;
  readonly lines: string[] = [];
  readonly #child: ChildProcess;
  readonly #closed: Promise<number | null>;
  stdout = "";

  constructor(name: string, command: string, args: readonly string[]) {
    this.name = name;
    const environment = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith("COALMINE_")));
    this.#child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env: environment });
    this.#closed = once(this.#child, "close").then(([code]) => code as number | null);
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => (this.stdout += text));
    let rest = "";
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      const complete = (rest + text).split("\n");
      rest = complete.pop() ?? "";
      this.lines.push(...complete);
      this.#child.emit("line");
    });
  }

  /** The first line on stderr that matches. Throws when the program ends before. */
  async line(pattern: RegExp): Promise<RegExpExecArray> {
    let ended: number | null | undefined;
    const end = this.#closed.then((code) => {
      ended = code;
    });
    for (;;) {
      const found = this.lines.map((line) => pattern.exec(line)).find((match) => match !== null);
      if (found !== undefined && found !== null) {
        return found;
      }
      if (ended !== undefined) {
        throw new Error(`${this.name} ended with ${ended}:\n${this.lines.join("\n")}`);
      }
      await Promise.race([once(this.#child, "line"), end]);
    }
  }

  /** Ends it; null when the signal did. */
  end(signal: NodeJS.Signals): Promise<number | null> {
    this.#child.kill(signal);
    return this.#closed;
  }
}

/** Where the program is, or undefined. Debian puts it into /usr/sbin, which is not on everybody's PATH. */
export function findMosquitto(): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"];
  return folders.map((folder) => join(folder, "mosquitto")).find((path) => existsSync(path));
}

/** Starts mosquitto as it comes, but for its port: a session that is away keeps 1,000 messages, and no more. */
export async function startMosquitto(program: string, folder: string, port: number): Promise<Program> {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "mosquitto.conf");
  writeFileSync(file, [`listener ${port} 127.0.0.1`, "allow_anonymous true", `user ${userInfo().username}`, ""].join("\n"));
  const broker = new Program("mosquitto", program, ["-c", file, "-v"]);
  await broker.line(/ running\b/);
  return broker;
}

export interface ServePorts {
  readonly http: number;
  /** Of the foreign broker, or the embedded one's own. */
  readonly mqtt: number;
  readonly embedded: boolean;
  /** Of CoAP, when the devices come through it. */
  readonly coap?: number;
}

export const dataOf = (lab: Lab): string => join(lab.folder, "data");

/**
 * Starts the orchestrator and waits until it says that it is ready.
 * @param started is given the process as soon as there is one
 */
export async function startServe(lab: Lab, ports: ServePorts, started?: (serve: Program) => void): Promise<Program> {
  const broker = ports.embedded ? ["--mqtt", `127.0.0.1:${ports.mqtt}`] : ["--broker", `mqtt://127.0.0.1:${ports.mqtt}`];
  const args = ["serve", "--data", dataOf(lab), "--http", `127.0.0.1:${ports.http}`, "--key", lab.key, "--speed", String(lab.speed), ...broker, ...(ports.coap === undefined ? [] : ["--coap", `127.0.0.1:${ports.coap}`, ...lab.secrets.serve])];
  const serve = new Program("serve", process.execPath, [coalmine, ...args]);
  started?.(serve);
  await serve.line(/^ready http=/);
  return serve;
}

export function startFleet(lab: Lab, { mqtt, coap }: ServePorts): Program {
  const door = coap === undefined ? ["--connect", `mqtt://127.0.0.1:${mqtt}`] : ["--connect", `coap://127.0.0.1:${coap}`, ...lab.secrets.fleet];
  const args = ["sim", "fleet", ...door, "--fleet", lab.fleet, "--devices", String(lab.devices)];
  return new Program("sim fleet", process.execPath, [coalmine, ...args, "--seed", String(lab.seed), "--speed", String(lab.speed), "--json"]);
}

/** Free ports of the loopback below 32768: higher ones go to outgoing connections, of which a fleet makes many. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let step = 0; ports.length < count && step < 10_000; step += 1) {
    const port = 21_000 + ((process.pid * 41 + step) % 10_000);
    if (await isFree(port)) {
      ports.push(port);
    }
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
