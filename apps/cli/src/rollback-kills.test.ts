// SPDX-License-Identifier: Apache-2.0
// A rollback in virtual time with the orchestrator killed in it: what is left is its log, and what waits with the links.
import { parseScenario } from "@coalmine/fleet";
import { draw } from "@coalmine/world";
import { expect, test } from "vitest";
import { simulate, type SimResult } from "./sim-engine.ts";

const seed = Number(process.env["COALMINE_SEED"] ?? process.env["SEED"] ?? 7);

const scenario = parseScenario(`
name: rollback-kills
seed: 21
fleet:
  devices: 60
  idPrefix: node-
  hardware:
    - { name: move, board: node, revision: move, mode: swap-move, slotSize: 64KiB }
    - { name: overwrite, board: node, revision: overwrite, mode: overwrite, slotSize: 64KiB }
  imageSize: 12KiB
  noise: { crashesPerDay: 0 }
releases:
  - { version: "1.1.0", size: 12KiB }
  - { version: "1.2.0", size: 12KiB, defects: [{ kind: late-crash, onset: 90m, every: 30m }] }
plan:
  stages: [50%, 100%]
  strata: [hardware]
  offers: { perMinute: 20, jitter: 30s }
  soak: { min: 4h, max: 24h, dutyCycles: 1 }
  updateDeadline: 3h
  confirm: { minUptime: 60s, deadline: 10m }
  gates: { crash-free-devices: { min: 95% } }
  onFail: rollback
rollouts:
  - release: "1.1.0"
    plan: { stages: [100%], strata: [hardware], offers: { perMinute: 6000, jitter: 30s }, soak: { min: 1h, max: 8h, dutyCycles: 1 }, gates: { boot-confirmation: { dryRun: true } } }
  - release: "1.2.0"
expect:
  - { rollout: "1.2.0", rollback: "1.1.0", outcome: complete }
`);

interface Entry {
  readonly at: string;
  readonly type: string;
  readonly device: string | null;
  readonly body: { readonly rollout?: string; readonly offer?: number; readonly rollback?: unknown };
}

async function run(kills: readonly number[]): Promise<{ readonly result: SimResult; readonly entries: readonly Entry[] }> {
  const entries: Entry[] = [];
  const faults = kills.map((at, index) => ({ kind: "orchestrator-kill" as const, at: at as never, off: (1_000 + Math.round(20_000 * draw(seed, "kill", "off", index))) as never }));
  const result = await simulate({ scenario: { ...scenario, faults }, transport: "virtual", trace: (line) => entries.push(JSON.parse(line) as Entry) });
  return { result, entries };
}

const begins = (entries: readonly Entry[]): Entry[] => entries.filter((entry) => entry.type === "rollout-started" && entry.body.rollback !== undefined);

test(`I2, I5, R57: killed at 20 random moments of a rollback it ends as without, and nothing is offered twice (seed ${seed})`, async () => {
  const calm = await run([]);
  const [begun] = begins(calm.entries);
  const ended = calm.entries.find((entry) => entry.type === "completed" && entry.body.rollout === "r3");
  const start = Date.parse(calm.entries[0]?.at ?? "") - (Date.parse(calm.entries[0]?.at ?? "") % 86_400_000);
  const [from, to] = [Date.parse(begun?.at ?? "") - start, Date.parse(ended?.at ?? "") - start];
  expect(to - from).toBeGreaterThan(600_000);
  // From a minute before its start: the halt that brings it may be what is cut short.
  const moments = Array.from({ length: 20 }, (_, index) => Math.round(from - 60_000 + (to - from + 60_000) * draw(seed, "kill", "moment", index))).sort((a, b) => a - b);
  const spaced = moments.map((at, index) => at + index * 25_000);
  const killed = await run(spaced);
  const end = ({ rollouts }: SimResult) => rollouts.map(({ id, release, outcome, states, exposed, rolledBackBy }) => ({ id, release, outcome, states, exposed, rolledBackBy }));
  expect(end(killed.result)).toEqual(end(calm.result));
  expect(killed.result.finalStates).toEqual(calm.result.finalStates);
  expect(begins(killed.entries)).toHaveLength(1);
  expect(killed.entries.filter((entry) => entry.type === "restarted").length).toBeGreaterThanOrEqual(15);
  const offers = killed.entries.filter((entry) => entry.type === "offered" && entry.body.rollout === "r3");
  expect(offers).toHaveLength(30);
  expect(new Set(offers.map((entry) => entry.device)).size).toBe(30);
  expect(new Set(offers.map((entry) => entry.body.offer)).size).toBe(30);
  expect(killed.result.expectations.filter((line) => !line.ok)).toEqual([]);
}, 60_000);

test("R47: the same seed writes the same log, rollback and all", async () => {
  const [one, two] = [await run([]), await run([])];
  expect(two.result.log).toEqual(one.result.log);
}, 60_000);
