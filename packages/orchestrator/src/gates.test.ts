// SPDX-License-Identifier: Apache-2.0
import { after, Hours, type Instant, judgementOf, type Millis, type Rollout, waitsFor } from "@coalmine/core";
import { binomialCdf, bootStagePass, eventPassPower } from "@coalmine/evidence";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Conductor } from "./conductor.ts";
import { readRecord } from "./entry.ts";
import { bootLimit, expectedEvents, gateSpecs, stageMargins, weighedCriteria } from "./gate-specs.ts";
import { planJudge } from "./gates.ts";
import { planFromData } from "./plan-file.ts";
import type { LogEntry } from "./ports.ts";
import { readSnapshot, writeSnapshot } from "./snapshot.ts";
import { start } from "./testing/build.ts";
import { live, type LifeOptions, rollout } from "./testing/life.ts";

const kinds: fc.Arbitrary<LifeOptions> = fc.record({
  seed: fc.integer({ min: 1, max: 1_000_000 }),
  reverts: fc.constantFrom(0, 0.02, 0.3),
  crashes: fc.constantFrom(0, 0.002, 0.02),
  crashesOnRelease: fc.constantFrom(0.002, 0.1),
  silent: fc.constantFrom(0, 0.1),
});

function folded(entries: readonly LogEntry[], conductor = new Conductor(planJudge)): Conductor {
  for (const entry of entries) {
    conductor.fold(entry);
  }
  return conductor;
}

/** Evidence and what it says at a moment, as plain data. */
function judged(conductor: Conductor, at: Instant): unknown {
  const state: Rollout = conductor.rollout(rollout);
  return JSON.parse(JSON.stringify({ evidence: state.evidence, judgement: judgementOf(state, planJudge, at) }));
}

test("R21: while a stage soaks, what it waits for tells of the soak once, and it does not pass", () => {
  const { conductor, end } = live({ seed: 7, hours: 4 });
  const state = conductor.rollout(rollout);
  expect([state.status, state.stage]).toEqual(["running", 0]);
  expect(judgementOf(state, planJudge, end).verdict.kind).toBe("inconclusive");
  expect(waitsFor(state, planJudge, end).filter((reason) => reason.includes("soak"))).toEqual(["soak 4h of 6h"]);
  // The moment it is over, the evidence speaks for itself again.
  expect(waitsFor(state, planJudge, after(start, (Hours(6) - 1) as Millis)).filter((reason) => reason.includes("soak"))).toHaveLength(1);
  expect(waitsFor(state, planJudge, after(start, Hours(6)))[0]).toMatch(/\(6 h of at most 24 h\)$/);
});

describe("folding", () => {
  test("I5: a restart from the log, or from a snapshot and the rest of the log, weighs the same to the last bit", () => {
    fc.assert(
      fc.property(kinds, fc.double({ min: 0, max: 1, noNaN: true }), (options, cut) => {
        const { conductor, entries, end } = live(options);
        const expected = judged(conductor, end);
        expect(judged(folded(entries), end)).toEqual(expected);
        const at = Math.floor(cut * entries.length);
        const before = folded(entries.slice(0, at));
        const restored = new Conductor(planJudge, readSnapshot(writeSnapshot(before.state)));
        expect(judged(folded(entries.slice(at), restored), end)).toEqual(expected);
      }),
      { numRuns: 12 },
    );
  });

  test("R52: every report twice, the second time an hour late, is the same evidence and the same decisions", () => {
    fc.assert(
      fc.property(kinds, (options) => {
        const once = live(options);
        const twice = live({ ...options, twice: true });
        expect(judged(twice.conductor, twice.end)).toEqual(judged(once.conductor, once.end));
        expect(twice.conductor.state.counters.duplicates).toBeGreaterThan(100);
      }),
      { numRuns: 8 },
    );
  });

  test("which of several devices speaks first within an hour is no evidence", () => {
    fc.assert(
      fc.property(kinds, (options) => {
        // Without a halt in between: it would change what the others do in that hour.
        const straight = live({ ...options, hours: 7, plan: { alpha: 1e-12 } });
        const reversed = live({ ...options, hours: 7, plan: { alpha: 1e-12 }, reversed: true });
        const readings = (life: typeof straight) => judgementOf(life.conductor.rollout(rollout), planJudge, life.end).gates.map((gate) => gate.evidence);
        expect(readings(reversed)).toEqual(readings(straight));
      }),
      { numRuns: 10 },
    );
  });
});

