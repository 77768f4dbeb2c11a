// SPDX-License-Identifier: Apache-2.0
// A west workspace for the firmware, outside the sources: `.coalmine/zephyr` with its own manifest setting.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { firmware } from "./compiler.ts";

const exitUsage = 3;
const exitEnvironment = 4;
const repository = join(firmware, "..");
const workspace = join(repository, ".coalmine/zephyr");
const samples = ["mqtt-node", "coap-node", "smp-node"];

function west(args: readonly string[], cwd: string): number {
  const run = spawnSync(process.execPath, [join(repository, "tools/bin/west.js"), ...args], { cwd, stdio: "inherit" });
  return run.status ?? exitEnvironment;
}

/** Makes the workspace of firmware/west.yml and fetches what it pins: Zephyr, MCUboot and their modules, some 2 GB. */
export function setupWorkspace(args: readonly string[]): number {
  mkdirSync(join(workspace, ".west"), { recursive: true });
  // By hand, because `west init -l` would make the repository itself the workspace and clone into it.
  writeFileSync(join(workspace, ".west/config"), `[manifest]\npath = ${relative(workspace, firmware)}\nfile = west.yml\n\n[zephyr]\nbase = zephyr\n`);
  return west(["update", "--narrow", "-o=--depth=1", ...args], workspace);
}

/** Where Zephyr is: ZEPHYR_BASE, else our own workspace; undefined when there is neither. */
function zephyrBase(): string | undefined {
  const asked = process.env["ZEPHYR_BASE"];
  const own = join(workspace, "zephyr");
  return asked ?? (existsSync(own) ? own : undefined);
}

/** Builds a sample with its bootloader (sysbuild) for a board, `mps2/an385` unless said otherwise. */
export function buildSample([sample, board = "mps2/an385", ...more]: readonly string[]): number {
  if (sample === undefined || !samples.includes(sample)) {
    process.stderr.write(`usage: npm run firmware:build -- ${samples.join("|")} [BOARD] [west build's options]\n`);
    return exitUsage;
  }
  if (zephyrBase() === undefined) {
    console.log("skipped: no Zephyr: ZEPHYR_BASE is not set and `npm run firmware:setup` has not made a workspace");
    return exitEnvironment;
  }
  const source = join(firmware, "samples", sample);
  const build = join(firmware, "build", `${sample}-${board.replace(/\W+/g, "_")}`);
  const cwd = process.env["ZEPHYR_BASE"] === undefined ? workspace : repository;
  return west(["build", "--sysbuild", "-b", board, "-d", build, source, ...more, "--", `-DEXTRA_ZEPHYR_MODULES=${firmware}`], cwd);
}
