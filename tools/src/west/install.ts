// SPDX-License-Identifier: Apache-2.0
// Installs Zephyr's west into the repository's own virtual environment, only when someone asks for it.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { venvProgram } from "@coalmine/boards/west";

/** The version coalmine is used with; a newer one is taken deliberately. */
export const westVersion = "1.5.0";

type Place = { readonly root: string; readonly windows: boolean };

/** Makes `.venv` and installs west there by pip. Returns what failed, or undefined. */
export function installWest({ root, windows }: Place): string | undefined {
  const python = windows ? "python" : "python3";
  const steps: readonly (readonly [string, ...string[]])[] = [
    [python, "-m", "venv", join(root, ".venv")],
    [venvProgram(root, "python", windows), "-m", "pip", "install", "--disable-pip-version-check", `west==${westVersion}`],
  ];
  for (const [program, ...args] of steps) {
    // stdout belongs to west's own output.
    const done = spawnSync(program, args, { stdio: ["ignore", 2, 2] });
    if (done.status !== 0) {
      return `${[program, ...args].join(" ")} ${done.error === undefined ? `ended with ${done.status}` : `did not start: ${done.error.message}`}`;
    }
  }
  return undefined;
}
