// SPDX-License-Identifier: Apache-2.0
// How well a canary covers the fleet (evidence.md 5).

import { chiSquaredUpper } from "./distributions.ts";

/** Devices per stratum; a stratum's key joins its levels with `|`, one per declared dimension. */
export type StratumCounts = Readonly<Record<string, number>>;

/** One stratum of the report. */
export interface StratumCover {
  readonly stratum: string;
  readonly fleet: number;
  readonly canary: number;
  /** 95 % upper bound on a failure probability after no failure among the stratum's canaries: 1 - 0.05^(1/n); 1 without any. */
  readonly depth: number;
}

/** The representativeness report (R6). */
export interface Representativeness {
  /** Total variation distance: the largest bias of a per-stratum effect in [0, 1]. This is what decides. */
  readonly tv: number;
  /** Jensen-Shannon divergence in bits. */
  readonly js: number;
  readonly chi2: number;
  /** p value of chi2: tests how the canary was drawn, not whether it is good enough, so it decides nothing. */
  readonly p: number;
  /** Share of the fleet about which the canary says nothing. */
  readonly uncovered: number;
  /** Largest standardised mean difference over the levels of each dimension; Infinity when a level is all or nothing on opposite sides. */
  readonly maxSmd: number;
  /** Kish effective size of post-stratification weights over covered strata. */
  readonly neff: number;
  readonly verdict: "yes" | "warn" | "no";
  readonly strata: readonly StratumCover[];
}

const sum = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0);

/** Compares canary and fleet over strata. Neither may be empty (R7). */
export function representativeness(fleet: StratumCounts, canary: StratumCounts): Representativeness {
  const keys = [...new Set([...Object.keys(fleet), ...Object.keys(canary)])];
  const strata = keys.map((stratum) => {
    const canaries = canary[stratum] ?? 0;
    return {
      stratum,
      fleet: fleet[stratum] ?? 0,
      canary: canaries,
      depth: canaries === 0 ? 1 : -Math.expm1(Math.log(0.05) / canaries),
    };
  });
  const N = sum(strata.map((s) => s.fleet));
  const n = sum(strata.map((s) => s.canary));
  if (N === 0 || n === 0) throw new RangeError("representativeness needs a fleet and a canary, got an empty one");
  let tv = 0;
  let js = 0;
  let chi2 = 0;
  let uncovered = 0;
  let weights = 0;
  let squares = 0;
  for (const s of strata) {
    const p = s.fleet / N;
    const c = s.canary / n;
    const middle = (p + c) / 2;
    tv += Math.abs(c - p) / 2;
    if (p > 0) js += (p * Math.log2(p / middle)) / 2;
    if (c > 0) js += (c * Math.log2(c / middle)) / 2;
    if (p === 0) continue;
    const expected = n * p;
    chi2 += (s.canary - expected) ** 2 / expected;
    if (s.canary === 0) {
      uncovered += p;
      continue;
    }
    const weight = p / c;
    weights += s.canary * weight;
    squares += s.canary * weight * weight;
  }
  if (chi2 > 0) chi2 *= N > n ? (N - 1) / (N - n) : Infinity;
  const df = strata.filter((s) => s.fleet > 0).length - 1;
  const maxSmd = largestSmd(strata, N, n);
  const verdict =
    tv > 0.2 || uncovered > 0.1 ? "no" : tv > 0.1 || uncovered > 0.05 || maxSmd > 0.25 ? "warn" : "yes";
  return {
    tv,
    js: Math.max(0, js),
    chi2,
    p: chiSquaredUpper(chi2, df),
    uncovered,
    maxSmd,
    neff: squares > 0 ? (weights * weights) / squares : 0,
    verdict,
    strata,
  };
}

/** Largest |c - p| / sqrt((c(1-c) + p(1-p))/2) over the levels of each single dimension. */
function largestSmd(strata: readonly StratumCover[], N: number, n: number): number {
  const levels = new Map<string, { fleet: number; canary: number }>();
  for (const s of strata) {
    for (const [dimension, level] of s.stratum.split("|").entries()) {
      const key = `${dimension}|${level}`;
      const counts = levels.get(key) ?? { fleet: 0, canary: 0 };
      counts.fleet += s.fleet;
      counts.canary += s.canary;
      levels.set(key, counts);
    }
  }
  let largest = 0;
  for (const counts of levels.values()) {
    const p = counts.fleet / N;
    const c = counts.canary / n;
    if (p === c) continue;
    largest = Math.max(largest, Math.abs(c - p) / Math.sqrt((c * (1 - c) + p * (1 - p)) / 2));
  }
  return largest;
}
