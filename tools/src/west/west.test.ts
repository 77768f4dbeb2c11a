// SPDX-License-Identifier: Apache-2.0
// Fake programs on a fake PATH: small shell scripts, so these tests need a POSIX shell.
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { repositoryRoot } from "../architecture/guard.ts";
import { locateWest, venvProgram } from "@coalmine/boards/west";

const zephyrs = (version: string) => `#!/bin/sh\necho "West version: v${version}"\n`;
const npms = `#!/bin/sh\necho "west 0.0.1 - a function package"\n`;

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "coalmine-west-"));
  onTestFinished(() => rmSync(made, { recursive: true }));
  return made;
}

function program(file: string, text: string): string {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  chmodSync(file, 0o755);
  return file;
}

function search(root: string, path: readonly string[], self: readonly string[] = []) {
  return locateWest({ root, path: path.join(delimiter), windows: false, self });
}

test("the repository's own virtual environment comes before PATH", () => {
  const [root, other] = [folder(), folder()];
  const own = program(venvProgram(root, "west", false), zephyrs("1.5.0"));
  program(join(other, "west"), zephyrs("1.2.0"));
  expect(search(root, [other])).toEqual({ kind: "found", command: [own], version: "1.5.0" });
});

test("a west on PATH is believed when it answers as Zephyr's does, and npm's is passed over", () => {
  const [root, first, second] = [folder(), folder(), folder()];
  const wrong = program(join(first, "west"), npms);
  const right = program(join(second, "west"), zephyrs("1.4.0"));
  expect(search(root, [first, second])).toEqual({ kind: "found", command: [right], version: "1.4.0" });
  expect(search(root, [first])).toEqual({ kind: "absent", tried: [wrong] });
});

test("the wrapper never starts itself, not through a link either", () => {
  const [root, bin, real] = [folder(), folder(), folder()];
  const wrapper = program(join(real, "west.js"), zephyrs("9.9.9"));
  symlinkSync(wrapper, join(bin, "west"));
  expect(search(root, [bin], [wrapper])).toEqual({ kind: "absent", tried: [] });
});

test("the Python module is the last resort", () => {
  const [root, bin] = [folder(), folder()];
  const python = program(join(bin, "python3"), `#!/bin/sh\n[ "$1 $2 $3" = "-m west --version" ] && echo "West version: v1.3.0"\n`);
  expect(search(root, [bin])).toEqual({ kind: "found", command: [python, "-m", "west"], version: "1.3.0" });
});

test("folders, files that are not executable and programs that fail are not west", () => {
  const [root, bin, folderCalledWest] = [folder(), folder(), folder()];
  mkdirSync(join(folderCalledWest, "west"));
  writeFileSync(join(bin, "west"), zephyrs("1.5.0"));
  const failing = program(join(bin, "python3"), `#!/bin/sh\necho "West version: v1.0.0"\nexit 1\n`);
  expect(search(root, [bin, folderCalledWest])).toEqual({ kind: "absent", tried: [`${failing} -m west`] });
});

/** `npx west …` with only these folders on PATH and this place for .venv. */
function wrapper(path: readonly string[], args: readonly string[], root = folder()) {
  return spawnSync(process.execPath, [join(repositoryRoot(), "tools/bin/west.js"), ...args], {
    encoding: "utf8",
    env: { ...process.env, PATH: path.join(delimiter), COALMINE_WEST_ROOT: root },
  });
}

test("npx west passes arguments, output and the exit code through", () => {
  const bin = folder();
  program(join(bin, "west"), `#!/bin/sh\n[ "$1" = "--version" ] && { echo "West version: v1.5.0"; exit 0; }\necho "ran: $*"\nexit 7\n`);
  const ran = wrapper([bin], ["build", "-b", "native_sim"]);
  expect([ran.status, ran.stdout]).toEqual([7, "ran: build -b native_sim\n"]);
});

test("west of .venv runs as in an activated environment: its programs come first", () => {
  const [root, bin] = [folder(), folder()];
  program(venvProgram(root, "west", false), `#!/bin/sh\n[ "$1" = "--version" ] && { echo "West version: v1.5.0"; exit 0; }\necho "$VIRTUAL_ENV $PATH"\n`);
  expect(wrapper([bin], ["build"], root).stdout).toBe(`${join(root, ".venv")} ${join(root, ".venv/bin")}${delimiter}${bin}\n`);
});

test("without west it explains what to do, prints nothing on stdout and exits 4", () => {
  const ran = wrapper([folder()], ["build"]);
  expect([ran.status, ran.stdout]).toEqual([4, ""]);
  expect(ran.stderr).toContain("npx west --install");
});

test("an installation that cannot be done says why and exits 4", () => {
  const ran = wrapper([folder()], ["--install"]);
  expect([ran.status, ran.stdout]).toEqual([4, ""]);
  expect(ran.stderr).toContain("python3 -m venv");
});
