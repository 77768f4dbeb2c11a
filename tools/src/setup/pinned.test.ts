// SPDX-License-Identifier: Apache-2.0
// The restart under the pinned Node, as an old Node would do it: the tests run spawnPinned themselves, whatever runs them.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { repositoryRoot } from "../architecture/guard.ts";

/** Restarts itself the first time, then does what its first argument says. */
const script = `
import { spawnPinned } from "./pinned.js";
if (process.env.STARTED === undefined) {
  process.env.STARTED = "yes";
  await spawnPinned(import.meta.dirname ?? new URL(".", import.meta.url).pathname);
}
const [what, ...rest] = process.argv.slice(2);
if (what === "exit") process.exit(Number(rest[0]));
if (what === "echo") console.log(JSON.stringify([process.execPath, process.argv[1], rest, process.env.COALMINE_PINNED_NODE ?? null]));
if (what === "wait") {
  process.on("SIGTERM", () => { console.log("told to stop"); process.exit(9); });
  setInterval(() => undefined, 1000);
  console.log(String(process.pid));
}
`;

function clone(node: string | undefined): string {
  const root = mkdtempSync(join(tmpdir(), "coalmine-pinned-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, "apps/cli/bin"), { recursive: true });
  cpSync(join(repositoryRoot(), "apps/cli/bin/pinned.js"), join(root, "apps/cli/bin/pinned.js"));
  writeFileSync(join(root, "package.json"), `{ "type": "module" }`);
  writeFileSync(join(root, "apps/cli/bin/script.js"), script);
  if (node !== undefined) {
    mkdirSync(dirname(join(root, node)), { recursive: true });
    symlinkSync(process.execPath, join(root, node));
  }
  return join(root, "apps/cli/bin/script.js");
}

const platformNode = `node_modules/node-${process.platform}-${process.arch}/bin/node`;

test.each([platformNode, `node_modules/node-bin-${process.platform}-${process.arch}/bin/node`, "node_modules/.bin/node"])(
  "the pinned Node at %s gets the same script and arguments",
  (place) => {
    const file = clone(place);
    const ran = spawnSync(process.execPath, [file, "echo", "a b", "--json"], { encoding: "utf8" });
    expect(ran.stderr).toBe("");
    expect(JSON.parse(ran.stdout)).toEqual([process.execPath, file, ["a b", "--json"], null]);
  },
);

test("the exit code is the child's", () => {
  expect(spawnSync(process.execPath, [clone(platformNode), "exit", "70"]).status).toBe(70);
  expect(spawnSync(process.execPath, [clone(platformNode), "exit", "0"]).status).toBe(0);
});

test("without a pinned Node it says npm ci and exits 4", () => {
  const ran = spawnSync(process.execPath, [clone(undefined), "exit", "0"], { encoding: "utf8" });
  expect([ran.status, ran.stdout]).toEqual([4, ""]);
  expect(ran.stderr).toContain('run "npm ci" first');
});

test("a pinned Node that is itself too old is not started again and again", () => {
  const env = { ...process.env, COALMINE_PINNED_NODE: "/somewhere/node" };
  expect(spawnSync(process.execPath, [clone(platformNode), "exit", "0"], { env }).status).toBe(4);
});

async function started(): Promise<{ parent: ChildProcess; childPid: number }> {
  const parent = spawn(process.execPath, [clone(platformNode), "wait"], { stdio: ["ignore", "pipe", "ignore"] });
  // A test that fails half-way must not leave a process behind: its child goes with it.
  onTestFinished(() => void parent.kill("SIGKILL"));
  const [line] = (await once(parent.stdout, "data")) as [Buffer];
  return { parent, childPid: Number(line.toString("utf8")) };
}

test("SIGTERM reaches the child, which ends as it likes", async () => {
  const { parent, childPid } = await started();
  expect(childPid).not.toBe(parent.pid);
  const said = once(parent.stdout as NonNullable<typeof parent.stdout>, "data");
  parent.kill("SIGTERM");
  expect(String((await said)[0])).toBe("told to stop\n");
  expect(await once(parent, "exit")).toEqual([9, null]);
});

test("a child killed by a signal looks killed by it", async () => {
  const { parent, childPid } = await started();
  process.kill(childPid, "SIGKILL");
  expect(await once(parent, "exit")).toEqual([null, "SIGKILL"]);
});

test("killing the parent outright leaves no child behind", async () => {
  const { parent } = await started();
  // The pipe closes when the last process that holds it has gone: parent and child.
  const closed = once(parent, "close");
  parent.kill("SIGKILL");
  expect(await closed).toEqual([null, "SIGKILL"]);
});
