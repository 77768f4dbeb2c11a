// SPDX-License-Identifier: Apache-2.0
// A report is heard: the device's rollout learns what it means, and so does the rollout that a rollback has left.
import { type Assignment, type Instant, isActive, type Judge, memberOf, type Rollout, settled, type Signal, signal } from "@coalmine/core";
import type { Report } from "@coalmine/protocol";
import type { HostState } from "./conductor.ts";
import { cancel, type Effect } from "./dispatch.ts";
import type { DeviceRecord, Samples } from "./inventory.ts";
import { tellLeft } from "./leaving.ts";
import { artifactFor, type ReleaseRecord } from "./membership.ts";
import { hasReturned, holds } from "./rollback.ts";
import { signalsOf } from "./signals.ts";

export interface Heard {
  readonly device: DeviceRecord;
  readonly report: Report;
  readonly freshness: "new" | "late";
  readonly samples: Samples;
  readonly at: Instant;
}

/** Folds a report into the rollout its device is in; returns that rollout when something may have to be decided. */
export function hear(state: HostState, judge: Judge, heard: Heard, effects: Effect[]): Rollout | undefined {
  const { device: { id }, report, at } = heard;
  const active = state.active.get(id);
  const rollout = active === undefined ? undefined : state.rollouts.get(active);
  const member = rollout === undefined ? undefined : memberOf(rollout, id);
  if (rollout === undefined || member === undefined) {
    return undefined;
  }
  const { door } = state.devices.get(id) as DeviceRecord;
  if (door !== "virtual") {
    member.door = door;
  }
  const left = rollout.rollback === null ? undefined : state.rollouts.get(rollout.rollback.of);
  if (left !== undefined) {
    // Until it has an order to go back, its own end with the release that is left is still open.
    const holder = memberOf(left, id);
    if (holder !== undefined) {
      take(state, judge, left, holder, heard, member.offer === 0 ? undefined : "crash");
    }
  }
  const before = member.state;
  const dirty = take(state, judge, rollout, member, heard, undefined, left);
  if (member.state !== before) {
    if (settled.has(member.state) || member.state === "confirmed") {
      effects.push({ kind: "clear", device: id });
    }
    if (member.state === "confirmed" || (member.state === "healthy" && (rollout.plan.rollbackShareMin ?? 0) > 0)) {
      // What lies in the other slot may have changed with the confirmation: some clients erase it (R40).
      effects.push({ kind: "send", device: id, command: { kind: "identify" } });
    }
    if (left !== undefined) {
      tellLeft(left, rollout, member, judge, at);
    }
  }
  const stopped = rollout.status === "halted" || rollout.rolledBackBy.length > 0;
  if (stopped && member.state === "planned" && member.offer !== 0 && (before === "missing" || report.body.kind === "progress")) {
    effects.push(...cancel(id, member.offer)); // it was not there when its offer was taken back
  }
  // A member that waits for its offer may get it now that it was heard.
  return isActive(rollout) && (dirty || member.state === "planned") ? rollout : undefined;
}

/** Tells one rollout; `only` names the one kind of signal that still concerns it. Returns true when a verdict may have changed. */
function take(state: HostState, judge: Judge, rollout: Rollout, member: Assignment, heard: Heard, only: Signal["kind"] | undefined, left?: Rollout): boolean {
  const { device } = heard;
  const release = state.releases.get(rollout.release) as ReleaseRecord;
  const before = member.state;
  let dirty = false;
  for (const what of signalsOf(device, member, { artifact: artifactFor(release, device), left: leftOn(state, device, left) }, heard)) {
    if (only === undefined || what.kind === only) {
      dirty = signal(rollout, judge, device.id, what, heard.at) || dirty;
    }
  }
  if (member.state !== before && (member.state === "reverted" || member.state === "refused")) {
    quarantine(device, rollout.release);
  }
  return dirty;
}

/** What the release that a rollback leaves is on this device: there for good, gone by itself, or neither yet. */
function leftOn(state: HostState, device: DeviceRecord, left: Rollout | undefined): { readonly holds: boolean; readonly returned: string | undefined } | undefined {
  if (left === undefined) {
    return undefined;
  }
  const artifact = artifactFor(state.releases.get(left.release) as ReleaseRecord, device);
  const member = memberOf(left, device.id);
  const gone = member !== undefined && hasReturned(member) && device.running?.imageHash !== artifact?.imageHash;
  return { holds: holds(device, artifact), returned: gone ? `back by itself: ${member.reason || member.state}` : undefined };
}

function quarantine(device: DeviceRecord, release: string): void {
  if (!device.quarantined.includes(release)) {
    device.quarantined = [...device.quarantined, release];
  }
}
