// SPDX-License-Identifier: Apache-2.0
// When the host itself heard nothing: its process was away, or the link of a door was down. None of that is silence of the devices.
import { endAbsence, type Instant, isActive, type Millis, noteAbsence, type Rollout, Seconds } from "@coalmine/core";
import type { Change } from "./entry.ts";
import type { Deafness } from "./history.ts";
import type { DeviceRecord } from "./inventory.ts";
import type { Door } from "./ports.ts";

/** What the host knows of its own hearing. Plain data. */
export interface Hearing {
  /** When the last report of any device came, and how often the most talkative one reports. */
  last: number;
  interval: Millis;
  /** The last time in which no device was heard for longer than is usual. */
  deaf: Deafness;
  /** Doors whose link is down, and the last time each was up. */
  readonly down: Partial<Record<Door, Instant>>;
  /** The last time the link of each door was down. */
  readonly unheard: Partial<Record<Door, Deafness>>;
}

export const newHearing = (): Hearing => ({ last: 0, interval: Seconds(900), deaf: { from: 0, until: 0 }, down: {}, unheard: {} });

/** When nobody of the fleet is heard for so long, or for so many of the shortest intervals, it is the host that did not listen. */
const deafAfter = { floor: 15 * 60_000, intervals: 3 } as const;

/** A report of any device came. */
export function noteHeard(hearing: Hearing, at: Instant): void {
  if (hearing.last > 0 && at - hearing.last > Math.max(deafAfter.floor, deafAfter.intervals * hearing.interval)) {
    hearing.deaf = { from: hearing.last, until: at };
  }
  hearing.last = Math.max(hearing.last, at);
}

/** The last time in which a device that is heard through this door, last at `lastSeen`, could not have been. */
export function deafnessOf(hearing: Hearing, door: Door, lastSeen: Instant): Deafness {
  const { deaf } = hearing;
  const shut = hearing.unheard[door];
  if (shut === undefined || shut.until <= lastSeen) {
    return deaf;
  }
  const touching = deaf.until >= shut.from && deaf.from <= shut.until;
  return touching ? { from: Math.min(deaf.from, shut.from), until: Math.max(deaf.until, shut.until) } : shut;
}

/**
 * What changed, when `down` are the doors through which nothing can come. `since` is when they were all known to be
 * open last; a link that is down for less than the time between two looks is not worth a record.
 */
export function linkChanges(hearing: Hearing, down: ReadonlySet<Door>, since: Instant): Change[] {
  const lost = [...down].filter((door) => hearing.down[door] === undefined);
  const restored = (Object.keys(hearing.down) as Door[]).filter((door) => !down.has(door));
  return [
    ...lost.map((door): Change => ({ type: "link-lost", door, heardUntil: since, authority: { by: "coalmine", reason: `the ${door} link is down: until it is back, nobody's silence counts that comes through it` } })),
    ...restored.map((door): Change => ({ type: "link-restored", door, authority: { by: "coalmine", reason: `the ${door} link is back` } })),
  ];
}

type Devices = ReadonlyMap<string, DeviceRecord>;

const comesThrough = (rollout: Rollout, devices: Devices, door: Door): boolean => rollout.members.some((member) => devices.get(member.device)?.door === door);

/** Folds that a link went down. */
export function foldLinkLost(hearing: Hearing, rollouts: Iterable<Rollout>, devices: Devices, { door, heardUntil }: { readonly door: Door; readonly heardUntil: Instant }): void {
  hearing.down[door] = heardUntil;
  for (const rollout of rollouts) {
    if (isActive(rollout) && comesThrough(rollout, devices, door)) {
      noteAbsence(rollout, { from: heardUntil, until: null, door });
    }
  }
}

/** Folds that it is back. */
export function foldLinkRestored(hearing: Hearing, rollouts: Iterable<Rollout>, door: Door, at: Instant): void {
  const from = hearing.down[door];
  if (from === undefined) {
    return;
  }
  delete hearing.down[door];
  hearing.unheard[door] = { from, until: at };
  for (const rollout of rollouts) {
    if (rollout.absences.some((absence) => absence.until === null && absence.door === door)) {
      endAbsence(rollout, door, at);
    }
  }
}

/** A rollout begins: its members come through their doors, of which one may be shut just now. */
export function beginListening(hearing: Hearing, rollout: Rollout, devices: Devices): void {
  for (const member of rollout.members) {
    const door = devices.get(member.device)?.door;
    if (door !== undefined && door !== "virtual") {
      member.door = door;
    }
  }
  for (const [door, from] of Object.entries(hearing.down) as [Door, Instant][]) {
    if (comesThrough(rollout, devices, door)) {
      noteAbsence(rollout, { from, until: null, door });
    }
  }
}
