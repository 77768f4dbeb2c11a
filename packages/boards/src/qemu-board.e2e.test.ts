// SPDX-License-Identifier: Apache-2.0
// The runner against a real QEMU, with the stand-in of firmware/standin as bootloader and application.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, type TestContext, vi } from "vitest";
import { composeFlash, type FlashContents, installSecond, readLaboratory } from "./flash-file.ts";
import { holderOf } from "./hold.ts";
import { inspectFlash } from "./inspect.ts";
import { type BoardEvent, QemuBoard, type QemuOptions } from "./qemu-board.ts";
import { Qmp } from "./qmp.ts";
import { buildStandIn, type StandIn, whyNoStandIn } from "./testing/index.ts";

const missing = whyNoStandIn();
let standIn: StandIn | undefined;

beforeAll(() => {
  if (missing === undefined) {
    standIn = buildStandIn();
  }
}, 120_000);
afterAll(() => standIn?.remove());

function built(ctx: TestContext): StandIn {
  return standIn ?? ctx.skip(missing ?? "the stand-in was not built");
}

/** A new flash file with version 1.0.0 running. */
function compose(made: StandIn, contents: Partial<FlashContents> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), "coalmine-boards-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const flash = join(folder, "lab-1.flash");
  composeFlash(flash, {
    bootloader: made.bootloader,
    image: made.image("1.0.0"),
    identity: { device: "lab-1", brokerPort: 1883, coapPort: 0, smpPort: 0 },
    ...contents,
  });
  return flash;
}

async function started(flash: string, options: Partial<QemuOptions> = {}): Promise<{ readonly board: QemuBoard; readonly events: BoardEvent[] }> {
  const events: BoardEvent[] = [];
  const board = await QemuBoard.start({ flash, network: false, ...options, onEvent: (event) => events.push(event) });
  onTestFinished(() => board.close());
  return { board, events };
}

// Limits for a busy machine; a board starts in a tenth of a second.
vi.setConfig({ testTimeout: 120_000 });
const patience = 60_000;
const application = /^APP (\S+) device=(\S+) broker=(\d+) start=(\w+) boots=(\d+)$/;

describe("an emulated board", () => {
  test("runs what was composed, knows who it is, and keeps its flash over power and resets", async (ctx) => {
    const flash = compose(built(ctx));
    const { board } = await started(flash);
    const first = await board.waitFor(application, { patience });
    expect(first.groups).toEqual(["1.0.0+0", "lab-1", "1883", "cold", "1"]);
    // The stand-in colours its first line; what the console keeps is plain.
    expect(board.console.lines(0)[0]).toBe("*** stand-in bootloader");

    await board.reset();
    expect((await board.waitFor(application, { from: first.number + 1, patience })).groups.slice(3)).toEqual(["warm", "2"]);
    const lines = board.console.count;
    await board.powerCut();
    expect(board.isOn).toBe(false);
    await board.powerOn();
    expect((await board.waitFor(application, { from: lines, patience })).groups.slice(3)).toEqual(["cold", "3"]);
    expect(readLaboratory(flash)).toMatchObject({ operations: 3, violations: 0, identity: { device: "lab-1" } });
  });

  test("belongs to one process, and nothing is left of it when it is closed", async (ctx) => {
    const flash = compose(built(ctx));
    const { board } = await started(flash);
    expect(holderOf(flash)?.pid).toBe(process.pid);
    await expect(QemuBoard.start({ flash, network: false })).rejects.toMatchObject({ code: "boards/in-use" });
    const { pid } = board;
    const waiting = board.waitFor(/never/, { patience }).catch((error: unknown) => error);
    await board.close();
    expect(await waiting).toMatchObject({ code: "boards/closed" });
    expect(holderOf(flash)).toBeUndefined();
    expect(() => process.kill(pid as number, 0)).toThrow("ESRCH");
  });

  test("whose runner was killed is ended before anybody else runs its file", async (ctx) => {
    const flash = compose(built(ctx));
    const runner = `import { QemuBoard } from ${JSON.stringify(new URL("./index.ts", import.meta.url).href)}; const board = await QemuBoard.start({ flash: ${JSON.stringify(flash)}, network: false }); console.log(board.pid); process.kill(process.pid, "SIGKILL");`;
    const killed = spawnSync(process.execPath, ["--conditions=source", "--input-type=module", "--eval", runner], { encoding: "utf8" });
    expect(killed.signal).toBe("SIGKILL");
    const orphan = Number(killed.stdout);
    const running = (): string => readFileSync(`/proc/${orphan}/stat`, "latin1").replace(/^.*\) (.).*$/s, "$1");
    expect(running()).not.toBe("Z");
    expect(holderOf(flash)).toBeUndefined();
    const { board } = await started(flash);
    await board.waitFor(application, { patience });
    // Gone, or a zombie where nobody waits for orphans.
    expect(existsSync(`/proc/${orphan}`) ? running() : "Z").toBe("Z");
  });

  test("notices the network cable, halts and goes on, and lets others speak QMP", async (ctx) => {
    const { board } = await started(compose(built(ctx)), { network: true });
    const link = async (): Promise<string | undefined> => {
      const from = board.console.count;
      board.send("link\n");
      return (await board.waitFor(/^APP link (\w+)$/, { from, patience })).groups[0];
    };
    await board.waitFor(application, { patience });
    expect(await link()).toBe("up");
    await board.setLink(false);
    expect(await link()).toBe("down");
    await board.setLink(true);
    expect(await link()).toBe("up");

    const other = await Qmp.connect(board.qmpForOthers);
    onTestFinished(() => other.close());
    await board.pause();
    expect(await other.execute("query-status")).toMatchObject({ running: false });
    await board.resume();
    expect(await other.execute("query-status")).toMatchObject({ running: true });
    await expect(other.execute("nonsense")).rejects.toMatchObject({ code: "boards/qmp" });
    expect(await link()).toBe("up");
  });

  test("that locks up is counted as crashed and starts again", async (ctx) => {
    const { board, events } = await started(compose(built(ctx)));
    const first = await board.waitFor(application, { patience });
    board.send("lockup\n");
    expect((await board.waitFor(application, { from: first.number + 1, patience })).groups.slice(3)).toEqual(["cold", "2"]);
    expect(board.counts).toMatchObject({ starts: 2, lockups: 1, cuts: 0 });
    expect(events.filter((event) => event.kind === "off")).toMatchObject([{ why: "lockup" }]);
  });

  test("that crashes leaves a coredump, which is read out of its file", async (ctx) => {
    const flash = compose(built(ctx));
    const { board } = await started(flash);
    expect(inspectFlash(flash).coredump).toBeNull();
    const first = await board.waitFor(application, { patience });
    board.send("crash\n");
    await board.waitFor(application, { from: first.number + 1, patience });
    expect(inspectFlash(flash).coredump).toMatchObject({
      kind: "coredump", form: "flash-partition", integrity: "checksum", header: { reasonName: "precise bus fault" }, thread: { name: "standin", stackSure: true },
    });
  });

  test("says why QEMU ended when it does not start", async (ctx) => {
    const flash = compose(built(ctx));
    await expect(QemuBoard.start({ flash, network: false, program: "false" })).rejects.toMatchObject({ code: "boards/qemu" });
    await expect(QemuBoard.start({ flash, network: false, program: "/there/is/none" })).rejects.toThrow("ENOENT");
    expect(holderOf(flash)).toBeUndefined();
  });
});

