// SPDX-License-Identifier: Apache-2.0
// Folding reports into the evidence of all gates of a rollout.
//
// G1. State is a function of the set of observations: their order and repeats do not matter.
// G2. Everything computed is a function of the state, to the last bit: a restart re-folds to the same numbers.
// G3. Folding one observation that arrives in order costs O(1) per gate (L2 for those that do not).

import { bootOutcome, type DeviceFacts, insertOnce, type KnownDevice, lowerBound, type Spell, spellEnd, spellOf } from "./device-record.ts";
import type { DeviceRecord, GateObservation, GatesState, Placement, Samples, ShareEvent } from "./gate-spec.ts";
import { BASELINE_WINDOW_DEFAULT } from "./gate-spec.ts";
import { FirstWindow } from "./first-window.ts";
import { isSampled, LiveMetric } from "./live-metric.ts";
import { LiveRisk } from "./live-risk.ts";

/** Boot outcomes of some devices. */
export interface BootCounts {
  started: number;
  /** Of those, devices that have no way to tell of a crash or of restarts. */
  mute: number;
  failed: number;
  confirmed: number;
  /** Devices something happened to. */
  readonly hit: Record<ShareEvent, number>;
  /** Confirmed devices it did not happen to. */
  readonly clean: Record<ShareEvent, number>;
}

export const SHARE_EVENTS: readonly ShareEvent[] = ["reverted", "looped", "overdue"];

export const noBoots = (): BootCounts => ({
  started: 0, mute: 0, failed: 0, confirmed: 0, hit: { reverted: 0, looped: 0, overdue: 0 }, clean: { reverted: 0, looped: 0, overdue: 0 },
});

/** Time at risk of one arm. Whole milliseconds from the rollout's origin, so sums are exact in any order. */
export interface Exposure {
  devices: number;
  closed: number;
  open: number;
  openSince: number;
  /** Devices with at least one crash while at risk. */
  crashed: number;
}

/** Caches beside a state. Never part of a snapshot. */
export interface GateCaches {
  /** By hardware revision. */
  readonly boot: Map<string, BootCounts>;
  /** [controls, canaries]; of those that can tell of a crash apart. */
  readonly exposure: readonly [Exposure, Exposure];
  readonly telling: readonly [Exposure, Exposure];
  readonly risk: Map<string, LiveRisk>;
  readonly metric: Map<string, LiveMetric>;
  /** By event gate that can pass by a share. */
  readonly window: Map<string, FirstWindow>;
  readonly devices: Map<string, KnownDevice>;
}

const NO_FACTS: DeviceFacts = {
  boot: "none", hardware: undefined, reverted: false, overdue: false, looped: false, mute: false, spells: [undefined, undefined], crashed: [false, false],
};

const caches = new WeakMap<GatesState, GateCaches>();

/** The caches of a state, built from its records if this process has not seen it yet. */
export function cachesOf(state: GatesState): GateCaches {
  let found = caches.get(state);
  if (found === undefined) {
    found = emptyCaches(state);
    caches.set(state, found);
    for (const device of Object.keys(state.devices)) refresh(found, state, device, deviceOf(found, state, device));
  }
  return found;
}

function deviceOf(cache: GateCaches, state: GatesState, device: string): KnownDevice {
  let known = cache.devices.get(device);
  if (known === undefined) {
    known = { record: (state.devices[device] ??= { overdues: [], crashes: [], samples: {} }), facts: NO_FACTS, keepsSamples: undefined };
    cache.devices.set(device, known);
  }
  return known;
}

function emptyCaches(state: GatesState): GateCaches {
  const devices = new Map<string, KnownDevice>();
  const spell = (device: string, canary: 0 | 1): Spell | undefined => devices.get(device)?.facts.spells[canary];
  const risk = new Map<string, LiveRisk>();
  const metric = new Map<string, LiveMetric>();
  const window = new Map<string, FirstWindow>();
  for (const gate of state.spec.gates) {
    if (gate.kind === "crash" || gate.kind === "silence") {
      risk.set(gate.name, new LiveRisk(gate, state.devices, spell));
      if (gate.shares !== undefined) window.set(gate.name, new FirstWindow(gate));
    }
    if (gate.kind === "metric" || gate.kind === "bound") metric.set(gate.name, new LiveMetric(gate, state.spec));
  }
  const none = (): Exposure => ({ devices: 0, closed: 0, open: 0, openSince: 0, crashed: 0 });
  return { boot: new Map(), exposure: [none(), none()], telling: [none(), none()], risk, metric, window, devices };
}

