// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import { fork } from "node:child_process";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { type ForeignBroker, findMosquitto, startMosquitto } from "./bench-broker.ts";
import { openFilesMax, spareFiles } from "../open-files.ts";
import type { LoadFigures, LoadOrder } from "./bench-load.ts";

/** The command itself, which a benchmark starts again for the part that must be alone in its process. */
export const command = fileURLToPath(new URL("../../bin/coalmine.js", import.meta.url));

/**
 * V8's young generation grows to tens of megabytes in any process that allocates, however many devices it has. A
 * benchmark of memory holds it at this size, in megabytes, so that it is not counted as the devices'.
 */
export const nurseryMegabytes = 2;

/** Runs one load in a process of its own. */
export function loadInChild(order: LoadOrder, options: { readonly nursery?: number } = {}): Promise<LoadFigures> {
  return new Promise((resolve, reject) => {
    const child = fork(command, ["bench", "load"], { execArgv: ["--expose-gc", ...(options.nursery === undefined ? [] : [`--max-semi-space-size=${options.nursery}`])], stdio: ["ignore", "ignore", "inherit", "ipc"] });
    let figures: LoadFigures | undefined;
    child.on("message", (message) => {
      figures = message as LoadFigures;
    });
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      if (figures === undefined) {
        reject(new CoalmineError("bench/load", `the process of ${order.devices} ${order.kind} clients ended (${signal ?? code}) without figures`));
      } else {
        resolve(figures);
      }
    });
    child.send(order);
  });
}

/** Starts a broker in a process of its own: mosquitto, or ours where there is none. */
export async function startBroker(notes: string[]): Promise<ForeignBroker> {
  const mosquitto = findMosquitto();
  if (mosquitto !== undefined) {
    return startMosquitto(mosquitto);
  }
  notes.push("mosquitto is not installed: the broker is coalmine's own, in a process of its own");
  return startOwnBroker();
}

/** coalmine's own broker in a process of its own. */
function startOwnBroker(): Promise<ForeignBroker> {
  return new Promise((resolve, reject) => {
    const child = fork(command, ["bench", "broker"], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    child.once("error", reject);
    child.once("exit", (code) => reject(new CoalmineError("bench/broker", `the broker's process ended with ${code}`)));
    child.once("message", (port) => {
      resolve({
        name: "coalmine's broker (aedes)",
        port: port as number,
        stop: () =>
          new Promise((stopped) => {
            child.removeAllListeners("exit");
            child.once("exit", () => stopped());
            child.kill();
          }),
      });
    });
  });
}

/** As many devices as there may be sockets: fewer, with a note, when the limit on open files is too low. */
export function fitted(devices: number, notes: string[]): number {
  const most = openFilesMax() - spareFiles;
  if (devices <= most) {
    return devices;
  }
  notes.push(`${devices} devices need ${devices + spareFiles} open files and ${openFilesMax()} are allowed: ${most} devices; raise it with "ulimit -n ${devices + spareFiles}"`);
  return most;
}

export function environment(extra: Readonly<Record<string, string | number>>): Record<string, string | number> {
  return { node: process.versions.node, processors: cpus().length, processor: cpus()[0]?.model ?? "unknown", openFiles: openFilesMax(), ...extra };
}
