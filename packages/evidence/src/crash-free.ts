// SPDX-License-Identifier: Apache-2.0
// Crash-free devices and hours, for people: counted by the host from crashes and exposure, never from what a device says of itself (R20).

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

/** Crash-free devices and hours of an arm (0 controls, 1 canaries) up to `now`. A device that crashes every half hour has no crash-free hour. */
export function crashFree(state: GatesState, arm: 0 | 1, now: number): CrashFree {
  const sum = { devices: 0, crashFreeDevices: 0, hours: 0, crashFreeHours: 0 };
  for (const record of Object.values(state.devices)) {
    const spell = spellOf(record, arm);
    if (spell === undefined || spell.enter > now) continue;
    const end = Math.min(now, spellEnd(spell) ?? now);
    const hours = Math.floor((end - spell.enter) / HOUR);
    const crashed = new Set<number>();
    let crashes = 0;
    for (let i = lowerBound(record.crashes, spell.enter); i < record.crashes.length; i++) {
      const at = record.crashes[i] as number;
      if (at > end) break;
      crashes += 1;
      const hour = Math.floor((at - spell.enter) / HOUR);
      if (hour < hours) crashed.add(hour);
    }
    sum.devices += 1;
    sum.crashFreeDevices += crashes === 0 ? 1 : 0;
    sum.hours += hours;
    sum.crashFreeHours += hours - crashed.size;
  }
  return sum;
}
