// SPDX-License-Identifier: Apache-2.0
import { Hours, type Millis, Minutes } from "@coalmine/core";
import { expect, test } from "vitest";
import { planFromData } from "./plan-file.ts";
import { newHistory } from "./history.ts";
import { assumedRates, describePower, measuredRates, type PlanSizes, planPower } from "./power.ts";

const sizes = (counts: readonly number[], slowest: Millis = Hours(1)): PlanSizes => ({
  slowest,
  stages: counts.map((size, index) => ({ name: index === 0 ? "canary" : `stage ${index}`, size, controls: index === counts.length - 1 ? 0 : 5 * size })),
});
const plan = (text: Record<string, unknown> = {}) => planFromData({ gates: "default", ...text });

test("a plan says what its canary detects, how long a good release takes, and what a pass can still harm", () => {
  const power = planPower(plan(), sizes([100, 900, 4_000, 5_000]));
  expect(power.lines.map((line) => line.gate)).toEqual(["boot-confirmation", "crash-rate", "silence", "battery-drain"]);
  const [boot, crash] = power.lines;
  expect(boot).toMatchObject({ devices: 100, hours: 24, withProbability: 0.9 });
  expect(boot?.detects).toBeGreaterThan(0.04);
  expect(boot?.detects).toBeLessThan(0.12);
  expect(crash?.words).toMatch(/^100 canaries and 24 h detect \d+(\.\d+)? times the crash rate or more with probability 0\.9$/);
  expect(power.stages[0]).toMatchObject({ stage: "canary", devices: 100, controls: 500 });
  expect(power.stages[0]?.harmedAtWorst).toBe(Math.ceil((power.stages[0]?.margin ?? 0) * 900));
  expect(power.hoursToComplete).toBeGreaterThan(4 * 24);
  expect(describePower(power).at(-1)).toMatch(/^a good release reaches everybody after about \d+ h; about \d+ of 10 do so without a hold$/);
});

test("larger canaries and longer soaks see smaller regressions", () => {
  const detects = (canaries: number, soak: string): number[] => planPower(plan({ soak }), sizes([canaries, 1_000, 4_000])).lines.map((line) => line.detects ?? Number.POSITIVE_INFINITY);
  const [small, large, long] = [detects(30, "24h"), detects(300, "24h"), detects(30, "72h")] as [number[], number[], number[]];
  expect(large.every((value, gate) => value < (small[gate] as number))).toBe(true);
  expect(long[1]).toBeLessThan(small[1] as number);
});

test("a harm budget that the stages cannot prove is a warning with the number that could", () => {
  const power = planPower(plan({ harmBudget: "0.5%" }), sizes([10, 190, 800, 1_000]));
  expect(power.hoursToComplete).toBeNull();
  expect(power.warnings).toContain(
    'stage "canary": 10 devices cannot exclude a failure rate of 5.26 %, 56 without one failure would: expect a hold; enlarge the stage, shrink the next one, or allow a larger harmBudget',
  );
});

test("a margin that good releases rarely show by the longest soak is a warning with how many do; controls count", () => {
  const tight = (controls: number) =>
    planPower(plan({ gates: { "crash-rate": { margin: "100%" } } }), { slowest: Hours(1), stages: [{ name: "canary", size: 200, controls }, { name: "all", size: 1_800, controls: 0 }] }).warnings.filter((line) => line.includes("crash-rate"));
  expect(tight(1_000)).toEqual([expect.stringMatching(/^stage "canary": about [3-7] of 10 good releases show by the longest soak of (72h|3d) that crash-rate is no more than 2 times that of the controls: expect a hold; raise soak\.max, enlarge/)]);
  expect(tight(2)).toEqual([expect.stringMatching(/^stage "canary": (about [12] of 10 good releases show|hardly a good release shows) by/)]);
  expect(planPower(plan(), sizes([100, 900, 4_000, 5_000])).warnings.filter((line) => line.includes("good release"))).toEqual([]);
});

test("R21: a soak shorter than the duty cycles of the slowest devices is extended, and says so", () => {
  const power = planPower(plan({ soak: { min: "1h", max: "6h" } }), sizes([50, 200, 250], Hours(24)));
  expect(power.warnings[0]).toMatch(/^soak\.min of 1h is shorter than 3 duty cycles of the slowest devices, which report every (24h|1d): every stage soaks for (72h|3d) at least$/);
  expect(power.stages[0]?.hours).toBeGreaterThanOrEqual(72);
});

test("an onset that the plan means to guard and the soak does not reach is a warning", () => {
  const warned = (onset: string): boolean => planPower(plan({ soak: { min: "24h", onset } }), sizes([100, 400, 500], Minutes(5))).warnings.some((line) => line.startsWith("soak.onset"));
  expect(warned("48h")).toBe(true);
  expect(warned("12h")).toBe(false);
});

test("rates come from what devices reported, once they have reported for long enough", () => {
  const device = (days: number, crashes: number) =>
    ({
      firstSeen: 0, lastSeen: Hours(24 * days), crashes, battery: crashes === 0 ? null : 80,
      history: { ...newHistory(), watched: Hours(24 * days), crashDays: crashes, silences: crashes },
    }) as never;
  expect(measuredRates([device(1, 5)])).toEqual({ ...assumedRates, battery: 1 });
  expect(measuredRates([device(100, 3), device(100, 0)])).toMatchObject({ crashes: 3 / 200, silences: 3 / 200, battery: 0.5, baseline: { deviceDays: 200, crash: 3 / 200, silence: 3 / 200 } });
  expect(measuredRates([device(1_000, 0)]).crashes).toBe(0.001);
});
