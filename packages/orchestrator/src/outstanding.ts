// SPDX-License-Identifier: Apache-2.0
// What devices should have been sent by now, from the state alone. Sending any of it again is harmless (I2).
import { type Assignment, type DeviceId, isActive, memberOf, type Rollout, underway } from "@coalmine/core";
import type { HostState } from "./conductor.ts";
import { type Effect, offerCommand, takenBack } from "./dispatch.ts";
import { artifactFor } from "./membership.ts";
import type { Door } from "./ports.ts";

/** Doors whose devices keep no offer: their link does, in memory. */
export const proxied: ReadonlySet<Door> = new Set(["ddi", "smp"]);

/**
 * What may have been lost with the process. Sending it again is harmless (I2): offers nobody has answered, cancels of
 * stopped rollouts, kept offers of members that ended after `recently`. Who is under way is asked where it stands:
 * a broker that was not read may have dropped reports. A device that a link speaks for has its offer in that link
 * alone, so it is given again.
 */
export function outstanding(state: HostState, recently: number): Effect[] {
  const effects: Effect[] = [];
  for (const rollout of state.rollouts.values()) {
    for (const member of rollout.members) {
      if ((state.active.get(member.device) ?? rollout.id) !== rollout.id) {
        continue; // another rollout has the device by now
      }
      effects.push(...outstandingFor(state, rollout, member, recently));
      if (member.offer !== 0 && isActive(rollout) && underway.has(member.state)) {
        effects.push({ kind: "send", device: member.device, command: { kind: "identify" } });
      }
    }
  }
  return effects;
}

/** What a member should have been sent, or had taken back. */
export function outstandingFor(state: HostState, rollout: Rollout, member: Assignment, recently: number): Effect[] {
  if (member.offer === 0) {
    return [];
  }
  const stays = rollout.status === "running" || rollout.status === "held";
  const unbegun = member.startedAt === null && (member.state === "offered" || member.state === "missing");
  const spokenFor = proxied.has(state.devices.get(member.device)?.door ?? "virtual") && (underway.has(member.state) || member.state === "deferred");
  if (stays && (unbegun || spokenFor)) {
    return offerEffects(state, rollout, member.device);
  }
  if (!stays && (isActive(rollout) || Math.max(member.since, rollout.endedAt ?? 0) >= recently)) {
    return takenBack(member);
  }
  if (stays && !underway.has(member.state) && member.state !== "deferred" && member.since >= recently) {
    return [{ kind: "clear", device: member.device }];
  }
  return [];
}

/** The offer of a member, as its device gets it; none when the release has nothing for it. */
export function offerEffects(state: HostState, rollout: Rollout, id: DeviceId): Effect[] {
  const member = memberOf(rollout, id);
  const release = state.releases.get(rollout.release);
  const device = state.devices.get(id);
  const artifact = release === undefined || device === undefined ? undefined : artifactFor(release, device);
  if (member === undefined || release === undefined || artifact === undefined) {
    return [];
  }
  return [{ kind: "send", device: id, command: offerCommand(rollout, release, artifact, member) }];
}
