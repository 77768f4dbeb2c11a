// SPDX-License-Identifier: Apache-2.0
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type BoundGateSpec, crashFree, type GateObservation, type GateSpec, type GatesSpec, type GatesState, judge, observe, observeSamples, openGates, type ShareEvent, type StageLook } from "./index.ts";

const HOUR = 3_600_000;
const T0 = 1_700_000_000_000;

const spec: GatesSpec = {
  alpha: 0.05,
  alphaPass: 0.05,
  origin: T0,
  seed: "r1",
  stages: [{ devices: 20, controls: 40 }, { devices: 200, controls: 0 }],
  gates: [
    { kind: "boot", name: "boot", weight: 0.4, limit: 0.005, margins: [0.0556, 0.0125] },
    { kind: "crash", name: "crash", weight: 0.3, margins: [3.8, 1.63], shares: [0.3, 0.1], window: 6 * HOUR },
    { kind: "silence", name: "silence", weight: 0.1, margins: [28.8, 7.25], shares: [0.3, 0.1], window: 6 * HOUR, settle: 2 * HOUR },
    {
      kind: "metric", name: "battery", weight: 0.2, metric: "drain", worse: "higher", scale: "ln", tau: Math.log(1.1),
      margins: [Math.log(1.3), Math.log(1.15)],
    },
    { kind: "share", name: "loops", weight: 0.1, event: "looped", limit: 0.1, margins: [0.4], dryRun: true },
    { kind: "bound", name: "free", weight: 0.1, metric: "free", source: "crash-free-hours", worse: "lower", scale: "raw", bound: 0.9, tau: 0.1, baselineWindow: 0, dryRun: true },
    { kind: "bound", name: "most", weight: 0.1, metric: "drain", worse: "higher", scale: "ln", bound: Math.log(2), tau: 0.1, baselineWindow: 0, dryRun: true },
    { kind: "metric", name: "usual", weight: 0.1, metric: "drain", worse: "higher", scale: "ln", tau: 0.1, margins: [0.3], baselineFromStage: 1, usual: true, dryRun: true },
  ],
};

const look: StageLook = {
  stage: 0, now: T0 + 48 * HOUR, openedAt: T0, minSoakHours: 36, maxSoakHours: 168, target: 20, representative: "yes",
};

const fresh = (): GatesState => openGates(structuredClone(spec));

function folded(observations: readonly GateObservation[], state = fresh()): GatesState {
  for (const observation of observations) observe(state, observation);
  return state;
}

// A small world: canaries c0..c5, controls k0..k5, one of which is updated later.
const device = fc.constantFrom("c0", "c1", "c2", "c3", "c4", "c5", "k0", "k1", "k2", "k3", "k4", "k5");
const time = fc.integer({ min: 0, max: 48 }).map((h) => T0 + h * HOUR);
const placement = fc.record({ stage: fc.constantFrom(0, 1), hardware: fc.constantFrom("A", "B"), connectivity: fc.constant("wifi") });
const observation: fc.Arbitrary<GateObservation> = fc.oneof(
  fc.record({ kind: fc.constant("updateStarted" as const), device, at: time, placement }),
  fc.record({ kind: fc.constant("controlStart" as const), device, at: time, placement }),
  fc.record({ kind: fc.constantFrom("confirmed" as const, "reverted" as const, "overdue" as const, "returned" as const, "looped" as const), device, at: time }),
  fc.record({ kind: fc.constant("baseline" as const), device, at: time, name: fc.constant("drain"), value: fc.constantFrom(0.5, 1, 2) }),
  { arbitrary: fc.record({ kind: fc.constant("crash" as const), device, at: time }), weight: 4 },
  fc.record({ kind: fc.constantFrom("controlCensored" as const, "withdrawn" as const), device, at: time }),
);