function factsOf(record: DeviceRecord): DeviceFacts {
  const spells = [spellOf(record, 0), spellOf(record, 1)] as const;
  const started = record.canary?.startedAt ?? Infinity;
  const crashedIn = (spell: Spell | undefined): boolean => {
    if (spell === undefined) return false;
    const first = record.crashes[lowerBound(record.crashes, spell.enter)];
    return first !== undefined && first <= (spellEnd(spell) ?? Infinity);
  };
  return {
    boot: bootOutcome(record),
    hardware: record.canary?.placement.hardware,
    reverted: record.canary !== undefined && record.revertedAt !== undefined,
    overdue: record.overdues[lowerBound(record.overdues, started)] !== undefined,
    mute: record.mute === true && record.canary !== undefined,
    looped: record.canary !== undefined && record.loopedAt !== undefined,
    spells,
    crashed: [crashedIn(spells[0]), crashedIn(spells[1])],
  };
}

function sameSpell(a: Spell | undefined, b: Spell | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.enter === b.enter && a.exit === b.exit && a.overdue === b.overdue && a.placement.stage === b.placement.stage &&
    a.placement.hardware === b.placement.hardware && a.placement.connectivity === b.placement.connectivity
  );
}

/** Brings the caches up to date with one changed record. */
function refresh(cache: GateCaches, state: GatesState, device: string, known: KnownDevice): void {
  const { record, facts: before } = known;
  const now = factsOf(record);
  known.facts = now;
  countBoot(cache, before, -1);
  countBoot(cache, now, 1);
  if (record.canary !== undefined) for (const window of cache.window.values()) window.changed(device, now.spells[1], record);
  for (const canary of [0, 1] as const) {
    countExposure(cache.exposure[canary], state, before, canary, -1);
    countExposure(cache.exposure[canary], state, now, canary, 1);
    if (record.mute !== true) {
      countExposure(cache.telling[canary], state, before, canary, -1);
      countExposure(cache.telling[canary], state, now, canary, 1);
    }
    const [was, is] = [before.spells[canary], now.spells[canary]];
    if (sameSpell(was, is)) continue;
    for (const gate of cache.risk.values()) gate.changed(device, canary, was, is);
    for (const gate of cache.metric.values()) gate.changed(device, known, canary);
  }
}

function countBoot(cache: GateCaches, facts: DeviceFacts, sign: 1 | -1): void {
  if (facts.hardware === undefined) return;
  let counts = cache.boot.get(facts.hardware);
  if (counts === undefined) {
    counts = noBoots();
    cache.boot.set(facts.hardware, counts);
  }
  counts.started += sign;
  if (facts.mute) counts.mute += sign;
  if (facts.boot === "failed") counts.failed += sign;
  if (facts.boot === "confirmed") counts.confirmed += sign;
  for (const event of SHARE_EVENTS) {
    if (facts[event]) counts.hit[event] += sign;
    else if (facts.boot === "confirmed" && !(facts.mute && event === "looped")) counts.clean[event] += sign;
  }
}

function countExposure(exposure: Exposure, state: GatesState, facts: DeviceFacts, canary: 0 | 1, sign: 1 | -1): void {
  const spell = facts.spells[canary];
  if (spell === undefined) return;
  exposure.devices += sign;
  if (facts.crashed[canary]) exposure.crashed += sign;
  const end = spellEnd(spell);
  if (end === null) {
    exposure.open += sign;
    exposure.openSince += sign * (spell.enter - state.spec.origin);
  } else exposure.closed += sign * (end - spell.enter);
}

/** Device-hours at risk of one arm up to `now`. */
export function exposureHours(exposure: Exposure, state: GatesState, now: number): number {
  return (exposure.closed + exposure.open * (now - state.spec.origin) - exposure.openSince) / 3_600_000;
}

function comparePlacement(a: Placement, b: Placement): number {
  const [x, y] = [JSON.stringify(a), JSON.stringify(b)];
  return x < y ? -1 : x > y ? 1 : 0;
}

const earlier = (known: number | undefined, at: number): number => (known === undefined || at < known ? at : known);

/** Folds one observation into `state`, in place. Repeats change nothing, and any order gives the same state (G1). */
export function observe(state: GatesState, observation: GateObservation): void {
  const cache = cachesOf(state);
  const { device, at } = observation;
  const known = deviceOf(cache, state, device);
  const { record } = known;
  switch (observation.kind) {
    case "updateStarted": {
      const { placement } = observation;
      const { canary } = record;
      const first = canary === undefined ? -1 : at - canary.startedAt || comparePlacement(placement, canary.placement);
      if (first >= 0) return;
      record.canary = { placement, startedAt: at };
      if (observation.mute === true) record.mute = true;
      known.keepsSamples = undefined;
      dropUnsampled(state, device, known);
      break;
    }
    case "controlStart": {
      const { placement } = observation;
      const { control } = record;
      const first = control === undefined ? -1 : at - control.enterAt || comparePlacement(placement, control.placement);
      if (first >= 0) return;
      record.control = { placement, enterAt: at };
      if (observation.mute === true) record.mute = true;
      known.keepsSamples = undefined;
      break;
    }
    case "controlCensored":
      record.controlExitAt = earlier(record.controlExitAt, at);
      break;
    case "confirmed":
      record.confirmedAt = earlier(record.confirmedAt, at);
      break;
    case "reverted":
      record.revertedAt = earlier(record.revertedAt, at);
      break;
    case "looped":
      record.loopedAt = earlier(record.loopedAt, at);
      break;
    case "baseline":
      baseline(cache, state, device, known, observation);
      return;
    case "withdrawn":
      record.withdrawnAt = earlier(record.withdrawnAt, at);
      break;
    case "returned":
      record.returnedAt = Math.max(record.returnedAt ?? at, at);
      break;
    case "overdue":
      if (!insertOnce(record.overdues, at)) return;
      break;
    case "crash":
      crash(cache, state, device, known, at);
      return;
    case "metricSample":
      sample(cache, state, device, known, observation.name, at, observation.value);
      return;
  }
  refresh(cache, state, device, known);
}

