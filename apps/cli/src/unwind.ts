// SPDX-License-Identifier: Apache-2.0
// What the toolchain can add to a backtrace: lines by addr2line, callers by gdb. Both are optional, and nothing they say is called certain.

import type { Coredump } from "@coalmine/coredump";
import { spawn, spawnSync } from "node:child_process";
import process from "node:process";
import { serveDump } from "./gdb-stub.ts";

/** A place in the source. */
export interface SourceLine {
  readonly function: string;
  /** `main.c:58`; null when the ELF has no line for it. */
  readonly line: string | null;
}

/** A frame as gdb unwound it. */
export interface UnwoundFrame extends SourceLine {
  /** Null for a frame that was inlined into the next. */
  readonly address: number | null;
}

const PATIENCE_MS = 20_000;
const ADDR2LINES = ["arm-zephyr-eabi-addr2line", "arm-none-eabi-addr2line", "llvm-addr2line", "addr2line"];
const GDBS = ["gdb-multiarch", "arm-zephyr-eabi-gdb", "arm-none-eabi-gdb"];
const FRAMES_MAX = 64;

/** The first of these programs that runs. `COALMINE_TOOLS=none` stands for none of them. */
function findTool(names: readonly string[]): string | undefined {
  return process.env["COALMINE_TOOLS"] === "none" ? undefined : names.find((name) => spawnSync(name, ["--version"], { stdio: "ignore", timeout: PATIENCE_MS }).status === 0);
}

/** Source lines of code addresses, inlined callers after each other; nothing when no addr2line understands the file. */
export function sourceLines(elf: string, addresses: readonly number[]): ReadonlyMap<number, readonly SourceLine[]> | undefined {
  for (const name of ADDR2LINES) {
    const tool = addresses.length === 0 ? undefined : findTool([name]);
    if (tool === undefined) {
      continue;
    }
    const asked = spawnSync(tool, ["-f", "-i", "-a", "-e", elf, ...addresses.map((address) => `0x${address.toString(16)}`)], { encoding: "utf8", timeout: PATIENCE_MS, maxBuffer: 16 * 1024 * 1024 });
    if (asked.status === 0 && !/not recognized|No such file/.test(asked.stderr)) {
      return readLines(asked.stdout);
    }
  }
  return undefined;
}

/** `-a` prints each address, then pairs of lines: function, place. */
function readLines(text: string): ReadonlyMap<number, readonly SourceLine[]> {
  const found = new Map<number, SourceLine[]>();
  let lines: SourceLine[] = [];
  let name: string | undefined;
  for (const line of text.split("\n")) {
    if (/^0x[0-9a-f]+$/i.test(line)) {
      lines = [];
      found.set(Number(line), lines);
      name = undefined;
    } else if (name === undefined) {
      name = line;
    } else {
      const place = line.replace(/ \(discriminator \d+\)$/, "");
      if (name !== "??") {
        lines.push({ function: name, line: place.startsWith("??") ? null : shortPlace(place) });
      }
      name = undefined;
    }
  }
  return found;
}

/**
 * Callers of the crash as gdb unwinds them; nothing without a gdb, or for a dump whose stack pointer is not known.
 *
 * The ELF is data: gdb loads no scripts from it, and no start-up files.
 */
export async function unwind(dump: Coredump, elf: string): Promise<{ readonly frames: readonly UnwoundFrame[]; readonly notes: readonly string[] } | undefined> {
  if (dump.header.target !== "cortex-m" || dump.stackPointer.kind === "unknown") {
    return undefined;
  }
  const gdb = findTool(GDBS);
  if (gdb === undefined) {
    return undefined;
  }
  const stub = await serveDump(dump);
  try {
    const commands = ["set pagination off", "set width 0", "set confirm off", "set print frame-arguments none", "set print address on", "set trust-readonly-sections on", "set tcp connect-timeout 5", `target remote 127.0.0.1:${stub.port}`, `backtrace ${FRAMES_MAX}`];
    const text = await run(gdb, ["-nx", "-q", "-batch", "-iex", "set auto-load off", ...commands.flatMap((command) => ["-ex", command]), elf]);
    return text === undefined ? undefined : readFrames(text);
  } finally {
    stub.close();
  }
}

/** Output of a program that is given some time; nothing when it fails. */
function run(program: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
    const take = (piece: Buffer): void => {
      text = (text + piece.toString("latin1")).slice(0, 1024 * 1024);
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.on("error", () => resolve(undefined));
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve(code === 0 ? text : undefined);
    });
  });
}

/** `#1  0x21010652 in crash (...) at src/main.c:75`, without the address for the first frame and for inlined ones. */
export function readFrames(text: string): { readonly frames: readonly UnwoundFrame[]; readonly notes: readonly string[] } {
  const frames: UnwoundFrame[] = [];
  const notes: string[] = [];
  for (const line of text.split("\n")) {
    const match = /^#\d+\s+(?:(0x[0-9a-f]+) in )?(\S+) \(.*?\)(?: at (.+))?$/.exec(line);
    if (match !== null) {
      frames.push({ address: match[1] === undefined ? null : Number(match[1]), function: match[2] as string, line: match[3] === undefined ? null : shortPlace(match[3]) });
    } else if (line.startsWith("Backtrace stopped:")) {
      notes.push(`gdb stopped: ${line.slice("Backtrace stopped:".length).trim()}`);
    }
  }
  return { frames, notes };
}

/** The last two parts of a path: enough to find the file, short enough for a line. */
function shortPlace(place: string): string {
  return place.split(/[/\\]/).slice(-2).join("/");
}
