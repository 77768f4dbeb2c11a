// SPDX-License-Identifier: Apache-2.0
import { CoalmineError, type DeviceId, type Rollout, type RolloutId } from "@coalmine/core";
import { type HostState, newHostState } from "./conductor.ts";

const version = 10;

/** The folded state as bytes. Derived look-ups stay out. */
export function writeSnapshot(state: HostState): Uint8Array {
  const plain = {
    version,
    devices: [...state.devices.values()],
    releases: [...state.releases.values()],
    cohorts: [...state.cohorts.entries()],
    rollouts: [...state.rollouts.values()].map((rollout) => ({ ...rollout, index: undefined })),
    active: [...state.active.entries()],
    nextOfferBase: state.nextOfferBase,
    counters: state.counters,
    hearing: state.hearing,
  };
  return new TextEncoder().encode(JSON.stringify(plain));
}

/** Reads a snapshot. Throws `store/snapshot` for another version; the log is folded from its start then. */
export function readSnapshot(bytes: Uint8Array): HostState {
  const plain = JSON.parse(new TextDecoder().decode(bytes)) as {
    version: number;
    devices: HostState["devices"] extends Map<DeviceId, infer D> ? D[] : never;
    releases: HostState["releases"] extends Map<infer _K, infer R> ? R[] : never;
    cohorts: [string, HostState["cohorts"] extends Map<string, infer C> ? C : never][];
    rollouts: Rollout[];
    active: [DeviceId, RolloutId][];
    nextOfferBase: number;
    counters: HostState["counters"];
    hearing: HostState["hearing"];
  };
  if (plain.version !== version) {
    throw new CoalmineError("store/snapshot", `snapshot version ${plain.version} is not ${version}`);
  }
  const state = newHostState();
  for (const device of plain.devices) {
    state.devices.set(device.id, device);
  }
  for (const release of plain.releases) {
    state.releases.set(release.id as never, release);
  }
  for (const [name, selector] of plain.cohorts) {
    state.cohorts.set(name, selector);
  }
  for (const rollout of plain.rollouts) {
    state.rollouts.set(rollout.id, { ...rollout, index: undefined });
  }
  for (const [device, rollout] of plain.active) {
    state.active.set(device, rollout);
  }
  state.nextOfferBase = plain.nextOfferBase;
  Object.assign(state.counters, plain.counters);
  Object.assign(state.hearing, plain.hearing);
  return state;
}
