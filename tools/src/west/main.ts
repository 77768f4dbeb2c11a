// SPDX-License-Identifier: Apache-2.0
// `npx west …` runs Zephyr's west; `npx west --install` installs it into .venv first.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { installWest, westVersion } from "./install.ts";
import { locateWest, venvProgram } from "@coalmine/boards/west";

const exitEnvironment = 4;
const repository = join(import.meta.dirname, "../../..");

/** Runs west with the arguments and resolves to its exit code, or to 4 when there is none to run. */
export async function main(argv: readonly string[]): Promise<number> {
  const windows = process.platform === "win32";
  // Another place for .venv: a shared one, or a test's.
  const root = process.env["COALMINE_WEST_ROOT"] ?? repository;
  const args = [...argv];
  if (args[0] === "--install") {
    args.shift();
    const failure = installWest({ root, windows });
    if (failure !== undefined) {
      process.stderr.write(`west could not be installed: ${failure}\nIt needs Python 3 with venv and pip (Debian: apt install python3-venv).\n`);
      return exitEnvironment;
    }
    if (args.length === 0) {
      process.stderr.write(`west ${westVersion} is installed in .venv\n`);
      return 0;
    }
  }
  const west = locateWest({
    root,
    path: process.env["PATH"] ?? "",
    windows,
    self: [join(repository, "tools/bin/west.js"), ...(process.argv[1] === undefined ? [] : [process.argv[1]])],
  });
  if (west.kind === "absent") {
    process.stderr.write(advice(west.tried));
    return exitEnvironment;
  }
  return await run(west.command, args, activated(west.command[0], root, windows));
}

/**
 * West of `.venv` runs as in an activated one: Zephyr's sysbuild looks along PATH for the Python of its images, and that one must have
 * Zephyr's modules, too.
 */
function activated(program: string, root: string, windows: boolean): NodeJS.ProcessEnv {
  if (program !== venvProgram(root, "west", windows)) {
    return process.env;
  }
  return { ...process.env, VIRTUAL_ENV: join(root, ".venv"), PATH: `${dirname(program)}${delimiter}${process.env["PATH"] ?? ""}` };
}

function advice(tried: readonly string[]): string {
  const looked = tried.length === 0 ? "" : `These are not Zephyr's west, or do not run: ${tried.join(", ")}\n`;
  return `Zephyr's west is not installed: not in .venv, not on PATH, not as a Python module.
${looked}To install it into this repository's .venv:  npx west --install
Or by hand:  python3 -m venv .venv && .venv/bin/pip install west==${westVersion}
(npm's package "west" is something else and is never used.)
`;
}

async function run([program, ...before]: readonly [string, ...string[]], args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const child = spawn(program, [...before, ...args], { stdio: "inherit", env });
  // Ctrl-C reaches west from the terminal; we stay until it has ended.
  process.on("SIGINT", () => undefined);
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
}
