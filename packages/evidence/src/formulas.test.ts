// SPDX-License-Identifier: Apache-2.0
// Promises that reference values alone would not keep: symmetry, agreement with direct summation, calibration.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  allocate, ancovaOfRows, binomialCdf, bootBounds, bootStagePass, checkInInterval, clopperPearsonLower, clopperPearsonUpper, compareCodePoints,
  devicesToPass, drawStratified, eventsToHalt, eventsToPass, halfTBounds, heardFrom, harmBudgetMargins, lnBeta, lnBetaInc, lnBootEvidence,
  lnGamma, lnHalfT, lnNormalCdf, lnStudentTCdf, noCheckIns, normalQuantile, operatingCharacteristics, representativeness,
} from "./index.ts";

describe("special functions", () => {
  test("ln Γ gives factorials", () => {
    let factorial = 0;
    for (let n = 1; n < 170; n++) {
      expect(lnGamma(n + 1)).toBeCloseTo((factorial += Math.log(n)), 10);
    }
  });

  test("ln B keeps its digits when one argument is huge", () => {
    // B(1/4, b) -> Γ(1/4) b^(-1/4) (1 + 3/(32 b)).
    expect(lnBeta(0.25, 1e9)).toBeCloseTo(lnGamma(0.25) - 0.25 * Math.log(1e9) + 3 / 32e9, 12);
  });

  test("the two tails of the incomplete beta function sum to 1 and mirror each other", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.05, max: 500, noNaN: true }), fc.double({ min: 0.05, max: 500, noNaN: true }), fc.double({ min: 1e-6, max: 0.999999, noNaN: true }), (a, b, x) => {
        const tails = lnBetaInc(a, b, x);
        const mirror = lnBetaInc(b, a, 1 - x, x);
        expect(Math.exp(tails.lower) + Math.exp(tails.upper)).toBeCloseTo(1, 12);
        expect(tails.lower).toBeCloseTo(mirror.upper, 8);
      }),
    );
  });

  test("the binomial distribution function equals direct summation", () => {
    for (const [n, p] of [[5, 0.3], [60, 0.02], [200, 0.5]] as const) {
      let sum = 0;
      for (let k = 0; k <= n; k++) {
        sum += Math.exp(lnGamma(n + 1) - lnGamma(k + 1) - lnGamma(n - k + 1) + k * Math.log(p) + (n - k) * Math.log1p(-p));
        expect(binomialCdf(k, n, p)).toBeCloseTo(sum, 11);
      }
    }
  });

  test("far tails stay finite and quantiles invert", () => {
    expect(lnNormalCdf(-40)).toBeCloseTo(-804.608442013754, 8);
    expect(lnStudentTCdf(-1e6, 3)).toBeLessThan(-38);
    for (const p of [1e-300, 1e-12, 0.3, 0.975]) expect(lnNormalCdf(normalQuantile(p))).toBeCloseTo(Math.log(p), 9);
  });
});

describe("boot evidence", () => {
  test("both sides average to at most 1 at every p of their null, exactly", () => {
    const [n, q] = [40, 0.05];
    for (const [p, side] of [[0.05, "halt"], [0.02, "halt"], [0.05, "pass"], [0.2, "pass"]] as const) {
      let mean = 0;
      for (let k = 0; k <= n; k++) {
        mean += Math.exp(lnGamma(n + 1) - lnGamma(k + 1) - lnGamma(n - k + 1) + k * Math.log(p) + (n - k) * Math.log1p(-p) + lnBootEvidence(k, n, q)[side]);
      }
      expect(mean).toBeLessThanOrEqual(1 + 1e-12);
      if (p === q) expect(mean).toBeCloseTo(1, 10);
    }
  });

  test("bounds hold the estimate and tighten with data", () => {
    const [few, many] = [bootBounds(2, 100, 0.05), bootBounds(20, 1000, 0.05)];
    expect(few.lower).toBeLessThan(0.02);
    expect(few.upper).toBeGreaterThan(0.02);
    expect(many.upper - many.lower).toBeLessThan(few.upper - few.lower);
    expect(bootBounds(0, 0, 0.05)).toEqual({ lower: 0, upper: 1 });
  });

  test("the fewest devices that pass without a failure are those of the evidence document", () => {
    expect([0.0556, 0.05, 0.0125, 0.01].map((m) => devicesToPass(m))).toEqual([53, 59, 239, 299]);
    expect(bootStagePass(0, 299, 0.01).pass).toBe(true);
    expect(bootStagePass(0, 298, 0.01).pass).toBe(false);
    expect(bootStagePass(0, 0, 0.5).pass).toBe(false);
  });

  test("Clopper-Pearson bounds are where the tails are alpha", () => {
    expect(binomialCdf(7, 400, clopperPearsonUpper(7, 400, 0.05))).toBeCloseTo(0.05, 10);
    expect(1 - binomialCdf(6, 400, clopperPearsonLower(7, 400, 0.05))).toBeCloseTo(0.05, 10);
  });

  test("a running percentage of threshold theta misfires with probability p over theta", () => {
    const { haltProbability } = operatingCharacteristics({ kind: "ratio", threshold: 0.01, minN: 50 }, { p: 0.002, nMax: 3000 });
    expect(haltProbability).toBeCloseTo(0.2, 4);
  });
});

