// SPDX-License-Identifier: Apache-2.0
// Our gates against the rules others use, on one simulated fleet: false halts of good releases, devices exposed by bad ones.
import {
  BENCH_SCENARIOS,
  type BenchPromise,
  benchPromises,
  type BenchRow,
  benchRows,
  type BenchSize,
  type CellCounts,
  type CellsSpec,
  clopperPearsonUpper,
  exactTable,
  type ExactRow,
  FULL,
  mergeCells,
  METHODS,
  MODEL,
  planCells,
} from "@coalmine/evidence";
import process from "node:process";
import { progress } from "../output/progress.ts";
import { table } from "../output/table.ts";
import { inWorkers } from "../worker-pool.ts";
import { environment } from "./bench-child.ts";
import { arm, type BenchOptions, type BenchResult, type Measurement } from "./bench-result.ts";

const threads = 2;
const ours = "anytime-halt+pass";
const naive = "naive-repeated-p05";

const titles: Readonly<Record<string, string>> = {
  "anytime-halt": "anytime halt (ours)",
  "anytime-halt+pass": "anytime halt + evidence-gated advance (ours)",
  "naive-repeated-p05": "repeated p < 0.05, hourly",
  "naive-repeated-p0125": "same, Bonferroni over 4 gates",
  "naive-stage-end-p05": "p < 0.05, only at stage ends",
  "tuned-thresholds": "hand-tuned thresholds",
  "ratio-1pct-min100": "failed/finished >= 1 %, min 100 (AWS style)",
  "ratio-5pct-min100": "failed/finished >= 5 %, min 100 (AWS style)",
  "group-error-1pct": "group error > 1 % (hawkBit style)",
  "group-error-10pct": "group error > 10 % (hawkBit style)",
};

/** Heads of narrow columns. */
const codes: Readonly<Record<string, string>> = {
  "anytime-halt": "ours",
  "anytime-halt+pass": "ours gated",
  "naive-repeated-p05": "p<0.05",
  "naive-repeated-p0125": "Bonferroni",
  "naive-stage-end-p05": "stage ends",
  "tuned-thresholds": "tuned",
  "ratio-1pct-min100": "AWS 1%",
  "ratio-5pct-min100": "AWS 5%",
  "group-error-1pct": "hawkBit 1%",
  "group-error-10pct": "hawkBit 10%",
};

/** `--quick`: enough good releases to ask for the false-halt bound, fewer of everything else. */
const quickSize: BenchSize = { good: FULL.good, otherGood: 20, regressions: 40 };

/** The result of `bench stats`: the common fields, and the whole table with its intervals. */
export interface StatsResult extends BenchResult {
  readonly model: string;
  readonly wallSeconds: number;
  readonly replications: BenchSize;
  /** Evidence.md section 0: every scenario by every method, each share with its exact 95 % interval. */
  readonly rows: readonly BenchRow[];
  /** Evidence.md 4.1: halting probabilities by dynamic programme, no simulation. */
  readonly exact: readonly ExactRow[];
  readonly promises: readonly BenchPromise[];
  /** Good releases at a glance; `upper95` is the one-sided exact bound that the promise is about. */
  readonly good: Readonly<Record<string, { readonly halted: number; readonly of: number; readonly rate: number; readonly upper95: number }>>;
}

export async function run(options: BenchOptions): Promise<StatsResult> {
  const began = performance.now();
  const size = options.quick ? quickSize : FULL;
  const cells = planCells(size);
  const shown = progress("bench stats", process.stderr);
  let parts: CellCounts[][];
  try {
    parts = await inWorkers<CellsSpec, CellCounts[]>({
      module: new URL("../bench-stats-worker", import.meta.url),
      tasks: cells.map((cell) => ({ seed: options.seed, cells: [cell] })),
      workers: threads,
      done: (_, ended) => shown.update(ended, cells.length, "simulated rollouts, ten rules each"),
    });
  } finally {
    shown.end();
  }
  const rows = benchRows(mergeCells(parts));
  const promises = benchPromises(rows, size);
  const good = Object.fromEntries(
    METHODS.map((method) => {
      const { halted } = find(rows, "good", method);
      return [method, { halted: halted.count, of: halted.of, rate: halted.rate, upper95: clopperPearsonUpper(halted.count, halted.of, 0.05) }];
    }),
  );
  return {
    bench: "stats",
    seed: options.seed,
    environment: environment({ threads, quick: String(options.quick) }),
    measurements: measurements(rows, promises),
    notes: [
      `${size.good} replications of the good release, ${size.otherGood} of its variants, ${size.regressions} of each regression; replication i of a scenario is seeded by (seed, scenario, i)`,
      "a naive rule exposes fewer devices to a bad release because it stops most good ones too; read both tables together",
    ],
    model: MODEL,
    wallSeconds: (performance.now() - began) / 1_000,
    replications: size,
    rows,
    exact: exactTable(),
    promises,
    good,
  };
}

