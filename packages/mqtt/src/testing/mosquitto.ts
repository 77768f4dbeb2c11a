// SPDX-License-Identifier: Apache-2.0
// Starts Debian's mosquitto as the foreign broker of a test, with its session kept on disk.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { delimiter, join } from "node:path";

/** Where the program is, or undefined. Debian puts it into /usr/sbin, which is not on everybody's PATH. */
export function findMosquitto(): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"];
  return folders.map((folder) => join(folder, "mosquitto")).find((path) => existsSync(path));
}

export class Mosquitto {
  readonly port: number;
  readonly #program: string;
  readonly #folder: string;
  #process: ChildProcess | undefined;

  private constructor(program: string, port: number, folder: string) {
    this.#program = program;
    this.port = port;
    this.#folder = folder;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  /** @param settings more lines for its configuration file */
  static async start(program: string, settings: readonly string[] = []): Promise<Mosquitto> {
    const broker = new Mosquitto(program, await freePort(), mkdtempSync(join(tmpdir(), "coalmine-mosquitto-")));
    const lines = [
      `listener ${broker.port} 127.0.0.1`,
      "allow_anonymous true",
      "persistence true",
      `persistence_location ${broker.#folder}/`,
      "autosave_interval 1",
      "autosave_on_changes true",
      "max_queued_messages 0",
      `user ${userInfo().username}`,
      ...settings,
    ];
    writeFileSync(broker.configuration, `${lines.join("\n")}\n`);
    await broker.start();
    return broker;
  }

  get configuration(): string {
    return join(this.#folder, "mosquitto.conf");
  }

  async start(): Promise<void> {
    const started = spawn(this.#program, ["-c", this.configuration, "-v"], { stdio: ["ignore", "ignore", "pipe"] });
    this.#process = started;
    await new Promise<void>((resolve, reject) => {
      let log = "";
      started.stderr.setEncoding("utf8").on("data", (text: string) => {
        log += text;
        if (/ running\b/.test(log)) {
          resolve();
        }
      });
      started.once("exit", (code) => reject(new Error(`mosquitto ended with ${code}: ${log}`)));
    });
  }

  /** SIGTERM, at which it saves its sessions and ends. */
  async stop(): Promise<void> {
    const running = this.#process;
    this.#process = undefined;
    if (running !== undefined && running.exitCode === null) {
      const ended = new Promise((resolve) => running.once("exit", resolve));
      running.kill("SIGTERM");
      await ended;
    }
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  static version(program: string): string {
    try {
      return execFileSync(program, ["-h"], { encoding: "utf8" }).split("\n")[0] ?? "";
    } catch (error) {
      // It prints its help and exits with 3.
      return String((error as { stdout?: string }).stdout).split("\n")[0] ?? "";
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}
