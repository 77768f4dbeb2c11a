// SPDX-License-Identifier: Apache-2.0
// What reports mean for a member: the half of the rollout machine that takes in facts.
import { indexOf, ownSoak, positionOf, watch, watchAgain } from "./agenda.ts";
import { type Assignment, type AssignmentState, assignmentStates, underway } from "./assignment.ts";
import type { Signal } from "./decision.ts";
import { unreachable } from "./error.ts";
import type { DeviceId } from "./ids.ts";
import { move } from "./move.ts";
import { type Index, isActive, type Rollout } from "./rollout.ts";
import type { Instant } from "./time.ts";
import type { Judge } from "./verdict.ts";

/**
 * Takes in what a report says about a member. Order of reports is the device's own; the orchestrator has already
 * dropped duplicates and stale ones. Returns true when a verdict may have changed.
 */
export function signal(rollout: Rollout, judge: Judge, device: DeviceId, what: Signal, at: Instant): boolean {
  const index = indexOf(rollout);
  const position = positionOf(index, device);
  // One that was rolled back offers nothing more, and yet what becomes of its devices is told (R36).
  if (position === undefined || (!isActive(rollout) && rollout.rolledBackBy.length === 0)) {
    return false;
  }
  const member = rollout.members[position] as Assignment;
  if (at > member.heardAt) {
    member.heardAt = at;
  }
  const barred = rollout.status === "halted" || rollout.rolledBackBy.length > 0;
  switch (what.kind) {
    case "heard": {
      const sooner = what.interval < member.interval;
      member.interval = what.interval;
      member.keeps = what.keeps ?? false;
      member.swapBack = what.swapBack ?? false;
      setReady(rollout, index, position, what.ready ?? true);
      if (member.silent) {
        judge.observe(rollout.evidence, member, { kind: "returned" }, at);
      }
      if (member.silent || sooner) {
        member.silent = false;
        watch(rollout, index, position);
      }
      judge.observe(rollout.evidence, member, { kind: "heard", onRelease: what.onRelease, boot: what.boot, metrics: what.metrics }, at);
      if (what.onRelease) {
        runsRelease(rollout, judge, member, what.confirmed, barred, at);
      } else {
        runsOther(rollout, judge, member, barred, at);
      }
      watchAgain(rollout, index, position);
      break;
    }
    case "returned":
      if (member.offer === 0 && (member.state === "planned" || member.state === "missing")) {
        move(rollout, judge, member, "excused", at, what.reason);
      }
      break;
    case "progress":
      if (what.state === "testing") {
        runsRelease(rollout, judge, member, false, barred, at);
      } else if (member.offer !== 0 && (underway.has(member.state) || member.state === "deferred" || member.state === "missing" || member.state === "planned")) {
        // After a halt a device may have been past the point of return before its cancel arrived, but nothing begins anew.
        const takenBack = member.state === "planned" || (barred && member.state === "missing");
        if (rank(what.state) > rank(member.state) && (what.state === "applying" || !takenBack)) {
          move(rollout, judge, member, what.state, at, "");
        }
      }
      break;
    case "deferred":
      if (underway.has(member.state) || (member.state === "missing" && !barred)) {
        move(rollout, judge, member, "deferred", at, what.reason);
      }
      break;
    case "ended":
      if (member.offer !== 0 && member.state !== what.outcome && member.state !== "excused") {
        if (member.state === "planned" && what.outcome === "failed") {
          break; // the answer to a cancel
        }
        if (what.outcome === "failed" && member.way === "swap-back" && rank(member.state) < rank("testing") && !barred) {
          // The other slot does not hold the image any more: it is fetched instead, under a number of its own.
          member.swapBackFailed = true;
          move(rollout, judge, member, "planned", at, `no swap-back: ${what.reason}`);
          break;
        }
        move(rollout, judge, member, what.outcome, at, what.reason);
      }
      break;
    case "crash":
      member.crashes += what.onRelease ? 1 : 0;
      judge.observe(rollout.evidence, member, { kind: "crash", onRelease: what.onRelease, signature: what.signature }, at);
      index.dirty = true;
      break;
    default:
      unreachable(what);
  }
  return index.dirty;
}

/** Notes whether the member may be offered the release; its turn and its deadline follow from that. */
function setReady(rollout: Rollout, index: Index, position: number, ready: boolean): void {
  const member = rollout.members[position] as Assignment;
  if (member.ready !== ready) {
    member.ready = ready;
    watch(rollout, index, position);
  }
}

function runsRelease(rollout: Rollout, judge: Judge, member: Assignment, confirmed: boolean, barred: boolean, at: Instant): void {
  if (member.state === "excused" || member.state === "rolled_back" || (rollout.rollback !== null && member.offer === 0)) {
    return; // in a rollback, who runs the image without an order has come back by itself
  }
  if (!confirmed) {
    // "Reverted" stays: a late hello of the trial must not undo a known end. So does the failure of an image that began:
    // it runs on unconfirmed because its bootloader did not undo it. Missing, and failed before the reboot, are revised.
    const failedEarly = member.state === "failed" && member.startedAt === null;
    if (rank(member.state) < rank("testing") || member.state === "missing" || failedEarly || member.state === "deferred") {
      move(rollout, judge, member, "testing", at, "");
    }
    return;
  }
  if (barred) {
    // The device holds a release that was stopped: not success, and waiting for a rollback.
    move(rollout, judge, member, "quarantined", at, "confirmed a release that was halted");
    return;
  }
  if (member.state === "confirmed") {
    move(rollout, judge, member, "soaking", at, "");
  } else if (member.state === "soaking" || member.state === "healthy" || member.state === "quarantined") {
    const confirmedAt = member.confirmedAt ?? at;
    if (member.state !== "healthy" && at - confirmedAt >= ownSoak(rollout, member)) {
      move(rollout, judge, member, "healthy", at, "");
    } else if (member.state === "quarantined") {
      move(rollout, judge, member, "soaking", at, "");
    }
  } else {
    move(rollout, judge, member, "confirmed", at, "");
  }
}

function runsOther(rollout: Rollout, judge: Judge, member: Assignment, barred: boolean, at: Instant): void {
  switch (member.state) {
    case "testing":
    case "confirmed":
    case "soaking":
    case "healthy":
    case "quarantined":
      move(rollout, judge, member, "reverted", at, "runs another image again");
      break;
    case "missing":
      if (member.startedAt === null) {
        // It never began: back to where it can be offered, or is still underway. A halt takes its offer back (R30).
        move(rollout, judge, member, member.offer === 0 || barred ? "planned" : "offered", at, barred ? "halted" : "");
      } else if (member.confirmedAt === null) {
        move(rollout, judge, member, "applying", at, "");
      } else {
        move(rollout, judge, member, "reverted", at, "runs another image again");
      }
      break;
    default:
      break;
  }
}

const ranks: Partial<Record<AssignmentState, number>> = Object.fromEntries(assignmentStates.slice(0, 9).map((state, index) => [state, index]));

function rank(state: AssignmentState): number {
  return ranks[state] ?? (state === "deferred" || state === "missing" ? 1 : 9);
}
