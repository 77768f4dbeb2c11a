// SPDX-License-Identifier: Apache-2.0
// One gate over several hardware revisions, several gates over one alpha (evidence.md 3.5).

import { logAddExp, logMeanExp } from "./logspace.ts";

/**
 * A gate's log e-value: 1/2 pooled + 1/2 mean over hardware revisions (evidence.md 3.5).
 *
 * Averaging e-values keeps their mean at most 1, so a single bad revision is caught without spending extra alpha.
 * A revision without data counts as ln E = 0; with no revisions named at all the pooled value stands alone.
 */
export function lnGateMixture(pooled: number, strata: readonly number[]): number {
  if (strata.length === 0) return pooled;
  return logAddExp(pooled - Math.LN2, logMeanExp(strata) - Math.LN2);
}

/** ln(1 / (alpha w)): weighted Bonferroni across gates. Gates live in different filtrations, where averages of e-processes are not valid (arXiv 2402.09698). */
export function haltThreshold(alpha: number, weight: number): number {
  return -Math.log(alpha * weight);
}
