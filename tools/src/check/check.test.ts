// SPDX-License-Identifier: Apache-2.0
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { repositoryRoot } from "../architecture/guard.ts";
import { type Check, checksOf } from "./checks.ts";
import { outcomeText, runCheck } from "./run.ts";

const root = repositoryRoot();

function checkOf(name: string): Check {
  const found = checksOf(root).find((check) => check.name === name);
  expect(found).toBeDefined();
  return found as Check;
}

/** Lints one planted file with the repository's own rules, in a folder of its own. */
async function lint(text: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "coalmine-lint-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  cpSync(join(root, ".oxlintrc.json"), join(folder, ".oxlintrc.json"));
  writeFileSync(join(folder, "tsconfig.json"), `{ "compilerOptions": { "strict": true }, "include": ["*.ts"] }`);
  writeFileSync(join(folder, "planted.ts"), `${text}\n`);
  const outcome = await runCheck(checkOf("lint"), folder);
  return outcome.passed ? "passed" : outcome.output;
}

test("the linter sees types: a promise nobody waits for is found", async () => {
  expect(await lint(`export async function f(): Promise<void> {\n  f();\n}`)).toContain("no-floating-promises");
});

test("the linter holds the house rules, and lets clean code through", async () => {
  expect(await lint("export const one = 1;")).toBe("passed");
  expect(await lint("export default 1;")).toContain("no-default-export");
  expect(await lint("export const one: any = 1;")).toContain("no-explicit-any");
  expect(await lint(`export function f(kind: "a" | "b"): number | undefined {\n  switch (kind) {\n    case "a":\n      return 1;\n  }\n  return undefined;\n}`)).toContain("switch-exhaustiveness-check");
});

test("a check's failure is what its program's exit code says, with its output", async () => {
  const failing: Check = { name: "planted", what: "always fails", args: ["-e", "console.log('why'); process.exitCode = 3"] };
  const outcome = await runCheck(failing, root);
  expect(outcome).toMatchObject({ passed: false, output: "why\n" });
  expect(outcomeText(outcome, failing.what)).toMatch(/^FAILED planted +\d+\.\d s {2}always fails\nwhy\n$/);
});

test("a check that passes is one line", async () => {
  const outcome = await runCheck({ name: "planted", what: "passes", args: ["-e", "console.log('chatter')"] }, root);
  expect(outcomeText(outcome, "passes")).toMatch(/^ok {4} planted +\d+\.\d s {2}passes\n$/);
});

test("npm run check has types, the page, lint, boundaries, unused code and the lock file", () => {
  expect(checksOf(root).map(({ name }) => name).toSorted()).toEqual(["architecture", "lint", "lockfile", "page", "types", "unused"]);
});
