// SPDX-License-Identifier: Apache-2.0
// Crash-free devices and hours, counted by the host from crashes and exposure, never from what a device says of itself (R20).

import { lowerBound, spellEnd, spellOf } from "./device-record.ts";
import type { GatesState } from "./gate-spec.ts";

/** One arm. `hours` are whole hours at risk since each device entered; a crash-free one has no crash in it. */
export interface CrashFree {
  readonly devices: number;
  readonly crashFreeDevices: number;
  readonly hours: number;
  readonly crashFreeHours: number;
}

const HOUR = 3_600_000;

/** One device's whole hours from `enter` to `end` (milliseconds), those without a crash, and its crashes in that time. `crashes` ascend. */
export function crashFreeHours(crashes: readonly number[], enter: number, end: number): { readonly hours: number; readonly free: number; readonly crashes: number } {
  const hours = Math.max(0, Math.floor((end - enter) / HOUR));
  let spoilt = 0;
  let last = -1;
  let count = 0;
  for (let i = lowerBound(crashes, enter); i < crashes.length; i++) {
    const at = crashes[i] as number;
    if (at > end) break;
    count += 1;
    const hour = Math.floor((at - enter) / HOUR);
    if (hour < hours && hour !== last) spoilt += 1;
    last = hour;
  }
  return { hours, free: hours - spoilt, crashes: count };
}

/** Crash episodes of one device from `enter` to `end`: a crash less than `quiet` after the one before belongs to its episode (E1). */
export function countEpisodes(crashes: readonly number[], enter: number, within: { readonly end: number; readonly quiet: number }): number {
  let episodes = 0;
  let last = -Infinity;
  for (let i = lowerBound(crashes, enter); i < crashes.length; i++) {
    const at = crashes[i] as number;
    if (at > within.end) break;
    if (at - last >= within.quiet) episodes += 1;
    last = at;
  }
  return episodes;
}

/** Crash-free devices and hours of an arm (0 controls, 1 canaries) up to `now`. A device that crashes every half hour has no crash-free hour. */
export function crashFree(state: GatesState, arm: 0 | 1, now: number): CrashFree {
  const sum = { devices: 0, crashFreeDevices: 0, hours: 0, crashFreeHours: 0 };
  for (const record of Object.values(state.devices)) {
    const spell = spellOf(record, arm);
    if (spell === undefined || spell.enter > now || record.mute === true) continue;
    const { hours, free, crashes } = crashFreeHours(record.crashes, spell.enter, Math.min(now, spellEnd(spell) ?? now));
    sum.devices += 1;
    sum.crashFreeDevices += crashes === 0 ? 1 : 0;
    sum.hours += hours;
    sum.crashFreeHours += free;
  }
  return sum;
}
