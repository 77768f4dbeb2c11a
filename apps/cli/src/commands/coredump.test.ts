// SPDX-License-Identifier: Apache-2.0
import { composeFlash, QemuBoard } from "@coalmine/boards";
import { buildStandIn, whyNoStandIn } from "@coalmine/boards/testing";
import { decodeCoredump } from "@coalmine/coredump";
import { buildDump, buildLog } from "@coalmine/coredump/testing";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { answer } from "../gdb-stub.ts";
import { coalmine } from "../testing/spawn.ts";
import { readFrames } from "../unwind.ts";

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "coalmine-coredump-"));
  onTestFinished(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

interface Decoded {
  readonly signature: string;
  readonly backtrace: {
    readonly sure: boolean;
    readonly frames: readonly { readonly function: string | null; readonly line: string | null; readonly certainty: string }[];
    readonly unwound: { readonly frames: readonly { readonly function: string; readonly line: string | null }[] } | null;
  };
}

test("the crash of a real program in QEMU is decoded from its flash file: function, line, and callers as gdb unwinds them", async (ctx) => {
  const missing = whyNoStandIn();
  if (missing !== undefined) {
    ctx.skip(missing);
  }
  const made = buildStandIn();
  onTestFinished(() => made.remove());
  const flash = join(folder(), "crash.flash");
  composeFlash(flash, { bootloader: made.bootloader, image: made.image("1.0.0"), identity: { device: "crash", brokerPort: 0, coapPort: 0, smpPort: 0 } });
  const board = await QemuBoard.start({ flash, network: false });
  onTestFinished(() => board.close());
  const first = await board.waitFor(/^APP 1/, { patience: 60_000 });
  board.send("crash\n");
  await board.waitFor(/^APP 1/, { from: first.number + 1, patience: 60_000 });
  await board.close();
  const dump = `${flash}.dump`;
  const taken = await coalmine(["board", "qemu", "inspect", flash, "--coredump", dump, "--json"]);
  expect([taken.code, JSON.parse(taken.stdout)]).toMatchObject([0, { coredump: { reason: "precise bus fault", thread: "standin" } }]);

  const [with_, without, people] = await Promise.all([
    coalmine(["coredump", "decode", dump, "--elf", made.elf, "--json"]),
    coalmine(["coredump", "decode", dump, "--elf", made.elf, "--json"], { COALMINE_TOOLS: "none" }),
    coalmine(["coredump", "decode", dump, "--elf", made.elf]),
  ]);
  const shown = JSON.parse(with_.stdout) as Decoded;
  expect(with_.code).toBe(0);
  expect(shown.signature).toMatch(/^precise bus fault \/ read_nowhere \/ /);
  expect(shown.backtrace.sure).toBe(false);
  expect(shown.backtrace.frames[0]).toMatchObject({ function: expect.stringMatching(/^read_nowhere/) as string, certainty: "certain" });
  // addr2line comes with the compiler.
  expect(shown.backtrace.frames[0]?.line).toMatch(/^standin\/app\.c:\d+$/);
  const gdb = "gdb-multiarch";
  if (shown.backtrace.unwound !== null) {
    expect(shown.backtrace.unwound.frames.slice(0, 2).map((frame) => frame.function)).toEqual(["read_nowhere", "crash"]);
    expect(shown.backtrace.unwound.frames.map((frame) => frame.function)).toContain("main");
  } else {
    expect(spawnSync(gdb, ["--version"]).error).toBeDefined();
  }
  const plain = JSON.parse(without.stdout) as Decoded;
  expect([plain.signature, plain.backtrace.unwound, plain.backtrace.frames[0]?.line]).toEqual([shown.signature, null, null]);
  expect(people.stdout).toMatch(/read_nowhere\S*\+\d+ +standin\/app\.c:/);
}, 180_000);

test("of a log with several dumps the last is shown, another on request; a damaged dump ends with 1, a number that is not there with 3", async () => {
  const file = join(folder(), "console.log");
  writeFileSync(file, `${buildLog(buildDump({ reason: 3 }))}\n${buildLog(buildDump({ reason: 4 }).subarray(0, 150))}`);
  const [last, first, none] = await Promise.all([coalmine(["coredump", "decode", file, "--json"]), coalmine(["coredump", "decode", file, "--dump", "1", "--json"]), coalmine(["coredump", "decode", file, "--dump", "3", "--json"])]);
  expect([last.code, JSON.parse(last.stdout)]).toMatchObject([1, { kind: "broken", block: "M #1", dumps: 2, dump: 2 }]);
  expect([first.code, JSON.parse(first.stdout)]).toMatchObject([0, { kind: "coredump", reason: "kernel oops", dumps: 2, dump: 1 }]);
  expect([none.code, JSON.parse(none.stdout)]).toMatchObject([3, { error: { message: expect.stringContaining("holds 2 dumps") as string } }]);
}, 30_000);

test("gdb is given registers and memory of the dump with the true stack pointer, and nothing for what is not there", () => {
  const dump = decodeCoredump(buildDump());
  if (dump.kind === "broken") {
    throw new Error(dump.detail);
  }
  const registers = answer("g", dump).match(/.{8}/g) ?? [];
  expect(registers.length).toBe(17);
  // r0, sp behind the exception frame, pc
  expect([registers[0], registers[13], registers[15]]).toEqual(["d0a70020", "60900020", "06200000"]);
  expect(answer("m20009040,8", dump)).toBe("d0a70020556f0221");
  expect(answer("m0,4", dump)).toBe("E01");
  expect(answer("m20009040,ffff", dump).length).toBe(2 * (256 - 64));
  expect(answer("qXfer:features:read:target.xml:0,10", dump)).toBe('m<?xml version="1');
  expect([answer("?", dump), answer("X0", dump), answer("pff", dump), answer("m,", dump)]).toEqual(["S05", "", "E01", "E01"]);
});

test("gdb's frames are read with and without addresses and lines, and why it stopped is kept", () => {
  const text = "0x2 in f ()\n#0  divide_deep (...) at /src/app/main.c:58\n#1  0x21010652 in crash (...) at ../src/main.c:75\n#2  0x210 in ?? ()\nBacktrace stopped: previous frame identical to this frame (corrupt stack?)\n";
  expect(readFrames(text)).toEqual({
    frames: [
      { address: null, function: "divide_deep", line: "app/main.c:58" },
      { address: 0x21010652, function: "crash", line: "src/main.c:75" },
      { address: 0x210, function: "??", line: null },
    ],
    notes: ["gdb stopped: previous frame identical to this frame (corrupt stack?)"],
  });
});