function crash(cache: GateCaches, state: GatesState, device: string, known: KnownDevice, at: number): void {
  if (!insertOnce(known.record.crashes, at)) return;
  const { spells } = known.facts;
  refresh(cache, state, device, known);
  for (const spell of spells) {
    if (spell === undefined) continue;
    for (const gate of cache.risk.values()) gate.crashed(device, spell, at);
    for (const gate of cache.metric.values()) if (gate.isCounted) gate.sampled(device, spell.canary);
  }
}

/** Two different values of one metric: the larger stays, whichever came first. */
function baseline(
  cache: GateCaches, state: GatesState, device: string, known: KnownDevice, { name, value }: { readonly name: string; readonly value: number },
): void {
  if (!Number.isFinite(value) || !isWanted(cache, name) || !keepsSamples(state, device, known)) return;
  const usual = (known.record.usual ??= {});
  if ((usual[name] ?? -Infinity) >= value) return;
  usual[name] = value;
  tellMetrics(cache, device, known, name);
}

/** Folds samples of one device that came in one report: the values under these names, as `metricSample` observations would. */
export function observeSamples(state: GatesState, device: string, at: number, names: readonly string[], values: Readonly<Record<string, number>>): void {
  const cache = cachesOf(state);
  for (const name of names) {
    const value = values[name];
    if (value !== undefined) sample(cache, state, device, deviceOf(cache, state, device), name, at, value);
  }
}

function sample(
  cache: GateCaches, state: GatesState, device: string, known: KnownDevice, name: string, at: number, value: number,
): void {
  if (!Number.isFinite(value)) return;
  if (!isWanted(cache, name) || !keepsSamples(state, device, known)) return;
  const { record } = known;
  const samples = (record.samples[name] ??= { at: [], value: [] });
  if (!insertSample(samples, at, value)) return;
  if (record.canary === undefined && record.control === undefined) trim(samples, longestWindow(state));
  tellMetrics(cache, device, known, name);
}

/** A number of a device is new: gates that it stands at risk in take note. */
function tellMetrics(cache: GateCaches, device: string, { facts }: KnownDevice, name: string): void {
  for (const spell of facts.spells) {
    if (spell === undefined) continue;
    for (const gate of cache.metric.values()) if (gate.metric === name) gate.sampled(device, spell.canary);
  }
}

function isWanted(cache: GateCaches, name: string): boolean {
  for (const gate of cache.metric.values()) if (gate.metric === name && !gate.isCounted) return true;
  return false;
}

/** Two different values for one instant: the larger stays, whichever came first. */
function insertSample(samples: Samples, at: number, value: number): boolean {
  const index = lowerBound(samples.at, at);
  if (samples.at[index] === at) {
    if ((samples.value[index] as number) >= value) return false;
    samples.value[index] = value;
    return true;
  }
  if (index === samples.at.length) {
    samples.at.push(at);
    samples.value.push(value);
  } else {
    samples.at.splice(index, 0, at);
    samples.value.splice(index, 0, value);
  }
  return true;
}

function longestWindow(state: GatesState): number {
  let longest = 0;
  for (const gate of state.spec.gates) if (gate.kind === "metric" || gate.kind === "bound") longest = Math.max(longest, gate.baselineWindow ?? BASELINE_WINDOW_DEFAULT);
  return longest;
}

/** Before its start a device keeps twice the baseline window behind its newest sample, so the window of any start still to come is whole. */
function trim(samples: Samples, window: number): void {
  const from = lowerBound(samples.at, (samples.at.at(-1) as number) - 2 * window);
  if (from === 0) return;
  samples.at.splice(0, from);
  samples.value.splice(0, from);
}

function keepsSamples(state: GatesState, device: string, known: KnownDevice): boolean {
  const { canary, control } = known.record;
  return (known.keepsSamples ??=
    canary === undefined ||
    isSampled(state.spec, device, 1, canary.placement.stage) ||
    (control !== undefined && isSampled(state.spec, device, 0, control.placement.stage)));
}

function dropUnsampled(state: GatesState, device: string, known: KnownDevice): void {
  if (!keepsSamples(state, device, known)) {
    known.record.samples = {};
    delete known.record.usual;
  }
}
