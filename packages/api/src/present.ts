// SPDX-License-Identifier: Apache-2.0
import { type Assignment, type Instant, type Judge, memberOf, type Rollout, waitsFor } from "@coalmine/core";
import { bootloaderFacts, buildIdOf, describePower, type PlanPower, type DeviceRecord, type HostState, releaseNeeds, type ReleaseRecord, type RolloutSummary, summarise } from "@coalmine/orchestrator";

/** What the API says of a device. */
export function presentDevice(state: HostState, device: DeviceRecord) {
  const rolloutId = state.active.get(device.id);
  const rollout = rolloutId === undefined ? undefined : state.rollouts.get(rolloutId);
  const member = rollout === undefined ? undefined : memberOf(rollout, device.id);
  return {
    id: device.id,
    door: device.door,
    firstSeen: iso(device.firstSeen),
    lastSeen: iso(device.lastSeen),
    hardware: device.hardware,
    bootloader: device.hardware === null ? null : bootloaderFacts(device.hardware),
    running: device.running,
    slot1: device.slot1,
    attempt: device.attempt,
    resetCause: device.resetCause,
    interval_s: device.interval / 1_000,
    battery: device.battery,
    metrics: device.metrics,
    attributes: device.attributes,
    tags: device.tags,
    storageSchema: device.storageSchema,
    crashes: device.crashes,
    reports: device.reports,
    history: {
      watchedDays: device.history.watched / 86_400_000,
      crashDays: device.history.crashDays,
      silences: device.history.silences,
      usual: Object.fromEntries(Object.entries(device.history.usual).map(([name, [mean]]) => [name, mean])),
    },
    quarantined: device.quarantined,
    excluded: device.excluded,
    release: releaseOn(state, device),
    rollout: rollout === undefined || member === undefined ? null : { id: rollout.id, stage: rollout.stages[member.stage]?.name ?? "", state: member.state },
  };
}

/** The release whose image runs on the device; null when none of ours does. */
export function releaseOn(state: HostState, device: DeviceRecord): string | null {
  const hash = device.running?.imageHash;
  if (hash === undefined) {
    return null;
  }
  for (const release of state.releases.values()) {
    if (release.artifacts.some((artifact) => artifact.imageHash === hash)) {
      return release.id;
    }
  }
  return null;
}

/** A release, and what still needs it: one without any need may be archived. */
export function presentRelease(state: HostState, release: ReleaseRecord) {
  const { id, version, notes, storage, migration, from, hop, matrix, symbols, barred, archived } = release;
  const artifacts = release.artifacts.map((artifact) => ({ ...artifact, buildId: buildIdOf(release, artifact) }));
  return { id, version, artifacts, notes, storage, migration, from, hop, matrix, symbols: Object.entries(symbols).map(([buildId, { size }]) => ({ buildId, size })), barred, archived: archived === null ? null : { ...archived, at: iso(archived.at) }, neededBy: archived === null ? releaseNeeds(state, release) : [] };
}

/** A rollout as it stands at `now`: `missing` of one that runs is what its open stage waits for. */
export function presentRollout(rollout: Rollout, judge: Judge, now: Instant): RolloutSummary & { revision: number; startedAt: string; endedAt: string | null; seed: number } {
  return {
    ...summarise(rollout),
    ...(rollout.status === "running" ? { missing: waitsFor(rollout, judge, now) } : {}),
    revision: rollout.revision,
    startedAt: iso(rollout.startedAt),
    endedAt: rollout.endedAt === null ? null : iso(rollout.endedAt),
    seed: rollout.seed,
  };
}

/** A power statement, in numbers and in sentences. */
export function presentPower(power: PlanPower) {
  return { lines: [...power.lines], stages: [...power.stages], hoursToComplete: power.hoursToComplete, completes: power.completes, statement: describePower(power) };
}

export function presentMember(rollout: Rollout, member: Assignment) {
  return {
    device: member.device,
    stage: rollout.stages[member.stage]?.name ?? "",
    stratum: member.stratum,
    state: member.state,
    since: iso(member.since),
    offer: member.offer,
    offeredAt: isoOrNull(member.offeredAt),
    startedAt: isoOrNull(member.startedAt),
    confirmedAt: isoOrNull(member.confirmedAt),
    heardAt: iso(member.heardAt),
    crashes: member.crashes,
    reason: member.reason,
  };
}

export function iso(at: number): string {
  return new Date(at).toISOString();
}

function isoOrNull(at: number | null): string | null {
  return at === null ? null : iso(at);
}
