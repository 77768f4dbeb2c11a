// SPDX-License-Identifier: Apache-2.0
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { settled } from "./assignment.ts";
import { apply, command, decide, waitsFor } from "./conduct.ts";
import type { Decision, Signal } from "./decision.ts";
import type { DeviceId } from "./ids.ts";
import { memberOf } from "./agenda.ts";
import { beginRollout, type Rollout, stateCounts } from "./rollout.ts";
import { signal } from "./signal.ts";
import { aPlan, start, started, toldJudge } from "./testing/build.ts";
import { after, Hours, type Instant, Minutes, Seconds } from "./time.ts";
import type { Judge, Verdict } from "./verdict.ts";

const wait: Verdict = { kind: "inconclusive", missing: ["more"] };
const bad: Verdict = { kind: "fail", gate: "boot-confirmation", metric: "boot-confirmation", reason: "2 of 2 reverted" };
const by = { by: "ada", reason: "because" };

function fresh(verdict: Verdict = wait, sizes: readonly number[] = [2, 3, 5]) {
  const judge = toldJudge(verdict);
  const decision = started(aPlan(), sizes);
  const rollout = beginRollout(decision, start, judge);
  return { judge, rollout, decision };
}

const heard = (change: Partial<Extract<Signal, { kind: "heard" }>> = {}): Signal => ({
  kind: "heard",
  interval: Minutes(5),
  onRelease: false,
  confirmed: true,
  boot: 1,
  metrics: {},
  ...change,
});

const id = (text: string): DeviceId => text as DeviceId;

/** Takes a member through a good update that ends at `at` + soak. */
function updateWell(rollout: Rollout, judge: Judge, device: DeviceId, at: Instant): void {
  for (const state of ["downloading", "downloaded", "applying", "testing"] as const) {
    signal(rollout, judge, device, { kind: "progress", state }, at);
  }
  signal(rollout, judge, device, heard({ onRelease: true }), at);
  signal(rollout, judge, device, heard({ onRelease: true }), after(at, Minutes(5)));
  signal(rollout, judge, device, heard({ onRelease: true }), after(at, Hours(2)));
}

describe("offers", () => {
  test("R8: only members of the open stage are offered the release, each under its own number", () => {
    const { judge, rollout } = fresh();
    const decisions = decide(rollout, judge, start, { tick: true });
    expect(decisions.filter((d) => d.type === "offered")).toEqual([
      { type: "offered", rollout: "r1", device: "d0", offer: 101 },
      { type: "offered", rollout: "r1", device: "d1", offer: 102 },
    ]);
    expect(stateCounts(rollout)).toEqual({ planned: 8, offered: 2 });
  });

  test("R10: offers keep the cap in every minute, and the rest wait their turn", () => {
    const judge = toldJudge(wait);
    const plan = aPlan({ stages: [{ name: "all", size: { kind: "percent", percent: 100 } }], offers: { perMinute: 60, jitter: Seconds(0) } });
    const rollout = beginRollout(started(plan, [1_000]), start, judge);
    const offeredAt: number[] = [];
    for (let second = 0; second < 300; second += 1) {
      const now = after(start, Seconds(second));
      offeredAt.push(...decide(rollout, judge, now, { tick: true }).filter((d) => d.type === "offered").map(() => now as number));
    }
    for (const from of offeredAt) {
      expect(offeredAt.filter((at) => at >= from && at < from + 60_000).length).toBeLessThanOrEqual(60);
    }
    expect(offeredAt.length).toBeGreaterThan(250);
  });

  test("R10: a device that is silent is not offered anything until it is heard", () => {
    const { judge, rollout } = fresh();
    const later = after(start, Hours(1));
    expect(decide(rollout, judge, later, { tick: true }).filter((d) => d.type === "offered")).toEqual([]);
    signal(rollout, judge, id("d1"), heard(), later);
    expect(decide(rollout, judge, later, { tick: false }).filter((d) => d.type === "offered")).toHaveLength(1);
  });
});

