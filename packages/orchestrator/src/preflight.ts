// SPDX-License-Identifier: Apache-2.0
// Checks a release against the fleet as it is, before anybody is offered anything (R13, R34, R42, R45, R46).
import type { Hardware } from "@coalmine/protocol";
import type { HostState } from "./conductor.ts";
import type { ReleaseArtifact } from "./entry.ts";
import { Hops } from "./hops.ts";
import type { DeviceRecord } from "./inventory.ts";
import { type LayoutReport, layoutReport } from "./layout.ts";
import { artifactFor, type Refusal, type ReleaseRecord } from "./membership.ts";
import { type BootloaderFacts, bootloaderFacts, downgradeVerdict, roomMax } from "./slots.ts";
import { orderOf } from "./versions.ts";

export interface PreflightDevice {
  readonly device: string;
  /** `refused`: it would be left out. `risky`: it would take part, and may not end well. */
  readonly outcome: "installable" | "risky" | "refused";
  readonly from: string;
  readonly reasons: readonly string[];
  /** What a refusal is about; null when there is none. */
  readonly code: Refusal["code"] | null;
  /** Releases it would have to go through first, in order. */
  readonly hops: readonly string[];
}

/** A release that devices go through before this one. */
export interface HopNeeded {
  readonly release: string;
  readonly devices: number;
  /** Versions they come from. */
  readonly from: readonly string[];
}

/** What the fleet's devices run now, and what installing the release over it would be. */
export interface FromVersion {
  readonly version: string;
  readonly devices: number;
  readonly installable: number;
  readonly direction: "upgrade" | "same" | "downgrade" | "unknown";
  /** Why bootloaders do not install it over this version, or may not where devices have not said how theirs was built. */
  readonly obstacles: readonly string[];
}

/** One kind of hardware that the release has an artifact for, and how the two fit. */
export interface HardwareFit extends Hardware, BootloaderFacts {
  readonly devices: number;
  /** Bytes of the artifact, and the most the slot takes in this mode whatever its sectors. */
  readonly size: number;
  readonly roomMax: number;
  readonly fits: boolean;
}

export interface Preflight {
  readonly release: string;
  readonly version: string;
  readonly installable: number;
  readonly risky: number;
  readonly refused: number;
  readonly barred: string | null;
  readonly fromVersions: readonly FromVersion[];
  readonly hardware: readonly HardwareFit[];
  readonly layout: LayoutReport;
  /** What to roll out first, and for how many devices; most devices first. */
  readonly hops: readonly HopNeeded[];
  /** Reasons with the number of devices, most frequent first. */
  readonly reasons: readonly { readonly reason: string; readonly devices: number }[];
  readonly devices: readonly PreflightDevice[];
}

