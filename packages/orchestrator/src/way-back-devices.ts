// SPDX-License-Identifier: Apache-2.0
// The rollback inventory device by device (R40): what each could go back to now, and how. Predicts, changes nothing.
import type { DeviceId, Instant } from "@coalmine/core";
import { imageEvidenceName } from "./abilities.ts";
import type { ReleaseArtifact } from "./entry.ts";
import { isOverdue } from "./fleet.ts";
import type { DeviceRecord } from "./inventory.ts";
import { artifactFor, refusalOf, type ReleaseRecord } from "./membership.ts";
import { downgradeVerdict } from "./slots.ts";
import { orderOf } from "./versions.ts";
import { type KnownImages, knownImages, type LastWayBack, lastGoodImage, noImageKept } from "./way-back.ts";

/** How a device goes back if it were told to now. */
export const wayBackKinds = [
  /** An order brings the image of its other slot back, without a download. */
  "swap-back",
  "download",
  /** It would, but has not been heard for longer than its duty cycle allows. */
  "unreachable",
  /** Its bootloader refuses older images, and would erase the slot. */
  "refused",
  /** What is older cannot read the data that it stores. */
  "schema",
  /** Nothing older is known that fits it. */
  "none",
] as const;

export type WayBackKind = (typeof wayBackKinds)[number];

export interface DeviceWayBack {
  readonly device: DeviceId;
  /** The release it runs; null when its image is of none. */
  readonly release: string | null;
  readonly version: string;
  /** The intact image in its other slot, and of which release it is; null when there is none. */
  readonly slot1: { readonly imageHash: string; readonly version: string; readonly release: string | null } | null;
  readonly way: WayBackKind;
  /** What it would run then: a release, or the version of an image that no release is known of. Null for `none`. */
  readonly to: string | null;
  /** Why it is so, or what is in doubt; empty when there is nothing to say. */
  readonly reason: string;
  /** Its next upload destroys the only good image it has. */
  readonly last: Pick<LastWayBack, "why" | "keeps"> | null;
}

interface Fleet {
  readonly devices: ReadonlyMap<DeviceId, DeviceRecord>;
  readonly releases: ReadonlyMap<string, ReleaseRecord>;
}

type Prediction = Pick<DeviceWayBack, "way" | "to" | "reason">;

/** What could be gone back to: an image of the other slot, or a release that is downloaded. */
interface Candidate {
  readonly release: ReleaseRecord | undefined;
  readonly target: Pick<ReleaseArtifact, "version" | "securityCounter">;
  readonly way: "swap-back" | "download";
}

/** Every device of the fleet with its way back, by id. One pass. */
export function deviceWaysBack({ devices, releases }: Fleet, now: Instant): DeviceWayBack[] {
  const known = knownImages(releases.values());
  const older = new OlderReleases(releases.values());
  const alike = new Map<string, Prediction>();
  const made = [...devices.values()].map((device): DeviceWayBack => {
    const { running, slot1 } = device;
    const last = lastGoodImage(device, known);
    return {
      device: device.id,
      release: known.get(running?.imageHash ?? "")?.release.id ?? null,
      version: running?.version || "unknown",
      slot1: slot1 === null ? null : { ...slot1, release: known.get(slot1.imageHash)?.release.id ?? null },
      ...heard(device, kept(alike, kindOf(device), () => predict(device, candidates(device, known, older), known)), now),
      last: last === undefined ? null : { why: last.why, keeps: last.keeps },
    };
  });
  return made.sort((a, b) => (a.device < b.device ? -1 : 1));
}

function* candidates(device: DeviceRecord, known: KnownImages, older: OlderReleases): Generator<Candidate> {
  const { running, slot1 } = device;
  const found = known.get(slot1?.imageHash ?? "");
  if (slot1 !== null && noImageKept(device) === undefined && (found?.release.barred ?? null) === null) {
    yield { release: found?.release, target: found?.artifact ?? { version: slot1.version }, way: "swap-back" };
  }
  for (const release of older.than(running?.version ?? "")) {
    const target = artifactFor(release, device);
    if (target !== undefined) {
      yield { release, target, way: "download" };
    }
  }
}

/** All that a prediction depends on: a fleet has few kinds of devices in this sense. */
function kindOf({ hardware, bootloader, running, slot1, storageSchema, door, quarantined, attributes, tags }: DeviceRecord): string {
  return [hardware?.board, hardware?.revision, hardware?.partitionMap, hardware?.mode, hardware?.slotSize, bootloader?.downgrade, running?.imageHash, running?.version, slot1?.imageHash, slot1?.version, storageSchema, door, quarantined, attributes["site"], attributes[imageEvidenceName], tags].join("\n");
}

function kept<T>(cache: Map<string, T>, key: string, make: () => T): T {
  const found = cache.get(key) ?? make();
  cache.set(key, found);
  return found;
}

/** A way that works for who is heard. */
function heard(device: DeviceRecord, made: Prediction, now: Instant): Prediction {
  const works = made.way === "swap-back" || made.way === "download";
  return works && isOverdue(device, now) ? { ...made, way: "unreachable", reason: `not heard since ${new Date(device.lastSeen).toISOString()}` } : made;
}

/** The first candidate that works; else why the first that is at all possible does not. */
function predict(device: DeviceRecord, offered: Iterable<Candidate>, known: KnownImages): Prediction {
  let obstacle: Prediction | undefined;
  for (const { release, target, way } of offered) {
    const to = release?.id ?? target.version;
    const refusal = release === undefined ? undefined : refusalOf(release, device);
    if (refusal !== undefined && refusal.code !== "bootloader") {
      obstacle ??= refusal.code === "schema" ? { way: "schema", to, reason: refusal.reason } : undefined;
      continue;
    }
    const verdict = downgradeVerdict(device, target, known.get(device.running?.imageHash ?? "")?.artifact);
    if (verdict.kind === "refuses") {
      obstacle ??= { way: "refused", to, reason: verdict.reason };
      continue;
    }
    const doubt = verdict.kind === "accepts" ? "" : verdict.reason;
    return { way, to, reason: doubt || (way === "download" ? (noImageKept(device) ?? "") : "") };
  }
  return obstacle ?? { way: "none", to: null, reason: device.hardware === null || device.running === null ? "it has not said what it is" : "no earlier release is known that fits it" };
}

/** Releases that may be offered and are older than a version, the newest first. */
class OlderReleases {
  readonly #releases: readonly ReleaseRecord[];
  readonly #byVersion = new Map<string, readonly ReleaseRecord[]>();

  constructor(releases: Iterable<ReleaseRecord>) {
    const newestFirst = { newer: -1, older: 1, rebuilt: 0, same: 0, unknown: 0 } as const;
    this.#releases = [...releases].filter(({ barred, archived }) => barred === null && archived === null).sort((a, b) => newestFirst[orderOf(a.version, b.version)]);
  }

  than(version: string): readonly ReleaseRecord[] {
    const found = this.#byVersion.get(version) ?? this.#releases.filter((release) => orderOf(release.version, version) === "older");
    this.#byVersion.set(version, found);
    return found;
  }
}