describe("a good release", () => {
  test("goes stage by stage to completion, and the states sum to the membership (R38)", () => {
    const { judge, rollout } = fresh({ kind: "pass" });
    let now = start;
    for (let step = 0; step < 3; step += 1) {
      decide(rollout, judge, now, { tick: true });
      for (const member of rollout.members) {
        signal(rollout, judge, member.device, heard({ onRelease: member.confirmedAt !== null }), now);
      }
      for (const d of decide(rollout, judge, now, { tick: true })) {
        void d;
      }
      for (const member of rollout.members.filter((m) => m.state === "offered")) {
        updateWell(rollout, judge, member.device, now);
      }
      now = after(now, Hours(2));
      for (const member of rollout.members) {
        signal(rollout, judge, member.device, heard({ onRelease: member.confirmedAt !== null }), now);
      }
      decide(rollout, judge, now, { tick: true });
    }
    expect(rollout.status).toBe("complete");
    expect(stateCounts(rollout)).toEqual({ healthy: 10 });
  });

  test("R23: an inconclusive verdict never promotes: it waits to the longest soak, then holds", () => {
    const { judge, rollout } = fresh(wait, [2, 3, 5]);
    decide(rollout, judge, start, { tick: true });
    updateWell(rollout, judge, id("d0"), start);
    updateWell(rollout, judge, id("d1"), start);
    for (const hours of [2, 4]) {
      signal(rollout, judge, id("d0"), heard({ onRelease: true }), after(start, Hours(hours)));
      signal(rollout, judge, id("d1"), heard({ onRelease: true }), after(start, Hours(hours)));
      expect(decide(rollout, judge, after(start, Hours(hours)), { tick: true })).toEqual([]);
    }
    signal(rollout, judge, id("d0"), heard({ onRelease: true }), after(start, Hours(7)));
    signal(rollout, judge, id("d1"), heard({ onRelease: true }), after(start, Hours(7)));
    const [held] = decide(rollout, judge, after(start, Hours(7)), { tick: true });
    expect(held?.type).toBe("held");
    expect(rollout.stage).toBe(0);
  });

  test("R23: an inconclusive verdict without a reason does not promote either", () => {
    const { judge, rollout } = fresh({ kind: "inconclusive", missing: [] });
    decide(rollout, judge, start, { tick: true });
    const later = after(start, Hours(2));
    for (const device of ["d0", "d1"]) {
      updateWell(rollout, judge, id(device), start);
    }
    signal(rollout, judge, id("d0"), heard({ onRelease: true }), later);
    expect(decide(rollout, judge, later, { tick: true })).toEqual([]);
    expect(waitsFor(rollout, judge, later)).toEqual(["not enough evidence yet"]);
    judge.verdict = { kind: "pass" };
    expect(decide(rollout, judge, later, { tick: true }).map((decision) => decision.type)).toContain("stage-closed");
  });

  test("R40: devices that a halt marked count among those on the release when it is resumed", () => {
    const judge = toldJudge({ kind: "pass" });
    const plan = aPlan({ stages: [{ name: "all", size: { kind: "percent", percent: 100 } }], rollbackShareMin: 0.8 });
    const rollout = beginRollout(started(plan, [2]), start, judge);
    decide(rollout, judge, start, { tick: true });
    for (const device of ["d0", "d1"]) {
      updateWell(rollout, judge, id(device), start);
    }
    const later = after(start, Hours(2));
    command(rollout, judge, { kind: "halt", authority: by }, later);
    command(rollout, judge, { kind: "resume", authority: by }, later);
    expect(stateCounts(rollout)).toEqual({ quarantined: 2 });
    decide(rollout, judge, later, { tick: true });
    expect(rollout.status).toBe("running");
    expect(waitsFor(rollout, judge, later)).toEqual([expect.stringMatching(/^0 of 2 devices on the release keep an intact earlier image, 80 %/)]);
  });

  test("R29: a named override opens the next stage; without a name or a reason nothing happens", () => {
    const { judge, rollout } = fresh();
    decide(rollout, judge, start, { tick: true });
    expect(() => command(rollout, judge, { kind: "promote", authority: { by: "ada", reason: " " } }, start)).toThrow(/needs a name and a reason/);
    expect(rollout.stage).toBe(0);
    command(rollout, judge, { kind: "promote", authority: by }, start);
    expect(rollout.stage).toBe(1);
  });

  test("R21: a soak covers three duty cycles of the slowest member", () => {
    const judge = toldJudge({ kind: "pass" });
    const decision = started(aPlan(), [2, 3, 5]);
    const slow = { ...decision, members: decision.members.map((m, i) => (i === 1 ? { ...m, interval: Hours(24) } : m)) };
    const rollout = beginRollout(slow, start, judge);
    expect(rollout.soakMin).toBe(Hours(72));
  });
});

