// SPDX-License-Identifier: Apache-2.0
// The description of a fleet like the one that reports to an orchestrator: its kinds and shares, and what they did.
import { type Baseline, CoalmineError } from "@coalmine/core";
import { fleetFromData, type FleetSpec } from "@coalmine/fleet";

/** What the API says of a device, as far as a twin needs it. */
export interface TwinDevice {
  readonly id: string;
  readonly hardware: { readonly board: string; readonly revision: string; readonly partitionMap: string; readonly mode: string; readonly slotSize: number } | null;
  readonly running: { readonly version: string } | null;
  readonly interval_s: number;
  readonly battery: number | null;
  readonly attributes: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
  readonly history: { readonly watchedDays: number; readonly crashDays: number; readonly silences: number; readonly usual: Readonly<Record<string, number>> };
}

export interface InventoryTwin {
  readonly fleet: FleetSpec;
  /** What a rollout would measure and freeze; undefined with too little history. */
  readonly baseline: Baseline | undefined;
  /** What the description cannot carry, or had to assume. */
  readonly notes: readonly string[];
}

const deviceDaysMin = 100;

/** Describes a fleet by its devices. Throws `rehearse/inventory` when there is none to describe. Kinds are drawn apart from one another. */
export function twinOfInventory(devices: readonly TwinDevice[], seed: number): InventoryTwin {
  const known = devices.filter((device) => device.hardware !== null);
  if (known.length === 0) {
    throw new CoalmineError("rehearse/inventory", `the orchestrator knows ${devices.length} devices and the hardware of none: nothing to make a twin of; give --fleet`);
  }
  const notes: string[] = [];
  if (known.length < devices.length) {
    notes.push(`${devices.length - known.length} devices have not said what hardware they are: left out of the twin`);
  }
  const days = sum(known.map((device) => device.history.watchedDays));
  const crashDays = sum(known.map((device) => device.history.crashDays));
  const silences = sum(known.map((device) => device.history.silences));
  const isMeasured = days >= deviceDaysMin;
  if (!isMeasured) {
    notes.push(`only ${days.toFixed(0)} device-days of history: crashes are assumed to be 0.02 a day, not measured`);
  }
  const data = {
    seed,
    devices: known.length,
    idPrefix: "twin-",
    hardware: hardwareKinds(known),
    connectivity: connectivityKinds(known),
    firmware: grouped(known, (device) => versionOf(device.running?.version)).map(([version, members]) => ({ version, share: members.length })),
    power: powerKinds(known, notes),
    site: grouped(known, (device) => device.attributes["site"] ?? "field").map(([site, members], index) => ({ name: labelOf(site, index), share: members.length })),
    tags: grouped(known.flatMap((device) => device.tags), (tag) => tag).map(([tag, uses], index) => ({ name: labelOf(tag, index), share: uses.length / known.length })).slice(0, 64),
    noise: {
      crashesPerDay: isMeasured ? crashDays / days : 0.02,
      frailtyShape: isMeasured ? frailtyShape(known, crashDays / days) : 0.3,
      bootFailure: 0.002,
    },
  };
  return {
    fleet: fleetFromData(data, "the inventory"),
    baseline: isMeasured ? { deviceDays: days, crash: Math.min(1, Math.max(1, crashDays) / days), silence: Math.min(1, Math.max(1, silences) / days) } : undefined,
    notes,
  };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Kinds in the order of their size, then of their name. At most 64, the rest joins the largest. */
function grouped<T>(items: readonly T[], keyOf: (item: T) => string): [string, T[]][] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) {
      groups.set(key, [item]);
    } else {
      group.push(item);
    }
  }
  const sorted = [...groups].sort(([a, x], [b, y]) => y.length - x.length || (a < b ? -1 : 1));
  for (const [, rest] of sorted.splice(64)) {
    sorted[0]?.[1].push(...rest);
  }
  return sorted;
}

/** A name as fleet files allow it; `index` keeps names apart that differ in what is left out. */
function labelOf(text: string, index: number): string {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text) ? text : `${text.replaceAll(/[^A-Za-z0-9._-]/g, "-").replace(/^[^A-Za-z0-9]+/, "").slice(0, 56) || "kind"}-${index + 1}`;
}

const versionOf = (version: string | undefined): string => (version !== undefined && /^\d{1,3}\.\d{1,3}\.\d{1,5}(\+\d{1,10})?$/.test(version) ? version : "0.0.0");

/** What a fleet file takes as a value; hardware names itself, in whatever characters. */
const ascii = (text: string): string => text.replaceAll(/[^ -~]/g, "-").slice(0, 64);

