// SPDX-License-Identifier: Apache-2.0
// The set-up script in a copy of its own, with a fake npm that leaves a note and installs what the lock file names.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { repositoryRoot } from "../architecture/guard.ts";

const pinned = `node_modules/node-${process.platform}-${process.arch}`;
const locked = {
  "": { name: "clone" },
  "node_modules/a": { version: "1.0.0", integrity: "sha512-A" },
  "node_modules/b": { version: "1.0.0", integrity: "sha512-B" },
  "node_modules/a-for-another-platform": { version: "1.0.0", integrity: "sha512-C", optional: true },
  [pinned]: { version: "26.10.0", integrity: "sha512-N", optional: true },
};

/** Writes what npm ci would: the hidden lock file without other platforms' packages, and the pinned Node. */
const fakeNpm = `
const fs = require("node:fs");
fs.appendFileSync("npm-ran.txt", process.argv.slice(2).join(" ") + "\\n");
console.log("npm's own chatter");
if (process.env.FAKE_NPM_FAILS) process.exit(1);
const { packages } = JSON.parse(fs.readFileSync("package-lock.json", "utf8"));
delete packages[""];
delete packages["node_modules/a-for-another-platform"];
fs.mkdirSync("${pinned}/bin", { recursive: true });
fs.writeFileSync("${pinned}/bin/node", "");
fs.writeFileSync("node_modules/.package-lock.json", JSON.stringify({ packages }));
`;

class Clone {
  readonly root = mkdtempSync(join(tmpdir(), "coalmine-setup-"));

  constructor() {
    onTestFinished(() => rmSync(this.root, { recursive: true }));
    cpSync(join(repositoryRoot(), "tools/bin/setup.js"), join(this.root, "tools/bin/setup.js"));
    this.write("package.json", { type: "module" });
    this.write("package-lock.json", { packages: locked });
    this.write("npm.cjs", fakeNpm);
  }

  write(path: string, content: unknown): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), typeof content === "string" ? content : JSON.stringify(content));
  }

  /** Runs the set-up and says how often npm ran in all. */
  setUp(env: NodeJS.ProcessEnv = {}) {
    const ran = spawnSync(process.execPath, [join(this.root, "tools/bin/setup.js")], {
      encoding: "utf8",
      env: { ...process.env, npm_execpath: join(this.root, "npm.cjs"), npm_node_execpath: process.execPath, ...env },
    });
    const notes = join(this.root, "npm-ran.txt");
    const calls = existsSync(notes) ? readFileSync(notes, "utf8").trim().split("\n") : [];
    return { status: ran.status, stdout: ran.stdout, stderr: ran.stderr, calls };
  }
}

test("a fresh clone is installed once, and stdout stays the command's", () => {
  const clone = new Clone();
  const first = clone.setUp();
  expect([first.status, first.stdout, first.calls]).toEqual([0, "", ["ci --loglevel=error"]]);
  expect(first.stderr).toContain("nothing is installed yet");
  const second = clone.setUp();
  expect([second.status, second.stderr, second.calls.length]).toEqual([0, "", 1]);
});

test.each<[string, Record<string, unknown>]>([
  ["node_modules/b is not the version in package-lock.json", { ...locked, "node_modules/b": { version: "1.0.1", integrity: "sha512-B2" } }],
  ["node_modules/c is not installed", { ...locked, "node_modules/c": { version: "1.0.0", integrity: "sha512-C" } }],
  ["node_modules/b is installed and not in package-lock.json", { ...locked, "node_modules/b": undefined }],
])("an installation behind the lock file is renewed: %s", (why, packages) => {
  const clone = new Clone();
  clone.setUp();
  clone.write("package-lock.json", { packages });
  const again = clone.setUp();
  expect(again.stderr).toContain(why);
  expect([again.status, again.calls.length, clone.setUp().calls.length]).toEqual([0, 2, 2]);
});

test("a broken-off installation and a missing pinned Node are renewed", () => {
  const clone = new Clone();
  clone.setUp();
  rmSync(join(clone.root, "node_modules/.package-lock.json"));
  expect(clone.setUp().calls).toHaveLength(2);
  rmSync(join(clone.root, pinned, "bin/node"));
  expect(clone.setUp().stderr).toContain("the pinned Node is not installed");
});

test("an installation that fails stops the command with 4 and says what to do", () => {
  const failed = new Clone().setUp({ FAKE_NPM_FAILS: "1" });
  expect([failed.status, failed.stdout]).toEqual([4, ""]);
  expect(failed.stderr).toContain("npm ci failed");
});

test("a copy without its lock file is not installed from guesses", () => {
  const clone = new Clone();
  rmSync(join(clone.root, "package-lock.json"));
  const ran = clone.setUp();
  expect(ran.status).not.toBe(0);
  expect(ran.calls).toEqual([]);
  expect(ran.stderr).toContain("package-lock.json is missing");
});
