// SPDX-License-Identifier: Apache-2.0
import { stillHolds } from "./leaving.ts";
import { exposedCount, type Rollout, stateCounts, type Verdict } from "@coalmine/core";

/** A rollout as commands print it (docs: commands). Counts in `states` sum to the population. */
export interface RolloutSummary {
  readonly id: string;
  readonly release: string;
  readonly status: string;
  readonly outcome: "complete" | "halted" | "held" | "rolled_back" | "aborted" | "running";
  readonly verdict: Verdict["kind"];
  readonly population: number;
  readonly startedAt: string;
  readonly endedAt: string | null;
  readonly stages: readonly {
    readonly name: string;
    readonly size: number;
    readonly openedAt: string | null;
    readonly closedAt: string | null;
    readonly verdict: Verdict["kind"];
  }[];
  readonly states: Readonly<Record<string, number>>;
  readonly offered: number;
  readonly exposed: number;
  /** Set when it is a rollback: of which rollout, from which release. */
  readonly rollback: { readonly of: string; readonly from: string; readonly emergency: boolean; readonly predicted: Readonly<Record<string, number>> } | null;
  /** The rollbacks that took its exposed members over. */
  readonly rolledBackBy: readonly string[];
  readonly haltedBy: { readonly gate: string; readonly metric: string; readonly reason: string } | null;
  /** What is still missing for a verdict, in words. */
  readonly missing: readonly string[];
}

/** Rolled back: every device that held the release is off it, by the rollback or by its own bootloader. */
function outcomeOf(rollout: Rollout): RolloutSummary["outcome"] {
  if (rollout.rolledBackBy.length === 0) {
    return rollout.status;
  }
  return rollout.members.some(stillHolds) ? "halted" : "rolled_back";
}

const iso = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString());

export function summarise(rollout: Rollout): RolloutSummary {
  return {
    id: rollout.id,
    release: rollout.release,
    status: rollout.status,
    outcome: outcomeOf(rollout),
    verdict: rollout.verdict.kind,
    population: rollout.members.length,
    startedAt: new Date(rollout.startedAt).toISOString(),
    endedAt: iso(rollout.endedAt),
    stages: rollout.stages.map((stage) => ({
      name: stage.name,
      size: stage.size,
      openedAt: iso(stage.openedAt),
      closedAt: iso(stage.closedAt),
      verdict: stage.verdict.kind,
    })),
    states: stateCounts(rollout),
    offered: rollout.offered,
    exposed: exposedCount(rollout),
    rollback: rollout.rollback,
    rolledBackBy: rollout.rolledBackBy,
    haltedBy: rollout.haltedBy,
    missing: rollout.verdict.kind === "inconclusive" ? rollout.verdict.missing : [],
  };
}
