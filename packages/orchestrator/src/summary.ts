// SPDX-License-Identifier: Apache-2.0
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
  readonly haltedBy: { readonly gate: string; readonly metric: string; readonly reason: string } | null;
  /** What is still missing for a verdict, in words. */
  readonly missing: readonly string[];
}

const iso = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString());

export function summarise(rollout: Rollout): RolloutSummary {
  return {
    id: rollout.id,
    release: rollout.release,
    status: rollout.status,
    outcome: rollout.status,
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
    haltedBy: rollout.haltedBy,
    missing: rollout.verdict.kind === "inconclusive" ? rollout.verdict.missing : [],
  };
}
