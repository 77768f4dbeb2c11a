// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "./error.ts";
import type { Millis } from "./time.ts";

/** How many devices a stage reaches: a share of the population so far (cumulative), a count (cumulative), or named ids. */
export type StageSize =
  | { readonly kind: "percent"; readonly percent: number }
  | { readonly kind: "count"; readonly count: number }
  | { readonly kind: "devices"; readonly ids: readonly string[] };

export interface StageSpec {
  readonly name: string;
  readonly size: StageSize;
}

/** One success criterion (R15). Bounds are shares (0 to 1) or the metric's unit. */
export interface Criterion {
  readonly metric: string;
  readonly min?: number;
  readonly max?: number;
  /** Worsening to exclude before a stage passes; from the harm budget when left out. */
  readonly margin?: number;
  /** For a metric that devices report: which direction is a regression, and the scale it is compared on. */
  readonly worse?: "higher" | "lower";
  readonly scale?: "ln" | "raw";
  /** Smallest number of devices for a verdict. */
  readonly minSample: number;
  /** What a device without data counts as. Silence is not health: the default is `fail`. */
  readonly missingData: "fail" | "hold" | "ignore";
  /** Fails at once, without waiting for the soak (R25). */
  readonly critical: boolean;
  /** Evaluated and shown, but not enforced. */
  readonly dryRun: boolean;
  /** Share of the error budget; the weights of a plan are normalised. */
  readonly weight: number;
}

/** A plan: stages, gates, policies. Versioned; a rollout freezes it at its start. */
export interface Plan {
  readonly version: 1;
  readonly name: string;
  readonly stages: readonly StageSpec[];
  /** The last stage may stop short of everybody only when this says so (R9). */
  readonly partial: boolean;
  /** Dimensions of the strata: `hardware`, `connectivity`, `firmware`, `power`, `site`, or any attribute. */
  readonly strata: readonly string[];
  readonly representativeness: "require" | "warn";
  /** A stratum holding at least this share of the fleet needs a canary (R6). */
  readonly strataCoverMin: number;
  readonly offers: { readonly perMinute: number; readonly jitter: Millis };
  readonly soak: {
    readonly min: Millis;
    readonly max: Millis;
    readonly deviceHoursMin: number;
    /** The soak covers at least this many duty cycles of the slowest member (R21). */
    readonly dutyCycles: number;
    /** How late after an update a fault may begin that the plan means to catch; a soak shorter than that is warned of. */
    readonly onset?: Millis;
  };
  /** From offer to confirmation. Past it, a device is failed when it talks and missing when it does not. */
  readonly updateDeadline: Millis;
  readonly confirm: { readonly minUptime: Millis; readonly deadline: Millis; readonly serverContact: boolean };
  /** A device is overdue `max(floor, intervals x its own interval)` after its last report. */
  readonly silence: { readonly floor: Millis; readonly intervals: number };
  /** Share of a stage that must be settled before it may pass. */
  readonly resolvedMin: number;
  readonly gates: readonly Criterion[];
  /** False-halt probability of the whole rollout (R24). */
  readonly alpha: number;
  /**
   * Devices the operator can afford to harm in the next stage, as a share of the population (evidence.md 3.7). 0: the plan
   * names none, and gets half a per cent or as little as its stages can exclude.
   */
  readonly harmBudget: number;
  /** Started devices below which nothing passes. */
  readonly minDevices: number;
  /** What a halt by a gate brings with it: exposed devices go back by themselves to this release (R35). */
  readonly onFail?: { readonly rollback: "previous" | (string & {}) };
  /** Share of the devices on the release that must still hold an intact earlier image before the rollout is complete (R40). */
  readonly rollbackShareMin?: number;
}

/** Members of each stage when `population` devices take part: cumulative counts, the rule of R5 and R9. */
export function stageCounts(plan: Plan, population: number): number[] {
  const counts: number[] = [];
  let reached = 0;
  for (const stage of plan.stages) {
    const upTo =
      stage.size.kind === "percent"
        ? Math.ceil((population * stage.size.percent) / 100)
        : stage.size.kind === "count"
          ? stage.size.count
          : stage.size.ids.length;
    const size = Math.min(population, upTo) - reached;
    if (size <= 0) {
      throw new CoalmineError(
        "plan/empty-stage",
        `stage "${stage.name}" would be empty: it reaches ${Math.min(population, upTo)} of ${population} devices and ` +
          `${reached} are in earlier stages; make the stages rise or the population larger`,
      );
    }
    counts.push(size);
    reached += size;
  }
  return counts;
}

/**
 * Checks what a plan file's shape alone cannot: rising stages, shares, criteria. Throws `plan/...` naming the field.
 * A plan without success criteria does not start (R14).
 */
export function checkPlan(plan: Plan): Plan {
  const fail = (code: string, message: string): never => {
    throw new CoalmineError(`plan/${code}`, message);
  };
  if (plan.stages.length === 0) {
    fail("no-stages", "stages: a plan needs at least one stage");
  }
  let percentBefore = 0;
  let countBefore = 0;
  const names = new Set<string>();
  for (const [index, stage] of plan.stages.entries()) {
    const where = `stages[${index}] ("${stage.name}")`;
    if (names.has(stage.name)) {
      fail("stage-name", `${where}: two stages have this name`);
    }
    names.add(stage.name);
    const { size } = stage;
    if (size.kind === "percent") {
      if (!(size.percent > 0 && size.percent <= 100)) {
        fail("stage-size", `${where}: ${size.percent} % is not above 0 and at most 100`);
      }
      if (size.percent <= percentBefore) {
        fail("stage-order", `${where}: ${size.percent} % does not rise above ${percentBefore} %`);
      }
      percentBefore = size.percent;
    } else if (size.kind === "count") {
      if (!Number.isInteger(size.count) || size.count < 1) {
        fail("stage-size", `${where}: ${size.count} devices is not a whole number of at least 1`);
      }
      if (size.count <= countBefore) {
        fail("stage-order", `${where}: ${size.count} devices does not rise above ${countBefore}`);
      }
      countBefore = size.count;
    } else {
      if (index !== 0) {
        fail("stage-size", `${where}: only the first stage, the canary, may name its devices`);
      }
      if (size.ids.length === 0) {
        fail("stage-size", `${where}: names no device`);
      }
      countBefore = size.ids.length;
    }
  }
  const last = plan.stages.at(-1) as StageSpec;
  if (!plan.partial && !(last.size.kind === "percent" && last.size.percent === 100)) {
    fail("last-stage", `stages: the last stage ("${last.name}") is not 100 %; add one, or say "partial: true"`);
  }
  if (plan.gates.length === 0) {
    fail("no-gates", "gates: a plan without success criteria does not start; add boot-confirmation and crash-free-devices");
  }
  const metrics = new Set<string>();
  for (const gate of plan.gates) {
    const where = `gates.${gate.metric}`;
    if (metrics.has(gate.metric)) {
      fail("gate-twice", `${where}: stands twice`);
    }
    metrics.add(gate.metric);
    if (!(gate.weight > 0)) {
      fail("gate-weight", `${where}.weight: must be above 0`);
    }
  }
  if (plan.soak.max < plan.soak.min) {
    fail("soak", "soak.max is shorter than soak.min");
  }
  if (plan.confirm.deadline <= plan.confirm.minUptime) {
    fail("confirm", "confirm.deadline must be longer than confirm.minUptime, or nothing can ever confirm");
  }
  if (plan.updateDeadline <= plan.confirm.deadline) {
    fail("update-deadline", "updateDeadline must be longer than confirm.deadline: an update that is tried and reverted must fit");
  }
  return plan;
}
