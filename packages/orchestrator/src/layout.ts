// SPDX-License-Identifier: Apache-2.0
// What a release changes in the layout of a device's data (R42, R45): storage schema, partition map, and what makes going back impossible.
import { CoalmineError } from "@coalmine/core";
import { readsSchema, type StorageSchema } from "./declaration.ts";
import type { ReleaseArtifact } from "./entry.ts";
import type { DeviceRecord } from "./inventory.ts";
import type { ReleaseRecord } from "./membership.ts";
import { orderOf } from "./versions.ts";

/** What is looked at: a release, registered or about to be. */
export interface LayoutSubject {
  readonly id: string;
  readonly version: string;
  readonly artifacts: readonly ReleaseArtifact[];
  readonly storage: StorageSchema | null;
}

/** One change against what the fleet has and earlier releases were. */
export interface LayoutChange {
  readonly kind: "storage-schema" | "partition-map" | "security-counter" | "schema-jump";
  readonly what: string;
}

interface Known {
  readonly devices: Iterable<DeviceRecord>;
  readonly releases: Iterable<ReleaseRecord>;
}

/**
 * The changes of a release, each a sentence. A release that changes the data layout is a migration; one that changes more than one
 * thing at once leaves nobody to tell which of them failed, and is refused unless overridden (R42):
 *
 * - `storage-schema`: it writes another schema than the devices hold, or than the release before it writes;
 * - `partition-map`: it is for another partition map than the devices of its board and revision have;
 * - `security-counter`: it raises the counter, so that a bootloader that compares counters never goes back;
 * - `schema-jump`: devices would go through more than one schema at once.
 */
export function layoutChanges(subject: LayoutSubject, known: Known): LayoutChange[] {
  const before = predecessor(subject, known.releases);
  const held = new Set<number>(before?.storage === null || before === undefined ? [] : [before.storage.writes]);
  const maps = new Map<string, Set<string>>();
  const kindOf = (part: { readonly board: string; readonly revision: string }): string => `${part.board} ${part.revision}`;
  for (const device of known.devices) {
    if (device.hardware !== null && subject.artifacts.some(({ variant }) => kindOf(variant) === kindOf(device.hardware as never))) {
      maps.set(kindOf(device.hardware), (maps.get(kindOf(device.hardware)) ?? new Set()).add(device.hardware.partitionMap));
      if (device.storageSchema > 0) {
        held.add(device.storageSchema);
      }
    }
  }
  for (const { variant } of before?.artifacts ?? []) {
    if (!maps.has(kindOf(variant))) {
      maps.set(kindOf(variant), new Set([variant.partitionMap]));
    }
  }
  const changes: LayoutChange[] = [];
  if (subject.storage !== null) {
    const { writes } = subject.storage;
    const others = [...held].filter((schema) => schema < writes).sort((a, b) => a - b);
    if (others.length > 0) {
      changes.push({ kind: "storage-schema", what: `storage schema ${others.join(" and ")} becomes ${writes}` });
    }
    const far = others.filter((schema) => writes - schema > 1 && readsSchema(subject.storage as StorageSchema, schema));
    if (far.length > 0) {
      changes.push({ kind: "schema-jump", what: `devices with schema ${far.join(" and ")} would go to ${writes} in one step` });
    }
  }
  for (const { variant } of subject.artifacts) {
    const present = maps.get(kindOf(variant));
    const alike = subject.artifacts.filter((other) => kindOf(other.variant) === kindOf(variant));
    if (present !== undefined && alike[0]?.variant === variant && !alike.some((other) => present.has(other.variant.partitionMap))) {
      const given = alike.map((other) => other.variant.partitionMap).sort().join(", ");
      changes.push({ kind: "partition-map", what: `${kindOf(variant)} has partition map ${[...present].sort().join(", ")}, the artifact is for ${given}` });
    }
  }
  const counters = (artifacts: readonly ReleaseArtifact[]): number => Math.max(0, ...artifacts.map((artifact) => artifact.securityCounter ?? 0));
  if (before !== undefined && counters(subject.artifacts) > counters(before.artifacts)) {
    changes.push({ kind: "security-counter", what: `security counter ${counters(before.artifacts)} of ${before.id} becomes ${counters(subject.artifacts)}` });
  }
  return changes;
}

/** True when the changes make the release a migration. */
export function isMigration(changes: readonly LayoutChange[]): boolean {
  return changes.some(({ kind }) => kind === "storage-schema" || kind === "partition-map");
}

