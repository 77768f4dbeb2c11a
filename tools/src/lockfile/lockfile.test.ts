// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { repositoryRoot } from "../architecture/guard.ts";
import { type LockEntries, lockProblems, staleManifests } from "./lockfile.ts";

const integrity = "sha512-AAAA";
const whole: LockEntries = {
  "": { dependencies: { a: "1.0.0" }, devDependencies: { b: "1.0.0" } },
  "packages/p": { dependencies: { a: "1.0.0" }, devDependencies: { b: "1.0.0" } },
  "node_modules/p": { resolved: "packages/p", link: true },
  "node_modules/a": { integrity, optionalDependencies: { "@a/linux-x64": "1.0.0" }, devDependencies: { neverInstalled: "1" } },
  "node_modules/@a/linux-x64": { integrity },
  "node_modules/b": { integrity, peerDependencies: { a: "1", jsdom: "1" }, peerDependenciesMeta: { jsdom: { optional: true } } },
};

test("this repository's lock file is complete, names no host and fits every package.json", () => {
  const root = repositoryRoot();
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as { packages: LockEntries };
  expect(Object.keys(packages).length).toBeGreaterThan(300);
  expect(lockProblems(packages)).toEqual([]);
});

test("a complete lock file has no problem", () => {
  expect(lockProblems(whole)).toEqual([]);
});

test("a platform package that npm left out without a word is found", () => {
  const entry = { integrity, optionalDependencies: { "@a/linux-x64": "1.0.0", "@a/darwin-arm64": "1.0.0" } };
  expect(lockProblems({ ...whole, "node_modules/a": entry })).toEqual(["node_modules/a needs @a/darwin-arm64, which the lock file does not hold"]);
});

test.each(["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"])("a workspace's missing %s are found", (kind) => {
  expect(lockProblems({ ...whole, "packages/p": { [kind]: { c: "1.0.0" } } })).toEqual(["packages/p needs c, which the lock file does not hold"]);
});

test("the search goes up through node_modules, not down or aside", () => {
  const nested = { ...whole, "node_modules/b/node_modules/c": { integrity } };
  expect(lockProblems({ ...nested, "node_modules/b/node_modules/d": { integrity, dependencies: { c: "1", a: "1" } } })).toEqual([]);
  expect(lockProblems({ ...nested, "node_modules/e": { integrity, dependencies: { c: "1" } } })).toEqual(["node_modules/e needs c, which the lock file does not hold"]);
  const own = { "packages/p/node_modules/c": { integrity }, "packages/p": { dependencies: { c: "1.0.0" } } };
  expect(lockProblems({ ...whole, ...own })).toEqual([]);
});

test.each(["https://registry.example/a.tgz", "http://mirror.example/a.tgz", "git+ssh://git@example/a.git"])("an entry that names its host is found: %s", (resolved) => {
  expect(lockProblems({ ...whole, "node_modules/a": { ...whole["node_modules/a"], resolved } })).toEqual([
    `node_modules/a names where it came from (${resolved}); .npmrc must keep omit-lockfile-registry-resolved=true`,
  ]);
});

test("an entry without a hash is found", () => {
  expect(lockProblems({ ...whole, "node_modules/a": {} })).toEqual(["node_modules/a has no integrity hash"]);
});

test("a package.json that the lock file does not follow is found", () => {
  const root = mkdtempSync(join(tmpdir(), "coalmine-lock-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, "packages/p"), { recursive: true });
  writeFileSync(join(root, "package.json"), JSON.stringify(whole[""]));
  writeFileSync(join(root, "packages/p/package.json"), JSON.stringify({ dependencies: { a: "2.0.0" }, devDependencies: { b: "1.0.0" } }));
  expect(staleManifests(root, whole)).toEqual(["packages/p/package.json has a 2.0.0 in dependencies, the lock file 1.0.0: run npm install"]);
  expect(staleManifests(root, { ...whole, "packages/q": {} })).toContain("packages/q is in the lock file and not in the repository");
});
