// SPDX-License-Identifier: Apache-2.0
// What a device can tell, by the door it comes through: silence about something it has no words for is no health.
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

export function abilitiesOf({ door, attributes }: Pick<DeviceRecord, "door" | "attributes">): Abilities {
  const speaks = door !== "ddi" && door !== "smp";
  const said = attributes[imageEvidenceName];
  const image = door === "ddi" ? (said === "hash" || said === "version" ? said : "claim") : "hash";
  return { image, crashes: speaks, resetCauses: speaks, linkUptime: speaks, logs: speaks };
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

/** One line for people. */
export function describeDoor({ door, image, devices, cannotTell: gaps }: DoorEvidence): string {
  const proof = image === "hash" ? "image known by its hash" : image === "version" ? "image known by its version" : "update taken at its word";
  return `${devices} ${devices === 1 ? "device" : "devices"} over ${door}: ${proof}${gaps.length === 0 ? "" : `; cannot tell ${gaps.join(", ")}`}`;
}