/** Which devices can install a release, which cannot and why. Changes nothing. Devices in code-point order. */
export function preflight(state: HostState, release: ReleaseRecord): Preflight {
  const known = new Map([...state.releases.values()].flatMap((one) => one.artifacts.map((artifact) => [artifact.imageHash, artifact] as const)));
  const hops = new Hops(state.releases.values());
  const checked = [...state.devices.values()].map((device) => ({ device, result: check(release, device, known, hops) }));
  const devices = checked.map(({ result }) => result).sort((a, b) => (a.device < b.device ? -1 : 1));
  const reasons = new Map<string, number>();
  const versions = new Map<string, { devices: number; installable: number; obstacles: Set<string> }>();
  for (const device of devices) {
    for (const reason of device.reasons) {
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
    const tally = versions.get(device.from) ?? { devices: 0, installable: 0, obstacles: new Set<string>() };
    tally.devices += 1;
    tally.installable += device.outcome === "refused" ? 0 : 1;
    versions.set(device.from, tally);
  }
  for (const { device, result } of checked) {
    for (const obstacle of obstaclesOf(artifactFor(release, device), device, known)) {
      versions.get(result.from)?.obstacles.add(obstacle);
    }
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
      .map(([version, { obstacles, ...tally }]) => ({ version, ...tally, direction: directionOf(version, release.version), obstacles: [...obstacles].sort() })),
    hardware: hardwareFits(release, state.devices.values()),
    layout: layoutReport(release, { devices: [...state.devices.values()], releases: [...state.releases.values()] }),
    hops: hopsNeeded(devices),
    reasons: [...reasons].map(([reason, number]) => ({ reason, devices: number })).sort((a, b) => b.devices - a.devices || (a.reason < b.reason ? -1 : 1)),
    devices,
  };
}

type Known = ReadonlyMap<string, ReleaseArtifact>;

function check(release: ReleaseRecord, device: DeviceRecord, known: Known, hops: Hops): PreflightDevice {
  const from = device.running?.version || "unknown";
  const refusal = hops.refusal(release, device);
  if (refusal !== undefined) {
    return { device: device.id, outcome: "refused", from, reasons: [refusal.reason], code: refusal.code, hops: refusal.hops.map((hop) => hop.id) };
  }
  const reasons = obstaclesOf(artifactFor(release, device), device, known);
  if (device.running !== null && !device.running.confirmed) {
    reasons.push("it runs an unconfirmed image: it confirms or reverts before it can take another");
  }
  return { device: device.id, outcome: reasons.length === 0 ? "installable" : "risky", from, reasons, code: null, hops: [] };
}

function hopsNeeded(devices: readonly PreflightDevice[]): HopNeeded[] {
  const needed = new Map<string, { devices: number; from: Set<string> }>();
  for (const { hops, from } of devices) {
    const [first] = hops;
    if (first !== undefined) {
      const tally = needed.get(first) ?? { devices: 0, from: new Set<string>() };
      tally.devices += 1;
      tally.from.add(from);
      needed.set(first, tally);
    }
  }
  return [...needed].map(([release, tally]) => ({ release, devices: tally.devices, from: [...tally.from].sort() })).sort((a, b) => b.devices - a.devices);
}

/**
 * Why the device's bootloader refuses the artifact over what it runs, when the device has said how that was built; else why one may:
 * downgrade prevention by version, or by counter.
 */
function obstaclesOf(artifact: ReleaseArtifact | undefined, device: DeviceRecord, known: Known): string[] {
  if (artifact === undefined || device.running === null) {
    return [];
  }
  const from = device.running.version || "unknown";
  const obstacles: string[] = [];
  const order = orderOf(artifact.version, from);
  if (device.hardware?.mode === "direct-xip" && (order === "same" || order === "rebuilt")) {
    return [`${artifact.version} is not newer than ${from}: direct-xip stays with the first slot when versions are equal`];
  }
  if (device.bootloader !== null || device.hardware?.mode === "direct-xip") {
    const verdict = downgradeVerdict(device, artifact, known.get(device.running.imageHash));
    return verdict.kind === "accepts" ? [] : [verdict.reason];
  }
  if (order === "older") {
    obstacles.push(`${artifact.version} is older than ${from}: a bootloader with downgrade prevention refuses it`);
  }
  // A running image without a counter allows everything; one in a new image is then enough for the next.
  const counter = known.get(device.running.imageHash)?.securityCounter;
  if (counter !== undefined && (artifact.securityCounter === undefined || artifact.securityCounter < counter)) {
    const own = artifact.securityCounter === undefined ? "no security counter" : `security counter ${artifact.securityCounter}`;
    obstacles.push(`${own}, below the ${counter} of ${from}: a bootloader that compares counters refuses it`);
  }
  return obstacles;
}

/** Each kind of hardware of the fleet that an artifact is for, with its mode's room and ways back. Most frequent first. */
function hardwareFits(release: ReleaseRecord, devices: Iterable<DeviceRecord>): HardwareFit[] {
  const kinds = new Map<string, { fit: HardwareFit; devices: number }>();
  for (const device of devices) {
    const artifact = artifactFor(release, device);
    if (artifact === undefined || device.hardware === null) {
      continue;
    }
    const name = JSON.stringify(device.hardware);
    let kind = kinds.get(name);
    if (kind === undefined) {
      const most = roomMax(device.hardware);
      const fit = { ...device.hardware, ...bootloaderFacts(device.hardware), devices: 0, size: artifact.size, roomMax: most, fits: artifact.size <= most };
      kind = { fit, devices: 0 };
      kinds.set(name, kind);
    }
    kind.devices += 1;
  }
  return [...kinds.values()].map(({ fit, devices: count }) => ({ ...fit, devices: count })).sort((a, b) => b.devices - a.devices || a.roomMax - b.roomMax);
}

function directionOf(from: string, to: string): FromVersion["direction"] {
  switch (orderOf(to, from)) {
    case "newer":
      return "upgrade";
    case "older":
      return "downgrade";
    case "same":
      return "same";
    case "rebuilt":
      return orderOfBuild(to) > orderOfBuild(from) ? "upgrade" : "downgrade";
    case "unknown":
      return "unknown";
  }
}

function orderOfBuild(version: string): number {
  return Number(version.split("+")[1] ?? 0);
}
