// SPDX-License-Identifier: Apache-2.0
// What a device's record says: boot outcome, and when it stood at risk in either arm.

import type { DeviceRecord, Placement } from "./gate-spec.ts";

/** Inserts into an ascending list without repeats; false when it was there. */
export function insertOnce(list: number[], value: number): boolean {
  const index = lowerBound(list, value);
  if (list[index] === value) return false;
  list.splice(index, 0, value);
  return true;
}

/** First index whose entry is >= value. */
export function lowerBound(list: readonly number[], value: number): number {
  let low = 0;
  let high = list.length;
  if (high === 0 || (list[high - 1] as number) < value) return high;
  while (low < high) {
    const mid = (low + high) >> 1;
    if ((list[mid] as number) < value) low = mid + 1;
    else high = mid;
  }
  return low;
}

/** First entry >= value. */
function firstFrom(list: readonly number[], value: number): number | undefined {
  return list[lowerBound(list, value)];
}

/** `failed`: reverted, or overdue before it confirmed. Once overdue, a later confirmation no longer helps (evidence.md 3.4). */
export type BootOutcome = "none" | "pending" | "confirmed" | "failed";

export function bootOutcome(record: DeviceRecord): BootOutcome {
  if (record.canary === undefined) return "none";
  if (record.revertedAt !== undefined) return "failed";
  const overdue = firstFrom(record.overdues, record.canary.startedAt);
  if (overdue !== undefined && (record.confirmedAt === undefined || overdue < record.confirmedAt)) return "failed";
  return record.confirmedAt === undefined ? "pending" : "confirmed";
}

/** A device at risk in one arm. */
export interface Spell {
  readonly placement: Placement;
  readonly canary: 0 | 1;
  readonly enter: number;
  /** Own update (a control) or withdrawal; null while neither happened. */
  readonly exit: number | null;
  /** First overdue since entry: the silence gate's event, and the end of risk for the others. */
  readonly overdue: number | null;
}

function earliest(...times: readonly (number | undefined)[]): number | null {
  let first: number | null = null;
  for (const at of times) if (at !== undefined && (first === null || at < first)) first = at;
  return first;
}

/** The spell of a record in one arm. A canary enters at boot confirmation, a control at its sham start and until its own update (evidence.md 3.2). */
export function spellOf(record: DeviceRecord, canary: 0 | 1): Spell | undefined {
  if (canary === 1) {
    if (record.canary === undefined || record.confirmedAt === undefined) return undefined;
    const enter = Math.max(record.confirmedAt, record.canary.startedAt);
    const exit = earliest(record.withdrawnAt, record.revertedAt);
    return finish({ placement: record.canary.placement, canary, enter, exit, overdue: null }, record);
  }
  if (record.control === undefined) return undefined;
  const { placement, enterAt } = record.control;
  const exit = earliest(record.controlExitAt, record.canary?.startedAt, record.withdrawnAt);
  return finish({ placement, canary, enter: enterAt, exit, overdue: null }, record);
}

/** Undefined for a spell that ended before it began; otherwise with its first overdue. */
function finish(spell: Spell, record: DeviceRecord): Spell | undefined {
  if (spell.exit !== null && spell.exit < spell.enter) return undefined;
  const overdue = firstFrom(record.overdues, spell.enter) ?? null;
  return { ...spell, overdue: overdue !== null && (spell.exit === null || overdue <= spell.exit) ? overdue : null };
}

/** When the spell stops counting for crashes, exposure and metrics: silence or exit, whichever is first. */
export function spellEnd(spell: Spell): number | null {
  return spell.overdue ?? spell.exit;
}

/** Key of a stratum. */
export function stratumKey(placement: Placement): string {
  return `${placement.stage}|${placement.hardware}|${placement.connectivity}`;
}

/** What follows from a record, and is counted. */
export interface DeviceFacts {
  readonly boot: BootOutcome;
  readonly hardware: string | undefined;
  readonly reverted: boolean;
  readonly overdue: boolean;
  readonly looped: boolean;
  /** Started, without a way to tell of a crash. */
  readonly mute: boolean;
  readonly spells: readonly [Spell | undefined, Spell | undefined];
  readonly crashed: readonly [boolean, boolean];
}

/** A device's record with what follows from it. */
export interface KnownDevice {
  readonly record: DeviceRecord;
  facts: DeviceFacts;
  /** Whether its samples are kept; undefined until it is asked. */
  keepsSamples: boolean | undefined;
}
