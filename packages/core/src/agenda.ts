// SPDX-License-Identifier: Apache-2.0
// When something is due for a member: silence, the update's deadline, its turn for an offer. Look-ups that follow from the
// members, rebuilt on demand; nothing here is stored.
import { type Absence, listenedAt, silentFrom, withAbsence, withoutDeafness } from "./absence.ts";
import type { Assignment } from "./assignment.ts";
import { TimeHeap } from "./heap.ts";
import type { DeviceId } from "./ids.ts";
import { type Index, isActive, type Rollout } from "./rollout.ts";
import type { Instant, Millis } from "./time.ts";

/** Notes that nobody listened, or that nobody does from now on. */
export function noteAbsence(rollout: Rollout, absence: Absence): void {
  rollout.absences = withAbsence(rollout.absences, absence);
}

/** Notes that a door is listened to again: deadlines that had no date have one again. */
export function endAbsence(rollout: Rollout, door: string, until: Instant): void {
  rollout.absences = withoutDeafness(rollout.absences, door, until);
  const index = indexOf(rollout);
  for (const position of rollout.members.keys()) {
    watch(rollout, index, position);
  }
}

/** When a silent member becomes overdue (R26; evidence.md 3.4). */
export function overdueAt(rollout: Rollout, member: Assignment): Instant {
  const { floor, intervals } = rollout.plan.silence;
  return listenedAt(rollout, member, silentFrom(rollout, member), Math.max(floor, intervals * member.interval) as Millis);
}

/** When an update that began with the offer must have confirmed. */
export function updateDueAt(rollout: Rollout, member: Assignment, from: Instant): Instant {
  return listenedAt(rollout, member, from, (rollout.plan.updateDeadline + rollout.plan.silence.intervals * member.interval) as Millis);
}

/** A member's own soak: the plan's minimum, and enough of its own duty cycles (R21). */
export function ownSoak(rollout: Rollout, member: Assignment): Millis {
  return Math.max(rollout.plan.soak.min, rollout.plan.soak.dutyCycles * member.interval) as Millis;
}

/** A control whose silence is still to be noted: by the rule that canaries are under, also while its own offer waits for it. */
export function isWatchedControl(member: Assignment): boolean {
  return member.control !== null && !member.silent && member.state === "planned";
}

/** The earliest moment at which silence alone changes this member; Infinity when it never does. */
export function deadlineOf(rollout: Rollout, member: Assignment): number {
  const opened = rollout.stages[member.stage]?.openedAt ?? null;
  if (opened === null) {
    return isWatchedControl(member) && isActive(rollout) ? overdueAt(rollout, member) : Number.POSITIVE_INFINITY;
  }
  switch (member.state) {
    case "planned": {
      if (rollout.status !== "running" && rollout.status !== "held") {
        return Number.POSITIVE_INFINITY;
      }
      if (rollout.rollback !== null && !member.ready) {
        return Math.min(overdueAt(rollout, member), updateDueAt(rollout, member, opened));
      }
      const missingAt = Math.max(updateDueAt(rollout, member, opened), overdueAt(rollout, member));
      return isWatchedControl(member) ? Math.min(missingAt, overdueAt(rollout, member)) : missingAt;
    }
    case "offered":
    case "downloading":
    case "downloaded":
    case "applying":
    case "testing":
      return Math.min(overdueAt(rollout, member), updateDueAt(rollout, member, member.offeredAt ?? opened));
    case "deferred":
    case "confirmed":
    case "soaking":
    case "healthy":
      return overdueAt(rollout, member);
    default:
      return Number.POSITIVE_INFINITY;
  }
}

/** The derived look-ups, built when first needed. */
export function indexOf(rollout: Rollout): Index {
  if (rollout.index === undefined) {
    const index: Index = { byDevice: new Map(), lastDevice: undefined, lastPosition: undefined, ready: [], queued: new Set(), inOrder: true, deadlines: new TimeHeap(), scheduled: [], dirty: true };
    rollout.index = index;
    for (const [position, member] of rollout.members.entries()) {
      index.byDevice.set(member.device, position);
      watch(rollout, index, position);
    }
  }
  return rollout.index;
}

function enqueue(index: Index, position: number): void {
  index.queued.add(position);
  index.inOrder &&= position >= (index.ready.at(-1) ?? 0);
  index.ready.push(position);
}

/** Brings the queue into the order of the members: who comes first must not depend on when this process was started. */
export function sortReady(index: Index): void {
  if (!index.inOrder) {
    index.ready.sort((a, b) => a - b);
    index.inOrder = true;
  }
}

/** Puts a member where its state wants it: in the queue for an offer, under its deadline. */
export function watch(rollout: Rollout, index: Index, position: number): void {
  const member = rollout.members[position] as Assignment;
  if (member.state === "planned" && member.stage <= rollout.stage && !index.queued.has(position)) {
    enqueue(index, position);
  }
  const deadline = deadlineOf(rollout, member);
  if (deadline < (index.scheduled[position] ?? Number.POSITIVE_INFINITY)) {
    index.scheduled[position] = deadline;
    index.deadlines.push(deadline, position);
  }
}

/** A later report pushes a deadline out; the heap keeps the early entry, which is checked when it comes up. */
export function watchAgain(rollout: Rollout, index: Index, position: number): void {
  const member = rollout.members[position] as Assignment;
  if (member.state === "planned" && member.stage <= rollout.stage && !index.queued.has(position)) {
    enqueue(index, position);
  }
}

/** Where a device stands among the members, or undefined when it is none. Everything that one report leads to asks for the same device. */
export function positionOf(index: Index, device: DeviceId): number | undefined {
  if (index.lastDevice !== device) {
    index.lastDevice = device;
    index.lastPosition = index.byDevice.get(device);
  }
  return index.lastPosition;
}

/** The assignment of a device, or undefined when it is no member. */
export function memberOf(rollout: Rollout, device: DeviceId): Assignment | undefined {
  const position = positionOf(indexOf(rollout), device);
  return position === undefined ? undefined : rollout.members[position];
}
