// SPDX-License-Identifier: Apache-2.0
// How well one arm's own rate is known, for people who look at curves. Nothing is decided by it: verdicts weigh e-values.
import { clopperPearsonUpper } from "./distributions.ts";
import { lnGammaInc } from "./gamma.ts";
import { bisect } from "./logspace.ts";

export interface ArmBounds {
  readonly lower: number;
  readonly upper: number;
}

const tail = 0.025;

/** Exact 95 % interval of a share: `events` of `devices` (Clopper-Pearson). */
export function shareBounds(events: number, devices: number): ArmBounds {
  if (devices <= 0) {
    return { lower: 0, upper: 1 };
  }
  return { lower: 1 - clopperPearsonUpper(devices - events, devices, tail), upper: clopperPearsonUpper(events, devices, tail) };
}

/** Exact 95 % interval of the mean of a Poisson count (Garwood): P(X <= k) = Q(k + 1, mean). */
export function countBounds(events: number): ArmBounds {
  const goal = Math.log(tail);
  const most = events + 40 + 12 * Math.sqrt(events);
  const upper = bisect((mean) => goal - lnGammaInc(events + 1, mean).upper, 0, most);
  const lower = events <= 0 ? 0 : bisect((mean) => lnGammaInc(events, mean).lower - goal, 0, most);
  return { lower, upper };
}
