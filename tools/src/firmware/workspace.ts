// SPDX-License-Identifier: Apache-2.0
// A west workspace for the firmware, outside the sources: `.coalmine/zephyr` with its own manifest setting.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
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

/** What a build needs besides Zephyr, and what to install (Debian) where it is missing. */
const programs = [
  { command: "cmake", package: "cmake" },
  { command: "ninja", package: "ninja-build" },
  { command: "dtc", package: "device-tree-compiler" },
  { command: "arm-none-eabi-gcc", package: "gcc-arm-none-eabi libnewlib-arm-none-eabi" },
  { command: "git", package: "git" },
];

function missing(): string[] {
  return programs.filter(({ command }) => spawnSync(command, ["--version"]).error !== undefined).map(({ package: name }) => name);
}

/** Where the manifest's projects come from: what `west update` has to reach. */
function remote(): string {
  return /url-base: (\S+)/.exec(readFileSync(join(firmware, "west.yml"), "utf8"))?.[1] ?? "";
}

/**
 * Makes the workspace of firmware/west.yml and fetches what it pins: Zephyr, MCUboot and their modules, some 2 GB, and the Python packages
 * that they ask for. Says what is missing, and whether the servers can be reached at all, before west tries for minutes.
 */
export function setupWorkspace(args: readonly string[]): number {
  const lacking = missing();
  if (lacking.length > 0) {
    console.log(`not installed, and needed to build: ${lacking.join(" ")} (apt install ${lacking.join(" ")}; Zephyr's SDK brings its own compiler)`);
  }
  const from = `${remote()}/zephyr`;
  const reached = spawnSync("git", ["ls-remote", "--exit-code", from, "HEAD"], { encoding: "utf8", timeout: 30_000, env: { ...process.env, GIT_TERMINAL_PROMPT: "0" } });
  if (reached.status !== 0) {
    const why = reached.error?.message ?? reached.stderr.trim().split("\n").at(-1) ?? "";
    console.log(`cannot reach ${from}: ${why}\nZephyr was not fetched. With a Zephyr ${pinned()} of your own set ZEPHYR_BASE; firmware/README.md says how to build with plain CMake`);
    return exitEnvironment;
  }
  mkdirSync(join(workspace, ".west"), { recursive: true });
  // By hand, because `west init -l` would make the repository itself the workspace and clone into it.
  writeFileSync(join(workspace, ".west/config"), `[manifest]\npath = ${relative(workspace, firmware)}\nfile = west.yml\n\n[zephyr]\nbase = zephyr\n`);
  const updated = west(["update", "--narrow", "-o=--depth=1", ...args], workspace);
  return updated === 0 ? west(["packages", "pip", "--install"], workspace) : updated;
}

/** The release that firmware/west.yml pins. */
function pinned(): string {
  return /name: zephyr\n[^]*?revision: (\S+)/.exec(readFileSync(join(firmware, "west.yml"), "utf8"))?.[1] ?? "";
}

/**
 * What the emulated board adds to each image of a sysbuild. Its flash has `ranges` from Zephyr 4.4 on; see firmware/qemu/README.md.
 */
function emulatedBoard(sample: string, base: string): string[] {
  const version = /VERSION_MAJOR = (\d+)\s+VERSION_MINOR = (\d+)/.exec(readFileSync(join(base, "VERSION"), "utf8"));
  const hasRanges = Number(version?.[1]) * 100 + Number(version?.[2]) >= 404;
  const qemu = (...names: readonly string[]): string => names.map((name) => join(firmware, "qemu", name)).join(";");
  const flash = `mps2-an385-${hasRanges ? "4.4" : "3.4"}.overlay`;
  return [
    `-D${sample}_EXTRA_DTC_OVERLAY_FILE=${qemu(flash, "app.overlay")}`,
    `-D${sample}_EXTRA_CONF_FILE=${qemu("app.conf")}`,
    `-Dmcuboot_EXTRA_DTC_OVERLAY_FILE=${qemu(flash)}`,
    `-Dmcuboot_EXTRA_CONF_FILE=${qemu("mcuboot.conf")}`,
  ];
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
  const base = zephyrBase();
  if (base === undefined) {
    console.log("skipped: no Zephyr: ZEPHYR_BASE is not set and `npm run firmware:setup` has not made a workspace");
    return exitEnvironment;
  }
  const source = join(firmware, "samples", sample);
  const build = join(firmware, "build", `${sample}-${board.replace(/\W+/g, "_")}`);
  const cwd = process.env["ZEPHYR_BASE"] === undefined ? workspace : repository;
  return west(["build", "--sysbuild", "-b", board, "-d", build, source, ...more, ...(more.includes("--") ? [] : ["--"]), `-DEXTRA_ZEPHYR_MODULES=${firmware}`, ...(board.startsWith("mps2") ? emulatedBoard(sample, base) : [])], cwd);
}
