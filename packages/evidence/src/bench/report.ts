// SPDX-License-Identifier: Apache-2.0
// The benchmark's table with intervals, and what it promises (evidence.md section 6).

import { clopperPearsonLower, clopperPearsonUpper } from "../distributions.ts";
import { type BinaryRule, haltingCounts, operatingCharacteristics } from "../exact.ts";
import { BENCH_SCENARIOS, type BenchSize, type CellCounts, FULL } from "./cells.ts";

/** The model in a paragraph, printed with every run. */
export const MODEL =
  "10,000 devices (hardware A/B/C 60/30/10 %, wifi/ltem/nbiot 50/35/15 %), stages of 100, 1,000, 5,000 and 10,000 devices in random order, " +
  "12 h ramp and 24 h soak each; 60 % of boot failures revert and report after 0.25 h, 40 % fall silent and are known after 12 h; 1,000/2,000/2,000 " +
  "concurrent controls for stages 1 to 3; crashes 0.02 per device-day with Gamma(0.3) frailty and crash loops; silence 0.2 % per device-day; " +
  "log battery drain with device effects, drift, AR(1) noise and a common walk. alpha 0.05 for a whole rollout in four equal gates.";

/** A share with its exact (Clopper-Pearson) 95 % interval. */
export interface Share {
  readonly count: number;
  readonly of: number;
  readonly rate: number;
  readonly lower: number;
  readonly upper: number;
}

/** One row of the table. */
export interface BenchRow {
  readonly scenario: string;
  readonly method: string;
  readonly halted: Share;
  readonly held: Share;
  readonly medianDevices: number;
  readonly p90Devices: number;
  readonly meanDevices: number;
  /** Share of rollouts that reached more than half of the fleet. */
  readonly over5000: Share;
  readonly medianHoursToHalt: number | null;
}

/** One promise and whether it held; `ok` is null where the run is too short to ask. */
export interface BenchPromise {
  readonly name: string;
  readonly ok: boolean | null;
  readonly detail: string;
}

function share(count: number, of: number): Share {
  return { count, of, rate: of === 0 ? 0 : count / of, lower: clopperPearsonLower(count, of, 0.025), upper: clopperPearsonUpper(count, of, 0.025) };
}

/** The value below which a share `q` of `values` lies; the middle pair is averaged at the median. */
export function quantile(values: readonly number[], q: number): number {
  const ascending = [...values].sort((a, b) => a - b);
  const at = q * (ascending.length - 1);
  const [low, high] = [ascending[Math.floor(at)] as number, ascending[Math.ceil(at)] as number];
  return low + (high - low) * (at - Math.floor(at));
}

/** Rows of the table from merged counts. */
export function benchRows(counts: readonly CellCounts[]): BenchRow[] {
  return counts.map((c) => ({
    scenario: c.scenario,
    method: c.method,
    halted: share(c.halted, c.replications),
    held: share(c.held, c.replications),
    medianDevices: quantile(c.devices, 0.5),
    p90Devices: quantile(c.devices, 0.9),
    meanDevices: c.devices.reduce((a, b) => a + b, 0) / c.devices.length,
    over5000: share(c.devices.filter((n) => n > 5000).length, c.replications),
    medianHoursToHalt: c.hoursToHalt.length === 0 ? null : quantile(c.hoursToHalt, 0.5),
  }));
}

// Exact halting probabilities within 3,000 devices and median devices, from evidence.md 4.1.
const EXACT: readonly { readonly rule: BinaryRule; readonly p: number; readonly probability: number; readonly median: number | null }[] = [
  { rule: { kind: "e", q: 0.005, alpha: 0.05 }, p: 0.01, probability: 0.6092246165474041, median: 2398 },
  { rule: { kind: "e", q: 0.005, alpha: 0.0125 }, p: 0.002, probability: 0.0002346080084538239, median: null },
  { rule: { kind: "e", q: 0.005, alpha: 0.0125 }, p: 0.05, probability: 0.9999999999999954, median: 70 },
  { rule: { kind: "binom", q: 0.005, alpha: 0.05 }, p: 0.005, probability: 0.24284443261409647, median: null },
  { rule: { kind: "binom", q: 0.005, alpha: 0.05 }, p: 0.2, probability: 1, median: 4 },
  { rule: { kind: "ratio", threshold: 0.01, minN: 50 }, p: 0.01, probability: 0.9277295789384777, median: 69 },
  { rule: { kind: "ratio", threshold: 0.05, minN: 10 }, p: 0.002, probability: 0.04, median: null },
  { rule: { kind: "ratio", threshold: 0.05, minN: 10 }, p: 0.05, probability: 0.968268958311758, median: 14 },
];

