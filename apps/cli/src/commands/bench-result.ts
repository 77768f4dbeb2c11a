// SPDX-License-Identifier: Apache-2.0
// The one shape of every benchmark's result: medians of several runs, each against a baseline of the same run.

export interface Arm {
  readonly name: string;
  readonly median: number;
  readonly runs: readonly number[];
}

export interface Measurement {
  readonly name: string;
  readonly unit: string;
  /** Whether more is better, as for rates, or less, as for bytes. */
  readonly better: "more" | "less";
  readonly ours: Arm;
  /** Null where a bound stands by itself. */
  readonly baseline: Arm | null;
  /** Ours over the baseline's; null without one. */
  readonly ratio: number | null;
  /** What was promised, in words, and whether it held. */
  readonly bound: string | null;
  readonly ok: boolean | null;
}

export interface BenchResult {
  readonly bench: string;
  readonly seed: number;
  readonly environment: Readonly<Record<string, string | number>>;
  readonly measurements: readonly Measurement[];
  /** What a reader must know to trust the figures: reductions, absent peers. */
  readonly notes: readonly string[];
}

export interface BenchOptions {
  readonly devices: number | undefined;
  readonly runs: number;
  readonly seed: number;
  /** Fewer replications, for CI. */
  readonly quick: boolean;
  /** For people: what is being measured now. Goes to stderr. */
  readonly progress: (line: string) => void;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

export function arm(name: string, runs: readonly number[]): Arm {
  return { name, median: median(runs), runs };
}

/**
 * A measurement against a baseline: `least` and `most` bound the ratio, `atMost` our own median. The ratio is that of the
 * medians, or, for runs made in pairs one after the other, the median of the pairs' ratios.
 */
export function compare(
  of: { readonly name: string; readonly unit: string; readonly better: "more" | "less" },
  ours: Arm,
  baseline: Arm | null,
  bound: { readonly ratioLeast?: number; readonly ratioMost?: number; readonly atMost?: number; readonly pairs?: true } = {},
): Measurement {
  const ratio = baseline === null ? null : bound.pairs === true ? median(ours.runs.map((run, index) => run / (baseline.runs[index] as number))) : ours.median / baseline.median;
  const bounds: string[] = [];
  let ok = true;
  if (bound.ratioLeast !== undefined && ratio !== null) {
    bounds.push(`at least ${bound.ratioLeast} of ${baseline?.name}`);
    ok &&= ratio >= bound.ratioLeast;
  }
  if (bound.ratioMost !== undefined && ratio !== null) {
    bounds.push(`at most ${bound.ratioMost} times ${baseline?.name}`);
    ok &&= ratio <= bound.ratioMost;
  }
  if (bound.atMost !== undefined) {
    bounds.push(`at most ${bound.atMost} ${of.unit}`);
    ok &&= ours.median <= bound.atMost;
  }
  return { ...of, ours, baseline, ratio, bound: bounds.length === 0 ? null : bounds.join(" and "), ok: bounds.length === 0 ? null : ok };
}
