// SPDX-License-Identifier: Apache-2.0
// `coalmine bench stats`: which cells to simulate, and the pure function a worker thread runs.

import type { Scenario } from "./model.ts";
import { METHODS, type Method, simulate } from "./simulate.ts";

/** A scenario of the benchmark, with the medians of evidence.md section 0 where it lists one. */
export interface BenchScenario extends Scenario {
  readonly kind: "good" | "regression";
  readonly title: string;
  /** Median devices at the stop: [clock-driven, evidence-gated]. */
  readonly reference?: readonly [number, number];
}

/** Scenarios of evidence.md section 0, in the order of its table. */
export const BENCH_SCENARIOS: readonly BenchScenario[] = [
  { name: "good", kind: "good", title: "good release, 0.2 % boot failures", p: 0.002 },
  { name: "goodLimit", kind: "good", title: "good release at the limit, 0.5 % boot failures", p: 0.005 },
  { name: "goodHigh", kind: "good", title: "good release, ten times the crash rate in both arms", p: 0.002, crashesPerDeviceDay: 0.2 },
  { name: "boot1", kind: "regression", title: "boot failures 1 %", p: 0.01, reference: [5000, 1000] },
  { name: "boot5", kind: "regression", title: "boot failures 5 %", p: 0.05, reference: [100, 100] },
  { name: "boot20", kind: "regression", title: "boot failures 20 %", p: 0.2, reference: [23, 23] },
  { name: "crash2", kind: "regression", title: "crash rate doubled", p: 0.002, rr: 2, reference: [1000, 1000] },
  { name: "crash5", kind: "regression", title: "crash rate times five", p: 0.002, rr: 5, reference: [100, 100] },
  { name: "bat10", kind: "regression", title: "battery drain +10 %", p: 0.002, bat: 1.1, reference: [564, 487] },
  { name: "bat30", kind: "regression", title: "battery drain +30 %", p: 0.002, bat: 1.3, reference: [85, 85] },
  { name: "boot20C", kind: "regression", title: "boot failures 20 % on one revision (10 % of the fleet)", p: 0.002, pRevisionC: 0.2, reference: [162, 100] },
  { name: "crash5C", kind: "regression", title: "crash rate times five on one revision (10 % of the fleet)", p: 0.002, rrRevisionC: 5, reference: [1000, 1000] },
  { name: "crash5late", kind: "regression", title: "crash rate times five from 48 h after the update", p: 0.002, rr: 5, onset: 48, reference: [5000, 1000] },
];

/** Replications `from` to `to` (exclusive) of one scenario. */
export interface Cell {
  readonly scenario: string;
  readonly from: number;
  readonly to: number;
}

/** What a worker is given: plain data. */
export interface CellsSpec {
  readonly seed: number;
  readonly cells: readonly Cell[];
}

/** Endings of one scenario under one method: plain data, concatenated by {@link mergeCells}. */
export interface CellCounts {
  readonly scenario: string;
  readonly method: Method;
  replications: number;
  halted: number;
  held: number;
  readonly devices: number[];
  /** Hours to the halt, of halted rollouts only. */
  readonly hoursToHalt: number[];
}

/** Simulates cells. Replication i of scenario s is seeded by (seed, s, i), so results do not depend on how cells are split over workers. */
export function runCells(spec: CellsSpec): CellCounts[] {
  const counts = new Map<string, CellCounts>();
  for (const cell of spec.cells) {
    const scenario = BENCH_SCENARIOS.find((s) => s.name === cell.scenario);
    if (scenario === undefined) throw new RangeError(`unknown scenario ${cell.scenario}`);
    for (let i = cell.from; i < cell.to; i++) {
      const seed = `${spec.seed}/${scenario.name}/${i}`;
      for (const drive of ["clock", "gated"] as const) {
        for (const [method, ending] of simulate(seed, scenario, drive)) {
          const key = `${scenario.name}/${method}`;
          let count = counts.get(key);
          if (count === undefined) {
            count = { scenario: scenario.name, method, replications: 0, halted: 0, held: 0, devices: [], hoursToHalt: [] };
            counts.set(key, count);
          }
          count.replications += 1;
          count.devices.push(ending.devices);
          if (ending.outcome === "held") count.held += 1;
          if (ending.outcome === "halted") {
            count.halted += 1;
            count.hoursToHalt.push(ending.hours);
          }
        }
      }
    }
  }
  return [...counts.values()];
}

/** Adds up the counts of several workers, in the order of scenarios and methods. */
export function mergeCells(parts: Iterable<readonly CellCounts[]>): CellCounts[] {
  const merged = new Map<string, CellCounts>();
  for (const part of parts) {
    for (const count of part) {
      const key = `${count.scenario}/${count.method}`;
      const sum = merged.get(key);
      if (sum === undefined) {
        merged.set(key, { ...count, devices: [...count.devices], hoursToHalt: [...count.hoursToHalt] });
        continue;
      }
      sum.replications += count.replications;
      sum.halted += count.halted;
      sum.held += count.held;
      sum.devices.push(...count.devices);
      sum.hoursToHalt.push(...count.hoursToHalt);
    }
  }
  const rank = (count: CellCounts): number =>
    BENCH_SCENARIOS.findIndex((s) => s.name === count.scenario) * METHODS.length + METHODS.indexOf(count.method);
  return [...merged.values()].sort((a, b) => rank(a) - rank(b));
}

/** Replications per kind of scenario. */
export interface BenchSize {
  readonly good: number;
  readonly otherGood: number;
  readonly regressions: number;
}

/** The full run (about 45 CPU-seconds), and `--quick` for CI (about 30). */
export const FULL: BenchSize = { good: 400, otherGood: 80, regressions: 60 };
export const QUICK: BenchSize = { good: 250, otherGood: 40, regressions: 60 };

/** Splits a run into tasks of at most `chunk` replications, the slow scenarios first so that workers end together. */
export function planCells(size: BenchSize, chunk = 10): Cell[] {
  const cells: Cell[] = [];
  for (const scenario of BENCH_SCENARIOS) {
    const total = scenario.kind === "regression" ? size.regressions : scenario.name === "good" ? size.good : size.otherGood;
    for (let from = 0; from < total; from += chunk) cells.push({ scenario: scenario.name, from, to: Math.min(total, from + chunk) });
  }
  return cells;
}