/** One entry of the exact table (evidence.md 4.1). */
export interface ExactRow {
  readonly rule: string;
  readonly p: number;
  readonly haltProbability: number;
  readonly medianDevices: number | null;
}

const EXACT_RULES: readonly (readonly [string, BinaryRule])[] = [
  ["ours, alpha 0.05", { kind: "e", q: 0.005, alpha: 0.05 }],
  ["ours, alpha 0.0125", { kind: "e", q: 0.005, alpha: 0.0125 }],
  ["repeated exact binomial p < 0.05", { kind: "binom", q: 0.005, alpha: 0.05 }],
  ["failed/finished >= 1 %, min 50", { kind: "ratio", threshold: 0.01, minN: 50 }],
  ["failed/finished >= 5 %, min 10", { kind: "ratio", threshold: 0.05, minN: 10 }],
];

/** Table 4.1 by dynamic programme: no Monte Carlo, about a second. */
export function exactTable(nMax = 3000): ExactRow[] {
  return EXACT_RULES.flatMap(([name, rule]) => {
    const boundary = haltingCounts(rule, nMax);
    return [0.002, 0.005, 0.01, 0.05, 0.2].map((p) => ({ rule: name, p, ...operatingCharacteristics(rule, { p, nMax }, boundary) }));
  });
}

/** Checks a run against its promises (evidence.md 6.3). The false-halt bound is asked only of runs long enough to answer. */
export function benchPromises(rows: readonly BenchRow[], size: BenchSize): BenchPromise[] {
  const find = (scenario: string, method: string): BenchRow => {
    const row = rows.find((r) => r.scenario === scenario && r.method === method);
    if (row === undefined) throw new RangeError(`no row for ${scenario} / ${method}`);
    return row;
  };
  const promises: BenchPromise[] = EXACT.map(({ rule, p, probability, median }) => {
    const got = operatingCharacteristics(rule, { p, nMax: 3000 });
    const off = Math.abs(got.haltProbability - probability);
    return { name: `exact: ${rule.kind} at p = ${p}`, ok: off <= 2e-6 && got.medianDevices === median, detail: `off by ${off.toExponential(1)}, median ${got.medianDevices ?? "none"}` };
  });
  for (const method of ["anytime-halt", "anytime-halt+pass"]) {
    const { halted } = find("good", method);
    const upper = clopperPearsonUpper(halted.count, halted.of, 0.05);
    promises.push({
      name: `${method}: false halts of a good release at most 5 %`,
      ok: size.good >= FULL.good ? upper <= 0.05 : null,
      detail: `${halted.count} of ${halted.of}, upper 95 % bound ${(100 * upper).toFixed(1)} %`,
    });
  }
  const naive = find("good", "naive-repeated-p05").halted;
  promises.push({ name: "repeated p < 0.05 halts at least 30 % of good releases", ok: naive.rate >= 0.3, detail: `${naive.count} of ${naive.of}` });
  for (const scenario of BENCH_SCENARIOS) {
    if (scenario.reference === undefined) continue;
    for (const [i, method] of ["anytime-halt", "anytime-halt+pass"].entries()) {
      const { medianDevices } = find(scenario.name, method);
      const reference = scenario.reference[i] as number;
      promises.push({ name: `${method}, ${scenario.name}: median devices at most twice the reference`, ok: medianDevices <= 2 * reference, detail: `${medianDevices}, reference ${reference}` });
    }
  }
  return promises;
}
