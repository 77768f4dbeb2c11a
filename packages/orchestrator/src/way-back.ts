// SPDX-License-Identifier: Apache-2.0
// The rollback inventory (R40): which devices could go back to the image in their other slot now, and whose next upload would
// destroy the last good one. Kept current by what devices say; counts, changes nothing.
import { type DeviceId, keepersOf, type Rollout } from "@coalmine/core";
import type { ReleaseArtifact } from "./entry.ts";
import { type DeviceRecord, dimension } from "./inventory.ts";
import type { ReleaseRecord } from "./membership.ts";
import { bootloaderFacts, downgradeVerdict } from "./slots.ts";
import { orderOf } from "./versions.ts";

/** Share of some devices that can go back by an order, without a download. */
export interface WayBackShare {
  readonly devices: number;
  readonly able: number;
  /** 0 to 1; null for no devices. */
  readonly share: number | null;
}

/** A device whose next upload destroys the only good image it has. */
export interface LastWayBack {
  readonly device: DeviceId;
  /** What it runs, and why that is not good. */
  readonly runs: string;
  readonly why: string;
  /** What the other slot holds. */
  readonly keeps: string;
}

export interface WayBackInventory extends WayBackShare {
  /** By what runs: a release, or a version that no release is known of. */
  readonly byRelease: readonly (WayBackShare & { readonly release: string })[];
  readonly byStratum: readonly (WayBackShare & { readonly stratum: string })[];
  /** Why devices cannot go back, most frequent first. */
  readonly reasons: readonly { readonly reason: string; readonly devices: number }[];
  readonly lastWayBack: readonly LastWayBack[];
}

/** The artifact with this image, among all releases. */
export type KnownImages = ReadonlyMap<string, { readonly release: ReleaseRecord; readonly artifact: ReleaseArtifact }>;

export function knownImages(releases: Iterable<ReleaseRecord>): KnownImages {
  return new Map([...releases].flatMap((release) => release.artifacts.map((artifact) => [artifact.imageHash, { release, artifact }] as const)));
}

/** Why an order would find no earlier image in the other slot, whatever the bootloader says to its version. */
export function noImageKept({ hardware, running, slot1 }: Pick<DeviceRecord, "hardware" | "running" | "slot1">): string | undefined {
  if (hardware === null || running === null) {
    return "it has not said what it is";
  }
  if (!bootloaderFacts(hardware).swapBackWorks) {
    return `${hardware.mode} keeps no image that an order brings back`;
  }
  if (slot1 === null) {
    return "its other slot holds no intact image";
  }
  if (slot1.imageHash === running.imageHash) {
    return "its other slot holds the image that runs";
  }
  // A device that reverted keeps what it reverted from.
  return orderOf(slot1.version, running.version) === "newer" ? `its other slot holds ${slot1.version}, which is newer than what runs` : undefined;
}

/** Why a device could not go back to its other slot by an order; undefined when it could. */
export function noWayBack(device: DeviceRecord): string | undefined {
  const missing = noImageKept(device);
  if (missing !== undefined || device.slot1 === null) {
    return missing;
  }
  const verdict = downgradeVerdict(device, { version: device.slot1.version }, undefined);
  return verdict.kind === "refuses" ? verdict.reason : undefined;
}

/**
 * The inventory of a fleet. `release` narrows it to devices that run this release; strata are named as in a plan.
 * Devices that have not said what they are count as unable.
 */
export function wayBackInventory(
  state: { readonly devices: ReadonlyMap<DeviceId, DeviceRecord>; readonly releases: ReadonlyMap<string, ReleaseRecord> },
  options: { readonly release?: string | undefined; readonly strata?: readonly string[] | undefined } = {},
): WayBackInventory {
  const known = knownImages(state.releases.values());
  const { strata = ["hardware"] } = options;
  const byRelease = new Tally();
  const byStratum = new Tally();
  const all = new Tally();
  const reasons = new Map<string, number>();
  const lastWayBack: LastWayBack[] = [];
  for (const device of state.devices.values()) {
    const runs = device.running === null ? "unknown" : (known.get(device.running.imageHash)?.release.id ?? device.running.version) || "unknown";
    if (options.release !== undefined && runs !== options.release) {
      continue;
    }
    const reason = noWayBack(device);
    for (const [tally, name] of [[all, ""], [byRelease, runs], [byStratum, strata.map((dimensionName) => dimension(device, dimensionName)).join("|") || "all"]] as const) {
      tally.add(name, reason === undefined);
    }
    if (reason !== undefined) {
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
    const last = lastGoodImage(device, known);
    if (last !== undefined) {
      lastWayBack.push(last);
    }
  }
  return {
    ...(all.shares()[0]?.[1] ?? { devices: 0, able: 0, share: null }),
    byRelease: byRelease.shares().map(([release, share]) => ({ release, ...share })),
    byStratum: byStratum.shares().map(([stratum, share]) => ({ stratum, ...share })),
    reasons: [...reasons].map(([reason, devices]) => ({ reason, devices })).sort((a, b) => b.devices - a.devices || (a.reason < b.reason ? -1 : 1)),
    lastWayBack,
  };
}

/** Members of a rollout that hold its release for good, and how many of them keep an intact earlier image. */
export function shareOf(rollout: Rollout): WayBackShare {
  const { devices, able } = keepersOf(rollout);
  return { devices, able, share: devices === 0 ? null : able / devices };
}

/** A device on a release that is barred, or on an image it has not confirmed, with a good one in its other slot. */
export function lastGoodImage(device: DeviceRecord, known: KnownImages): LastWayBack | undefined {
  const { running, slot1 } = device;
  if (running === null || slot1 === null || slot1.imageHash === running.imageHash) {
    return undefined;
  }
  const release = known.get(running.imageHash)?.release;
  const why = !running.confirmed ? "not confirmed" : release !== undefined && release.barred !== null ? `release ${release.id} is barred` : undefined;
  if (why === undefined || (known.get(slot1.imageHash)?.release.barred ?? null) !== null) {
    return undefined;
  }
  return { device: device.id, runs: running.version, why, keeps: slot1.version };
}

/** What to say before an upload to these devices: whose last good image it would overwrite. */
export function lastWayBackWarning(devices: Iterable<DeviceRecord>, releases: Iterable<ReleaseRecord>): string[] {
  const known = knownImages(releases);
  const last = [...devices].flatMap((device) => lastGoodImage(device, known) ?? []);
  const [first] = last;
  if (first === undefined) {
    return [];
  }
  const shown = last.slice(0, 5).map((one) => one.device).join(", ");
  return [`the upload overwrites the last good image of ${last.length} devices (${shown}${last.length > 5 ? ", ..." : ""}): ${first.device} runs ${first.runs} (${first.why}) and keeps ${first.keeps}; roll them back first`];
}

class Tally {
  readonly #counts = new Map<string, { devices: number; able: number }>();

  add(name: string, able: boolean): void {
    const counts = this.#counts.get(name) ?? { devices: 0, able: 0 };
    counts.devices += 1;
    counts.able += able ? 1 : 0;
    this.#counts.set(name, counts);
  }

  shares(): [string, WayBackShare][] {
    return [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, { devices, able }]) => [name, { devices, able, share: able / devices }]);
  }
}
