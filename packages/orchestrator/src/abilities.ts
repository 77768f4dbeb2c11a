// SPDX-License-Identifier: Apache-2.0
// What a device can tell, by the door it comes through: silence about something it has no words for is no health.
import type { Plan } from "@coalmine/core";
import type { DeviceRecord } from "./inventory.ts";
import type { Door } from "./ports.ts";

/**
 * How the host knows which image a device runs: by its hash; by a version that the device says of itself; or by no more
 * than its word that the update succeeded, and that it was heard afterwards (R54).
 */
export type ImageEvidence = "hash" | "version" | "claim";

/** Name of the attribute that a link without hashes puts into a device's hello. */
export const imageEvidenceName = "imageEvidence";

/** What one device can tell. */
export interface Abilities {
  readonly image: ImageEvidence;
  readonly crashes: boolean;
  readonly resetCauses: boolean;
  readonly linkUptime: boolean;
  readonly logs: boolean;
}

/** What somebody who reads reports or plans should know about devices of one door. */
export interface DoorEvidence {
  readonly door: Door;
  readonly image: ImageEvidence;
  readonly devices: number;
  /** In words; empty when it tells everything. */
  readonly cannotTell: readonly string[];
}

/** How the running image of a device is known. */
export function imageEvidence({ door, attributes }: Pick<DeviceRecord, "door" | "attributes">): ImageEvidence {
  const said = attributes[imageEvidenceName];
  return door !== "ddi" || said === "hash" ? "hash" : said === "version" ? "version" : "claim";
}

/** Whether a device speaks for itself: about others a link knows less. */
export function speaksForItself({ door }: Pick<DeviceRecord, "door">): boolean {
  return door !== "ddi" && door !== "smp";
}

export function abilitiesOf(device: Pick<DeviceRecord, "door" | "attributes">): Abilities {
  const speaks = speaksForItself(device);
  return { image: imageEvidence(device), crashes: speaks, resetCauses: speaks, linkUptime: speaks, logs: speaks };
}

/** Devices by door and image evidence, in the order of the doors. */
export function evidenceByDoor(devices: Iterable<Pick<DeviceRecord, "door" | "attributes">>): DoorEvidence[] {
  const groups = new Map<string, { door: Door; abilities: Abilities; devices: number }>();
  for (const device of devices) {
    const abilities = abilitiesOf(device);
    const key = `${device.door} ${abilities.image}`;
    const group = groups.get(key) ?? { door: device.door, abilities, devices: 0 };
    group.devices += 1;
    groups.set(key, group);
  }
  return [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { door, abilities, devices: count }]) => ({ door, image: abilities.image, devices: count, cannotTell: cannotTell(abilities) }));
}

function cannotTell(abilities: Abilities): string[] {
  return [
    ...(abilities.image === "claim" ? ["which image it runs: it is taken at its word, once it was heard again after the update"] : []),
    ...(abilities.image === "version" ? ["the hash of its image: its version tells it apart"] : []),
    ...(abilities.crashes ? [] : ["crashes"]),
    ...(abilities.resetCauses ? [] : ["why it reset"]),
    ...(abilities.linkUptime ? [] : ["link uptime"]),
    ...(abilities.logs ? [] : ["logs and coredumps"]),
  ];
}

const needsCrashes: ReadonlySet<string> = new Set(["crash-rate", "crash-free-devices", "crash-free-sessions", "boot-loop-rate"]);

/** What gates of a plan will not see of its canaries, said before it starts. */
export function tellingWarnings(plan: Plan, canary: readonly Pick<DeviceRecord, "door" | "attributes">[]): string[] {
  const gates = plan.gates.filter((gate) => needsCrashes.has(gate.metric) && !gate.dryRun).map((gate) => gate.metric);
  const mute = canary.filter((device) => !abilitiesOf(device).crashes).length;
  if (gates.length === 0 || mute === 0) {
    return [];
  }
  const names = gates.join(", ");
  return mute < canary.length
    ? [`${mute} of ${canary.length} canaries cannot tell of crashes: ${names} ${gates.length === 1 ? "weighs" : "weigh"} the other ${canary.length - mute}`]
    : [`no canary can tell of crashes, so ${names} will never pass: put devices that can into the canary, or leave ${gates.length === 1 ? "that gate" : "those gates"} out of the plan`];
}

/** One line for people. */
export function describeDoor({ door, image, devices, cannotTell: gaps }: DoorEvidence): string {
  const proof = image === "hash" ? "image known by its hash" : image === "version" ? "image known by its version" : "update taken at its word";
  return `${devices} ${devices === 1 ? "device" : "devices"} over ${door}: ${proof}${gaps.length === 0 ? "" : `; cannot tell ${gaps.join(", ")}`}`;
}