describe("metrics", () => {
  test("half-t bounds are where the evidence is exactly 1/alpha, and symmetric", () => {
    const estimate = { effect: 0.2, V: 0.003, nu: 30 };
    const { lower, upper } = halfTBounds(estimate, { tau: 0.1, alpha: 0.05 });
    expect(lnHalfT(estimate, { side: 1, h: lower as number, tau: 0.1 })).toBeCloseTo(Math.log(20), 9);
    expect(lnHalfT(estimate, { side: -1, h: upper as number, tau: 0.1 })).toBeCloseTo(Math.log(20), 9);
  });

  test("analysis of covariance recovers an effect planted beside strata and a baseline", () => {
    const rows = Array.from({ length: 200 }, (_, i) => {
      const canary: 0 | 1 = i % 3 === 0 ? 1 : 0;
      const before = Math.sin(i * 3.7);
      return { canary, stratum: `s${i % 4}`, before, since: 0.25 * canary + 0.8 * before + (i % 4) + 0.01 * Math.cos(i * 9.1) };
    });
    const fit = ancovaOfRows(rows);
    expect(fit?.effect).toBeCloseTo(0.25, 2);
    expect(fit?.slope).toBeCloseTo(0.8, 2);
    expect(fit?.nu).toBe(200 - 4 - 2);
  });

  test("a stratum without controls says nothing, and no stratum at all gives no fit", () => {
    expect(ancovaOfRows([{ canary: 1, stratum: "a", before: 0, since: 1 }, { canary: 1, stratum: "a", before: 1, since: 2 }])).toBeUndefined();
  });
});

describe("canaries", () => {
  const fleet = fc.dictionary(fc.constantFrom("a", "b", "c", "d", "e|f", "g"), fc.integer({ min: 0, max: 50 }), { minKeys: 1 });

  test("allocation spends every device, never more than a stratum has, and gives each its minimum when it can", () => {
    fc.assert(
      fc.property(fleet, fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 5 }), (sizes, n, minPerStratum) => {
        const counts = allocate(sizes, { n, minPerStratum });
        const total = Object.values(sizes).reduce((a, b) => a + b, 0);
        const minimum = Object.values(sizes).reduce((a, b) => a + Math.min(b, minPerStratum), 0);
        expect(Object.values(counts).reduce((a, b) => a + b, 0)).toBe(Math.min(n, total));
        for (const [key, count] of Object.entries(counts)) {
          expect(count).toBeLessThanOrEqual(sizes[key] as number);
          if (n >= minimum) expect(count).toBeGreaterThanOrEqual(Math.min(minPerStratum, sizes[key] as number));
        }
      }),
    );
  });

  test("the draw depends on members and seed only, and canary and control never share a device", () => {
    const members = Array.from({ length: 300 }, (_, i) => ({ id: `dev-${i}`, stratum: `s${i % 7}` }));
    const options = { seed: "release-1", canaries: 20, controls: 100, minPerStratum: 1 };
    const draw = drawStratified(members, options);
    expect(drawStratified([...members].reverse(), options)).toEqual(draw);
    expect(draw.canary.length).toBe(20);
    expect(new Set([...draw.canary, ...draw.control]).size).toBe(120);
    expect(drawStratified(members, { ...options, seed: "release-2" }).canary).not.toEqual(draw.canary);
  });

  test("a canary of lab devices only does not represent a fleet in the field", () => {
    const report = representativeness({ "A|lab": 10, "A|field": 990 }, { "A|lab": 10 });
    expect(report.verdict).toBe("no");
    expect(report.uncovered).toBeCloseTo(0.99, 12);
    expect(report.strata.find((s) => s.stratum === "A|lab")?.depth).toBeCloseTo(0.2589, 4);
    expect(() => representativeness({ a: 1 }, {})).toThrow(RangeError);
  });

  test("keys are compared by code point, not by UTF-16 unit", () => {
    expect(compareCodePoints("\u{1F600}", "\uFFFD")).toBe(1);
    expect(["b", "a", "ab", ""].sort(compareCodePoints)).toEqual(["", "a", "ab", "b"]);
  });
});

describe("margins and silence", () => {
  test("a harm budget of 50 in 10,000 gives the margins of the evidence document", () => {
    const margins = harmBudgetMargins([100, 1000, 5000, 10_000], 50);
    expect(margins.map((m) => m.toFixed(4))).toEqual(["0.0556", "0.0125", "0.0100", "0.0100"]);
  });

  test("sizing agrees with the events the evidence document lists", () => {
    expect(eventsToHalt(2, 0.05)).toBeCloseTo(12.8, 1);
    expect(eventsToHalt(5, 0.05)).toBeCloseTo(1.2, 1);
    expect(eventsToPass(1.63)).toBeCloseTo(33.8, 0);
  });

  test("a device's own rhythm counts from twenty gaps on, and repeats of a check-in are not gaps", () => {
    const checkIns = noCheckIns();
    for (let i = 0; i <= 20; i++) {
      heardFrom(checkIns, i * 100);
      heardFrom(checkIns, i * 100);
      heardFrom(checkIns, Math.max(0, i * 100 - 50));
    }
    expect(checkIns.gaps).toEqual(Array.from({ length: 20 }, () => 100));
    expect(checkInInterval(checkIns.gaps, 900)).toBe(100);
    expect(checkInInterval(checkIns.gaps.slice(1), 900)).toBe(900);
  });
});
