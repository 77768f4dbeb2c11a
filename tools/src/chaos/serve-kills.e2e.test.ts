// SPDX-License-Identifier: Apache-2.0
// The small form of `serve-kills.ts`: two kills, forty devices, one release.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { killedRun } from "./killed-run.ts";
import { passable, prepareLab } from "./lab.ts";
import type { Ledger } from "./ledger.ts";
import { killMoments, type Moment } from "./moments.ts";
import { findMosquitto } from "./programs.ts";

const folder = mkdtempSync(join(tmpdir(), "coalmine-kills-"));
const mosquitto = findMosquitto();

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const moments: Moment[] = [
  { phase: "offers of the canaries", due: (ledger) => (ledger.stages[0]?.offered.size ?? 0) >= 4, delay: 0 },
  { phase: "trials of the last stage", due: (ledger) => (ledger.stages[1]?.trying.size ?? 0) >= 8, delay: 5 },
];

test(`a rollout over ${mosquitto === undefined ? "the embedded broker" : "mosquitto"} goes on by restart alone when serve is killed in it (R57)`, async () => {
  // A board that waits ten seconds for a block asks again: that must be longer than a turn of a busy machine. The embedded
  // broker dies with serve, and the seconds until its devices are back must not be a whole trial.
  const speed = mosquitto === undefined ? 100 : 200;
  const lab = prepareLab(folder, { seed: 7, devices: 40, speed, planChanges: { stages: [{ name: "canary", count: 12 }, "100%"], soak: { min: "3m", max: "12h", dutyCycles: 1 }, harmBudget: "50%" } });
  const run = await killedRun({ lab, release: "1.1.0", mosquitto, moments, patience_s: 230 });
  expect(run.checks.filter((check) => !check.ok)).toEqual([]);
  expect(run).toMatchObject({ outcome: "complete", verdict: "pass", states: { healthy: 40 }, offersDecided: 40 });
  expect(run.kills.map((kill) => [kill.phase, kill.signal])).toEqual(moments.map((moment) => [moment.phase, "SIGKILL"]));
}, 240_000);

test("kills hit every phase once before any twice, and the same ones for a seed", () => {
  for (const kind of ["good", "bad"] as const) {
    const phases = killMoments(kind, { count: 20, seed: 7, speed: 60 });
    expect(phases.filter((moment) => moment.signal === undefined)).toHaveLength(20);
    expect(phases.filter((moment) => moment.outage !== undefined).length).toBeGreaterThan(0);
    const told = (seed: number): string => JSON.stringify(killMoments(kind, { count: 3, seed, speed: 60 }));
    expect(told(1)).toBe(told(1));
    expect(told(1)).not.toBe(told(2));
  }
});

test("a moment whose phase is over is due: a kill never waits for what cannot come any more", () => {
  for (const moment of killMoments("bad", { count: 20, seed: 7, speed: 60 })) {
    expect(moment.due({ status: "halted", stages: [], reverted: new Set() } as unknown as Ledger)).toBe(true);
  }
});

test("a plan that a fleet of this size cannot pass gets a larger second stage, or is refused before anybody waits for its end", () => {
  const plan = { name: "kills", stages: [{ name: "canary", count: 12 }, "25%", "100%"], soak: { min: "8m", max: "12h" }, gates: { "boot-confirmation": {} }, harmBudget: "10%" };
  const second = (devices: number): unknown => (passable(plan, devices)["stages"] as readonly unknown[])[1];
  expect([500, 100, 60, 40].map(second)).toEqual(["25%", "25%", "40%", "50%"]);
  expect(() => passable({ ...plan, harmBudget: "1%" }, 60)).toThrow(/60 devices: .*cannot exclude a failure rate/);
});
