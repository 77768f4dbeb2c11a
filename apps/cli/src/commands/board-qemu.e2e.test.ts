// SPDX-License-Identifier: Apache-2.0
import { buildStandIn, type StandIn, whyNoStandIn } from "@coalmine/boards/testing";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { coalmine } from "../testing/spawn.ts";

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "coalmine-board-"));
  onTestFinished(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

test("an emulated board is made, run, cut off in an upgrade and looked into by commands alone", async (ctx) => {
  const missing = whyNoStandIn();
  if (missing !== undefined) {
    ctx.skip(missing);
  }
  const made: StandIn = buildStandIn();
  onTestFinished(() => made.remove());
  const at = folder();
  const file = (name: string, bytes: Uint8Array | string): string => {
    writeFileSync(join(at, name), bytes);
    return join(at, name);
  };
  const bootloader = file("boot.bin", made.bootloader);
  const boards = file("boards.yaml", `boards:\n  - {name: lab-1, kind: qemu, flash: lab-1.flash, bootloader: boot.bin, image: one.bin, broker: 1883}\n`);
  file("one.bin", made.image("1.0.0"));
  const two = file("two.bin", made.image("2.0.0"));
  const flash = join(at, "lab-1.flash");

  const [flashed, foreign] = await Promise.all([
    coalmine(["board", "flash", "--boards", boards, "--json"]),
    coalmine(["board", "qemu", "make", join(at, "no.flash"), "--bootloader", bootloader, "--id", "x", "--broker", "192.0.2.1:1883", "--json"]),
  ]);
  expect([flashed.code, JSON.parse(flashed.stdout)]).toMatchObject([0, { board: "lab-1", outcome: "composed" }]);
  expect([foreign.code, JSON.parse(foreign.stdout)]).toMatchObject([3, { error: { message: expect.stringContaining("loopback") as string } }]);

  const ran = await coalmine(["board", "qemu", "run", "--flash", flash, "--id", "lab-1", "--no-network", "--until", "^APP 1\\.0\\.0.*device=lab-1 broker=1883", "--for", "60", "--json"]);
  expect([ran.code, JSON.parse(ran.stdout)]).toMatchObject([0, { boards: [{ id: "lab-1", counts: { starts: 1, cuts: 0 }, found: expect.stringContaining("start=cold") as string }] }]);

  const installed = await coalmine(["board", "qemu", "install", flash, two, "--json"]);
  expect([installed.code, JSON.parse(installed.stdout)]).toMatchObject([0, { swapType: "test", slots: [{ image: { version: "1.0.0+0" } }, { image: { version: "2.0.0+0" } }] }]);
  const none = await coalmine(["board", "qemu", "swap", join(at, "none.flash"), "--json"]);
  expect([none.code, JSON.parse(none.stdout)]).toMatchObject([3, { error: { code: "boards/file" } }]);
  const cut = await coalmine(["board", "qemu", "run", "--flash", flash, "--id", "lab-1", "--no-network", "--cut-at", "4", "--until", "^APP 2\\.0\\.0", "--for", "60", "--json"]);
  expect([cut.code, JSON.parse(cut.stdout)]).toMatchObject([0, { boards: [{ counts: { starts: 2, cuts: 1 } }] }]);

  const [inspected, listed, off] = await Promise.all([
    coalmine(["board", "qemu", "inspect", flash, "--json"]),
    coalmine(["board", "list", "--boards", boards, "--json"]),
    coalmine(["board", "qemu", "link", flash, "down", "--json"]),
  ]);
  expect([inspected.code, JSON.parse(inspected.stdout)]).toMatchObject([0, { running: null, slots: [{ image: { version: "2.0.0+0", intact: true } }, { image: null }], laboratory: { cuts: 1, violations: 0 } }]);
  expect([listed.code, JSON.parse(listed.stdout)]).toMatchObject([0, { boards: [{ name: "lab-1", kind: "qemu", state: "off" }] }]);
  expect([off.code, JSON.parse(off.stdout)]).toMatchObject([4, { error: { code: "boards/off" } }]);
}, 180_000);

test("real boards are flashed by Zephyr's west, with the build folder and runner of the boards file", async () => {
  const at = folder();
  const tool = join(at, "bin/west");
  mkdirSync(dirname(tool));
  mkdirSync(join(at, "build"));
  writeFileSync(tool, `#!/bin/sh\n[ "$1" = "--version" ] && { echo "West version: v1.5.0"; exit 0; }\necho "west $*" > "${at}/called"\n[ "$1" = debug ] && exit 3\nexit 0\n`);
  chmodSync(tool, 0o755);
  const boards = join(at, "boards.yaml");
  writeFileSync(boards, `boards:\n  - {name: desk-1, kind: west, west: {build: build, runner: jlink}}\n  - {name: desk-2, kind: udp, host: 192.0.2.7}\n`);
  const PATH = [join(at, "bin"), process.env["PATH"] ?? ""].join(delimiter);
  const [flashed, unknown, without] = await Promise.all([
    coalmine(["board", "flash", "--boards", boards, "--board", "desk-1", "--json"], { PATH }),
    coalmine(["board", "flash", "--boards", boards, "--board", "desk-9", "--json"], { PATH }),
    coalmine(["board", "console", "--boards", boards, "--board", "desk-2", "--json"], { PATH }),
  ]);
  expect([flashed.code, JSON.parse(flashed.stdout)]).toMatchObject([0, { board: "desk-1", outcome: "flashed" }]);
  expect(spawnSync("cat", [join(at, "called")], { encoding: "utf8" }).stdout).toBe(`west flash --build-dir ${join(at, "build")} --runner jlink\n`);
  expect([unknown.code, JSON.parse(unknown.stdout)]).toMatchObject([3, { error: { message: expect.stringContaining("desk-1, desk-2") as string } }]);
  expect([without.code, JSON.parse(without.stdout)]).toMatchObject([3, { error: { message: expect.stringContaining("console") as string } }]);
  const failed = await coalmine(["board", "debug", "--boards", boards, "--board", "desk-1", "--json"], { PATH });
  expect([failed.code, JSON.parse(failed.stdout)]).toMatchObject([4, { outcome: "west ended with 3" }]);
}, 180_000);
