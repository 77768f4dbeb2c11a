// SPDX-License-Identifier: Apache-2.0
// Time in which nobody listened. What was not heard then is neither silence of the devices nor soak.
import type { Assignment } from "./assignment.ts";
import type { Rollout } from "./rollout.ts";
import { after, type Instant, type Millis } from "./time.ts";

/** The orchestrator did not run, or one of its doors was shut: the last time it heard, and when it listened again. */
export interface Absence {
  readonly from: Instant;
  /** null: it does not listen yet. */
  readonly until: Instant | null;
  /** The door that was shut, by its name; all of them without one. */
  readonly door?: string;
}

const concerns = (absence: Absence, member: Assignment): boolean => absence.door === undefined || absence.door === member.door;

/** Adds an absence; they are kept in the order in which they began. */
export function withAbsence(absences: readonly Absence[], absence: Absence): readonly Absence[] {
  const later = absences.findIndex((other) => other.from > absence.from);
  return absences.toSpliced(later < 0 ? absences.length : later, 0, absence);
}

/** Ends the absences of a door that last. */
export function withoutDeafness(absences: readonly Absence[], door: string, until: Instant): readonly Absence[] {
  return absences.map((absence) => (absence.until === null && absence.door === door ? { ...absence, until } : absence));
}

/** True while nothing that a member says can be heard. */
export function isUnheard(rollout: Rollout, member: Assignment): boolean {
  return rollout.absences.some((absence) => absence.until === null && concerns(absence, member));
}

/** When `delay` of listening to a member has passed since `from`: time in which nobody listened comes on top. Infinity while nobody does. */
export function listenedAt(rollout: Rollout, member: Assignment, from: Instant, delay: Millis): Instant {
  let at = after(from, delay);
  let accounted = from;
  for (const absence of rollout.absences) {
    const began = Math.max(absence.from, accounted);
    if (began >= at) {
      break; // those that follow began later still
    }
    if (!concerns(absence, member)) {
      continue;
    }
    if (absence.until === null) {
      return Number.POSITIVE_INFINITY as Instant;
    }
    if (absence.until > began) {
      at = after(at, (absence.until - began) as Millis);
      accounted = absence.until;
    }
  }
  return at;
}

/**
 * What a member's silence is measured from: its last report, or the end of an absence since then that was longer than it
 * takes the member to check in. Nobody knows what it tried meanwhile, and it may be waiting before it tries again.
 */
export function silentFrom(rollout: Rollout, member: Assignment): Instant {
  let from = member.heardAt;
  for (const absence of rollout.absences) {
    if (absence.until !== null && absence.until - Math.max(absence.from, from) >= member.interval && concerns(absence, member)) {
      from = absence.until;
    }
  }
  return from;
}

/** `from`, later by the time until `now` in which one of the doors was not listened to: what `now` is to be measured from. */
export function listenedSince(rollout: Rollout, from: Instant, now: Instant): Instant {
  let deaf = 0;
  let accounted: number = from;
  for (const absence of rollout.absences) {
    const began = Math.max(absence.from, accounted);
    const ended = Math.min(absence.until ?? now, now);
    if (ended > began) {
      deaf += ended - began;
      accounted = ended;
    }
  }
  return after(from, deaf as Millis);
}