// Every device in an arm from the start, so that random events mean something.
const enrolled: GateObservation[] = [];
for (let i = 0; i < 6; i++) {
  const place = { stage: 0, hardware: i % 2 === 0 ? "A" : "B", connectivity: "wifi" };
  enrolled.push({ kind: "updateStarted", device: `c${i}`, at: T0 + i * HOUR, placement: place });
  enrolled.push({ kind: "confirmed", device: `c${i}`, at: T0 + (i + 1) * HOUR });
  enrolled.push({ kind: "controlStart", device: `k${i}`, at: T0 + i * HOUR, placement: place });
  for (let h = -6; h < 20; h++) {
    for (const id of [`c${i}`, `k${i}`]) {
      const value = Math.exp(0.3 * Math.sin(7 * h + i) + (id === `c${i}` && h > 5 ? 0.4 : 0));
      enrolled.push({ kind: "metricSample", device: id, at: T0 + h * HOUR, name: "drain", value });
    }
  }
}

describe("folding", () => {
  test("neither order nor repeats change state or judgement, to the last bit", () => {
    fc.assert(
      fc.property(fc.array(observation, { maxLength: 60 }), fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), (extra, draws) => {
        const all = [...enrolled, ...extra];
        const shuffled = [...all, ...extra.slice(0, 20)]
          .map((o) => ({ o, key: draws.next().value as number }))
          .sort((a, b) => a.key - b.key)
          .map(({ o }) => o);
        const straight = folded(all);
        const other = fresh();
        // Judging in between must not leave a trace either.
        for (const [i, o] of shuffled.entries()) {
          observe(other, o);
          if (i % 50 === 0) judge(other, look);
        }
        expect(other).toEqual(straight);
        expect(judge(other, look)).toEqual(judge(straight, look));
      }),
      { numRuns: 60 },
    );
  });

  test("samples that come in one report are folded as if each came alone; a report without any leaves no trace", () => {
    const [together, alone] = [fresh(), fresh()];
    for (const state of [together, alone]) observe(state, { kind: "updateStarted", device: "c0", at: T0, placement: { stage: 0, hardware: "A", connectivity: "wifi" } });
    const values = { drain: 2, free: Number.NaN, temp: 4 };
    observeSamples(together, "c0", T0 + HOUR, ["drain", "free", "other"], values);
    observeSamples(together, "c1", T0 + HOUR, ["other"], values);
    for (const name of ["drain", "free"] as const) observe(alone, { kind: "metricSample", device: "c0", at: T0 + HOUR, name, value: values[name] });
    expect(together).toEqual(alone);
    expect(together.devices["c0"]?.samples["drain"]).toEqual({ at: [T0 + HOUR], value: [2] });
  });

  test("a state that went through JSON re-folds to the same numbers", () => {
    fc.assert(
      fc.property(fc.array(observation, { maxLength: 60 }), (extra) => {
        const state = folded([...enrolled, ...extra]);
        const restored = JSON.parse(JSON.stringify(state)) as GatesState;
        expect(judge(restored, look)).toEqual(judge(state, look));
        // And goes on as if nothing had happened.
        const next: GateObservation = { kind: "crash", device: "c1", at: T0 + 47 * HOUR };
        observe(state, next);
        observe(restored, next);
        expect(judge(restored, look)).toEqual(judge(state, look));
      }),
      { numRuns: 40 },
    );
  });

  test("one device crashing 1,000 times weighs as much as one crashing every six hours at most", () => {
    const storm = Array.from({ length: 1000 }, (_, i): GateObservation => ({ kind: "crash", device: "c0", at: T0 + 2 * HOUR + i * 60_000 }));
    const once = judge(folded([...enrolled, storm[0] as GateObservation]), look).gates[1];
    const thousand = judge(folded([...enrolled, ...storm]), look).gates[1];
    expect(thousand?.canary.events).toBe(1);
    expect(thousand?.lnEHalt).toBe(once?.lnEHalt);
  });
});

