// SPDX-License-Identifier: Apache-2.0
// What many virtual rollouts add up to.
import { clopperPearsonUpper, quantile } from "@coalmine/evidence";
import type { PlanPower } from "@coalmine/orchestrator";
import type { Rehearsed } from "./rehearse-run.ts";

export interface DefectResult {
  readonly name: string;
  readonly value: string;
  readonly runs: number;
  readonly halted: number;
  /** Stopped for a person to decide: the evidence neither halted nor passed. */
  readonly held: number;
  /** Reached every device. */
  readonly missed: number;
  /** Devices whose update had begun when it was stopped, or at the end of a miss. */
  readonly medianExposed: number;
  readonly p90Exposed: number;
  readonly medianHoursToHalt: number | null;
  readonly haltedInStage: Readonly<Record<string, number>>;
  readonly haltedBy: Readonly<Record<string, number>>;
}

export interface GoodResult {
  readonly runs: number;
  readonly halted: number;
  readonly held: number;
  readonly completed: number;
  readonly falseHaltRate: number;
  /** One-sided exact (Clopper-Pearson) 95 % bound. */
  readonly falseHaltUpper95: number;
  readonly medianHoursToComplete: number | null;
  readonly haltedBy: Readonly<Record<string, number>>;
  /** Runs that were held, by stage and by each gate that had not passed there ("10%: crash-rate"). */
  readonly heldBy: Readonly<Record<string, number>>;
}

/** What `rehearse --json` prints. */
export interface RehearsalResult {
  readonly seed: number;
  readonly runs: number;
  readonly devices: number;
  readonly checkInHours: number;
  readonly wallSeconds: number;
  readonly deviceDays: number;
  readonly defects: readonly DefectResult[];
  readonly good: GoodResult;
  readonly power: PlanPower["lines"];
  readonly stages: PlanPower["stages"];
  /** The same in sentences. */
  readonly statement: readonly string[];
  readonly warnings: readonly string[];
}

const count = (names: readonly string[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const name of names) {
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
};

export function defectResult(name: string, value: string, runs: readonly Rehearsed[]): DefectResult {
  const halted = runs.filter((run) => run.outcome === "halted");
  const exposed = runs.map((run) => run.exposed);
  return {
    name,
    value,
    runs: runs.length,
    halted: halted.length,
    held: runs.filter((run) => run.outcome === "held").length,
    missed: runs.filter((run) => run.outcome === "complete" || run.outcome === "unfinished").length,
    medianExposed: quantile(exposed, 0.5),
    p90Exposed: quantile(exposed, 0.9),
    medianHoursToHalt: halted.length === 0 ? null : quantile(halted.map((run) => run.hours), 0.5),
    haltedInStage: count(halted.map((run) => run.stage)),
    haltedBy: count(halted.map((run) => run.haltedBy ?? "")),
  };
}

export function goodResult(runs: readonly Rehearsed[]): GoodResult {
  const halted = runs.filter((run) => run.outcome === "halted");
  const complete = runs.filter((run) => run.outcome === "complete");
  return {
    runs: runs.length,
    halted: halted.length,
    held: runs.filter((run) => run.outcome === "held").length,
    completed: complete.length,
    falseHaltRate: runs.length === 0 ? 0 : halted.length / runs.length,
    falseHaltUpper95: clopperPearsonUpper(halted.length, runs.length, 0.05),
    medianHoursToComplete: complete.length === 0 ? null : quantile(complete.map((run) => run.hours), 0.5),
    haltedBy: count(halted.map((run) => run.haltedBy ?? "")),
    heldBy: count(runs.filter((run) => run.outcome === "held").flatMap(({ stage, heldBy }) => (heldBy.length === 0 ? [stage] : heldBy.map((gate) => `${stage}: ${gate}`)))),
  };
}
