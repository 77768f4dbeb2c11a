// SPDX-License-Identifier: Apache-2.0
// The boot gate's evidence: a truncated-Beta mixture over one failure probability (evidence.md 3.1).

import { binomialCdf, clopperPearsonUpper } from "./distributions.ts";
import { lnBeta, lnBetaInc } from "./gamma.ts";
import { bisect } from "./logspace.ts";

/** Beta(1/4, 1): needs 20-25 % fewer devices than Jeffreys' prior at 2 to 10 times the limit (evidence.md 3.1). */
export const BOOT_PRIOR: BetaPrior = { a: 0.25, b: 1 };

/** Parameters of the mixing Beta density. */
export interface BetaPrior {
  readonly a: number;
  readonly b: number;
}

/** Log e-values of one gate in both directions. */
export interface LnEvidence {
  /** Against "no worse than harmless": HALT when it reaches ln(1/alpha). */
  readonly halt: number;
  /** Against "worse than the margin": PASS when it reaches ln(1/alpha). */
  readonly pass: number;
}

/**
 * Log e-values of k failures among n started updates against a limit q (evidence.md 3.1).
 *
 * The Beta(a, b) prior is truncated to p > q for `halt` (null p <= q) and to p < q for `pass` (null p >= q). For every p
 * in the null each step's likelihood ratio has mean at most 1, so the mixture is a test supermartingale and stays valid
 * under continuous looks (Ville). Count pending devices as healthy in k for `halt` and as failed for `pass`.
 */
export function lnBootEvidence(k: number, n: number, q: number, prior: BetaPrior = BOOT_PRIOR): LnEvidence {
  const { a, b } = prior;
  const posterior = lnBetaInc(a + k, b + n - k, q);
  const base = lnBetaInc(a, b, q);
  const shared =
    lnBeta(a + k, b + n - k) - lnBeta(a, b) - (k === 0 ? 0 : k * Math.log(q)) - (n === k ? 0 : (n - k) * Math.log1p(-q));
  return { halt: shared + posterior.upper - base.upper, pass: shared + posterior.lower - base.lower };
}

const logistic = (z: number): number => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));

/** An interval; a missing end means the data exclude nothing on that side. */
export interface Bounds {
  readonly lower: number;
  readonly upper: number;
}

/**
 * Anytime-valid bounds on the failure probability, each one-sided at `alpha`, by inverting {@link lnBootEvidence} in q.
 *
 * Pass a different k for the upper side (failures plus unresolved) to keep the bias in the safe direction.
 */
export function bootBounds(k: number, n: number, alpha: number, prior: BetaPrior = BOOT_PRIOR): Bounds {
  const goal = -Math.log(alpha);
  const centre = k <= 0 ? -700 : k >= n ? 36 : Math.log(k / (n - k));
  const lower =
    k <= 0 ? 0 : logistic(bisect((z) => goal - lnBootEvidence(k, n, logistic(z), prior).halt, -700, centre));
  const upper =
    k >= n ? 1 : logistic(bisect((z) => lnBootEvidence(k, n, logistic(z), prior).pass - goal, centre, 36));
  return { lower, upper };
}

/** The one-look decision at the end of a stage. */
export interface BootPass {
  /** P(at most k failures) if the failure probability were exactly the margin. */
  readonly cdf: number;
  /** Clopper-Pearson one-sided upper bound on the failure probability. */
  readonly upper: number;
  readonly pass: boolean;
}

/**
 * PASS of a stage looked at once, when it is resolved (evidence.md 3.1): the plain binomial is valid and less wasteful.
 *
 * `k` counts failures and unresolved devices alike. If the stage is re-opened with more devices use {@link lnBootEvidence} instead.
 */
export function bootStagePass(k: number, n: number, margin: number, alphaPass = 0.05): BootPass {
  const cdf = n === 0 ? 1 : binomialCdf(k, n, margin);
  return { cdf, upper: n === 0 ? 1 : clopperPearsonUpper(k, n, alphaPass), pass: n > 0 && cdf <= alphaPass };
}

/** Whether {@link bootStagePass} passes, without its bound. */
export function passesBootStage(k: number, n: number, margin: number, alphaPass = 0.05): boolean {
  return n > 0 && binomialCdf(k, n, margin) <= alphaPass;
}
