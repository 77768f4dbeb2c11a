// SPDX-License-Identifier: Apache-2.0
// How a device behaves without any update: what gates compare with, and what baselines are measured from (evidence.md 3.3, 3.7).
//
// H1. Constant work per report, and constant size: at most `namesMax` metrics of a device are remembered.
// H2. Time in which nobody listened is neither watched nor silent.
import type { Baseline, Instant } from "@coalmine/core";
import type { Heartbeat } from "@coalmine/protocol";

/** A mean that forgets: `mean` of the last days, its weight in samples, and when the newest came. */
type Usual = [mean: number, weight: number, at: number];

/** Plain data, in the inventory and its snapshots. */
export interface DeviceHistory {
  /** Milliseconds in which it was known to be well or to have crashed: silence does not count. */
  watched: number;
  /** Periods of a day, each begun by a crash: a device that crashes all day has one a day (R28). */
  crashDays: number;
  crashedAt: number | null;
  /** Times it was overdue. */
  silences: number;
  readonly usual: Record<string, Usual>;
  /** Battery level and when it was read: the next drain is measured from here. */
  drainFrom: readonly [at: number, level: number] | null;
}

export const newHistory = (): DeviceHistory => ({ watched: 0, crashDays: 0, crashedAt: null, silences: 0, usual: {}, drainFrom: null });

const dayMs = 86_400_000;
/** Means forget by this: about the last week counts, the matched window of evidence.md 3.3. */
const memoryMs = 3.5 * dayMs;
/** Counts are halved when so much was watched: what happened months ago fades. */
const watchedMax = 56 * dayMs;
/** A drain is a level difference over at least this long: shorter ones are noise of the gauge. */
const drainWindowMs = 3 * 3_600_000;
/** A heartbeat carries at most 16 metrics; beside them there are ours. */
const namesMax = 20;
const samplesMin = 3;
/** Silence that a plan's defaults would call overdue. */
const floorMs = 15 * 60_000;
const intervalsMax = 3;

/** The last time in which the host itself heard nobody. */
export interface Deafness {
  readonly from: number;
  readonly until: number;
}

/** Notes that a report came, and returns how long the host had listened for it, in milliseconds. */
export function noteReport(history: DeviceHistory, report: { readonly lastSeen: Instant; readonly at: Instant; readonly interval: number; readonly deaf: Deafness; readonly crash: boolean }): number {
  const { lastSeen, at, deaf } = report;
  const unheard = Math.max(0, Math.min(at, deaf.until) - Math.max(lastSeen, deaf.from));
  const gap = Math.max(0, at - lastSeen - unheard);
  const limit = Math.max(floorMs, intervalsMax * report.interval);
  history.watched += Math.min(gap, limit);
  if (gap > limit) {
    history.silences += 1;
  }
  if (report.crash && (history.crashedAt === null || at - history.crashedAt >= dayMs)) {
    history.crashDays += 1;
    history.crashedAt = at;
  }
  if (history.watched > watchedMax) {
    history.watched /= 2;
    history.crashDays /= 2;
    history.silences /= 2;
  }
  return gap;
}

/**
 * The numbers that a heartbeat stands for, by the names of gates: `battery-drain` in per cent a day, `connectivity-uptime`
 * and `check-in-punctuality` as shares (expected check-ins that came), and the device's own. Folds them into what is usual.
 */
export function samplesOf(history: DeviceHistory, heartbeat: Heartbeat, heard: { readonly at: Instant; readonly gap: number; readonly interval: number; readonly linkUptime?: boolean }): Readonly<Record<string, number>> {
  const { at } = heard;
  const samples: Record<string, number> = { ...heartbeat.metrics };
  if (heard.linkUptime !== false) {
    samples["connectivity-uptime"] = heartbeat.linkUptime;
  }
  if (heard.gap > 0) {
    // Check-ins are jittered by some per cent; only what is late by more lacks.
    samples["check-in-punctuality"] = Math.min(1, (1.25 * heard.interval) / heard.gap);
  }
  const drain = heartbeat.battery === null ? undefined : drainOf(history, heartbeat.battery, at);
  if (drain !== undefined) {
    samples["battery-drain"] = drain;
  }
  for (const name in samples) {
    remember(history, name, samples[name] as number, at);
  }
  return samples;
}

/** Per cent of the battery a day since the last reading; undefined while too little time has passed, or after a charge. */
function drainOf(history: DeviceHistory, level: number, at: Instant): number | undefined {
  const from = history.drainFrom;
  if (from === null || level > from[1]) {
    history.drainFrom = [at, level];
    return undefined;
  }
  if (at - from[0] < drainWindowMs) {
    return undefined;
  }
  history.drainFrom = [at, level];
  return Math.max(((from[1] - level) / (at - from[0])) * dayMs, 0.01);
}

/** What is remembered of a name that a device may have made up: what every object has under it is no mean. */
function knownOf(history: DeviceHistory, name: string): Usual | undefined {
  const known: unknown = history.usual[name];
  return Array.isArray(known) ? (known as Usual) : undefined;
}

function remember(history: DeviceHistory, name: string, value: number, at: Instant): void {
  const known = knownOf(history, name);
  if (known === undefined) {
    if (Number.isFinite(value) && Object.keys(history.usual).length < namesMax) {
      history.usual[name] = [value, 1, at];
    }
    return;
  }
  if (!Number.isFinite(value)) {
    return;
  }
  const weight = known[1] * Math.exp(Math.min(0, known[2] - at) / memoryMs) + 1;
  known[0] += (value - known[0]) / weight;
  known[1] = weight;
  known[2] = at;
}

/** A device's usual value of a metric; undefined when it has reported too little of it lately. */
export function usualOf(history: DeviceHistory, name: string, now: Instant): number | undefined {
  const known = knownOf(history, name);
  return known === undefined || known[1] < samplesMin - 0.5 || now - known[2] > 2 * memoryMs ? undefined : known[0];
}

/** Device-days below which rates are noise. */
const deviceDaysMin = 100;

/**
 * Fractions of devices with an event in a day, from the histories of those that take part (F0 of evidence.md 3.7); undefined
 * when less than a hundred device-days were watched. None seen counts as one: that is about all it says.
 */
export function baselineOf(histories: Iterable<DeviceHistory>): Baseline | undefined {
  let watched = 0;
  let crashDays = 0;
  let silences = 0;
  for (const history of histories) {
    watched += history.watched;
    crashDays += history.crashDays;
    silences += history.silences;
  }
  const deviceDays = watched / dayMs;
  if (deviceDays < deviceDaysMin) {
    return undefined;
  }
  return { deviceDays, crash: Math.min(1, Math.max(1, crashDays) / deviceDays), silence: Math.min(1, Math.max(1, silences) / deviceDays) };
}