describe("verdicts", () => {
  test("HALT never comes before its evidence, and a stage never closes with more under way than the plan allows", () => {
    const seen = { halted: 0, closed: 0 };
    fc.assert(
      fc.property(kinds, (options) => {
        const { entries } = live(options);
        const settledAt = new Map<number, number>();
        for (const entry of entries) {
          if (entry.type === "halted") {
            const record = readRecord(entry);
            if (record.type !== "halted") {
              continue;
            }
            const gate = record.gates.find((reading) => reading.gate === record.gate);
            expect(gate?.evidence?.lnEHalt).toBeGreaterThanOrEqual(gate?.evidence?.haltAt ?? Number.POSITIVE_INFINITY);
            expect(gate?.verdict).toBe("fail");
            expect(record.authority.reason).toContain("evidence of harm");
            seen.halted += 1;
          } else if (entry.type === "stage-closed") {
            const record = readRecord(entry);
            if (record.type === "stage-closed") {
              settledAt.set(record.stage, entry.at);
              const boot = record.gates.find((reading) => reading.gate === "boot-confirmation");
              expect(boot?.verdict).toBe("pass");
              seen.closed += 1;
            }
          }
        }
        const { conductor } = live(options);
        for (const [stage, at] of settledAt) {
          const members = conductor.rollout(rollout).members.filter((member) => member.stage === stage);
          const unsettled = members.filter((member) => member.startedAt === null || member.startedAt > at).length;
          expect(unsettled).toBeLessThanOrEqual(0.05 * members.length);
        }
      }),
      { numRuns: 25, seed: 3 },
    );
    // A property about halts and passes says nothing where neither happens.
    expect(seen.halted).toBeGreaterThan(3);
    expect(seen.closed).toBeGreaterThan(3);
  });

  test("R23: nothing passes while more than the allowed share of the canary has neither confirmed nor failed", () => {
    const { conductor, entries } = live({ seed: 5, silent: 0.6, plan: { silence: { floor: "20h", intervals: 3 } }, hours: 18 });
    expect(entries.some((entry) => entry.type === "stage-closed")).toBe(false);
    expect(conductor.rollout(rollout).status).toBe("running");
    expect(conductor.rollout(rollout).stage).toBe(0);
  });

  test("R28: a device that crashes every hour moves the verdict no more than a device", () => {
    const quiet = live({ seed: 9, hours: 12 });
    const reading = judgementOf(quiet.conductor.rollout(rollout), planJudge, quiet.end).gates.find((gate) => gate.gate === "crash-rate");
    expect(reading?.canary.events).toBe(0);
    const { conductor } = live({ seed: 9, hours: 6 });
    const member = conductor.rollout(rollout).members.find((candidate) => candidate.confirmedAt !== null);
    for (let i = 0; i < 1_000; i += 1) {
      planJudge.observe(conductor.rollout(rollout).evidence as never, member as never, { kind: "crash", onRelease: true, signature: "x" }, after(quiet.end, (Hours(1) + i * 1_000) as never));
    }
    const after1000 = judgementOf(conductor.rollout(rollout), planJudge, after(quiet.end, Hours(12))).gates.find((gate) => gate.gate === "crash-rate");
    expect(after1000?.canary.events).toBe(1);
    expect(after1000?.evidence?.lnEHalt).toBeLessThan(1.5);
  });

  test("R19: what the old image still tells of its crashes when the update has begun is no crash of the release", () => {
    const { conductor, end } = live({ seed: 9, hours: 6 });
    const state = conductor.rollout(rollout);
    const member = state.members.find((candidate) => candidate.confirmedAt !== null);
    const crashes = (onRelease: boolean): number | undefined => {
      planJudge.observe(state.evidence as never, member as never, { kind: "crash", onRelease, signature: "x" }, after(end, Hours(onRelease ? 2 : 1)));
      return judgementOf(state, planJudge, after(end, Hours(3))).gates.find((gate) => gate.gate === "crash-rate")?.canary.events;
    };
    expect(crashes(false)).toBe(0);
    expect(crashes(true)).toBe(1);
  });

  test("a good release completes, and its gates name their evidence", () => {
    const { conductor, end } = live({ seed: 2, crashes: 0.0005, crashesOnRelease: 0.0005, hours: 60 });
    const state = conductor.rollout(rollout);
    expect(state.status).toBe("complete");
    expect(state.verdict.kind).toBe("pass");
    const [boot] = judgementOf(state, planJudge, end).gates;
    expect(boot?.reason).toMatch(/^0 of 60 started updates failed \(0 %, limit 0\.5 %\)/);
    expect(boot?.evidence?.haltAt).toBeCloseTo(Math.log(1 / (0.05 * 0.4)), 10);
  });
});

