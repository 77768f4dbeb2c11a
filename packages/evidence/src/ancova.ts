// SPDX-License-Identifier: Apache-2.0
// Stratified analysis of covariance: one row per device (evidence.md 3.3).

import type { Effect } from "./half-t.ts";

/** One device: its arm, its mean before (b) and since (y) the start. Repeated samples of a device were already averaged: that is the clustering. */
export interface DeviceMeans {
  readonly canary: 0 | 1;
  readonly before: number;
  readonly since: number;
}

/** Within-stratum sums of squares and products of arm (a), baseline (b) and outcome (y). */
export interface StratumSums {
  readonly n1: number;
  readonly n0: number;
  readonly aa: number;
  readonly ab: number;
  readonly ay: number;
  readonly bb: number;
  readonly by: number;
  readonly yy: number;
}

/** Means of the devices of one arm of a stratum, device by device; a device whose `since` is NaN has none. */
export interface ArmMeans {
  readonly before: readonly number[];
  readonly since: readonly number[];
}

/** Number of an arm's devices that have means, and their sums. */
export interface ArmTotals {
  n: number;
  before: number;
  since: number;
}

/** Adds an arm to totals in place. */
export function addArm({ before, since }: ArmMeans, totals: ArmTotals): void {
  for (let i = 0; i < since.length; i++) {
    const y = since[i] as number;
    if (Number.isNaN(y)) continue;
    totals.n += 1;
    totals.before += before[i] as number;
    totals.since += y;
  }
}

/** Sums of one stratum, [controls, canaries], centred in two passes; undefined when an arm is missing (such a stratum says nothing). */
export function stratumSums(arms: readonly [ArmMeans, ArmMeans]): StratumSums | undefined {
  const totals: ArmTotals = { n: 0, before: 0, since: 0 };
  addArm(arms[0], totals);
  const n0 = totals.n;
  addArm(arms[1], totals);
  const { n } = totals;
  const n1 = n - n0;
  if (n1 === 0 || n0 === 0) return undefined;
  const meanA = n1 / n;
  const meanB = totals.before / n;
  const meanY = totals.since / n;
  let aa = 0;
  let ab = 0;
  let ay = 0;
  let bb = 0;
  let by = 0;
  let yy = 0;
  for (const canary of [0, 1] as const) {
    const { before, since } = arms[canary];
    const a = canary - meanA;
    for (let i = 0; i < since.length; i++) {
      const y = (since[i] as number) - meanY;
      if (Number.isNaN(y)) continue;
      const b = (before[i] as number) - meanB;
      aa += a * a;
      ab += a * b;
      ay += a * y;
      bb += b * b;
      by += b * y;
      yy += y * y;
    }
  }
  return { n1, n0, aa, ab, ay, bb, by, yy };
}

/** Result of the regression of `since` on stratum, `before` and arm. */
export interface AncovaFit extends Effect {
  readonly slope: number;
  readonly canaries: number;
  readonly controls: number;
}

/**
 * Ordinary least squares with stratum intercepts, from the strata's sums (evidence.md 3.3).
 *
 * det = Saa Sbb - Sab², effect = (Say Sbb - Sby Sab)/det, slope = (Sby Saa - Say Sab)/det, nu = N - H - 2,
 * V = (Syy - effect Say - slope Sby)/nu * Sbb/det. Without variation in the baseline the covariate is left out (nu = N - H - 1).
 * Undefined when no stratum has both arms or no degree of freedom remains. Where nothing scatters at all, the residual sum
 * of squares is taken to be `leastScatter` (0: undefined): devices that all report the same are no reason to know nothing.
 */
export function ancova(strata: Iterable<StratumSums | undefined>, leastScatter = 0): AncovaFit | undefined {
  let H = 0;
  let n1 = 0;
  let n0 = 0;
  let aa = 0;
  let ab = 0;
  let ay = 0;
  let bb = 0;
  let by = 0;
  let yy = 0;
  for (const s of strata) {
    if (s === undefined) continue;
    H += 1;
    n1 += s.n1;
    n0 += s.n0;
    aa += s.aa;
    ab += s.ab;
    ay += s.ay;
    bb += s.bb;
    by += s.by;
    yy += s.yy;
  }
  if (H === 0) return undefined;
  const N = n1 + n0;
  const counts = { canaries: n1, controls: n0 };
  const det = aa * bb - ab * ab;
  if (!(det > 1e-12 * aa * bb) || bb === 0) {
    const nu = N - H - 1;
    const effect = ay / aa;
    const rest = yy - effect * ay;
    const V = (leastScatter > 0 && !(rest > 1e-12 * yy) ? leastScatter : rest) / nu / aa;
    return nu >= 1 && V > 0 ? { effect, V, nu, slope: 0, ...counts } : undefined;
  }
  const nu = N - H - 2;
  const effect = (ay * bb - by * ab) / det;
  const slope = (by * aa - ay * ab) / det;
  const rest = yy - effect * ay - slope * by;
  const V = (((leastScatter > 0 && !(rest > 1e-12 * yy) ? leastScatter : rest) / nu) * bb) / det;
  return nu >= 1 && V > 0 ? { effect, V, nu, slope, ...counts } : undefined;
}

/** {@link ancova} over rows that carry their stratum. */
export function ancovaOfRows(rows: Iterable<DeviceMeans & { readonly stratum: string }>): AncovaFit | undefined {
  const strata = new Map<string, readonly [Writable, Writable]>();
  for (const row of rows) {
    let arms = strata.get(row.stratum);
    if (arms === undefined) {
      arms = [{ before: [], since: [] }, { before: [], since: [] }];
      strata.set(row.stratum, arms);
    }
    arms[row.canary].before.push(row.before);
    arms[row.canary].since.push(row.since);
  }
  return ancova([...strata.values()].map(stratumSums));
}

interface Writable extends ArmMeans {
  readonly before: number[];
  readonly since: number[];
}
