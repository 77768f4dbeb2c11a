// SPDX-License-Identifier: Apache-2.0

/** Bounds on how long an answer stands, ms of real time: at least `min`, at most `max`. */
export interface StandsFor {
  readonly min: number;
  readonly max?: number;
}

/** An answer stands this many times as long as it took to make. */
const standsPerCost = 10;

/** What is made by one pass over the fleet: however many ask, it is made at most once in a while, and the longer it takes, the less often. */
export function lately<T>(make: () => T, { min, max = Number.POSITIVE_INFINITY }: StandsFor): () => T {
  let last: { readonly until: number; readonly made: T } | undefined;
  return () => {
    const at = performance.now();
    if (last === undefined || at > last.until) {
      const made = make();
      last = { until: at + Math.min(max, Math.max(min, standsPerCost * (performance.now() - at))), made };
    }
    return last.made;
  };
}
