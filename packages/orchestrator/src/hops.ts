// SPDX-License-Identifier: Apache-2.0
// The way to a release for devices that may not install it at once (R46): which registered releases lie between.
import type { DeviceRecord } from "./inventory.ts";
import { type Refusal, refusalOf, type ReleaseRecord } from "./membership.ts";
import { orderOf } from "./versions.ts";

/** Releases on the way at most; a longer way is no offer. */
const hopsMax = 4;

/** Why a device cannot take a release, and the releases that would bring it there, first one first; empty when there is no way. */
export interface Refused extends Refusal {
  readonly hops: readonly ReleaseRecord[];
}

/** Looks for refusals and ways around them among registered releases. Remembers what it found: devices of one kind ask the same. */
export class Hops {
  readonly #releases: readonly ReleaseRecord[];
  readonly #known = new Map<string, readonly ReleaseRecord[]>();

  constructor(releases: Iterable<ReleaseRecord>) {
    this.#releases = [...releases].filter((release) => release.barred === null);
  }

  /** Why the device cannot take the release now; undefined when it can. The reason names the release to go through first. */
  refusal(release: ReleaseRecord, device: DeviceRecord): Refused | undefined {
    const refusal = refusalOf(release, device);
    if (refusal === undefined || (refusal.code !== "from" && refusal.code !== "schema")) {
      return refusal === undefined ? undefined : { ...refusal, hops: [] };
    }
    const hops = this.#way(release, device);
    const [first] = hops;
    const way =
      first !== undefined
        ? `: release ${first.id} goes first${hops.length > 1 ? `, then ${hops.slice(1).map((hop) => hop.id).join(", ")}` : ""}`
        : release.hop !== null && refusal.code === "from"
          ? `: version ${release.hop} goes first, and no release of it is registered that fits`
          : "";
    return { ...refusal, reason: `${refusal.reason}${way}`, hops };
  }

  #way(release: ReleaseRecord, device: DeviceRecord): readonly ReleaseRecord[] {
    const { hardware, running, storageSchema, quarantined, tags, attributes } = device;
    const key = JSON.stringify([release.id, hardware, running?.imageHash, running?.version, storageSchema, quarantined, tags, attributes["site"]]);
    let way = this.#known.get(key);
    if (way === undefined) {
      way = this.#search(release, device);
      this.#known.set(key, way);
    }
    return way;
  }

  /** Breadth first: the shortest way; among equals through the version that the release names, else the newest. */
  #search(release: ReleaseRecord, device: DeviceRecord): readonly ReleaseRecord[] {
    const candidates = this.#releases
      .filter((one) => one.id !== release.id && orderOf(one.version, release.version) === "older")
      .sort((a, b) => Number(isNamed(release, b)) - Number(isNamed(release, a)) || (orderOf(a.version, b.version) === "newer" ? -1 : 1));
    let ways: { readonly device: DeviceRecord; readonly hops: readonly ReleaseRecord[] }[] = [{ device, hops: [] }];
    const seen = new Set<string>();
    for (let length = 1; length <= hopsMax; length += 1) {
      const next: typeof ways = [];
      for (const way of ways) {
        for (const hop of candidates) {
          if (seen.has(hop.id) || orderOf(hop.version, way.device.running?.version ?? "") !== "newer" || refusalOf(hop, way.device) !== undefined) {
            continue;
          }
          const there = { device: after(hop, way.device), hops: [...way.hops, hop] };
          if (refusalOf(release, there.device) === undefined) {
            return there.hops;
          }
          seen.add(hop.id);
          next.push(there);
        }
      }
      ways = next;
    }
    return [];
  }
}

function isNamed(release: ReleaseRecord, hop: ReleaseRecord): boolean {
  return release.hop !== null && orderOf(hop.version, release.hop) === "same";
}

/** The device as it will be once a release runs on it. */
function after(release: ReleaseRecord, device: DeviceRecord): DeviceRecord {
  return {
    ...device,
    running: { imageHash: release.artifacts[0]?.imageHash ?? "", version: release.version, buildId: "", confirmed: true },
    storageSchema: release.storage?.writes ?? device.storageSchema,
  };
}
