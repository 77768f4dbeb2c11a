// SPDX-License-Identifier: Apache-2.0
// The rollout machine. Numbered invariants; tests cite them.
//
// R2.  Membership is frozen when the rollout starts.
// R5.  A device keeps its stage; a wider stage contains the narrower one.
// R8.  No device outside the open stages is ever offered the release (I3: the stage is recorded open before the first offer).
// R10. Offers are paced.
// R23. An inconclusive verdict never promotes.
// R25. A failing verdict halts at once, whatever the soak.
// R29. A stage opens only after a pass or a named override.
// R30. A halted rollout offers nothing; what can be taken back is taken back.
// R33. A rollback is a rollout too: it offers an earlier release, and ends the one it rolls back.
// R36. Who comes back by its bootloader is reverted, who is brought back is rolled_back.
// R38. The states of the members always sum to the membership.
import type { Absence } from "./absence.ts";
import { type Assignment, type AssignmentState, assignmentStates, settled, underway } from "./assignment.ts";
import type { Decision, Member, Rollback } from "./decision.ts";
import { invariant } from "./error.ts";
import type { TimeHeap } from "./heap.ts";
import type { DeviceId, ReleaseId, RolloutId } from "./ids.ts";
import { newPace, type Pace } from "./pace.ts";
import type { Plan } from "./plan.ts";
import type { Instant, Millis } from "./time.ts";
import type { Judge, Verdict } from "./verdict.ts";

export type RolloutStatus = "running" | "held" | "halted" | "aborted" | "complete";

export interface StageState {
  readonly name: string;
  readonly size: number;
  openedAt: Instant | null;
  closedAt: Instant | null;
  verdict: Verdict;
  counts: Record<AssignmentState, number>;
}

/** One rollout: plain data but for `index`, which is derived and rebuilt on demand. */
export interface Rollout {
  readonly id: RolloutId;
  readonly release: ReleaseId;
  readonly plan: Plan;
  readonly seed: number;
  readonly offerBase: number;
  readonly representative: "yes" | "warn" | "no";
  /** Set when this is a rollback: whose, and from which release. */
  readonly rollback: Rollback | null;
  /** Where exposed devices go by themselves when a gate halts this rollout; null: a person decides. */
  wayBack: ReleaseId | null;
  /** The rollbacks that took its exposed members over, oldest first. From the first on it is aborted. */
  rolledBackBy: readonly RolloutId[];
  readonly startedAt: Instant;
  status: RolloutStatus;
  endedAt: Instant | null;
  verdict: Verdict;
  /** Index of the newest open stage; -1 before the first. */
  stage: number;
  readonly stages: StageState[];
  readonly members: Assignment[];
  /** The soak after R21: at least the plan's, and enough duty cycles of the slowest member. */
  soakMin: Millis;
  soakMax: Millis;
  pace: Pace;
  offered: number;
  haltedBy: { readonly gate: string; readonly metric: string; readonly reason: string } | null;
  /** Counts the decisions about the rollout as a whole: who orders something names the revision that was looked at. */
  revision: number;
  /** Gates that an operator overrode when resuming a halted rollout (R32). */
  overrides: readonly string[];
  /** When nobody listened, in the order in which it began: what was not heard then is not silence, and no time of soak. */
  absences: readonly Absence[];
  /** The judge's state; plain data. */
  readonly evidence: unknown;
  index: Index | undefined;
}

/** Look-ups that follow from the members. */
export interface Index {
  readonly byDevice: Map<DeviceId, number>;
  /** Whom `positionOf` was asked for last, and its answer. */
  lastDevice: DeviceId | undefined;
  lastPosition: number | undefined;
  /** Member indexes that wait for their offer, and were heard lately; sorted before they are read. */
  readonly ready: number[];
  readonly queued: Set<number>;
  /** `ready` is sorted. */
  inOrder: boolean;
  /** (deadline, member) pairs; an entry may be early, never late. Only the one that `scheduled` names counts. */
  readonly deadlines: TimeHeap<number>;
  readonly scheduled: number[];
  /** Evidence against the release came in since the last verdict. */
  dirty: boolean;
}

export const noVerdict: Verdict = { kind: "inconclusive", missing: [] };

