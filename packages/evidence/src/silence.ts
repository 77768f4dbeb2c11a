// SPDX-License-Identifier: Apache-2.0
// When a quiet device is overdue (evidence.md 3.4). Duty-cycled sleep is not silence.

/** How long a device may stay quiet. Times in one unit throughout. */
export interface SilencePolicy {
  /** Multiple of the check-in interval after which a device is overdue; 3 by default. */
  readonly factor: number;
  /** Shortest allowance whatever the interval; 15 minutes by default. */
  readonly floor: number;
}

/** Gaps needed before a device's own rhythm is believed more than its class. */
export const OWN_GAPS_MIN = 20;

/**
 * A device's check-in interval: the nearest-rank 99th percentile of its own gaps when there are at least 20, else the class interval.
 */
export function checkInInterval(gaps: readonly number[], classInterval: number): number {
  if (gaps.length < OWN_GAPS_MIN) return classInterval;
  const ascending = [...gaps].sort((a, b) => a - b);
  // ceil(0.99 n) in integers: 0.99 is not a binary fraction, and 0.99 * 100 must be 99.
  return ascending[Math.ceil((99 * ascending.length) / 100) - 1] as number;
}

/** lastSeen + max(floor, factor * interval). */
export function overdueAt(lastSeen: number, interval: number, policy: SilencePolicy): number {
  return lastSeen + Math.max(policy.floor, policy.factor * interval);
}

/** Strictly later than the deadline. */
export function isOverdue(now: number, deadline: number): boolean {
  return now > deadline;
}

/** A device's recent check-ins: plain data, at most `GAPS_KEPT` gaps. */
export interface CheckIns {
  lastSeen: number | null;
  readonly gaps: number[];
}

/** Gaps remembered per device. */
export const GAPS_KEPT = 250;

export function noCheckIns(): CheckIns {
  return { lastSeen: null, gaps: [] };
}

/** Records a check-in in place. One that is not later than the last is a duplicate or out of order and changes nothing. */
export function heardFrom(checkIns: CheckIns, at: number): void {
  if (checkIns.lastSeen !== null) {
    if (at <= checkIns.lastSeen) return;
    checkIns.gaps.push(at - checkIns.lastSeen);
    if (checkIns.gaps.length > GAPS_KEPT) checkIns.gaps.shift();
  }
  checkIns.lastSeen = at;
}
