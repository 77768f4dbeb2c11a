// SPDX-License-Identifier: Apache-2.0
// Checks a release against the fleet as it is, before anybody is offered anything (R13, R34).
import { compareVersion, type ImageVersion, parseVersion, trailerSize } from "@coalmine/mcuboot";
import type { HostState } from "./conductor.ts";
import { artifactFor, type ReleaseRecord, unfit } from "./membership.ts";
import type { DeviceRecord } from "./inventory.ts";

export interface PreflightDevice {
  readonly device: string;
  /** `refused`: it would be left out. `risky`: it would take part, and may not end well. */
  readonly outcome: "installable" | "risky" | "refused";
  readonly from: string;
  readonly reasons: readonly string[];
}

/** What the fleet's devices run now, and what installing the release over it would be. */
export interface FromVersion {
  readonly version: string;
  readonly devices: number;
  readonly installable: number;
  readonly direction: "upgrade" | "same" | "downgrade" | "unknown";
}

export interface Preflight {
  readonly release: string;
  readonly version: string;
  readonly installable: number;
  readonly risky: number;
  readonly refused: number;
  readonly barred: string | null;
  readonly fromVersions: readonly FromVersion[];
  /** Reasons with the number of devices, most frequent first. */
  readonly reasons: readonly { readonly reason: string; readonly devices: number }[];
  readonly devices: readonly PreflightDevice[];
}

/** Which devices can install a release, which cannot and why. Changes nothing. Devices in code-point order. */
export function preflight(state: HostState, release: ReleaseRecord): Preflight {
  const devices = [...state.devices.values()].map((device) => check(release, device)).sort((a, b) => (a.device < b.device ? -1 : 1));
  const reasons = new Map<string, number>();
  const versions = new Map<string, { devices: number; installable: number }>();
  for (const device of devices) {
    for (const reason of device.reasons) {
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
    const tally = versions.get(device.from) ?? { devices: 0, installable: 0 };
    tally.devices += 1;
    tally.installable += device.outcome === "refused" ? 0 : 1;
    versions.set(device.from, tally);
  }
  const count = (outcome: PreflightDevice["outcome"]): number => devices.filter((device) => device.outcome === outcome).length;
  return {
    release: release.id,
    version: release.version,
    installable: count("installable"),
    risky: count("risky"),
    refused: count("refused"),
    barred: release.barred,
    fromVersions: [...versions]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([version, tally]) => ({ version, ...tally, direction: directionOf(version, release.version) })),
    reasons: [...reasons].map(([reason, number]) => ({ reason, devices: number })).sort((a, b) => b.devices - a.devices || (a.reason < b.reason ? -1 : 1)),
    devices,
  };
}

function check(release: ReleaseRecord, device: DeviceRecord): PreflightDevice {
  const from = device.running?.version || "unknown";
  const refusal = unfit(release, device) ?? tooLarge(release, device);
  if (refusal !== undefined) {
    return { device: device.id, outcome: "refused", from, reasons: [refusal] };
  }
  const reasons: string[] = [];
  if (directionOf(from, release.version) === "downgrade") {
    reasons.push(`${release.version} is older than ${from}: a bootloader with downgrade prevention refuses it`);
  }
  if (device.running !== null && !device.running.confirmed) {
    reasons.push("it runs an unconfirmed image: it confirms or reverts before it can take another");
  }
  return { device: device.id, outcome: reasons.length === 0 ? "installable" : "risky", from, reasons };
}

/** The least a trailer takes whatever the bootloader's settings: one sector's status, at a write size of one byte. */
function tooLarge(release: ReleaseRecord, device: DeviceRecord): string | undefined {
  const artifact = artifactFor(release, device);
  const { hardware } = device;
  if (artifact === undefined || hardware === null) {
    return undefined;
  }
  const trailer = trailerSize({ mode: hardware.mode, maxAlign: 8, maxImgSectors: 1, enc: null }, 1);
  return artifact.size + trailer <= hardware.slotSize
    ? undefined
    : `the artifact of ${artifact.size} bytes leaves no room for the ${hardware.mode} trailer (at least ${trailer}) in its slot of ${hardware.slotSize}`;
}

function directionOf(from: string, to: string): FromVersion["direction"] {
  const a = versionOf(from);
  const b = versionOf(to);
  if (a === undefined || b === undefined) {
    return "unknown";
  }
  const order = compareVersion(b, a, { build: true });
  return order > 0 ? "upgrade" : order < 0 ? "downgrade" : "same";
}

function versionOf(text: string): ImageVersion | undefined {
  try {
    return parseVersion(text);
  } catch {
    return undefined;
  }
}
