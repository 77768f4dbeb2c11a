// SPDX-License-Identifier: Apache-2.0
// Builds the portable firmware library for this machine, with every warning an error and with sanitizers.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const firmware = join(import.meta.dirname, "../../../firmware");
const library = join(firmware, "lib");
const tests = join(firmware, "tests");

/** A C compiler that can build and run a program with the sanitizers, or why there is none. */
export type Compiler =
  | { readonly kind: "found"; readonly command: string; readonly version: string; readonly sanitizers: readonly string[] }
  | { readonly kind: "absent"; readonly reason: string };

const warnings = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wstrict-prototypes"];
const libraryWarnings = ["-Wconversion", "-Wno-sign-conversion"];
const sanitizing = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

/** Looks for a compiler: CC, then gcc, clang, cc. One without the sanitizers' libraries still counts. */
export function findCompiler(): Compiler {
  const asked = process.env["CC"];
  const candidates = asked === undefined ? ["gcc", "clang", "cc"] : [asked];
  for (const command of candidates) {
    const version = spawnSync(command, ["--version"], { encoding: "utf8" });
    if (version.status === 0) {
      const first = version.stdout.split("\n")[0] ?? "";
      return { kind: "found", command, version: first, sanitizers: hasSanitizers(command) ? sanitizing : [] };
    }
  }
  return { kind: "absent", reason: `no C compiler: ${candidates.join(", ")} not found (Debian: apt install gcc)` };
}

function hasSanitizers(command: string): boolean {
  const folder = mkdtempSync(join(tmpdir(), "coalmine-cc-"));
  try {
    const program = join(folder, "empty");
    const built = spawnSync(command, [...sanitizing, "-x", "c", "-o", program, "-"], { input: "int main(void) { return 0; }" });
    return built.status === 0 && spawnSync(program).status === 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Library {
  /** Builds a program of these files of firmware/tests; returns its path. */
  readonly program: (name: string, wanted: (file: string) => boolean) => string;
  readonly remove: () => void;
}

/** Builds the library once, as an archive, so that a program links what it uses. */
function buildLibrary(compiler: Extract<Compiler, { kind: "found" }>): Library {
  const folder = mkdtempSync(join(tmpdir(), "coalmine-firmware-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  const run = (command: string, args: readonly string[]): void => {
    const built = spawnSync(command, args, { cwd: folder, encoding: "utf8" });
    if (built.status !== 0) {
      remove();
      throw new Error(`${command} failed:\n${built.error?.message ?? ""}${built.stderr}`);
    }
  };
  const common = [...warnings, ...compiler.sanitizers, "-g", "-O1", "-fno-omit-frame-pointer", "-I", join(library, "include")];
  // With the stricter warnings that tests need not meet.
  run(compiler.command, [...common, ...libraryWarnings, "-c", ...librarySources()]);
  run("ar", ["rcs", "library.a", ...readdirSync(folder).filter((name) => name.endsWith(".o"))]);
  return {
    program: (name, wanted) => {
      run(compiler.command, [...common, "-o", name, ...sources(tests, wanted), "library.a", "-lm"]);
      return join(folder, name);
    },
    remove,
  };
}

/** The programs of the host tests. */
export interface Programs {
  /** Runs the tests written in C. */
  readonly tests: string;
  /** Speaks lines; see firmware/tests/driver.c. */
  readonly driver: string;
  /** Removes them. */
  readonly remove: () => void;
}

function sources(folder: string, wanted: (name: string) => boolean = () => true): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".c") && wanted(name))
    .sort()
    .map((name) => join(folder, name));
}

/** Sources of the library: what `lib/` holds is what is built, here and by CMake. */
export function librarySources(): string[] {
  return sources(join(library, "src"));
}

const isTest = (file: string): boolean => !/^(?:driver|board)/.test(file);

/** Sources of the tests written in C. */
export function testSources(): string[] {
  return sources(tests, isTest);
}

/** A board as a process; see firmware/tests/board_coap.c. */
export interface Board {
  readonly path: string;
  readonly remove: () => void;
}

/** Builds the board that speaks CoAP. Throws with the compiler's own words when it refuses. */
export function buildBoard(compiler: Extract<Compiler, { kind: "found" }>): Board {
  const { program, remove } = buildLibrary(compiler);
  return { path: program("board", (file) => file === "board_coap.c" || file === "world.c"), remove };
}

/** Builds both programs. Throws with the compiler's own words when it refuses. */
export function buildPrograms(compiler: Extract<Compiler, { kind: "found" }>): Programs {
  const { program, remove } = buildLibrary(compiler);
  return {
    tests: program("tests", isTest),
    // It has no board: nothing of the library that needs one is linked.
    driver: program("driver", (file) => file.startsWith("driver")),
    remove,
  };
}

/** Sends lines to the driver and returns its answers, one for each. Throws when it dies, with what its sanitizer says. */
export function ask(driver: string, lines: readonly string[]): string[] {
  const run = spawnSync(driver, { input: `${lines.join("\n")}\n`, encoding: "utf8", maxBuffer: 256 * 1024 * 1024 });
  const answers = run.stdout.split("\n").slice(0, -1);
  if (run.status !== 0 || answers.length !== lines.length) {
    throw new Error(`the driver ended with ${run.status ?? run.signal} after ${answers.length} of ${lines.length} lines\n${run.stderr}`);
  }
  return answers;
}
