// SPDX-License-Identifier: Apache-2.0
// A broker in a process of its own, so that a benchmark of clients measures clients.
import { CoalmineError } from "@coalmine/core";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { freePort } from "../free-port.ts";

export interface ForeignBroker {
  readonly name: string;
  readonly port: number;
  stop(): Promise<void>;
}

/** Where mosquitto is; undefined when it is not installed. Debian keeps it outside a user's PATH. */
export function findMosquitto(): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"];
  return folders
    .map((folder) => join(folder, "mosquitto"))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** Starts mosquitto without persistence and waits until it accepts a connection. */
export async function startMosquitto(path: string): Promise<ForeignBroker> {
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), "coalmine-bench-"));
  const config = join(folder, "mosquitto.conf");
  await writeFile(config, `listener ${port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\nset_tcp_nodelay true\n`);
  const child = spawn(path, ["-c", config], { stdio: ["ignore", "ignore", "pipe"] });
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaint = `${complaint}${text}`.slice(-500);
  });
  await reachable(child, port, () => complaint);
  return {
    name: "mosquitto",
    port,
    stop: async () => {
      const gone = once(child, "exit");
      child.kill();
      await gone;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function reachable(child: ChildProcess, port: number, complaint: () => string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if (child.exitCode !== null) {
      throw new CoalmineError("bench/broker", `mosquitto ended with ${child.exitCode}: ${complaint()}`);
    }
    if (await accepts(port)) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new CoalmineError("bench/broker", `mosquitto does not accept connections on port ${port}: ${complaint()}`);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