describe("power cuts", () => {
  test("in every operation of an upgrade, in both styles, end in the new version", async (ctx) => {
    const made = built(ctx);
    const next = made.image("2.0.0", { bytes: 5000 });
    const flash = compose(made);
    let operations = Infinity;
    const { board } = await started(flash, { restart: true });
    let line = (await board.waitFor(application, { patience })).number;
    for (let at = 1; at <= operations; at++) {
      await board.powerCut();
      composeFlash(flash, { bootloader: made.bootloader, image: made.image("1.0.0"), second: { image: next, pending: true }, identity: { device: "lab-1", brokerPort: 0, coapPort: 0, smpPort: 0 } });
      board.armCut(at, at % 2 === 0 ? "spin" : "reset");
      await board.powerOn();
      const booted = await board.waitFor(application, { from: line + 1, patience });
      line = booted.number;
      expect([at, booted.groups[0]]).toEqual([at, "2.0.0+0"]);
      const page = readLaboratory(flash);
      // Past the last operation of the upgrade the cut hits none: then all are done.
      if (page.cuts === 0) {
        operations = at - 1;
      }
      expect(page.violations).toBe(0);
    }
    expect(operations).toBeGreaterThan(8);
    const state = inspectFlash(flash);
    expect(state.slots[0]).toMatchObject({ image: { version: "2.0.0+0", intact: true } });
    expect(state.slots[1]).toMatchObject({ image: null, trailer: { magic: "unset" } });
  });

  test("while it starts, followed by the next start, is no failure of the first", async (ctx) => {
    const { board } = await started(compose(built(ctx)));
    for (let round = 0; round < 3; round++) {
      await board.powerCut();
      const first = board.powerOn();
      await board.powerCut();
      const from = board.console.count;
      await Promise.all([first, board.powerOn()]);
      await board.waitFor(application, { from, patience });
    }
  });

  test("at random moments of an upgrade leave a board that starts", async (ctx) => {
    const made = built(ctx);
    const flash = compose(made);
    const { board } = await started(flash);
    await board.waitFor(application, { patience });
    for (let round = 0; round < 4; round++) {
      await board.powerCut();
      installSecond(flash, made.image(`2.${round}.0`, { bytes: 200_000 }));
      const from = board.console.count;
      await board.powerOn();
      await board.waitFor(/^BOOT upgrade to/, { from, patience });
      // Somewhere in the copy, by chance.
      await board.powerCut();
      await board.powerOn();
      expect((await board.waitFor(application, { from, patience })).groups[0]).toBe(`2.${round}.0+0`);
    }
  });
});
