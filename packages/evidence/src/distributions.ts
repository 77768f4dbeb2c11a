// SPDX-License-Identifier: Apache-2.0
// Distribution functions on top of the incomplete beta and gamma functions (evidence.md 3.8).

import { lnBetaInc, lnGammaInc } from "./gamma.ts";
import { bisect, log1mExp } from "./logspace.ts";

/** ln Φ(x), the standard normal distribution function, through Q(1/2, x²/2); accurate far into both tails. */
export function lnNormalCdf(x: number): number {
  const tail = -Math.LN2 + lnGammaInc(0.5, (x * x) / 2).upper;
  return x <= 0 ? tail : log1mExp(tail);
}

/** The standard normal quantile: Newton's method on ln Φ, which is concave, so it converges from the left without overshoot. */
export function normalQuantile(p: number): number {
  if (!(p >= 0 && p <= 1)) return NaN;
  if (p === 0) return -Infinity;
  if (p === 1) return Infinity;
  if (p === 0.5) return 0;
  if (p > 0.5) return -normalQuantile(1 - p);
  const goal = Math.log(p);
  let x = -Math.sqrt(-2 * goal);
  for (let i = 0; i < 100; i++) {
    const lnCdf = lnNormalCdf(x);
    const slope = Math.exp(-0.5 * x * x - 0.918938533204672741780329736406 - lnCdf);
    const next = x - (lnCdf - goal) / slope;
    if (Math.abs(next - x) <= 1e-16 * Math.max(1, Math.abs(x))) return next;
    x = next;
  }
  return x;
}

/** ln of Student's t distribution function with `nu` degrees of freedom: the tail is I_{nu/(nu+t²)}(nu/2, 1/2) / 2. */
export function lnStudentTCdf(t: number, nu: number): number {
  if (nu === Infinity) return lnNormalCdf(t);
  if (t === -Infinity) return -Infinity;
  if (t === Infinity) return 0;
  const square = t * t;
  const tail = -Math.LN2 + lnBetaInc(nu / 2, 0.5, nu / (nu + square), square / (nu + square)).lower;
  return t <= 0 ? tail : log1mExp(tail);
}

/** P(T > t) of Student's t, for the fixed-horizon tests coalmine is compared with. */
export function studentTUpper(t: number, nu: number): number {
  return Math.exp(lnStudentTCdf(-t, nu));
}

/** ln P(X <= k) and ln P(X > k) for X binomial(n, p): I_{1-p}(n - k, k + 1) and its complement. */
export function lnBinomialTails(k: number, n: number, p: number): { readonly lower: number; readonly upper: number } {
  if (k < 0) return { lower: -Infinity, upper: 0 };
  if (k >= n) return { lower: 0, upper: -Infinity };
  const tails = lnBetaInc(k + 1, n - k, p);
  return { lower: tails.upper, upper: tails.lower };
}

/** P(X <= k) for X binomial(n, p). */
export function binomialCdf(k: number, n: number, p: number): number {
  return Math.exp(lnBinomialTails(Math.floor(k), n, p).lower);
}

/** P(X >= k) for X binomial(n, p). */
export function binomialUpper(k: number, n: number, p: number): number {
  return Math.exp(lnBinomialTails(Math.ceil(k) - 1, n, p).upper);
}

/** Upper tail probability of the chi-squared distribution with `df` degrees of freedom. */
export function chiSquaredUpper(x: number, df: number): number {
  return df <= 0 || x <= 0 ? 1 : Math.exp(lnGammaInc(df / 2, x / 2).upper);
}

const LOGIT_LIMIT = 700;
const logistic = (z: number): number => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));

/** Clopper-Pearson one-sided upper bound: the p at which P(X <= k | n, p) = alpha; 1 when k >= n. */
export function clopperPearsonUpper(k: number, n: number, alpha: number): number {
  if (k >= n) return 1;
  const goal = Math.log(alpha);
  return logistic(bisect((z) => goal - lnBinomialTails(k, n, logistic(z)).lower, -LOGIT_LIMIT, 36));
}

/** Clopper-Pearson one-sided lower bound: the p at which P(X >= k | n, p) = alpha; 0 when k = 0. */
export function clopperPearsonLower(k: number, n: number, alpha: number): number {
  if (k <= 0) return 0;
  const goal = Math.log(alpha);
  return logistic(bisect((z) => lnBinomialTails(k - 1, n, logistic(z)).upper - goal, -LOGIT_LIMIT, 36));
}
