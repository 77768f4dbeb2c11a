// SPDX-License-Identifier: Apache-2.0
// The test run counts a planted run of its own: passes, failures, skips, and files that do not load.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { repositoryRoot } from "../architecture/guard.ts";
import { seedFrom, takeSeed } from "./seed.ts";
import { failures, skipLines, summaryLine } from "./summary.ts";

const root = repositoryRoot();

/** Runs `npm test`'s program in a repository of its own, with this one's settings and the planted test files. */
function run(files: Record<string, string>, args: readonly string[] = []) {
  const planted = mkdtempSync(join(tmpdir(), "coalmine-tests-"));
  onTestFinished(() => rmSync(planted, { recursive: true }));
  cpSync(join(root, "vitest.config.ts"), join(planted, "vitest.config.ts"));
  for (const shared of ["node_modules", "tools"]) {
    symlinkSync(join(root, shared), join(planted, shared));
  }
  const folder = join(planted, "packages/planted/src");
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(folder, name), `import { expect, test } from "vitest";\n${text}\n`);
  }
  const { VITEST: _, VITEST_WORKER_ID: _id, VITEST_POOL_ID: _pool, COALMINE_SEED: _seed, ...env } = process.env;
  const ran = spawnSync(process.execPath, ["--conditions=source", join(root, "tools/src/tests/main.ts"), "packages/planted/", ...args], {
    cwd: planted,
    encoding: "utf8",
    env: { ...env, NO_COLOR: "1" },
  });
  const lines = ran.stdout.trimEnd().split("\n");
  return { status: ran.status, first: lines[0], last: lines.at(-1), stdout: ran.stdout };
}

const passing = `test("p", () => expect(1).toBe(1));`;

test("a run that passes ends with its counts and 0, and begins with its seed", () => {
  const ran = run({ "a.test.ts": passing, "b.test.ts": passing });
  expect([ran.status, ran.first, ran.last]).toEqual([0, "seed 7 (again: npm test -- --seed 7)", "2 passed, 0 failed"]);
});

test("failures, skips with their reasons and files that do not load are all counted", () => {
  const ran = run({
    "a.test.ts": `${passing}\ntest("f", () => expect(1).toBe(2));`,
    "b.test.ts": `test("s", (ctx) => ctx.skip("mosquitto is not installed"));\ntest.skip("t", () => {});`,
    "c.test.ts": `throw new Error("does not load");`,
  });
  expect([ran.status, ran.last]).toEqual([1, "1 passed, 2 failed, 2 skipped"]);
  expect(ran.stdout).toContain("skipped 1: mosquitto is not installed (packages/planted/src/");
  expect(ran.stdout).toContain("skipped 1: no reason given: t");
  expect(ran.stdout).toMatch(/failed: packages\/planted\/src\/c\.test\.ts: does not load/);
});

test("an error outside any test is a failure", () => {
  const ran = run({ "a.test.ts": `${passing}\nvoid Promise.reject(new Error("nobody waits"));` });
  expect([ran.status, ran.last]).toEqual([1, "1 passed, 1 failed"]);
});

test("a run without tests is no pass", () => {
  expect(run({}).status).toBe(1);
});

test("tests see the seed that was asked for, and properties start from it", () => {
  const seen = `import fc from "fast-check";
test("s", () => {
  expect(process.env["COALMINE_SEED"]).toBe("4242");
  expect(fc.readConfigureGlobal()?.seed).toBe(4242);
});`;
  const ran = run({ "a.test.ts": seen }, ["--seed", "4242"]);
  expect([ran.first, ran.last]).toEqual(["seed 4242 (again: npm test -- --seed 4242)", "1 passed, 0 failed"]);
});

test("--seed is taken out of what goes to Vitest", () => {
  expect(takeSeed(["a", "--seed", "5", "-t", "b"])).toEqual({ seed: "5", rest: ["a", "-t", "b"] });
  expect(takeSeed(["--seed=6"])).toEqual({ seed: "6", rest: [] });
  expect(takeSeed(["a"])).toEqual({ seed: undefined, rest: ["a"] });
  expect(takeSeed(["--seed"])).toEqual({ seed: "", rest: [] });
});

test("a seed is 32 bits, drawn on request, and nothing else", () => {
  expect(seedFrom("4294967295")).toBe(4294967295);
  expect(seedFrom(undefined)).toBe(seedFrom(undefined));
  expect(seedFrom("random")).toBeGreaterThanOrEqual(0);
  for (const wrong of ["", "-1", "1.5", "4294967296", "seven", "1e3"]) {
    expect(seedFrom(wrong)).toBeUndefined();
  }
});

test("the summary is the line CI reads, and skips are grouped by reason", () => {
  const skips = [1, 2, 3].map((n) => ({ file: n < 3 ? "a.test.ts" : "b.test.ts", name: `${n}`, note: "no browser" }));
  const tally = { passed: 10, failed: 1, skips, troubles: [{ where: "x", message: "y" }] };
  expect(summaryLine(tally)).toBe("10 passed, 2 failed, 3 skipped");
  expect(failures(tally)).toBe(2);
  expect(skipLines(skips)).toEqual(["skipped 3: no browser (a.test.ts, b.test.ts)"]);
});
