// SPDX-License-Identifier: Apache-2.0
// The fleet as a whole, counted: what runs where, and who has gone quiet.
import { type AssignmentState, type Instant, memberOf, Minutes } from "@coalmine/core";
import type { HostState } from "./conductor.ts";
import { type DeviceRecord, dimension } from "./inventory.ts";

/** The rule plans have unless they say otherwise: overdue after three check-ins, and a quarter of an hour at least. */
const overdueFloor = Minutes(15);
const overdueIntervals = 3;

/** Silent for longer than its own duty cycle explains. */
export function isOverdue(device: DeviceRecord, now: Instant): boolean {
  return now - device.lastSeen > Math.max(overdueFloor, overdueIntervals * device.interval);
}

/** Devices that share a value, and how many of them are overdue. */
export interface FleetShare {
  readonly name: string;
  readonly devices: number;
  readonly silent: number;
}

export interface FleetCounts {
  readonly devices: number;
  readonly silent: number;
  /** Running an image they have not confirmed: on trial. */
  readonly unconfirmed: number;
  /** Have reported and never said what they are. */
  readonly unknown: number;
  /** Have crashed at least once since they are known. */
  readonly crashed: number;
  /** Members of active rollouts by state. */
  readonly states: Readonly<Partial<Record<AssignmentState, number>>>;
  readonly releases: readonly (FleetShare & { readonly version: string })[];
  readonly hardware: readonly FleetShare[];
  readonly connectivity: readonly FleetShare[];
  readonly tags: readonly FleetShare[];
}

/** Names of one kind that are counted one by one; the rest is one line. */
const namesMax = 50;

/** Counts the fleet in one pass. */
export function fleetCounts(state: HostState, now: Instant): FleetCounts {
  const byImage = releasesByImage(state);
  const releases = new Map<string, { devices: number; silent: number; version: string }>();
  const hardware = new Tally();
  const connectivity = new Tally();
  const tags = new Tally();
  const states: Partial<Record<AssignmentState, number>> = {};
  let silent = 0;
  let unconfirmed = 0;
  let unknown = 0;
  let crashed = 0;
  for (const device of state.devices.values()) {
    const overdue = isOverdue(device, now);
    silent += overdue ? 1 : 0;
    unconfirmed += device.running?.confirmed === false ? 1 : 0;
    unknown += device.hardware === null ? 1 : 0;
    crashed += device.crashes > 0 ? 1 : 0;
    const version = device.running?.version || "unknown";
    const release = byImage.get(device.running?.imageHash ?? "") ?? "";
    const group = release === "" ? `version ${version}` : `release ${release}`;
    const known = releases.get(group) ?? { devices: 0, silent: 0, version };
    known.devices += 1;
    known.silent += overdue ? 1 : 0;
    releases.set(group, known);
    hardware.count(hardwareName(device), overdue);
    connectivity.count(dimension(device, "connectivity"), overdue);
    for (const tag of device.tags) {
      tags.count(tag, overdue);
    }
    const member = activeMember(state, device);
    if (member !== undefined) {
      states[member.state] = (states[member.state] ?? 0) + 1;
    }
  }
  return {
    devices: state.devices.size,
    silent,
    unconfirmed,
    unknown,
    crashed,
    states,
    releases: [...releases].map(([name, group]) => ({ ...group, name: name.startsWith("release ") ? name.slice(8) : "" })).sort((a, b) => b.devices - a.devices).slice(0, namesMax),
    hardware: hardware.shares(),
    connectivity: connectivity.shares(),
    tags: tags.shares(),
  };
}

/** Board and revision of a device, as people say it. */
export function hardwareName(device: DeviceRecord): string {
  return device.hardware === null ? "unknown" : [device.hardware.board, device.hardware.revision].filter((part) => part !== "").join(" ");
}

/** Release ids by the hash of their images. */
export function releasesByImage(state: HostState): Map<string, string> {
  return new Map([...state.releases.values()].flatMap((release) => release.artifacts.map((artifact) => [artifact.imageHash, release.id] as const)));
}

/** A device's assignment in the rollout it takes part in now. */
function activeMember(state: HostState, device: DeviceRecord) {
  const active = state.active.get(device.id);
  const rollout = active === undefined ? undefined : state.rollouts.get(active);
  return rollout === undefined ? undefined : memberOf(rollout, device.id);
}

class Tally {
  readonly #counts = new Map<string, { devices: number; silent: number }>();

  count(name: string, overdue: boolean): void {
    const known = this.#counts.get(name) ?? { devices: 0, silent: 0 };
    known.devices += 1;
    known.silent += overdue ? 1 : 0;
    this.#counts.set(name, known);
  }

  shares(): FleetShare[] {
    return [...this.#counts]
      .map(([name, share]) => ({ name, ...share }))
      .sort((a, b) => b.devices - a.devices || (a.name < b.name ? -1 : 1))
      .slice(0, namesMax);
  }
}
