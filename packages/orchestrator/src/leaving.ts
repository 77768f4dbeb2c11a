// SPDX-License-Identifier: Apache-2.0
// A rollout that a rollback leaves behind: its members go over in the same entry, and what becomes of them is still told (R3, R36).
import { type Assignment, bringBack, type Decision, endByRollback, holding, type Instant, type Judge, memberOf, move, type Rollout, underway } from "@coalmine/core";
import type { HostState } from "./conductor.ts";

/** The device may act on the offer it was sent: it has one, and has not come to an end with it. */
export function mayHold(member: Assignment): boolean {
  return member.offer !== 0 && (member.state === "planned" || member.state === "missing" || underway.has(member.state));
}

/** States in which the release of a rollout that was left is, or may be, on the device. */
export function stillHolds(member: Assignment): boolean {
  return member.state === "quarantined" || (member.startedAt !== null && (member.state === "missing" || member.state === "failed" || underway.has(member.state)));
}

/**
 * Folds the start of a rollback: the rollout it leaves ends, its release is barred, and its members are free but for those that
 * still hold the release and do not go back: they stay with it, so that everybody sees what they wait for.
 */
export function leave(state: HostState, judge: Judge, decision: Extract<Decision, { type: "rollout-started" }>, at: Instant): void {
  const { rollback, rollout: id, authority } = decision;
  const left = rollback === undefined ? undefined : state.rollouts.get(rollback.of);
  if (rollback === undefined || left === undefined) {
    return;
  }
  endByRollback(left, judge, { rollback: id, authority }, at);
  const release = state.releases.get(rollback.from);
  if (release !== undefined) {
    release.barred ??= `rolled back by rollout ${id}: ${authority.reason}`;
  }
  for (const member of left.members) {
    if (state.active.get(member.device) === left.id && !stillHolds(member)) {
      state.active.delete(member.device);
    }
  }
}

/** What a rollback has shown of a member, told to the rollout that it leaves. */
export function tellLeft(left: Rollout, rollback: Rollout, member: Assignment, judge: Judge, at: Instant): void {
  const before = memberOf(left, member.device);
  if (before === undefined || member.offer === 0) {
    return;
  }
  // Quarantined: the rollback was halted, and yet this device runs its release, and not the one that was left.
  if (holding.has(member.state) && before.state !== "rolled_back") {
    bringBack(left, judge, before, rollback.id, at);
  } else if (member.state === "reverted" && before.state === "rolled_back") {
    move(left, judge, before, "quarantined", at, `runs ${left.release} again: ${member.reason}`);
  }
}
