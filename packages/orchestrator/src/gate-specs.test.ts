// SPDX-License-Identifier: Apache-2.0
import { judgementOf } from "@coalmine/core";
import { type GateSpec, openGates } from "@coalmine/evidence";
import { describe, expect, test } from "vitest";
import { gateSpecs, tripwires, weighedCriteria } from "./gate-specs.ts";
import { planJudge } from "./gates.ts";
import { planFromData } from "./plan-file.ts";
import { live, rollout } from "./testing/life.ts";

const specsOf = (gates: Record<string, unknown>, change: Record<string, unknown> = {}): GateSpec[] => {
  const plan = planFromData({ gates, ...change });
  return gateSpecs(plan, weighedCriteria(plan), { sizes: [20, 200, 800], controls: [100, 600, 0], slowest: 300_000 });
};

/** Every metric of R15 with each of its bounds, as a plan would name it. */
const all: Readonly<Record<string, Record<string, unknown>>> = {
  "boot-confirmation": { min: "99%", margin: "5%" },
  "revert-rate": { max: "1%" },
  "boot-loop-rate": { max: "1%" },
  "crash-rate": { max: 0.002, margin: "100%" },
  "crash-free-sessions": { min: "99%", margin: "1%" },
  silence: { max: "2%" },
  "connectivity-uptime": { min: "90%", margin: "5%" },
  "check-in-punctuality": { min: "90%" },
  "battery-drain": { max: 5, margin: "20%" },
  "update-duration": { max: "30m" },
  "metric:temp": { worse: "higher", max: 70, margin: 4 },
};

describe("every metric of R15", () => {
  test("becomes gates that the statistics accept, with bound, margin, sample and weight as the plan says", () => {
    const specs = specsOf(Object.fromEntries(Object.entries(all).map(([name, fields]) => [name, { ...fields, minSample: 33, weight: 0.5 }])));
    expect(specs.map((spec) => [spec.name, spec.kind])).toEqual([
      ["boot-confirmation", "boot"],
      ["revert-rate", "share"],
      ["boot-loop-rate", "share"],
      ["crash-rate", "crash"],
      ["crash-rate:max", "bound"],
      ["crash-free-sessions", "metric"],
      ["crash-free-sessions:min", "bound"],
      ["silence", "silence"],
      ["silence:max", "share"],
      ["connectivity-uptime", "metric"],
      ["connectivity-uptime:min", "bound"],
      ["check-in-punctuality", "metric"],
      ["check-in-punctuality:min", "bound"],
      ["battery-drain", "metric"],
      ["battery-drain:max", "bound"],
      ["update-duration", "bound"],
      ["metric:temp", "metric"],
      ["metric:temp:max", "bound"],
    ]);
    expect(specs.every((spec) => spec.devicesMin === 33)).toBe(true);
    // A bound beside a comparison shares its weight: no metric gets more of alpha by asking twice.
    for (const name of Object.keys(all)) {
      expect(specs.filter((spec) => spec.name === name || spec.name.startsWith(`${name}:m`)).reduce((sum, spec) => sum + spec.weight, 0)).toBeCloseTo(0.5, 12);
    }
    expect(() => openGates({ alpha: 0.05, alphaPass: 0.05, origin: 0, seed: "s", stages: [], gates: specs })).not.toThrow();
    const bounds = Object.fromEntries(specs.flatMap((spec) => (spec.kind === "bound" ? [[spec.name, spec.scale === "ln" ? Math.exp(spec.bound) : spec.bound]] : spec.kind === "share" ? [[spec.name, spec.limit]] : [])));
    expect(bounds).toEqual({
      "revert-rate": 0.01, "boot-loop-rate": 0.01, "crash-rate:max": 0.002, "crash-free-sessions:min": 0.99, "silence:max": 0.02,
      "connectivity-uptime:min": 0.9, "check-in-punctuality:min": 0.9, "battery-drain:max": expect.closeTo(5, 10), "update-duration": 30, "metric:temp:max": 70,
    });
  });

  test("is named alone, with its defaults", () => {
    for (const name of Object.keys(all).filter((metric) => !metric.startsWith("metric:"))) {
      expect(specsOf({ [name]: null })).toHaveLength(1);
    }
    expect(specsOf({ "metric:temp": { worse: "higher", max: 70 } }).map((spec) => spec.kind)).toEqual(["bound"]);
    expect(specsOf({ "update-duration": null }, { updateDeadline: "3h" })).toMatchObject([{ kind: "bound", bound: 90 }]);
  });

  test("may be a dry run, and a critical one stops at its first device", () => {
    expect(specsOf({ "boot-confirmation": null, "revert-rate": { dryRun: true } })[1]?.dryRun).toBe(true);
    const { gates } = planFromData({ gates: { "boot-loop-rate": { critical: true }, "revert-rate": { critical: true, dryRun: true }, "crash-rate": { critical: true } } });
    expect(tripwires(gates)).toEqual([{ name: "boot-loop-rate", event: "looped", count: 1 }, { name: "crash-rate", event: "crashed", count: 1 }]);
  });

  test.each([
    ["a bound that the metric does not have", { "boot-confirmation": { max: "1%" } }, /gates\.boot-confirmation\.max: has no meaning for this metric; it takes min, margin, critical, minSample/],
    ["a share above one", { "revert-rate": { max: 3 } }, /gates\.revert-rate\.max: 3 is not a share/],
    ["a limit of everything", { silence: { max: "100%" } }, /gates\.silence\.max: must be below 100%/],
    ["a bound on the harmless side", { "metric:temp": { worse: "higher", min: 3 } }, /gates\.metric:temp\.min: .*bounded by max/],
    ["a bound of nothing where ratios are compared", { "battery-drain": { max: 0 } }, /gates\.battery-drain\.max: 0 is not above 0/],
    ["ignored silence", { "crash-rate": { missingData: "ignore" } }, /gates\.crash-rate\.missingData: .*silence never passes/],
    ["a direction that is fixed", { "battery-drain": { worse: "lower" } }, /gates\.battery-drain\.worse: has no meaning/],
    ["no bound at all", { "update-duration": { max: "soon" } }, /gates.*"soon" is not a bound/],
    ["a name of the language", { constructor: null }, /gates\.constructor: unknown metric/],
  ])("refuses %s", (_name, gates, message) => {
    expect(() => planFromData({ gates })).toThrow(message);
  });
});

