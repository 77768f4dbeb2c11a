// SPDX-License-Identifier: Apache-2.0
// A member changes its state.
import { indexOf, positionOf, watch } from "./agenda.ts";
import { type Assignment, type AssignmentState, cancellable, started } from "./assignment.ts";
import { invariant, unreachable } from "./error.ts";
import type { Authority } from "./decision.ts";
import type { RolloutId } from "./ids.ts";
import { isActive, type Rollout, type StageState } from "./rollout.ts";
import type { Instant } from "./time.ts";
import type { Judge, Observation } from "./verdict.ts";

const badNews: ReadonlySet<AssignmentState> = new Set(["failed", "reverted", "refused", "missing", "excused"]);

/** Moves a member and tells the judge. The only place that changes a state. */
export function move(rollout: Rollout, judge: Judge, member: Assignment, state: AssignmentState, at: Instant, reason: string): void {
  const from = member.state;
  if (from === state) {
    return;
  }
  const stage = rollout.stages[member.stage] as StageState;
  stage.counts[from] -= 1;
  stage.counts[state] += 1;
  invariant(stage.counts[from] >= 0, "R38: counts never fall below zero");
  member.state = state;
  member.since = at;
  member.reason = reason;
  const index = indexOf(rollout);
  // Only bad news can halt, and a halt must not wait for the next tick; a pass can.
  index.dirty ||= badNews.has(state);
  const observe = (observation: Observation): void => judge.observe(rollout.evidence, member, observation, at);
  if (from === "missing" && state !== "excused") {
    observe({ kind: "returned" });
  }
  if (started.has(state) && member.startedAt === null) {
    member.startedAt = at;
    observe({ kind: "started" });
  }
  switch (state) {
    case "offered":
      observe({ kind: "offered" });
      break;
    case "confirmed":
    case "quarantined":
      if (member.confirmedAt === null) {
        member.confirmedAt = at;
        observe({ kind: "confirmed" });
      }
      break;
    case "healthy":
      observe({ kind: "healthy" });
      break;
    case "reverted":
    case "refused":
    case "failed":
      member.confirmedAt = null;
      observe({ kind: state, reason });
      break;
    case "missing":
      observe({ kind: "missing" });
      break;
    case "excused":
      observe({ kind: "excused" });
      break;
    case "planned":
    case "downloading":
    case "downloaded":
    case "applying":
    case "testing":
    case "soaking":
    case "deferred":
    case "rolled_back":
      break;
    default:
      unreachable(state);
  }
  watch(rollout, index, positionOf(index, member.device) as number);
}

/**
 * Takes back what can be taken back when a rollout halts or is aborted (R30). A halt also says of the devices that hold
 * the release that they hold a bad one; an abort says nothing of the release.
 */
export function takeBack(rollout: Rollout, judge: Judge, at: Instant, why: "halted" | "aborted"): void {
  for (const member of rollout.members) {
    if (cancellable.has(member.state)) {
      move(rollout, judge, member, "planned", at, why);
    } else if (why === "aborted") {
      continue;
    } else if (member.state === "confirmed" || member.state === "soaking" || member.state === "healthy") {
      move(rollout, judge, member, "quarantined", at, why);
    }
  }
}

/**
 * Ends a rollout because a rollback takes its exposed members over (R3). What had not begun is taken back, and devices that
 * hold the release are marked as holding a bad one, as after a halt.
 */
export function endByRollback(rollout: Rollout, judge: Judge, by: { readonly rollback: RolloutId; readonly authority: Authority }, at: Instant): void {
  const { reason } = by.authority;
  rollout.rolledBackBy = [...rollout.rolledBackBy, by.rollback];
  rollout.revision += 1;
  takeBack(rollout, judge, at, "halted");
  if (rollout.haltedBy === null) {
    rollout.haltedBy = { gate: "operator", metric: "operator", reason };
    rollout.verdict = { kind: "fail", gate: "operator", metric: "operator", reason };
  }
  if (isActive(rollout)) {
    rollout.endedAt ??= at;
  }
  rollout.status = "aborted";
}

/** A rollback brought a member back: it runs the earlier release for good, whatever state it was in (R36). */
export function bringBack(rollout: Rollout, judge: Judge, member: Assignment, by: RolloutId, at: Instant): void {
  if (member.state !== "excused") {
    move(rollout, judge, member, "rolled_back", at, `brought back by ${by}`);
  }
}