function find(rows: readonly BenchRow[], scenario: string, method: string): BenchRow {
  const row = rows.find((candidate) => candidate.scenario === scenario && candidate.method === method);
  if (row === undefined) {
    throw new Error(`bench stats: no row of ${scenario} by ${method}`);
  }
  return row;
}

/** The promises in the shape of every benchmark: ours against repeated p < 0.05 on the same data. */
function measurements(rows: readonly BenchRow[], promises: readonly BenchPromise[]): Measurement[] {
  const exact = promises.filter((promise) => promise.name.startsWith("exact"));
  const exactOk: Measurement = {
    name: "exact halting probabilities that agree with published ones",
    unit: `of ${exact.length}`,
    better: "more",
    ours: arm("coalmine", [exact.filter((promise) => promise.ok === true).length]),
    baseline: null,
    ratio: null,
    bound: "all within 2e-6, medians equal",
    ok: exact.every((promise) => promise.ok === true),
  };
  return [exactOk, ...BENCH_SCENARIOS.map((scenario): Measurement => {
    const isGood = scenario.kind === "good";
    const value = (method: string): number => {
      const row = find(rows, scenario.name, method);
      return isGood ? 100 * row.halted.rate : row.medianDevices;
    };
    const about = promises.filter((promise) =>
      isGood ? scenario.name === "good" && /false halts|good releases/.test(promise.name) : promise.name.includes(`, ${scenario.name}:`),
    );
    const asked = about.filter((promise) => promise.ok !== null);
    return {
      name: isGood ? `false halts: ${scenario.title}` : `devices at the halt (median): ${scenario.title}`,
      unit: isGood ? "%" : "devices",
      better: "less",
      ours: arm(titles[ours] as string, [value(ours)]),
      baseline: arm(titles[naive] as string, [value(naive)]),
      ratio: value(naive) === 0 ? null : value(ours) / value(naive),
      bound: about.length === 0 ? null : about.map((promise) => `${promise.name} (${promise.detail})`).join("; "),
      ok: asked.length === 0 ? null : asked.every((promise) => promise.ok === true),
    };
  })];
}

const percent = (share: number): string => `${(100 * share).toFixed(1)}`;

/** For people: the table of evidence.md section 0, intervals included. */
export function describe(result: StatsResult): string {
  const good = BENCH_SCENARIOS.filter((scenario) => scenario.kind === "good");
  const bad = BENCH_SCENARIOS.filter((scenario) => scenario.kind === "regression");
  const falseHalts = table(
    [{ title: "good releases: halted %, 95 % interval" }, ...good.map((scenario) => ({ title: scenario.name, align: "right" as const }))],
    METHODS.map((method) => [
      `${(codes[method] ?? "").padEnd(10)} ${titles[method] ?? method}`,
      ...good.map(({ name }) => {
        const { halted, held } = find(result.rows, name, method);
        return `${percent(halted.rate)} (${percent(halted.lower)}-${percent(halted.upper)})${held.count === 0 ? "" : ` hold ${percent(held.rate)}`}`;
      }),
    ]),
  );
  const exposed = table(
    [{ title: "regressions: median devices (p90)" }, ...METHODS.map((method) => ({ title: codes[method] ?? method, align: "right" as const }))],
    bad.map(({ name }) => [
      name,
      ...METHODS.map((method) => {
        const row = find(result.rows, name, method);
        return `${Math.round(row.medianDevices)} (${Math.round(row.p90Devices)})`;
      }),
    ]),
  );
  const exact = table(
    [{ title: "exact, within 3,000 devices: P(halt) %, median devices" }, ...["0.2 %", "0.5 %", "1 %", "5 %", "20 %"].map((title) => ({ title, align: "right" as const }))],
    [...new Set(result.exact.map((row) => row.rule))].map((rule) => [
      rule,
      ...result.exact.filter((row) => row.rule === rule).map((row) => `${percent(row.haltProbability)}${row.medianDevices === null ? "" : `, ${row.medianDevices}`}`),
    ]),
  );
  const promises = table(
    [{ title: "" }, { title: "promise" }, { title: "found" }],
    result.promises.map((promise) => [
      { text: promise.ok === null ? "not asked" : promise.ok ? "met" : "NOT MET", tone: promise.ok === null ? "dim" : promise.ok ? "good" : "bad" } as const,
      promise.name,
      promise.detail,
    ]),
  );
  const legend = BENCH_SCENARIOS.map((scenario) => `  ${scenario.name.padEnd(11)} ${scenario.title}`);
  const about = Object.entries(result.environment).map(([name, value]) => `${name} ${value}`);
  return [
    `bench stats, seed ${result.seed}: ${about.join(", ")}, ${result.wallSeconds.toFixed(1)} s`,
    "",
    result.model,
    "",
    ...legend,
    "",
    falseHalts,
    "",
    exposed,
    "",
    exact,
    "",
    promises,
    "",
    ...result.notes.map((note) => `note: ${note}`),
  ].join("\n");
}
