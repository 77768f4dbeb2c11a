// SPDX-License-Identifier: Apache-2.0
// Who a DDI client is: what it says in configData, completed by what the operator says for it.
import { type ImageEvidence, imageEvidenceName, unsaidVersion } from "@coalmine/orchestrator";
import { type Hardware, isAttributeValue, isFactName, limits, type SwapMode } from "@coalmine/protocol";

/** Names in configData that are more than attributes. `hwRevision` is what Zephyr's client calls the revision. */
const reserved: ReadonlySet<string> = new Set(["board", "revision", "hwRevision", "partitionMap", "mode", "slotSize", "imageHash", "version", "storageSchema", imageEvidenceName]);

const modes: readonly string[] = ["swap-move", "swap-offset", "swap-scratch", "overwrite", "direct-xip"] satisfies readonly SwapMode[];

/** configData as it is kept: names and values within the bounds of reports. */
export type ConfigData = Readonly<Record<string, string>>;

export type ConfigMode = "merge" | "replace" | "remove";

/** What configData is after one more message, and the names that were left out because a report cannot carry them. */
export function applyConfig(known: ConfigData, mode: ConfigMode, data: Readonly<Record<string, string>>): { readonly data: ConfigData; readonly left: readonly string[] } {
  const next = new Map(mode === "replace" ? [] : Object.entries(known));
  const left: string[] = [];
  for (const [name, value] of Object.entries(data)) {
    if (mode === "remove") {
      next.delete(name);
    } else if (!isFactName(name) || !isAttributeValue(value) || (!next.has(name) && next.size >= entriesMax)) {
      left.push(name);
    } else {
      next.set(name, value);
    }
  }
  return { data: Object.fromEntries(next), left };
}

/** Room for the attributes of a report, less the one that is added, and for every reserved name. */
const entriesMax = limits.entries - 1 + reserved.size;

export interface Identity {
  readonly hardware: Hardware;
  readonly attributes: Readonly<Record<string, string>>;
  readonly storageSchema: number;
  /** Hash of the running image in lower-case hex, if the client says it. */
  readonly imageHash: string | undefined;
  /** Version of the running image, if the client says it. */
  readonly version: string | undefined;
}

const hash = /^[0-9a-fA-F]{64}$/;
const label = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,31}$/;

/**
 * @param facts what the operator says of the device; what the device says itself goes first
 */
export function identityOf(data: ConfigData, facts: ConfigData): Identity {
  const all: ConfigData = { ...facts, ...data };
  const text = (name: string, otherwise: string): string => (all[name] === undefined || all[name] === "" ? otherwise : all[name].slice(0, limits.hardware));
  const whole = (name: string, otherwise: number): number => (/^\d{1,10}$/.test(all[name] ?? "") && Number(all[name]) <= limits.uint32 ? Number(all[name]) : otherwise);
  const attributes = Object.entries(all).filter(([name]) => !reserved.has(name)).slice(0, limits.entries - 1);
  const { imageHash, version } = all;
  return {
    hardware: {
      board: text("board", unsaidVersion),
      revision: data["revision"] ?? data["hwRevision"] ?? facts["revision"] ?? facts["hwRevision"] ?? "",
      partitionMap: text("partitionMap", "default"),
      // Of the ways an image can be installed, the one that promises least: nothing is kept, nothing is undone.
      mode: modes.includes(all["mode"] ?? "") ? (all["mode"] as SwapMode) : "overwrite",
      slotSize: whole("slotSize", limits.uint32),
    },
    attributes: Object.fromEntries(attributes),
    storageSchema: whole("storageSchema", 0),
    imageHash: imageHash !== undefined && hash.test(imageHash) ? imageHash.toLowerCase() : undefined,
    version: version !== undefined && label.test(version) ? version : undefined,
  };
}

export function imageEvidenceOf(identity: Identity): ImageEvidence {
  return identity.imageHash !== undefined ? "hash" : identity.version !== undefined ? "version" : "claim";
}

/** The same version, whatever is said of a build number of 0. */
export function sameVersion(a: string, b: string): boolean {
  return a.replace(/\+0$/, "") === b.replace(/\+0$/, "");
}