function emptyCounts(): Record<AssignmentState, number> {
  return Object.fromEntries(assignmentStates.map((state) => [state, 0])) as Record<AssignmentState, number>;
}

/** Builds the rollout that a `rollout-started` decision describes. */
export function beginRollout(decision: Extract<Decision, { type: "rollout-started" }>, at: Instant, judge: Judge): Rollout {
  const { plan } = decision;
  const stages: StageState[] = plan.stages.map((stage, index) => ({
    name: stage.name,
    size: decision.members.filter((member) => member.stage === index).length,
    openedAt: null,
    closedAt: null,
    verdict: noVerdict,
    counts: emptyCounts(),
  }));
  const members = decision.members.map((member) => newAssignment(member, at));
  for (const member of members) {
    const stage = stages[member.stage];
    invariant(stage !== undefined, "R2: a member names a stage of the plan");
    stage.counts.planned += 1;
  }
  for (const stage of stages) {
    invariant(stage.size > 0, "R7: no stage is empty");
  }
  const slowest = members.reduce((longest, member) => Math.max(longest, member.interval), 0);
  const soakMin = Math.max(plan.soak.min, plan.soak.dutyCycles * slowest) as Millis;
  return {
    id: decision.rollout,
    release: decision.release,
    plan,
    seed: decision.seed,
    offerBase: decision.offerBase,
    representative: decision.representative,
    rollback: decision.rollback ?? null,
    wayBack: decision.wayBack ?? null,
    rolledBackBy: [],
    startedAt: at,
    status: "running",
    endedAt: null,
    verdict: noVerdict,
    stage: -1,
    stages,
    members,
    soakMin,
    soakMax: Math.max(plan.soak.max, soakMin * 2, soakMin + plan.updateDeadline + plan.silence.intervals * slowest) as Millis,
    pace: newPace(plan.offers.perMinute, at),
    offered: 0,
    haltedBy: null,
    revision: 1,
    overrides: [],
    absences: [],
    evidence: judge.init(plan, members, { at, seed: `${decision.release}:${decision.seed}`, baseline: decision.baseline, usual: decision.members }),
    index: undefined,
  };
}

function newAssignment(member: Member, at: Instant): Assignment {
  return {
    device: member.device,
    stage: member.stage,
    stratum: member.stratum,
    hardware: member.hardware,
    connectivity: member.connectivity,
    control: member.control,
    state: "planned",
    since: at,
    offer: 0,
    offeredAt: null,
    way: "download",
    swapBack: member.swapBack ?? false,
    keeps: false,
    swapBackFailed: false,
    ready: member.ready ?? true,
    startedAt: null,
    confirmedAt: null,
    heardAt: member.heardAt,
    interval: member.interval,
    ...(member.mute === true ? { mute: true as const } : {}),
    crashes: 0,
    silent: false,
    reason: "",
  };
}

/** Takes part until it completed or was aborted: a halted rollout can resume. */
export function isActive(rollout: Rollout): boolean {
  return rollout.status !== "complete" && rollout.status !== "aborted";
}

/**
 * Offer numbers that a rollout may use, from `offerBase` on: one for each member, and in a rollback a second one for the
 * download that follows a swap-back which could not begin (I2: a number is never used twice).
 */
export function offerNumbers(decision: Extract<Decision, { type: "rollout-started" }>): number {
  return decision.members.length * (decision.rollback === undefined ? 1 : 2);
}

/** Counts of the members by state, without zeros; they sum to the membership (R38). */
export function stateCounts(rollout: Rollout): Partial<Record<AssignmentState, number>> {
  const counts: Partial<Record<AssignmentState, number>> = {};
  for (const state of assignmentStates) {
    const total = rollout.stages.reduce((sum, stage) => sum + stage.counts[state], 0);
    if (total > 0) {
      counts[state] = total;
    }
  }
  return counts;
}

/** Devices whose update was seen to begin: they ran, or may have run, the release. */
export function exposedCount(rollout: Rollout): number {
  return rollout.members.reduce((sum, member) => sum + (member.startedAt === null ? 0 : 1), 0);
}

/** True when nothing of this rollout is on its way any more: every offered member ended. */
export function isQuiet(rollout: Rollout): boolean {
  return rollout.members.every(
    (member) => member.offer === 0 || member.state === "planned" || (settled.has(member.state) && !underway.has(member.state)),
  );
}
