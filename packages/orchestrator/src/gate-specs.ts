// SPDX-License-Identifier: Apache-2.0
// What a plan asks of its gates, as the statistics of packages/evidence take it: limits, margins, weights, sources.
import type { Baseline, Criterion, Millis, Plan } from "@coalmine/core";
import { type BoundGateSpec, type ExpectedEvents, type GateSpec, harmBudgetMargins, MARGIN_CAP, type MetricSource, ratioMargins, smallestMargin, smallestRatioMargin, type Tripwire } from "@coalmine/evidence";

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
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** Canaries without an event for so long count as clean, milliseconds. */
const eventWindow = (plan: Plan): number => Math.min(dayMs, Math.max(60_000, plan.soak.min));

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
    Math.max(margin, smallestMargin(cumulative[stage] as number, bootLimit(plan), { alphaPass })),
  );
  // The last stage keeps its predecessor's: nothing comes after it.
  return margins.map((margin, stage) => (stage > 0 && stage === margins.length - 1 ? (margins[stage - 1] as number) : margin));
}

/** Probability that a good release passes one gate of one stage by the longest soak, where the plan names no harm budget. */
const passProbability = 0.95;

/**
 * Shares of devices with crashes (or silent ones) that a release may add, by stage. With a harm budget: its margins. Without
 * one, what the stage can exclude, as for boot failures: the smallest share that a release which adds none passes 19 times of 20
 * by the longest soak, by whichever of the gate's two ways gets there sooner, the ratio to the controls or the share of clean canaries.
 */
export function eventMargins(plan: Plan, kind: "crash" | "silence", margins: readonly number[], fleet: GatesFleet): number[] {
  if (plan.harmBudget > 0) {
    return [...margins];
  }
  const fraction = eventFraction(kind, fleet);
  const soak = soakOf(plan, fleet.slowest);
  const rates = plausible(fraction, fleet.baseline);
  let devices = 0;
  const own = margins.map((margin, stage) => {
    devices += fleet.sizes[stage] as number;
    const needs = rates.map((perDay) => {
      const bySharing = smallestMargin(devices, bootLimit(plan) + perDay * Math.min(1, eventWindow(plan) / dayMs), { alphaPass, probability: passProbability });
      const events = expectedEvents(fleet, stage, { perDay, hours: soak.max / hourMs, earlier: soak.min / hourMs });
      const ratio = smallestRatioMargin(events, { probability: passProbability, max: 1 + MARGIN_CAP / fraction, alphaPass });
      return Math.min(bySharing, ratio === null ? MARGIN_CAP : (ratio - 1) * fraction);
    });
    return Math.max(margin, ...needs);
  });
  return own.map((margin, stage) => (stage > 0 && stage === own.length - 1 ? (own[stage - 1] as number) : margin));
}

/** Rates a fleet may have: what is assumed of one without history may be far too much, and its good releases are to pass as well. */
export function plausible(rate: number, baseline: Baseline | undefined): number[] {
  return baseline === undefined ? [rate, rate / 4, rate / 16] : [rate];
}

/** Fraction of devices with an event in a soak day, as it counts for margins. */
export function eventFraction(kind: "crash" | "silence", fleet: Pick<GatesFleet, "baseline">): number {
  return Math.max(floor, fleet.baseline?.[kind] ?? assumed[kind]);
}

/** Shortest and longest soak of a plan's stages, for devices that report this often at least. */
export function soakOf(plan: Plan, slowest: number): { readonly min: Millis; readonly max: Millis } {
  const min = Math.max(plan.soak.min, plan.soak.dutyCycles * slowest) as Millis;
  return { min, max: Math.max(plan.soak.max, min * 2) as Millis };
}

/**
 * Events to expect of a release that changes nothing, when the devices of `stage` have been watched for `hours` and those of
 * each stage before it for `earlier` more. Stages have different numbers of controls; together they say as much as the sum of
 * their harmonic means, which one arm of the same size and `controlsPerCanary` says too.
 */
export function expectedEvents(fleet: Pick<GatesFleet, "sizes" | "controls">, stage: number, rate: { readonly perDay: number; readonly hours: number; readonly earlier: number }): ExpectedEvents {
  let canary = 0;
  let information = 0;
  for (let open = 0; open <= stage; open += 1) {
    const size = fleet.sizes[open] as number;
    const controls = fleet.controls[open] as number;
    const events = (size * rate.perDay * (rate.hours + (stage - open) * rate.earlier)) / 24;
    canary += events;
    information += size === 0 ? 0 : (events * controls) / (size + controls);
  }
  return { canary, controlsPerCanary: canary === 0 ? 0 : information / (canary - information) };
}

/** What is known of the fleet when its gates are made. */
export interface GatesFleet {
  /** Devices of each stage. */
  readonly sizes: readonly number[];
  /** Controls of each stage. */
  readonly controls: readonly number[];
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
      // Who names a margin is not given a wider one.
      const shares = gate.margin === undefined ? eventMargins(plan, kind, margins, fleet) : margins;
      const comparison: GateSpec = {
        ...common,
        kind,
        margins: gate.margin === undefined ? ratioMargins(shares, { fraction: eventFraction(kind, fleet), floor }) : margins.map(() => 1 + (gate.margin as number)),
        shares,
        window: eventWindow(plan),
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