describe("a bad release", () => {
  test("R25, R30: halts at once, takes back what has not rebooted, and offers nothing more", () => {
    const { judge, rollout } = fresh();
    decide(rollout, judge, start, { tick: true });
    signal(rollout, judge, id("d0"), { kind: "progress", state: "applying" }, start);
    signal(rollout, judge, id("d1"), { kind: "progress", state: "downloading" }, start);
    judge.verdict = bad;
    signal(rollout, judge, id("d0"), { kind: "ended", outcome: "reverted", reason: "watchdog" }, after(start, Minutes(9)));
    const [halted] = decide(rollout, judge, after(start, Minutes(9)), { tick: false });
    expect(halted?.type).toBe("halted");
    expect(memberOf(rollout, id("d1"))?.state).toBe("planned");
    expect(stateCounts(rollout)).toEqual({ planned: 9, reverted: 1 });
    for (let minute = 10; minute < 300; minute += 10) {
      for (const member of rollout.members) {
        signal(rollout, judge, member.device, heard(), after(start, Minutes(minute)));
      }
      expect(decide(rollout, judge, after(start, Minutes(minute)), { tick: true })).toEqual([]);
    }
  });

  test("a device that confirms a halted release is quarantined, not healthy", () => {
    const { judge, rollout } = fresh();
    decide(rollout, judge, start, { tick: true });
    signal(rollout, judge, id("d0"), { kind: "progress", state: "testing" }, start);
    judge.verdict = bad;
    decide(rollout, judge, after(start, Seconds(1)), { tick: true });
    signal(rollout, judge, id("d0"), heard({ onRelease: true }), after(start, Minutes(2)));
    expect(memberOf(rollout, id("d0"))?.state).toBe("quarantined");
  });

  test("R32: a resume overrides the gate by name; the rollout goes on where it stood", () => {
    const { judge, rollout } = fresh(bad);
    decide(rollout, judge, start, { tick: true });
    expect(rollout.status).toBe("halted");
    judge.verdict = wait;
    command(rollout, judge, { kind: "resume", authority: by }, start);
    expect(rollout.overrides).toEqual(["boot-confirmation"]);
    expect(decide(rollout, judge, start, { tick: true }).map((d) => d.type)).toEqual(["offered", "offered"]);
  });
});

describe("silence", () => {
  test("R26: an offered device that falls silent is missing, and comes back when it is heard", () => {
    const { judge, rollout } = fresh();
    decide(rollout, judge, start, { tick: true });
    signal(rollout, judge, id("d0"), { kind: "progress", state: "applying" }, start);
    decide(rollout, judge, after(start, Minutes(16)), { tick: true });
    expect(memberOf(rollout, id("d0"))?.state).toBe("missing");
    signal(rollout, judge, id("d0"), heard({ onRelease: true, confirmed: false }), after(start, Minutes(20)));
    expect(memberOf(rollout, id("d0"))?.state).toBe("testing");
  });

  test("I11: a device that talks but never confirms fails at the deadline, not stuck for ever", () => {
    const { judge, rollout } = fresh();
    decide(rollout, judge, start, { tick: true });
    for (let minute = 5; minute <= 150; minute += 5) {
      for (const device of ["d0", "d1"]) {
        signal(rollout, judge, id(device), heard(), after(start, Minutes(minute)));
      }
      decide(rollout, judge, after(start, Minutes(minute)), { tick: true });
    }
    expect(memberOf(rollout, id("d0"))?.state).toBe("failed");
    expect(memberOf(rollout, id("d0"))?.reason).toMatch(/no confirmation 2h 15m after the offer/);
  });

  test("an image that runs unconfirmed for ever fails once, stays failed, and is not taken for reverted", () => {
    const { judge, rollout } = fresh();
    decide(rollout, judge, start, { tick: true });
    const states = new Set<string>();
    for (let minute = 5; minute <= 600; minute += 5) {
      for (const device of ["d0", "d1"]) {
        signal(rollout, judge, id(device), heard({ onRelease: true, confirmed: false }), after(start, Minutes(minute)));
      }
      if (minute === 60) {
        signal(rollout, judge, id("d1"), { kind: "ended", outcome: "failed", reason: "runs unconfirmed: the bootloader does not revert it" }, after(start, Minutes(minute)));
      }
      decide(rollout, judge, after(start, Minutes(minute)), { tick: true });
      states.add(`${minute > 60 ? "late" : "early"} ${memberOf(rollout, id("d1"))?.state}`);
    }
    expect(memberOf(rollout, id("d0"))).toMatchObject({ state: "failed", reason: expect.stringMatching(/no confirmation .* last seen testing/) as string });
    expect(memberOf(rollout, id("d1"))).toMatchObject({ state: "failed", reason: "runs unconfirmed: the bootloader does not revert it" });
    expect([...states]).toEqual(["early testing", "early failed", "late failed"]);
    // It confirmed after all, by somebody's hand: that is seen too.
    signal(rollout, judge, id("d1"), heard({ onRelease: true, confirmed: true }), after(start, Minutes(605)));
    expect(memberOf(rollout, id("d1"))?.state).toBe("confirmed");
  });
});

