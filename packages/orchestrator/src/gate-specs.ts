// SPDX-License-Identifier: Apache-2.0
// What a plan asks of its gates, as the statistics of packages/evidence take it: limits, margins, weights, sources.
import type { Baseline, Criterion, Plan } from "@coalmine/core";
import { type BoundGateSpec, type GateSpec, harmBudgetMargins, type MetricSource, ratioMargins, smallestMargin, type Tripwire } from "@coalmine/evidence";

export const alphaPass = 0.05;
const harmBudgetDefault = 0.005;

/** Fraction of devices with an event in a soak day that a fleet without history is taken to have, and the least that counts. */
const assumed = { crash: 0.02, silence: 0.002 } as const;
const floor = 0.002;

/** A limit of none at all has no evidence: one in a million is as good. */
const limitMin = 1e-6;

/** Metric gates widen their margin for early, small stages (evidence.md 3.7: +30 %, +15 %, +10 %). */
const metricWidth = [3, 1.5, 1];

/** Criteria with a bound that needs no evidence; the others weigh it. */
const bounded = new Set(["crash-free-devices"]);

export function weighedCriteria(plan: Plan): Criterion[] {
  return plan.gates.filter((gate) => !bounded.has(gate.metric));
}

export function boundedCriteria(plan: Plan): Criterion[] {
  return plan.gates.filter((gate) => bounded.has(gate.metric));
}

/** Share of failures that is still harmless: one less the confirmation rate the plan asks for. */
export function bootLimit(plan: Plan): number {
  return Math.max(limitMin, 1 - (plan.gates.find((gate) => gate.metric === "boot-confirmation")?.min ?? 0.995));
}

/**
 * Failure shares that each stage must exclude, from the harm budget (evidence.md 3.7). A plan that names no budget gets
 * half a per cent of the fleet, or as little as its own stages can exclude: a canary of ten devices says nothing about
 * one in a hundred, and a gate that no release can pass would hold every rollout.
 */
export function stageMargins(plan: Plan, sizes: readonly number[]): number[] {
  const cumulative: number[] = [];
  for (const size of sizes) {
    cumulative.push((cumulative.at(-1) ?? 0) + size);
  }
  const fleet = cumulative.at(-1) ?? 0;
  if (plan.harmBudget > 0) {
    return harmBudgetMargins(cumulative, Math.max(1, plan.harmBudget * fleet));
  }
  const margins = harmBudgetMargins(cumulative, Math.max(1, harmBudgetDefault * fleet)).map((margin, stage) =>
    Math.max(margin, smallestMargin(cumulative[stage] as number, bootLimit(plan), alphaPass)),
  );
  // The last stage keeps its predecessor's: nothing comes after it.
  return margins.map((margin, stage) => (stage > 0 && stage === margins.length - 1 ? (margins[stage - 1] as number) : margin));
}

/** What is known of the fleet when its gates are made. */
export interface GatesFleet {
  /** Devices of each stage. */
  readonly sizes: readonly number[];
  /** Longest check-in interval of a member, milliseconds. */
  readonly slowest: number;
  /** Undefined: too little history, a usual fleet is assumed. */
  readonly baseline?: Baseline | undefined;
  /** Metrics of which the first stage and its controls have a history to compare with. */
  readonly usual?: ReadonlySet<string> | undefined;
}

/** The weighing gates of a plan, as the judge and the power statement see them. A criterion with a bound beside its comparison makes two, which share its weight. */
export function gateSpecs(plan: Plan, gates: readonly Criterion[], fleet: GatesFleet): GateSpec[] {
  const margins = stageMargins(plan, fleet.sizes);
  return gates.flatMap((gate) => {
    const specs = specsOf(plan, gate, margins, fleet);
    return specs.map((spec) => ({ ...spec, weight: spec.weight / specs.length }));
  });
}

/** Metrics that are compared with what was usual for a device before. */
export function comparedMetrics(plan: Plan): string[] {
  return weighedCriteria(plan).flatMap((gate) => {
    const source = sourceOf(gate);
    return source === undefined || source.source !== undefined || source.baselineWindow === 0 ? [] : [source.metric];
  });
}

/** Where the number behind a criterion comes from; undefined for one that counts events. */
function sourceOf(gate: Criterion): MetricSource | undefined {
  const counted = { worse: gate.worse ?? "higher", scale: gate.scale ?? "raw", baselineWindow: 0 } as const;
  switch (gate.metric) {
    case "boot-confirmation":
    case "revert-rate":
    case "boot-loop-rate":
    case "crash-rate":
    case "silence":
      return undefined;
    case "crash-free-sessions":
      return { ...counted, metric: gate.metric, worse: "lower", source: "crash-free-hours" };
    case "update-duration":
      return { ...counted, metric: gate.metric, samplesMin: 1 };
    default:
      // Canaries of the first stage begin at once: what is from before the rollout must do.
      return { metric: gate.metric.replace(/^metric:/, ""), worse: gate.worse ?? "higher", scale: gate.scale ?? "raw", baselineFromStage: 1 };
  }
}