/**
 * Whether a new release is a migration: it says so, or its changes do. Throws `release/migration` when it denies what is one,
 * and `release/combined` when it combines a migration with other changes and `override` does not allow it.
 */
export function markMigration(subject: LayoutSubject, known: Known, said: { readonly migration?: boolean | undefined; readonly override?: boolean | undefined }): boolean {
  const changes = layoutChanges(subject, known);
  const words = changes.map(({ what }) => what).join("; ");
  if (said.migration === false && isMigration(changes)) {
    throw new CoalmineError("release/migration", `release ${subject.id} says that it is no migration, and ${words}`);
  }
  const marked = said.migration === true || isMigration(changes);
  if (marked && changes.length > 1 && said.override !== true) {
    throw new CoalmineError(
      "release/combined",
      `release ${subject.id} is a migration and combines ${changes.length} changes: ${words}; make a release of each, or register it with --override and a reason`,
    );
  }
  return marked;
}

/** The newest registered release older than this one. */
function predecessor(subject: LayoutSubject, releases: Iterable<ReleaseRecord>): ReleaseRecord | undefined {
  let best: ReleaseRecord | undefined;
  for (const release of releases) {
    if (release.id !== subject.id && orderOf(release.version, subject.version) === "older" && (best === undefined || orderOf(release.version, best.version) === "newer")) {
      best = release;
    }
  }
  return best;
}

/** How the devices' layout and the release's stand to each other, for the preflight report. */
export interface LayoutReport {
  readonly storage: StorageSchema | null;
  readonly migration: boolean;
  readonly changes: readonly LayoutChange[];
  /** Devices by the storage schema they hold, and what becomes of it. */
  readonly schemas: readonly {
    readonly schema: number;
    readonly devices: number;
    readonly outcome: "kept" | "migrated" | "unreadable" | "not declared";
    /** Versions of these devices that do not read what the release writes: after its confirmation they are no way back. */
    readonly oneWayFrom: readonly string[];
  }[];
  /** Partition maps of the devices whose board and revision the release is for. */
  readonly partitionMaps: readonly { readonly board: string; readonly revision: string; readonly partitionMap: string; readonly devices: number; readonly fits: boolean }[];
}

export function layoutReport(release: ReleaseRecord, known: { readonly devices: readonly DeviceRecord[]; readonly releases: readonly ReleaseRecord[] }): LayoutReport {
  const { storage } = release;
  const declaredBy = new Map(known.releases.flatMap((one) => one.artifacts.map((artifact) => [artifact.imageHash, one.storage] as const)));
  const schemas = new Map<number, { devices: number; oneWay: Set<string> }>();
  const maps = new Map<string, LayoutReport["partitionMaps"][number]>();
  for (const device of known.devices) {
    const { hardware, running } = device;
    if (hardware === null || !release.artifacts.some(({ variant }) => variant.board === hardware.board && variant.revision === hardware.revision)) {
      continue;
    }
    const tally = schemas.get(device.storageSchema) ?? { devices: 0, oneWay: new Set<string>() };
    tally.devices += 1;
    const own = running === null ? undefined : declaredBy.get(running.imageHash);
    if (storage !== null && running !== null && own !== undefined && own !== null && !readsSchema(own, storage.writes)) {
      tally.oneWay.add(running.version);
    }
    schemas.set(device.storageSchema, tally);
    const { board, revision, partitionMap } = hardware;
    const key = JSON.stringify([board, revision, partitionMap]);
    const map = maps.get(key) ?? { board, revision, partitionMap, devices: 0, fits: release.artifacts.some(({ variant }) => variant.board === board && variant.revision === revision && variant.partitionMap === partitionMap) };
    maps.set(key, { ...map, devices: map.devices + 1 });
  }
  const outcome = (schema: number): LayoutReport["schemas"][number]["outcome"] =>
    storage === null ? "not declared" : schema === storage.writes || schema === 0 ? "kept" : readsSchema(storage, schema) ? "migrated" : "unreadable";
  return {
    storage,
    migration: release.migration,
    changes: layoutChanges(release, known),
    schemas: [...schemas].sort(([a], [b]) => a - b).map(([schema, { devices, oneWay }]) => ({ schema, devices, outcome: outcome(schema), oneWayFrom: [...oneWay].sort() })),
    partitionMaps: [...maps.values()].sort((a, b) => b.devices - a.devices || (a.partitionMap < b.partitionMap ? -1 : 1)),
  };
}
