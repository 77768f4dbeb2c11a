// SPDX-License-Identifier: Apache-2.0
// Cycles by COALMINE_KILL_CYCLES, seed by COALMINE_SEED.
import { spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { logEntry } from "@coalmine/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openEventLog } from "./event-log.ts";

const cycles = Number(process.env["COALMINE_KILL_CYCLES"] ?? 16);
const seed = Number(process.env["COALMINE_SEED"] ?? 1);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "coalmine-kill-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Runs the appender until it acknowledged `acknowledgements` entries, kills it, and gives the newest acknowledged one. */
async function appendAndKill(path: string, cycle: number, acknowledgements: number): Promise<{ opened: number; newest: number }> {
  const child = spawn(process.execPath, ["--conditions=source", join(import.meta.dirname, "testing", "appender.ts"), path, String(seed + cycle)], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, NODE_COMPILE_CACHE: join(folder, "compiled") },
  });
  let text = "";
  let lines = 0;
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
    lines += chunk.split("\n").length - 1;
    if (lines > acknowledgements) {
      child.kill("SIGKILL");
    }
  });
  const signal = await new Promise((resolve) => child.once("close", (_, name) => resolve(name)));
  expect(signal).toBe("SIGKILL");
  const whole = text.slice(0, text.lastIndexOf("\n")).split("\n");
  return { opened: Number(whole[0]?.replace("open ", "")), newest: Math.max(0, ...whole.slice(1).map(Number)) };
}

describe("SIGKILL at any moment (I1)", () => {
  it(`loses nothing acknowledged in ${cycles} cycles of seed ${seed}, and the lock goes with the process (I9)`, { timeout: 120_000 + cycles * 1_000 }, async () => {
    // Two logs side by side use both cores; each is killed and reopened again and again.
    const run = async (path: string, first: number): Promise<number> => {
      let acknowledged = 0;
      for (let cycle = first; cycle < cycles; cycle += 2) {
        const { opened, newest } = await appendAndKill(path, cycle, (cycle * 37 + seed * 11) % 400);
        expect(opened).toBeGreaterThanOrEqual(acknowledged);
        acknowledged = Math.max(acknowledged, newest);
        const log = openEventLog(path, { readOnly: true });
        expect(log.length, `cycle ${cycle}`).toBeGreaterThanOrEqual(acknowledged);
        await log.close();
      }
      const log = openEventLog(path);
      expect(log.verify()).toEqual({ ok: true, entries: log.length });
      let wrong = 0;
      for (const { sequence, body } of log.read(0)) {
        wrong += new TextDecoder().decode(body) === `entry ${sequence}` ? 0 : 1;
      }
      expect(wrong).toBe(0);
      await log.close();
      return acknowledged;
    };
    const acknowledged = await Promise.all([run(join(folder, "a.sqlite"), 0), run(join(folder, "b.sqlite"), 1)]);
    expect(Math.min(...acknowledged)).toBeGreaterThan(cycles);
  });
});

describe("power loss (I1)", () => {
  it("keeps everything acknowledged when any part of what was not yet synced is lost or torn", async () => {
    const path = join(folder, "log.sqlite");
    const wal = `${path}-wal`;
    const log = openEventLog(path);
    /** Bytes of the write-ahead log that were synced when `entries` were acknowledged. */
    const synced: { readonly bytes: number; readonly entries: number }[] = [];
    for (let round = 0; round < 20; round += 1) {
      for (let index = 0; index <= round; index += 1) {
        log.append(logEntry({ at: round, body: `entry ${log.length + 1}` }));
      }
      await log.durable();
      synced.push({ bytes: statSync(wal).size, entries: log.length });
    }
    const copy = join(folder, "after", "log.sqlite");
    const whole = readFileSync(wal);
    openEventLog(copy).close().catch(() => undefined);
    for (const [index, { bytes, entries }] of synced.entries()) {
      const next = synced[index + 1]?.bytes ?? bytes;
      for (const [cut, torn] of [
        [bytes, false],
        [bytes + Math.floor((next - bytes) / 3), false],
        [next - 1, true],
      ] as const) {
        for (const name of ["-shm", "-lock", "-head.json"]) {
          rmSync(copy + name, { force: true });
        }
        copyFileSync(path, copy);
        const left = Buffer.from(whole.subarray(0, Math.max(cut, bytes)));
        if (torn && next > bytes) {
          left.fill(0xff, bytes + Math.floor((next - bytes) / 2));
        }
        writeFileSync(`${copy}-wal`, left);
        const after = openEventLog(copy);
        expect(after.length, `cut at ${cut}`).toBeGreaterThanOrEqual(entries);
        expect(after.verify()).toEqual({ ok: true, entries: after.length });
        await after.close();
      }
    }
    expect(existsSync(wal)).toBe(true);
    await log.close();
  });
});