function specsOf(plan: Plan, gate: Criterion, margins: readonly number[], fleet: GatesFleet): GateSpec[] {
  const common = { name: gate.metric, weight: gate.weight, devicesMin: gate.minSample, ...(gate.dryRun ? { dryRun: true } : {}) };
  /** A limit on a share of the updates; margins below it could never be excluded by a release at the limit. */
  const limited = (share: number) => {
    const limit = Math.max(limitMin, share);
    return { limit, margins: margins.map((margin) => Math.max(gate.margin ?? Math.max(margin, 2 * limit), 1.01 * limit)).map((margin) => Math.min(margin, (1 + limit) / 2)) };
  };
  switch (gate.metric) {
    case "boot-confirmation":
      return [{ ...common, kind: "boot", ...limited(bootLimit(plan)) }];
    case "revert-rate":
    case "boot-loop-rate":
      return [{ ...common, kind: "share", event: gate.metric === "revert-rate" ? "reverted" : "looped", ...limited(gate.max ?? 0.005) }];
    case "crash-rate":
    case "silence": {
      const kind = gate.metric === "silence" ? "silence" : "crash";
      const fraction = fleet.baseline?.[kind] ?? assumed[kind];
      const comparison: GateSpec = {
        ...common,
        kind,
        margins: gate.margin === undefined ? ratioMargins(margins, { fraction, floor }) : margins.map(() => 1 + (gate.margin as number)),
        shares: margins,
        window: Math.min(86_400_000, Math.max(60_000, plan.soak.min)),
        settle: Math.max(plan.silence.floor, plan.silence.intervals * fleet.slowest),
      };
      if (gate.max === undefined) {
        return [comparison];
      }
      const name = `${gate.metric}:max`;
      return kind === "silence"
        ? [comparison, { ...common, name, kind: "share", event: "overdue", ...limited(gate.max) }]
        : [comparison, boundOf(gate, { metric: gate.metric, worse: "higher", scale: "raw", source: "episode-rate", baselineWindow: 0 }, { ...common, name })];
    }
    default:
      return metricSpecs(plan, gate, fleet, common);
  }
}

function metricSpecs(plan: Plan, gate: Criterion, fleet: GatesFleet, common: { readonly name: string; readonly weight: number; readonly devicesMin: number; readonly dryRun?: boolean }): GateSpec[] {
  const source = sourceOf(gate) as MetricSource;
  const bound = source.worse === "higher" ? gate.max : gate.min;
  if (gate.metric === "update-duration") {
    // Only those who update have one: there is nothing to compare with.
    return [boundOf({ ...gate, max: bound ?? plan.updateDeadline / 120_000 }, source, common)];
  }
  const margin = gate.margin ?? defaultMargin(gate.metric);
  const comparison: GateSpec = {
    ...common,
    ...source,
    kind: "metric",
    tau: source.scale === "ln" ? Math.log1p(margin) : margin,
    margins: fleet.sizes.map((_, stage) => {
      const wide = margin * (metricWidth[stage] ?? 1);
      return source.scale === "ln" ? Math.log1p(wide) : wide;
    }),
    ...missing(gate),
    ...(fleet.usual?.has(source.metric) === true ? { usual: true } : {}),
  };
  if (bound === undefined) {
    return [comparison];
  }
  if (gate.metric.startsWith("metric:") && gate.margin === undefined) {
    return [boundOf(gate, source, common)];
  }
  return [comparison, boundOf(gate, source, { ...common, name: `${gate.metric}:${source.worse === "higher" ? "max" : "min"}` })];
}

const defaultMargin = (metric: string): number => (metric === "crash-free-sessions" ? 0.02 : 0.1);

const missing = (gate: Criterion) => ({ missingData: gate.missingData === "ignore" ? ("ignore" as const) : ("hold" as const) });

function boundOf(gate: Criterion, source: MetricSource, common: { readonly name: string; readonly weight: number; readonly devicesMin: number; readonly dryRun?: boolean }): BoundGateSpec {
  const bound = (source.worse === "higher" ? gate.max : gate.min) as number;
  const { baselineFromStage: _stage, ...from } = source;
  return {
    ...common,
    ...from,
    kind: "bound",
    baselineWindow: 0,
    bound: source.scale === "ln" ? Math.log(bound) : bound,
    tau: source.scale === "ln" ? Math.log(1.25) : scaleOf(gate, bound),
    ...missing(gate),
  };
}

/** By how much a mean may be off its bound for it to matter, in its own unit. */
function scaleOf(gate: Criterion, bound: number): number {
  if (gate.metric.startsWith("metric:")) {
    return gate.margin ?? Math.max(0.1 * Math.abs(bound), 1e-6);
  }
  // A share near 1 is off by shares of what is left to 1; a rate or a duration by shares of itself.
  return Math.max(gate.worse === "lower" ? 1 - bound : bound / 2, 1e-6);
}

const tripwireEvents: Readonly<Record<string, Tripwire["event"]>> = {
  "boot-confirmation": "failed",
  "revert-rate": "reverted",
  "boot-loop-rate": "looped",
  "crash-rate": "crashed",
  silence: "overdue",
};

/** Critical gates stop at the first device (R25). */
export function tripwires(gates: readonly Criterion[]): Tripwire[] {
  return gates.flatMap((gate): Tripwire[] => {
    const event = gate.critical && !gate.dryRun ? tripwireEvents[gate.metric] : undefined;
    return event === undefined ? [] : [{ name: gate.metric, event, count: 1 }];
  });
}
