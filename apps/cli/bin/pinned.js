// SPDX-License-Identifier: Apache-2.0
// Runs a script under the Node this repository pins, when the one on PATH is older than 26. Plain JavaScript for any
// Node from 20. The parent only waits, so signals and the exit code pass through as if it were not there.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const marker = "COALMINE_PINNED_NODE";
const exitEnvironment = 4;

/**
 * Looks for the pinned Node in the folder and every folder above it.
 * @param {string} here an absolute folder
 * @returns {string | undefined} the path of its executable
 */
export function findPinned(here) {
  const platform = process.platform === "win32" ? "win" : process.platform;
  const name = process.platform === "win32" ? "node.exe" : "node";
  const places = [
    join(`node-${platform}-${process.arch}`, "bin", name),
    join(`node-bin-${platform}-${process.arch}`, "bin", name),
    join(".bin", name),
  ];
  for (let folder = resolve(here); ; folder = dirname(folder)) {
    const found = places.map((place) => join(folder, "node_modules", place)).find((path) => existsSync(path));
    if (found !== undefined || folder === dirname(folder)) {
      return found;
    }
  }
}

/**
 * Runs this process's script and arguments again under the pinned Node, and ends as that run ends.
 * @param {string} here the folder of the script, from which node_modules is looked for upwards
 * @returns {Promise<never>}
 */
export async function spawnPinned(here) {
  const node = findPinned(here);
  const script = process.argv[1];
  // A pinned Node that is itself too old would start itself for ever.
  if (node === undefined || script === undefined || process.env[marker] !== undefined) {
    process.stderr.write(`Node 26 or newer is needed, this is ${process.versions.node}: run "npm ci" first\n`);
    process.exit(exitEnvironment);
  }
  const child = spawn(node, [fileURLToPath(import.meta.url), script, ...process.argv.slice(2)], {
    stdio: ["inherit", "inherit", "inherit", "ipc"],
    env: { ...process.env, [marker]: node },
  });
  /** @type {NodeJS.Signals[]} */
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) {
    process.on(signal, () => {
      // Ctrl-C at a terminal reaches the child as well; a second one could count as "now, at once".
      if (signal !== "SIGINT" || !process.stdin.isTTY) {
        child.kill(signal);
      }
    });
  }
  return new Promise(() => {
    child.on("error", (error) => {
      process.stderr.write(`cannot start ${node}: ${error.message}\n`);
      process.exit(exitEnvironment);
    });
    child.on("exit", (code, signal) => {
      if (signal === null) {
        process.exit(code ?? exitEnvironment);
      }
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    });
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv[2] !== undefined) {
  // Started by spawnPinned. When the parent is killed outright nobody would ever stop this process: it goes as well.
  delete process.env[marker];
  process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
  process.channel?.unref();
  process.argv.splice(1, 1);
  // Not awaited: a script that imports this file would wait for it, and it for the script.
  void import(pathToFileURL(resolve(process.argv[1] ?? "")).href);
}