/** A random life: signals, time and orders in any order. */
const happening = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("pass" as const), minutes: fc.integer({ min: 1, max: 90 }) }) },
  {
    weight: 20,
    arbitrary: fc.record({
      kind: fc.constant("signal" as const),
      device: fc.integer({ min: 0, max: 9 }),
      what: fc.oneof(
        fc.record({ kind: fc.constant("heard" as const), interval: fc.constant(Minutes(5)), onRelease: fc.boolean(), confirmed: fc.boolean(), boot: fc.constant(1), metrics: fc.constant({}) }),
        fc.record({ kind: fc.constant("progress" as const), state: fc.constantFrom("downloading" as const, "downloaded" as const, "applying" as const, "testing" as const) }),
        fc.record({ kind: fc.constant("ended" as const), outcome: fc.constantFrom("reverted" as const, "refused" as const, "failed" as const), reason: fc.constant("x") }),
        fc.record({ kind: fc.constant("deferred" as const), reason: fc.constant("battery"), until: fc.constant(after(start, Hours(1))) }),
        fc.record({ kind: fc.constant("crash" as const), onRelease: fc.boolean(), signature: fc.constant("x") }),
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("order" as const), order: fc.constantFrom("promote" as const, "hold" as const, "halt" as const, "resume" as const, "abort" as const) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("verdict" as const), verdict: fc.constantFrom<Verdict>({ kind: "pass" }, wait, bad) }),
  },
);

const seed = Number(process.env["SEED"] ?? 20261123);

describe(`properties (seed ${seed})`, () => {
  test("R2, R8, R30, R38 hold in every random life, and the decisions alone rebuild the same rollout (I5)", () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 120 }), (life) => {
        const { judge, rollout, decision } = fresh();
        const log: { at: Instant; decision?: Decision; signal?: { device: DeviceId; what: Signal } }[] = [];
        let now = start;
        let halted = false;
        const record = (decisions: readonly Decision[]): void => {
          for (const made of decisions) {
            log.push({ at: now, decision: made });
            if (made.type === "offered") {
              const member = memberOf(rollout, made.device);
              expect(member).toBeDefined(); // R2
              expect(member?.stage).toBeLessThanOrEqual(rollout.stage); // R8
              expect(halted).toBe(false); // R30
            }
            halted = made.type === "halted" || made.type === "aborted" || (halted && made.type !== "resumed");
          }
        };
        record(decide(rollout, judge, now, { tick: true }));
        for (const event of life) {
          switch (event.kind) {
            case "pass":
              now = after(now, Minutes(event.minutes));
              record(decide(rollout, judge, now, { tick: true }));
              break;
            case "signal": {
              const device = id(`d${event.device}`);
              log.push({ at: now, signal: { device, what: event.what } });
              signal(rollout, judge, device, event.what, now);
              record(decide(rollout, judge, now, { tick: false }));
              break;
            }
            case "order":
              try {
                record(command(rollout, judge, { kind: event.order, authority: by }, now));
              } catch (error) {
                expect((error as { code?: string }).code).toBe("rollout/status");
              }
              break;
            case "verdict":
              judge.verdict = event.verdict;
              break;
          }
          const counts = Object.values(stateCounts(rollout)).reduce((sum, count) => sum + count, 0);
          expect(counts).toBe(10); // R38
        }
        const replayed = beginRollout(decision, start, judge);
        for (const line of log) {
          if (line.decision !== undefined) {
            apply(replayed, judge, line.decision, line.at);
          } else if (line.signal !== undefined) {
            signal(replayed, judge, line.signal.device, line.signal.what, line.at);
          }
        }
        expect({ ...replayed, index: undefined }).toEqual({ ...rollout, index: undefined });
      }),
      { seed, numRuns: 300 },
    );
  });

  test("every member of an ended rollout with offers is settled or was never begun", () => {
    const { judge, rollout } = fresh({ kind: "pass" });
    decide(rollout, judge, start, { tick: true });
    command(rollout, judge, { kind: "promote", authority: by }, start);
    command(rollout, judge, { kind: "promote", authority: by }, start);
    command(rollout, judge, { kind: "promote", authority: by }, start);
    expect(rollout.status).toBe("complete");
    expect(rollout.members.every((member) => settled.has(member.state))).toBe(true);
  });
});
