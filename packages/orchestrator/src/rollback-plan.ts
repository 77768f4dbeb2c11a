// SPDX-License-Identifier: Apache-2.0
// The plan of a rollback: shorter than the way out, with gates of its own, because a rollback can brick too (R35).
import { CoalmineError, type Criterion, type Millis, Milliseconds, Minutes, type Plan, type StageSpec } from "@coalmine/core";

const percent = (name: string, share: number): StageSpec => ({ name, size: { kind: "percent", percent: share } });

/** Stages of a rollback that nobody gave a plan for. */
const stages = [percent("canary", 10), percent("everybody", 100)];
const emergencyStages = [percent("half", 50), percent("everybody", 100)];

/** Devices in the first stage, if the rollback has as many: fewer can exclude nothing. */
const canaryMin = 5;
/** Canaries below which a gate's own margin would never be excluded. */
const handful = 30;
/** A little stricter than the level at which a stage passes. */
const level = 0.045;
/** Above this share of failures a gate is no guard any more. */
const wideLimit = 0.1;

/**
 * The plan of a rollback when none was given: pace, deadlines and silence of the plan that led there, which knows the fleet;
 * stages, soak and gates of its own. An emergency has wider stages and no soak to speak of, and stops at the first device
 * that comes back badly or not at all.
 */
export function rollbackPlan(plan: Plan, options: { readonly emergency: boolean; readonly population: number }): Plan {
  const { emergency, population } = options;
  const soak = emergency ? Minutes(1) : (Math.min(plan.soak.min, Minutes(30)) as Millis);
  return fitting(
    {
      version: 1,
      name: `${plan.name.slice(0, 55)} rollback`,
      stages: emergency ? emergencyStages : stages,
      partial: false,
      strata: ["hardware"],
      representativeness: "warn",
      strataCoverMin: plan.strataCoverMin,
      offers: emergency ? { ...plan.offers, jitter: Milliseconds(0) } : plan.offers,
      soak: { min: soak, max: Math.max(plan.soak.max, soak * 3) as Millis, deviceHoursMin: 0, dutyCycles: emergency ? 0 : 1 },
      updateDeadline: plan.updateDeadline,
      confirm: plan.confirm,
      silence: plan.silence,
      resolvedMin: plan.resolvedMin,
      gates: gates(emergency),
      alpha: plan.alpha,
      harmBudget: 0,
      minDevices: plan.minDevices,
    },
    population,
  );
}

function gates(emergency: boolean): Criterion[] {
  const common = { minSample: 1, missingData: "fail", dryRun: false } as const;
  return [
    { ...common, metric: "boot-confirmation", min: 0.95, critical: emergency, weight: 0.8 },
    { ...common, metric: "silence", critical: emergency, dryRun: true, weight: 0.2 },
  ];
}

/**
 * A plan cut to the number of devices that go back: stages that would be empty are left out, and a first stage of one or two
 * is widened. A rollback must not fail because few devices were reached.
 */
export function fitting(plan: Plan, population: number): Plan {
  const kept: StageSpec[] = [];
  let reached = 0;
  for (const [index, stage] of plan.stages.entries()) {
    const upTo = Math.min(population, Math.max(sizeOf(stage, population), index === 0 ? canaryMin : 0));
    if (upTo > reached) {
      kept.push(index === 0 && upTo > sizeOf(stage, population) ? { ...stage, size: { kind: "count", count: upTo } } : stage);
      reached = upTo;
    }
  }
  if (reached < population && !plan.partial) {
    throw new CoalmineError("plan/last-stage", `the stages of plan ${plan.name} reach ${reached} of ${population} devices`);
  }
  const first = kept[0] as StageSpec;
  const canaries = Math.min(population, sizeOf(first, population));
  return { ...plan, stages: kept, representativeness: "warn", gates: plan.gates.map((gate) => (canaries < handful ? passable(gate, canaries) : gate)) };
}

function sizeOf({ size }: StageSpec, population: number): number {
  return size.kind === "percent" ? Math.ceil((population * size.percent) / 100) : size.kind === "count" ? size.count : size.ids.length;
}

/**
 * With a handful of devices nothing small can be excluded: the margin becomes what all of them confirming excludes, an exact
 * binomial bound. A margin that wide asks for a wide limit too; then the first device that comes back badly halts.
 */
function passable(gate: Criterion, devices: number): Criterion {
  if (gate.metric !== "boot-confirmation" || gate.margin !== undefined) {
    return gate;
  }
  const margin = Math.min(0.98, 1 - level ** (1 / devices));
  const limit = Math.max(1 - (gate.min ?? 0.995), 2 * margin - 0.99);
  return { ...gate, min: 1 - limit, margin, critical: gate.critical || limit > wideLimit };
}