describe("verdicts", () => {
  test("HALT never comes before the evidence threshold, and PASS never with too many unresolved devices", () => {
    fc.assert(
      fc.property(fc.array(observation, { maxLength: 80 }), fc.integer({ min: 0, max: 30 }), (extra, pending) => {
        const starts = Array.from({ length: pending }, (_, i): GateObservation => ({
          kind: "updateStarted", device: `p${i}`, at: T0, placement: { stage: 0, hardware: "A", connectivity: "wifi" },
        }));
        const judgement = judge(folded([...enrolled, ...starts, ...extra]), look);
        if (judgement.verdict.kind === "halt") {
          for (const name of judgement.verdict.gates) {
            const gate = judgement.gates.find((g) => g.name === name);
            expect(gate?.lnEHalt).toBeGreaterThanOrEqual(gate?.threshold ?? Infinity);
          }
        }
        if (judgement.verdict.kind === "advance") {
          expect(judgement.resolved).toBeGreaterThanOrEqual(0.95 * judgement.started);
          expect(judgement.gates.every((gate) => gate.passed)).toBe(true);
        }
        expect(judgement.reasons.length).toBeGreaterThan(0);
      }),
      { numRuns: 100 },
    );
  });

  const started = (n: number, hardware = "A"): GateObservation[] =>
    Array.from({ length: n }, (_, i) => ({
      kind: "updateStarted", device: `d${i}`, at: T0 + i * 1000, placement: { stage: 0, hardware, connectivity: "wifi" },
    }));

  test("failures that report faster than confirmations do not halt: pending devices count as healthy", () => {
    const observations = [...started(60), { kind: "reverted", device: "d3", at: T0 + HOUR } as const];
    const judgement = judge(folded(observations), { ...look, now: T0 + 2 * HOUR });
    expect(judgement.verdict).toEqual({ kind: "wait", reason: "min-soak" });
    expect(judgement.gates[0]?.lnEHalt).toBeLessThan(2);
  });

  test("20 % boot failures halt within the canary and the reason names counts and limit", () => {
    const failures = ["d1", "d4", "d9", "d12"].map((id): GateObservation => ({ kind: "reverted", device: id, at: T0 + HOUR }));
    const judgement = judge(folded([...started(20), ...failures]), look);
    expect(judgement.verdict).toEqual({ kind: "halt", gates: ["boot"] });
    expect(judgement.outcome).toBe("fail");
    expect(judgement.reasons[0]).toContain("4 of 20 started updates failed (20 %, limit 0.5 %)");
  });

  test("an overridden gate is shown but no longer halts", () => {
    const failures = ["d1", "d4", "d9", "d12"].map((id): GateObservation => ({ kind: "reverted", device: id, at: T0 + HOUR }));
    const judgement = judge(folded([...started(20), ...failures]), { ...look, overrides: ["boot"] });
    expect(judgement.verdict.kind).toBe("wait");
    expect(judgement.gates[0]?.lnEHalt).toBeGreaterThan(5);
    expect(judgement.gates[0]?.enforced).toBe(false);
  });

  test("a device overdue before it confirmed stays failed when it confirms late, but not when the confirmation was only delayed in transit", () => {
    const overdue: GateObservation = { kind: "overdue", device: "d0", at: T0 + 10 * HOUR };
    const count = (confirmedAt: number): number | null | undefined =>
      judge(folded([...started(20), overdue, { kind: "confirmed", device: "d0", at: confirmedAt }]), look).gates[0]?.canary.events;
    expect(count(T0 + 11 * HOUR)).toBe(1);
    expect(count(T0 + 9 * HOUR)).toBe(0);
  });

  test("a fleet-wide crash spike in both arms does not halt; the same spike in the canary alone does", () => {
    const place = { stage: 0, hardware: "A", connectivity: "wifi" };
    const both: GateObservation[] = [];
    const canaryOnly: GateObservation[] = [];
    for (let i = 0; i < 40; i++) {
      const enrol: GateObservation[] = [
        { kind: "updateStarted", device: `c${i}`, at: T0, placement: place },
        { kind: "confirmed", device: `c${i}`, at: T0 + 1000 },
        { kind: "controlStart", device: `k${i}`, at: T0, placement: place },
      ];
      both.push(...enrol);
      canaryOnly.push(...enrol);
    }
    for (let i = 0; i < 30; i++) {
      const at = T0 + HOUR + i * 60_000;
      both.push({ kind: "crash", device: `c${i}`, at }, { kind: "crash", device: `k${i}`, at: at + 30_000 });
      canaryOnly.push({ kind: "crash", device: `c${i}`, at });
    }
    expect(judge(folded(both), look).verdict.kind).not.toBe("halt");
    expect(judge(folded(canaryOnly), look).verdict).toEqual({ kind: "halt", gates: ["crash"] });
  });

  const confirmed = (n: number): GateObservation[] => [
    ...started(n),
    ...Array.from({ length: n }, (_, i): GateObservation => ({ kind: "confirmed", device: `d${i}`, at: T0 + HOUR })),
  ];
  const crashGate = (observations: readonly GateObservation[], now = T0 + 48 * HOUR) =>
    judge(folded(observations), { ...look, now }).gates.find((gate) => gate.name === "crash");

  test("events too rare for a ratio pass by canaries that got through their first hours, and only once those are over", () => {
    expect(crashGate(confirmed(20))).toMatchObject({ passed: true, clean: { devices: 20, share: 0.3 } });
    expect(crashGate(confirmed(20), T0 + 7 * HOUR - 1)).toMatchObject({ passed: false, clean: { devices: 0 } });
    // At a margin of 30 % and level 0.025, 20 devices may hold one that crashed: P(X <= 1) = 0.0076, P(X <= 2) = 0.035.
    const crashes = ["d1", "d2"].map((device): GateObservation => ({ kind: "crash", device, at: T0 + 3 * HOUR }));
    expect(crashGate([...confirmed(20), ...crashes.slice(0, 1)])?.passed).toBe(true);
    expect(crashGate([...confirmed(20), ...crashes])?.passed).toBe(false);
    // A later crash is for the ratio to judge.
    expect(crashGate([...confirmed(20), { kind: "crash", device: "d1", at: T0 + 8 * HOUR }])?.clean?.devices).toBe(20);
  });

  test("a canary that fell silent in its first hours is not clean, unless it came back and had no crash to tell of", () => {
    const silent: GateObservation[] = [...confirmed(20), { kind: "overdue", device: "d1", at: T0 + 3 * HOUR }];
    expect(crashGate(silent)?.clean?.devices).toBe(19);
    expect(crashGate([...silent, { kind: "returned", device: "d1", at: T0 + 9 * HOUR }])?.clean?.devices).toBe(20);
    const silence = judge(folded([...silent, { kind: "returned", device: "d1", at: T0 + 9 * HOUR }]), look).gates.find((gate) => gate.name === "silence");
    expect(silence?.clean?.devices).toBe(19);
  });

  test("silence is noticed late: canaries count as not silent only when it would have been", () => {
    const silenceGate = (now: number) => judge(folded(confirmed(20)), { ...look, now }).gates.find((gate) => gate.name === "silence");
    expect(silenceGate(T0 + 9 * HOUR - 1)?.passed).toBe(false);
    expect(silenceGate(T0 + 9 * HOUR)?.passed).toBe(true);
  });

  test("R20: a device that crashes every half hour for a day has no crash-free hour, and one that crashes once has all but one", () => {
    const loop = Array.from({ length: 48 }, (_, i): GateObservation => ({ kind: "crash", device: "d0", at: T0 + HOUR + i * (HOUR / 2) + 60_000 }));
    const state = folded([...confirmed(3), ...loop, { kind: "crash", device: "d1", at: T0 + 5 * HOUR }]);
    expect(crashFree(state, 1, T0 + 25 * HOUR)).toEqual({ devices: 3, crashFreeDevices: 1, hours: 72, crashFreeHours: 0 + 23 + 24 });
    expect(crashFree(state, 0, T0 + 25 * HOUR)).toEqual({ devices: 0, crashFreeDevices: 0, hours: 0, crashFreeHours: 0 });
  });

  test("a metric that few devices report blocks or passes as the plan says", () => {
    const metricGate = (missingData: "hold" | "ignore") => {
      const gates = spec.gates.map((gate) => (gate.kind === "metric" ? { ...gate, missingData, devicesMin: 50 } : gate));
      return judge(folded(enrolled, openGates({ ...spec, gates })), look).gates[3]?.passed;
    };
    expect(metricGate("ignore")).toBe(true);
    expect(metricGate("hold")).toBe(false);
  });

  test("a tripwire halts at once, and a crash of a control does not trip it", () => {
    const state = openGates({ ...spec, tripwires: [{ name: "any brick among the first 5", event: "failed", count: 1, amongFirst: 5 }] });
    for (const o of started(20)) observe(state, o);
    observe(state, { kind: "reverted", device: "d7", at: T0 + HOUR });
    expect(judge(state, look).tripped).toEqual([]);
    observe(state, { kind: "reverted", device: "d4", at: T0 + HOUR });
    expect(judge(state, { ...look, now: T0 + HOUR }).verdict).toEqual({ kind: "halt", gates: ["any brick among the first 5"] });
  });

  test("a plan whose gates are all dry runs is refused", () => {
    const dry = spec.gates.map((gate) => ({ ...gate, dryRun: true }));
    expect(() => openGates({ ...spec, gates: dry })).toThrow(/R14/);
  });

  test("a battery drain 30 % up halts, on drain and with the direction in words", () => {
    const observations: GateObservation[] = [];
    for (let i = 0; i < 60; i++) {
      const canary = i < 20;
      const id = `x${i}`;
      const place = { stage: 0, hardware: i % 3 === 0 ? "A" : "B", connectivity: "wifi" };
      observations.push(
        canary ? { kind: "updateStarted", device: id, at: T0, placement: place } : { kind: "controlStart", device: id, at: T0, placement: place },
      );
      if (canary) observations.push({ kind: "confirmed", device: id, at: T0 + 60_000 });
      for (let h = -24; h < 40; h++) {
        const level = 0.2 * Math.sin(i * 12.9898) + 0.05 * Math.sin(h * 78.233 + i);
        observations.push({ kind: "metricSample", device: id, at: T0 + h * HOUR + 120_000, name: "drain", value: Math.exp(level + (canary && h >= 0 ? Math.log(1.3) : 0)) });
      }
    }
    const judgement = judge(folded(observations), look);
    expect(judgement.verdict).toEqual({ kind: "halt", gates: ["battery"] });
    expect(judgement.gates[3]?.effect.estimate).toBeCloseTo(Math.log(1.3), 1);
    expect(judgement.reasons.join()).toMatch(/drain changed by 3\d(\.\d)? %/);
  });

  const withGate = (gate: GateSpec): GatesState => openGates({ ...spec, gates: [...spec.gates, gate] });
  const read = (state: GatesState, name: string, now = look.now) => judge(state, { ...look, now }).gates.find((gate) => gate.name === name);

  test("a share of the updates has its own limit: reverts, restarts over and over, silence, each device once", () => {
    const share = (event: ShareEvent): GateSpec => ({ kind: "share", name: event, weight: 0.1, event, limit: 0.005, margins: [0.3] });
    const hit = ["d1", "d4", "d9"];
    for (const [event, kind] of [["reverted", "reverted"], ["looped", "looped"], ["overdue", "overdue"]] as const) {
      const events = hit.flatMap((device): GateObservation[] => [{ kind, device, at: T0 + 2 * HOUR }, { kind, device, at: T0 + 3 * HOUR }]);
      const gate = read(folded([...confirmed(20), ...events], withGate(share(event))), event);
      expect(gate).toMatchObject({ canary: { devices: 20, events: 3 }, control: null, passed: false });
      expect(gate?.lnEHalt).toBeGreaterThan(gate?.threshold ?? Infinity);
      expect(gate?.words).toMatch(new RegExp(`^${event}: 3 of 20 .*limit 0\\.5 %`));
    }
    // Who has not confirmed counts as if it had happened.
    expect(read(folded(confirmed(20), withGate(share("looped"))), "looped")?.passed).toBe(true);
    expect(read(folded([...started(30), ...confirmed(20)], withGate(share("looped"))), "looped")?.passed).toBe(false);
  });

  const bound = (change: Partial<BoundGateSpec> = {}): BoundGateSpec => ({
    kind: "bound", name: "temp", weight: 0.1, metric: "temp", worse: "higher", scale: "raw", bound: 60, tau: 5, baselineWindow: 0, devicesMin: 5, ...change,
  });
  const warm = (mean: number, devices = 20): GateObservation[] =>
    Array.from({ length: devices * 4 }, (_, i): GateObservation => ({
      kind: "metricSample", device: `d${i % devices}`, at: T0 + (2 + Math.floor(i / devices)) * HOUR, name: "temp", value: mean + 3 * Math.sin(7 * i),
    }));

  test("an absolute bound halts beyond it, passes within it and holds at it, without any control", () => {
    const at = (mean: number) => read(folded([...confirmed(20), ...warm(mean)], withGate(bound())), "temp");
    expect(at(70)?.lnEHalt).toBeGreaterThan(at(70)?.threshold ?? Infinity);
    expect(at(50)).toMatchObject({ passed: true, control: null });
    expect(at(50)?.lnEHalt).toBeLessThan(0);
    const near = at(60);
    expect(near?.passed).toBe(false);
    expect(near?.lnEHalt).toBeLessThan(near?.threshold ?? 0);
    expect(at(70)?.words).toMatch(/temp of 70.*at most 60 is asked for/);
  });

  test("a bound from below and devices that all say the same are judged too", () => {
    const same = (value: number): GateObservation[] => warm(0).map((sample) => ({ ...sample, value }) as GateObservation);
    const uptime = (value: number) => read(folded([...confirmed(20), ...same(value)], withGate(bound({ worse: "lower", bound: 0.9, tau: 0.2 }))), "temp");
    expect(uptime(1)?.passed).toBe(true);
    expect(uptime(0.3)?.lnEHalt).toBeGreaterThan(uptime(0.3)?.threshold ?? Infinity);
  });

  test("below its minimum sample no gate passes, and evidence of harm halts all the same", () => {
    const few = bound({ devicesMin: 21 });
    expect(read(folded([...confirmed(20), ...warm(90)], withGate(few)), "temp")).toMatchObject({ tooFew: true, passed: false });
    expect(read(folded([...confirmed(20), ...warm(40)], withGate(few)), "temp")).toMatchObject({ tooFew: true, passed: false });
    expect(read(folded([...confirmed(20), ...warm(40)], withGate(bound())), "temp")).toMatchObject({ tooFew: false, passed: true });
    expect(judge(folded([...confirmed(20), ...warm(90)], withGate(few)), look).verdict).toEqual({ kind: "halt", gates: ["temp"] });
    expect(read(folded(confirmed(20), withGate({ ...few, missingData: "ignore" })), "temp")?.passed).toBe(true);
    expect(judge(folded(confirmed(80), openGates({ ...spec, gates: spec.gates.map((gate) => ({ ...gate, devicesMin: 90 })) })), { ...look, target: 80 }).gates.some((gate) => gate.passed)).toBe(false);
    expect(judge(folded(confirmed(80)), { ...look, target: 80 }).gates[0]?.passed).toBe(true);
  });

  test("R20: crash-free hours and the episode rate are the host's own counts, device by device", () => {
    const loops = ["d0", "d1", "d2", "d3", "d4", "d5"].flatMap((device) =>
      Array.from({ length: 40 }, (_, i): GateObservation => ({ kind: "crash", device, at: T0 + HOUR + i * (HOUR / 2) + 60_000 })),
    );
    const hours = bound({ name: "hours", metric: "hours", source: "crash-free-hours", worse: "lower", bound: 0.95, tau: 0.1 });
    const gate = read(folded([...confirmed(10), ...loops], withGate(hours)), "hours", T0 + 21 * HOUR);
    expect(gate?.canary).toMatchObject({ devices: 10, estimate: 0.4 });
    expect(read(folded(confirmed(10), withGate(hours)), "hours", T0 + 21 * HOUR)).toMatchObject({ passed: true, canary: { estimate: 1 } });
    // A loop is one episode, however many crashes it has (R28).
    const rate = bound({ name: "rate", metric: "rate", source: "episode-rate", bound: 0.001, tau: 0.001 });
    expect(read(folded([...confirmed(10), ...loops], withGate(rate)), "rate", T0 + 21 * HOUR)?.canary.estimate).toBeCloseTo((6 / 10) * (1 / 20), 3);
    // In order or not, asked before or not: the same numbers.
    const state = withGate(rate);
    for (const o of [...loops].reverse()) {
      observe(state, o);
      judge(state, { ...look, now: T0 + 5 * HOUR });
    }
    expect(judge(folded(confirmed(10), state), look)).toEqual(judge(folded([...confirmed(10), ...loops], withGate(rate)), look));
  });

  test("what was usual before the rollout is the first stage's baseline: it takes the devices' own differences away", () => {
    const metric: GateSpec = { kind: "metric", name: "own", weight: 0.1, metric: "own", worse: "higher", scale: "raw", tau: 0.5, margins: [1], baselineFromStage: 1, usual: true };
    const own = (i: number): number => 10 * Math.sin(12.9898 * i);
    const observations = Array.from({ length: 40 }, (_, i): GateObservation[] => {
      const device = `y${i}`;
      const place = { stage: 0, hardware: "A", connectivity: "wifi" };
      const begin: GateObservation[] =
        i % 2 === 0
          ? [{ kind: "updateStarted", device, at: T0, placement: place }, { kind: "confirmed", device, at: T0 }]
          : [{ kind: "controlStart", device, at: T0, placement: place }];
      const samples = [1, 2, 3].map((h): GateObservation => ({ kind: "metricSample", device, at: T0 + h * HOUR, name: "own", value: own(i) + 0.05 * Math.sin(78.233 * h * i) + (i % 2 === 0 ? 0.4 : 0) }));
      return [...begin, ...samples, { kind: "baseline", device, at: T0, name: "own", value: own(i) }];
    }).flat();
    const gate = read(folded(observations, withGate(metric)), "own");
    expect(gate?.effect.estimate).toBeCloseTo(0.4, 1);
    expect(gate?.lnEHalt).toBeGreaterThan(10);
    const { usual: _usual, ...blind } = metric;
    expect(read(folded(observations, withGate(blind)), "own")?.lnEHalt).toBeLessThan(1);
    expect(judge(folded([...observations].reverse(), withGate(metric)), look)).toEqual(judge(folded(observations, withGate(metric)), look));
  });
});