const modes = new Set(["swap-move", "swap-offset", "swap-scratch", "overwrite", "direct-xip"]);

function hardwareKinds(devices: readonly TwinDevice[]): unknown[] {
  const names = new Set<string>();
  return grouped(devices, ({ hardware }) => JSON.stringify([hardware?.board, hardware?.revision, hardware?.partitionMap, hardware?.mode, hardware?.slotSize])).map(([, members], index) => {
    const { board, revision, partitionMap, mode, slotSize } = (members[0] as TwinDevice).hardware as NonNullable<TwinDevice["hardware"]>;
    let name = labelOf(revision === "" ? board : revision, index);
    name = names.has(name) ? labelOf(`${name}-${index + 1}`, index) : name;
    names.add(name);
    // Devices do not say their sectors: the largest usual size that divides the slot, and the twin's small images fit.
    const sectorSize = [4096, 2048, 1024, 512, 256, 128].find((size) => slotSize % size === 0 && slotSize / size <= 1024) ?? [8192, 16_384, 32_768, 65_536, 131_072].find((size) => slotSize % size === 0 && slotSize / size <= 1024);
    const geometry = sectorSize === undefined || slotSize < 32_768 ? {} : { slotSize, sectorSize };
    const known = modes.has(mode) ? mode : "swap-move";
    const said = { ...(ascii(revision) === "" ? {} : { revision: ascii(revision) }), ...(ascii(partitionMap) === "" ? {} : { partitionMap: ascii(partitionMap) }) };
    return { name, share: members.length, board: ascii(board) || "unknown", ...said, mode: known, ...geometry, ...(known === "swap-scratch" ? { scratchSize: (sectorSize ?? 4096) * 4 } : {}) };
  });
}

/** By connectivity; where its devices report at different intervals, each of a twentieth or more of them is a kind of its own. */
function connectivityKinds(devices: readonly TwinDevice[]): unknown[] {
  return grouped(devices, (device) => device.attributes["connectivity"] ?? "unknown").flatMap(([connectivity, members], index) => {
    const name = labelOf(connectivity, index);
    const intervals = grouped(members, (device) => String(Math.max(1, Math.round(device.interval_s))));
    const own = intervals.filter(([, some], position) => position === 0 || some.length >= members.length / 20);
    const joined = members.length - sum(own.map(([, some]) => some.length));
    const uptimes = members.flatMap((device) => device.history.usual["connectivity-uptime"] ?? []);
    const linkUptime = uptimes.length === 0 ? {} : { linkUptime: Math.max(0, Math.min(1, mean(uptimes))) };
    return own.map(([seconds, some], position) => ({
      name: position === 0 ? name : labelOf(`${name}-${seconds}s`, index),
      share: some.length + (position === 0 ? joined : 0),
      interval: `${seconds}s`,
      ...linkUptime,
    }));
  });
}

function powerKinds(devices: readonly TwinDevice[], notes: string[]): unknown[] {
  return grouped(devices, (device) => `${device.attributes["power"] ?? (device.battery === null ? "mains" : "battery")}|${device.battery === null ? "" : "battery"}`).map(([key, members], index) => {
    const [power = "", battery] = key.split("|");
    const name = labelOf(index > 0 && battery === "" && power === "battery" ? `${power}-unknown` : power, index);
    if (battery === "") {
      return { name, share: members.length };
    }
    const drains = members.flatMap((device) => device.history.usual["battery-drain"] ?? []).map((drain) => Math.log(Math.max(0.01, drain)));
    if (drains.length < 5) {
      notes.push(`power "${name}": too few devices with a known battery drain, 1 % a day is assumed`);
      return { name, share: members.length, battery: {} };
    }
    const middle = mean(drains);
    const spread = Math.sqrt(sum(drains.map((drain) => (drain - middle) ** 2)) / (drains.length - 1));
    return { name, share: members.length, battery: { drainPerDay: Math.min(1000, Math.exp(middle)), spread: Math.min(2, spread) } };
  });
}

const mean = (values: readonly number[]): number => sum(values) / values.length;

/** Shape of the Gamma frailty by the method of moments: how much more the devices' counts of days with a crash scatter than chance alone. */
function frailtyShape(devices: readonly TwinDevice[], perDay: number): number {
  let squares = 0;
  let excess = 0;
  for (const { history } of devices) {
    const expected = perDay * history.watchedDays;
    squares += expected ** 2;
    excess += (history.crashDays - expected) ** 2 - expected;
  }
  return excess <= 0 ? 1000 : Math.min(1000, Math.max(0.05, squares / excess));
}
