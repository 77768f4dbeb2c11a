// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import {
  addRiskEvent, binomialCdf, bootPower, bootStagePass, defaultGates, emptyRiskSums, eventPassPower, eventPower, lnRiskEvidence, metricPower, openGates,
  operatingCharacteristics, PASS_RATIOS, powerStatement, referenceCells, smallestMargin, smallestRatioMargin, standardErrorsApart,
} from "./index.ts";
import { Stream } from "./bench/random.ts";

describe("power", () => {
  test("the boot statement is exact: the stated failure rate halts with the stated probability, a little less does not", () => {
    const p = bootPower({ devices: 100, limit: 0.005, alpha: 0.02, probability: 0.9 }) as number;
    const rule = { kind: "e" as const, q: 0.005, alpha: 0.01 };
    expect(operatingCharacteristics(rule, { p, nMax: 100 }).haltProbability).toBeCloseTo(0.9, 5);
    expect(operatingCharacteristics(rule, { p: p * 0.98, nMax: 100 }).haltProbability).toBeLessThan(0.9);
  });

  test("event power rises with the ratio, the exposure and the controls, and stays near alpha for no effect", () => {
    const options = { expected: 5, controlsPerCanary: 10, alpha: 0.0125 };
    expect(eventPower(1, options)).toBeLessThan(0.0125);
    expect(eventPower(3, options)).toBeGreaterThan(eventPower(2, options));
    expect(eventPower(2, { ...options, expected: 20 })).toBeGreaterThan(eventPower(2, options));
    expect(eventPower(2, { ...options, controlsPerCanary: 1 })).toBeLessThan(eventPower(2, options));
    expect(eventPower(500, options)).toBeCloseTo(1, 6);
  });

  test("a metric without residual freedom detects nothing, and more devices detect less", () => {
    const options = { canaries: 20, controls: 200, strata: 4, residualSd: 0.2, tau: Math.log(1.1), alpha: 0.01, probability: 0.9 };
    expect(metricPower({ ...options, canaries: 2, controls: 3 })).toBeNull();
    expect(metricPower({ ...options, canaries: 200 }) as number).toBeLessThan(metricPower(options) as number);
  });

  test("the statement says devices, hours, size and probability for every gate", () => {
    const lines = powerStatement({
      canaries: 100, controls: 1000, soakHours: 24, alpha: 0.05,
      gates: [
        { kind: "boot", name: "boot", share: 0.4, limit: 0.005 },
        { kind: "crash", name: "crash", share: 0.3, perDeviceDay: 0.02 },
        { kind: "silence", name: "silence", share: 0.1, perDeviceDay: 0 },
        { kind: "metric", name: "battery", metric: "drain", share: 0.2, scale: "ln", tau: Math.log(1.1), residualSd: 0.25, strata: 9 },
      ],
    });
    expect(lines.map((line) => line.gate)).toEqual(["boot", "crash", "silence", "battery"]);
    expect(lines[1]?.words).toMatch(/^100 canaries and 24 h detect \d+(\.\d+)? times the crash rate or more with probability 0.9$/);
    expect(lines[2]?.detects).toBeNull();
    expect(lines[1]?.detects as number).toBeGreaterThan(2);
    expect(lines[1]?.detects as number).toBeLessThan(10);
  });

  test("a release that changes nothing passes as often as stated: simulated risk sets of Poisson crashes agree", () => {
    const canaries = 200;
    const controls = 600;
    const events = { canary: 12, controlsPerCanary: controls / canaries };
    const R = smallestRatioMargin(events, { probability: 0.8, max: 50 }) as number;
    const stated = eventPassPower(R, events);
    expect(stated).toBeGreaterThanOrEqual(0.8);
    let passed = 0;
    const replications = 2_000;
    const stream = new Stream(`pass power ${process.env["COALMINE_SEED"]}`);
    for (let run = 0; run < replications; run += 1) {
      const sums = emptyRiskSums(R, PASS_RATIOS);
      // Events of both arms in the order they come: a Poisson process with the arms' own shares.
      for (let at = stream.exponential(); at < events.canary * (1 + events.controlsPerCanary); at += stream.exponential()) {
        addRiskEvent(sums, [stream.uniform() < canaries / (canaries + controls) ? 1 : 0, canaries, controls]);
      }
      passed += lnRiskEvidence(sums) >= -Math.log(0.05) ? 1 : 0;
    }
    expect(Math.abs(passed / replications - stated)).toBeLessThan(5 * Math.sqrt(0.16 / replications));
  });

  test("the smallest ratio margin shrinks with events and with controls, and is none where nothing would do", () => {
    const margin = (canary: number, controlsPerCanary: number) => smallestRatioMargin({ canary, controlsPerCanary }, { probability: 0.95, max: 20 });
    expect(margin(30, 2) as number).toBeLessThan(margin(12, 2) as number);
    expect(margin(30, 2) as number).toBeLessThan(margin(30, 0.5) as number);
    expect(margin(0.5, 10)).toBeNull();
    expect(margin(30, 0)).toBeNull();
  });

  test("the smallest margin lets exactly the failures through that it was made for", () => {
    for (const devices of [10, 20, 100, 300, 1_000, 5_000]) {
      for (const [limit, probability] of [[0.005, 0.9], [0.025, 0.95], [0.007, 0.95]] as const) {
        const margin = smallestMargin(devices, limit, { probability });
        let failures = 0;
        while (bootStagePass(failures + 1, devices, margin, 0.025).pass) failures += 1;
        expect(binomialCdf(failures, devices, limit)).toBeGreaterThanOrEqual(probability);
        expect(failures === 0 || binomialCdf(failures - 1, devices, limit) < probability).toBe(true);
      }
    }
  });

  test("default gates from a harm budget are valid and carry the document's margins", () => {
    const spec = defaultGates({ cumulative: [100, 1000, 5000, 10_000], controls: [1000, 2000, 2000, 0], origin: 0, seed: "r" });
    expect(openGates(spec).devices).toEqual({});
    const crash = spec.gates.find((gate) => gate.name === "crash");
    expect(crash?.kind === "crash" && crash.margins.map((m) => m.toFixed(2))).toEqual(["3.78", "1.63", "1.50", "1.50"]);
  });
});

test("the simulator agrees with the published cell of the good release within four standard errors", () => {
  const ours = referenceCells({ name: "good", p: 0.002 }, 30).get("naive-repeated-p05");
  const published = { replications: 1000, halted: 812, held: 0, meanDevices: 3110.238, sdDevices: 4015.795, reachedOver100: 629, reachedOver5000: 237 };
  for (const apart of Object.values(standardErrorsApart(ours as NonNullable<typeof ours>, published))) expect(apart).toBeLessThan(4);
});