describe("devices that cannot tell of crashes", () => {
  const place = { stage: 0, hardware: "a", connectivity: "w" };
  const gates: GateSpec[] = [
    { kind: "boot", name: "boot", weight: 1, limit: 0.005, margins: [0.5] },
    { kind: "crash", name: "crash", weight: 1, margins: [2], shares: [0.3], window: HOUR },
    { kind: "share", name: "loops", weight: 1, event: "looped", limit: 0.005, margins: [0.3] },
    { kind: "bound", name: "sessions", weight: 1, metric: "crash-free-sessions", source: "crash-free-hours", worse: "lower", scale: "raw", tau: 0.1, bound: 0.9, baselineWindow: 0 },
  ];
  const open = () => openGates({ alpha: 0.05, alphaPass: 0.05, origin: 0, seed: "s", stages: [{ devices: 20, controls: 0 }], gates });
  const confirmAll = (state: GatesState, mute: (n: number) => boolean): void => {
    for (let n = 0; n < 20; n += 1) {
      observe(state, { kind: "updateStarted", device: `d${n}`, at: 0, placement: place, mute: mute(n) });
      observe(state, { kind: "confirmed", device: `d${n}`, at: 1_000 });
    }
  };
  const look = { stage: 0, now: 30 * HOUR, openedAt: 0, minSoakHours: 1, maxSoakHours: 100, target: 20, minDevices: 1, representative: "yes" as const };
  const read = (state: GatesState, name: string) => judge(state, look).gates.find((gate) => gate.name === name);

  test("are no health of it: a crash gate counts those that can, and without any it never passes", () => {
    const all = open();
    confirmAll(all, () => true);
    expect(read(all, "boot")).toMatchObject({ passed: true, canary: { devices: 20 } });
    expect(read(all, "crash")).toMatchObject({ passed: false, canary: { devices: 0, events: 0, exposureHours: 0 } });
    expect(read(all, "loops")).toMatchObject({ passed: false, canary: { devices: 0 } });
    expect(read(all, "sessions")).toMatchObject({ passed: false, canary: { devices: 0 } });
    expect(judge(all, look).outcome).toBe("inconclusive");
    expect(crashFree(all, 1, look.now)).toMatchObject({ devices: 0, hours: 0 });

    const some = open();
    confirmAll(some, (n) => n >= 12);
    expect(read(some, "crash")).toMatchObject({ passed: true, canary: { devices: 12 }, clean: { devices: 12 } });
    expect(read(some, "loops")).toMatchObject({ passed: true, canary: { devices: 12 } });
    const none = open();
    confirmAll(none, () => false);
    expect(read(none, "crash")).toMatchObject({ passed: true, canary: { devices: 20 } });
  });

  test("are known as such after a restart too, whichever of their reports came first", () => {
    const state = open();
    confirmAll(state, (n) => n >= 12);
    const again = JSON.parse(JSON.stringify(state)) as GatesState;
    expect(read(again, "crash")).toEqual(read(state, "crash"));
  });
});
