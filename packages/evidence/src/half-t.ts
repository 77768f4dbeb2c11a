// SPDX-License-Identifier: Apache-2.0
// The half-t mixture for continuous metrics (evidence.md 3.3).

import { lnStudentTCdf } from "./distributions.ts";
import { bisect } from "./logspace.ts";

/** An estimated effect with its squared standard error and residual degrees of freedom. */
export interface Effect {
  readonly effect: number;
  readonly V: number;
  readonly nu: number;
}

/** ln E as a function of the standardised distance t, in the direction of the alternative. */
function lnHalfTAt(t: number, c: number, nu: number): number {
  return (
    0.5 * Math.log(c) +
    ((nu + 1) / 2) * (Math.log1p((t * t) / nu) - Math.log1p((c * t * t) / nu)) +
    Math.LN2 +
    lnStudentTCdf(t * Math.sqrt(1 - c) * Math.sqrt((nu + 1) / (nu + c * t * t)), nu + 1)
  );
}

/**
 * Log e-value of an estimate against a bound `h` (evidence.md 3.3): half-normal prior of scale `tau` on the standardised
 * effect with the right-Haar prior on scale, in closed form.
 *
 * `side` +1 tests the null effect <= h (HALT at h = 0), -1 the null effect >= h (PASS at h = margin).
 */
export function lnHalfT(estimate: Effect, test: { readonly side: 1 | -1; readonly h: number; readonly tau: number }): number {
  const { effect, V, nu } = estimate;
  const c = V / (V + test.tau * test.tau);
  return lnHalfTAt((test.side * (effect - test.h)) / Math.sqrt(V), c, nu);
}

/** Anytime bounds of an effect; null where no value is rejected, however far away. */
export interface EffectBounds {
  readonly lower: number | null;
  readonly upper: number | null;
}

/** Bounds on the effect, each one-sided at `alpha`, by inverting {@link lnHalfT} in h. They are symmetric around the estimate. */
export function halfTBounds(estimate: Effect, options: { readonly tau: number; readonly alpha: number }): EffectBounds {
  const { effect, V, nu } = estimate;
  const c = V / (V + options.tau * options.tau);
  const goal = -Math.log(options.alpha);
  let high = 1;
  while (high < 1e12 && lnHalfTAt(high, c, nu) < goal) high *= 4;
  if (high >= 1e12) return { lower: null, upper: null };
  const reach = bisect((t) => lnHalfTAt(t, c, nu) - goal, 0, high) * Math.sqrt(V);
  return { lower: effect - reach, upper: effect + reach };
}
