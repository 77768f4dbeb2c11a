// SPDX-License-Identifier: Apache-2.0
// Where Zephyr's west is. npm has a package called "west" that has nothing to do with it, and this repository's own
// wrapper is called west too, so a program of that name is believed only when it answers as Zephyr's does.
import { spawnSync } from "node:child_process";
import { accessSync, constants, realpathSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";

/** A command line that starts west; arguments are appended. */
export type West = { readonly kind: "found"; readonly command: readonly [string, ...string[]]; readonly version: string };
export type NoWest = { readonly kind: "absent"; readonly tried: readonly string[] };

type Search = {
  /** The repository; its `.venv` comes first. */
  readonly root: string;
  readonly path: string;
  readonly windows: boolean;
  /** Files that are this wrapper itself: to start them would start us again. */
  readonly self: readonly string[];
};

/** The executable folder of a Python virtual environment. */
export function venvProgram(root: string, program: string, windows: boolean): string {
  return windows ? join(root, ".venv", "Scripts", `${program}.exe`) : join(root, ".venv", "bin", program);
}

/** Looks in the repository's virtual environment, then along PATH, then for the Python module. */
export function locateWest({ root, path, windows, self }: Search): West | NoWest {
  const folders = path.split(delimiter).filter((folder) => folder !== "");
  const onPath = (names: readonly string[]) => folders.flatMap((folder) => names.map((name) => join(folder, name)));
  const own = new Set(self.map(real));
  const wests = [venvProgram(root, "west", windows), ...onPath(windows ? ["west.exe"] : ["west"])];
  const pythons = onPath(windows ? ["python.exe", "py.exe"] : ["python3"]);
  const candidates: (readonly [string, ...string[]])[] = [
    ...wests.filter((file) => isProgram(file) && !own.has(real(file))).map((file): [string] => [file]),
    ...pythons.filter(isProgram).map((file): [string, ...string[]] => [file, "-m", "west"]),
  ];
  const tried: string[] = [];
  for (const command of candidates) {
    const version = westVersion(command);
    if (version !== undefined) {
      return { kind: "found", command, version };
    }
    tried.push(command.join(" "));
  }
  return { kind: "absent", tried };
}

/** The version if the command is Zephyr's west, which prints `West version: v1.5.0`. */
function westVersion([program, ...before]: readonly [string, ...string[]]): string | undefined {
  const asked = spawnSync(program, [...before, "--version"], { encoding: "utf8", timeout: 20_000, stdio: ["ignore", "pipe", "ignore"] });
  return asked.status === 0 ? /^West version: v?(\S+)/m.exec(asked.stdout)?.[1] : undefined;
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

function real(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}