describe("margins", () => {
  const plan = (text: Record<string, unknown>) => planFromData({ gates: "default", ...text });

  test("a harm budget divides by the devices that the next stage adds", () => {
    expect(stageMargins(plan({ harmBudget: "0.5%" }), [100, 900, 4000, 5000]).map((margin) => Number(margin.toFixed(4)))).toEqual([0.0556, 0.0125, 0.01, 0.01]);
  });

  test("without one, a stage excludes what its own size can, and a release at the limit passes nine times of ten", () => {
    const margins = stageMargins(plan({}), [10, 190, 800, 1000]);
    expect(margins[0]).toBeCloseTo(1 - 0.025 ** (1 / 10), 6);
    expect(margins[1]).toBeLessThan(0.04);
    expect(margins[3]).toBe(margins[2]);
    expect(bootLimit(plan({}))).toBeCloseTo(0.005, 12);
  });

  test("without one, event gates exclude what a good release shows by the longest soak; a budget or a margin of its own is kept", () => {
    const fleet = { sizes: [10, 90, 400, 500], controls: [50, 144, 306, 0], slowest: 3_600_000 };
    const asked = (text: Record<string, unknown>) => {
      const one = plan(text);
      return gateSpecs(one, weighedCriteria(one), fleet).find((gate) => gate.kind === "crash") as Extract<ReturnType<typeof gateSpecs>[number], { kind: "crash" | "silence" }>;
    };
    const free = asked({});
    for (const [stage, share] of (free.shares as readonly number[]).slice(0, 3).entries()) {
      expect(free.margins[stage]).toBeCloseTo(1 + share / 0.02, 9);
      const devices = fleet.sizes.slice(0, stage + 1).reduce((sum, size) => sum + size, 0);
      const events = expectedEvents(fleet, stage, { perDay: 0.02, hours: 72, earlier: 24 });
      const byRatio = eventPassPower(free.margins[stage] as number, events);
      let most = -1;
      while (bootStagePass(most + 1, devices, share, 0.025).pass) {
        most += 1;
      }
      expect(Math.max(byRatio, binomialCdf(most, devices, 0.025))).toBeGreaterThanOrEqual(0.949);
    }
    const margins = stageMargins(plan({ harmBudget: "2%" }), fleet.sizes);
    expect(asked({ harmBudget: "2%" }).shares).toEqual(margins);
    expect(asked({ gates: { "crash-rate": { margin: "100%" } } })).toMatchObject({ margins: [2, 2, 2, 2], shares: stageMargins(plan({}), fleet.sizes) });
  });

  test("a holdback is the last stage in two, and must fit", () => {
    expect(plan({ stages: [10, "50%", "100%"], holdback: "3%" }).stages.map((stage) => [stage.name, stage.size])).toEqual([
      ["canary", { kind: "count", count: 10 }],
      ["50%", { kind: "percent", percent: 50 }],
      ["100%", { kind: "percent", percent: 97 }],
      ["holdback", { kind: "percent", percent: 100 }],
    ]);
    expect(() => plan({ stages: [10, "98%", "100%"], holdback: "3%" })).toThrow(/holdback: keeps back a part of the last stage/);
  });
});
