// SPDX-License-Identifier: Apache-2.0
// Margins and sizing from one number the operator can answer: how many devices may be harmed (evidence.md 3.7).

import { binomialCdf, clopperPearsonUpper } from "./distributions.ts";

/** Largest margin a stage may have, however generous the budget. */
export const MARGIN_CAP = 0.5;

/**
 * Failure margins per stage: harm budget divided by the devices the next stage adds, at most 0.5; the last stage keeps its predecessor's.
 *
 * `cumulative` is the number of devices offered by the end of each stage, ascending.
 */
export function harmBudgetMargins(cumulative: readonly number[], harmBudget: number): number[] {
  const margins: number[] = [];
  for (let s = 0; s + 1 < cumulative.length; s++) {
    const added = (cumulative[s + 1] as number) - (cumulative[s] as number);
    margins.push(added > 0 ? Math.min(MARGIN_CAP, harmBudget / added) : MARGIN_CAP);
  }
  margins.push(margins.at(-1) ?? Math.min(MARGIN_CAP, harmBudget / Math.max(1, cumulative[0] ?? 1)));
  return margins.slice(0, cumulative.length);
}

/** Hazard-ratio margins of event gates: 1 + margin / max(F0, floor), F0 the fraction of devices with an event per soak day, frozen at rollout start. */
export function ratioMargins(margins: readonly number[], baseline: { readonly fraction: number; readonly floor: number }): number[] {
  return margins.map((margin) => 1 + margin / Math.max(baseline.fraction, baseline.floor));
}

/** Events expected in the canary under the baseline before HALT sees a rate ratio `r`: (ln(1/alpha_g) + ln 7)/(r ln r - r + 1). */
export function eventsToHalt(r: number, alpha: number): number {
  return (Math.log(7) - Math.log(alpha)) / (r * Math.log(r) - r + 1);
}

/** Events expected in the canary under the baseline before PASS excludes the margin R: (ln(1/alpha_pass) + ln 6)/(R - 1 - ln R). */
export function eventsToPass(R: number, alphaPass = 0.05): number {
  return (Math.log(6) - Math.log(alphaPass)) / (R - 1 - Math.log(R));
}

/** Smallest number of devices that pass the one-look boot gate without a failure: ceil(ln alpha / ln(1 - m)). */
export function devicesToPass(margin: number, alphaPass = 0.05): number {
  return Math.ceil(Math.log(alphaPass) / Math.log1p(-margin) - 1e-9);
}

/** Shortest sensible soak in hours: a day, three check-ins of the slowest class, and the onset the plan means to guard (evidence.md 3.7). */
export function minimumSoakHours(slowestCheckInHours: number, guardedOnsetHours = 0): number {
  return Math.max(24, 3 * slowestCheckInHours, guardedOnsetHours);
}

/**
 * The smallest failure margin that `devices` can exclude while a release at the limit still passes with `probability`.
 *
 * k is that quantile of failures at the limit; the margin is the Clopper-Pearson upper bound of k at half of `alphaPass`,
 * the stricter of the two levels at which gates pass, and a rounding error above it, since k itself is to pass.
 */
export function smallestMargin(devices: number, limit: number, options: { readonly alphaPass?: number; readonly probability?: number } = {}): number {
  const { alphaPass = 0.05, probability = 0.9 } = options;
  let k = 0;
  while (k < devices && binomialCdf(k, devices, limit) < probability) k += 1;
  return Math.min(MARGIN_CAP, clopperPearsonUpper(k, devices, alphaPass / 2) * (1 + 1e-9));
}