describe("through the whole host", () => {
  const gatesOf = (options: Parameters<typeof live>[0]) => {
    const { conductor, end } = live(options);
    const state = conductor.rollout(rollout);
    return { state, gates: judgementOf(state, planJudge, end).gates };
  };

  test("updates that revert halt by the revert rate too, and durations are of those that confirmed", () => {
    const { state } = gatesOf({ seed: 4, reverts: 0.6, plan: { gates: { "revert-rate": null } } });
    expect(state.haltedBy).toMatchObject({ gate: "revert-rate", metric: "revert-rate" });
    const slow = gatesOf({ seed: 4, plan: { gates: { "update-duration": { max: "10m" } }, soak: { min: "6h", max: "24h" } } });
    expect(slow.state.haltedBy).toMatchObject({ gate: "update-duration", reason: expect.stringMatching(/update-duration of 60.*at most 10/) });
    const quick = gatesOf({ seed: 4, plan: { gates: { "update-duration": { max: "3h" } } } });
    expect(quick.state.status).toBe("complete");
  });

  test("an absolute bound halts what both arms do alike, and names the bound", () => {
    const { state } = gatesOf({ seed: 4, devices: 120, crashes: 0.08, crashesOnRelease: 0.08, hours: 30, plan: { stages: [40, "100%"], gates: { "boot-confirmation": null, "crash-rate": { max: 0.004 }, "crash-free-sessions": { min: "99.5%" } } } });
    expect(state.haltedBy?.gate).toMatch(/^crash-(rate:max|free-sessions:min)$/);
    expect(state.haltedBy?.metric).toMatch(/^crash-(rate|free-sessions)$/);
    const good = gatesOf({ seed: 4, hours: 60, plan: { gates: { "boot-confirmation": null, "crash-free-sessions": { min: "99%" }, "check-in-punctuality": { min: "80%" }, "connectivity-uptime": { min: "80%" }, "boot-loop-rate": null } } });
    expect(good.gates.map((gate) => [gate.gate, gate.verdict])).toEqual(expect.arrayContaining([["crash-free-sessions:min", "pass"], ["check-in-punctuality:min", "pass"]]));
    expect(good.state.status).toBe("complete");
  });
});
