// SPDX-License-Identifier: Apache-2.0
// Our simulator against published cells of the same model.

import type { Scenario } from "./model.ts";
import { type Ending, type Method, METHODS, simulate } from "./simulate.ts";

/** Totals of one cell: what two implementations of the model can be compared by. */
export interface ReferenceCell {
  readonly replications: number;
  readonly halted: number;
  readonly held: number;
  readonly meanDevices: number;
  readonly sdDevices: number;
  readonly reachedOver100: number;
  readonly reachedOver5000: number;
}

/** Simulates `replications` rollouts of every method for one scenario. */
export function referenceCells(scenario: Scenario, replications: number, seed = 1): Map<Method, ReferenceCell> {
  const endings = new Map<Method, Ending[]>(METHODS.map((method) => [method, []]));
  for (let i = 0; i < replications; i++) {
    for (const drive of ["clock", "gated"] as const) {
      for (const [method, ending] of simulate(`${seed}/${scenario.name}/${i}`, scenario, drive)) endings.get(method)?.push(ending);
    }
  }
  return new Map(METHODS.map((method): [Method, ReferenceCell] => [method, totals(endings.get(method) ?? [])]));
}

function totals(endings: readonly Ending[]): ReferenceCell {
  const n = endings.length;
  const mean = endings.reduce((sum, e) => sum + e.devices, 0) / n;
  const count = (test: (e: Ending) => boolean): number => endings.filter(test).length;
  return {
    replications: n,
    halted: count((e) => e.outcome === "halted"),
    held: count((e) => e.outcome === "held"),
    meanDevices: mean,
    sdDevices: Math.sqrt(endings.reduce((sum, e) => sum + (e.devices - mean) ** 2, 0) / Math.max(1, n - 1)),
    reachedOver100: count((e) => e.devices > 100),
    reachedOver5000: count((e) => e.devices > 5000),
  };
}

/**
 * Standard errors between two cells, by quantity: two-sample binomial for counts, Welch for the mean.
 *
 * Where one side shows no spread the other's stands in, so that 0 of 60 against 4 of 1,000 is no contradiction.
 */
export function standardErrorsApart(a: ReferenceCell, b: ReferenceCell): Record<"halted" | "held" | "reachedOver100" | "reachedOver5000" | "meanDevices", number> {
  const counts = (key: "halted" | "held" | "reachedOver100" | "reachedOver5000"): number => {
    const [x, y, n, m] = [a[key], b[key], a.replications, b.replications];
    const pooled = (x + y) / (n + m);
    const se = Math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m));
    return se === 0 ? 0 : Math.abs(x / n - y / m) / se;
  };
  const sd = Math.max(a.sdDevices, b.sdDevices);
  const se = Math.sqrt(sd * sd * (1 / a.replications + 1 / b.replications));
  const gap = Math.abs(a.meanDevices - b.meanDevices);
  return {
    halted: counts("halted"),
    held: counts("held"),
    reachedOver100: counts("reachedOver100"),
    reachedOver5000: counts("reachedOver5000"),
    meanDevices: gap === 0 ? 0 : se === 0 ? Infinity : gap / se,
  };
}
