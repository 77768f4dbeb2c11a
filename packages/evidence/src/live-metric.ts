// SPDX-License-Identifier: Apache-2.0
// Per-device means of a reported metric, kept in strata (evidence.md 3.3).

import { hash } from "node:crypto";
import { ancova, type AncovaFit, type DeviceMeans, stratumSums, type StratumSums } from "./ancova.ts";
import { countEpisodes, crashFreeHours } from "./crash-free.ts";
import { lowerBound, type Spell, spellEnd, stratumKey } from "./device-record.ts";
import type { DeviceRecord, GatesSpec, MetricSource } from "./gate-spec.ts";
import { BASELINE_WINDOW_DEFAULT, METRIC_DEVICES_MAX_DEFAULT, QUIET_DEFAULT, SAMPLES_MIN_DEFAULT } from "./gate-spec.ts";
import { compareCodePoints } from "./order.ts";

/** Whether a device is among the random few whose samples of a stage are kept; by hash, so that every restart picks the same. */
export function isSampled(spec: GatesSpec, device: string, canary: 0 | 1, stage: number): boolean {
  const planned = spec.stages[stage];
  const size = planned === undefined ? 0 : canary === 1 ? planned.devices : planned.controls;
  const max = spec.metricDevicesMax ?? METRIC_DEVICES_MAX_DEFAULT;
  if (size <= max) return true;
  return parseInt(hash("sha256", `${spec.seed}:metric:${device}`, "hex").slice(0, 12), 16) / 2 ** 48 < max / size;
}

interface ArmSum {
  n: number;
  sum: number;
}

/** [controls, canaries]. */
type Arms = readonly [ArmSum, ArmSum];

const noArms = (): Arms => [{ n: 0, sum: 0 }, { n: 0, sum: 0 }];

/** A device in an arm, and its means as of its newest sample unless there is news. */
interface MetricMember {
  readonly device: string;
  row: DeviceMeans | undefined;
  stale: boolean;
}

interface Stratum {
  readonly hardware: string;
  readonly members: readonly [Map<string, MetricMember>, Map<string, MetricMember>];
  /** Members in code-point order, by arm; undefined after a change. */
  readonly order: [readonly MetricMember[] | undefined, readonly MetricMember[] | undefined];
  stale: boolean;
  sums: StratumSums | undefined;
  /** Number of devices and sum of their outcomes by arm, before the sign of `worse` is applied. */
  arms: Arms;
  canaries: Moments;
}

/** Number, mean and sum of squared deviations; oriented so that higher is worse. */
export interface Moments {
  readonly n: number;
  readonly mean: number;
  readonly m2: number;
}

const noMoments: Moments = { n: 0, mean: 0, m2: 0 };

function momentsOf(values: readonly number[]): Moments {
  const n = values.length;
  if (n === 0) return noMoments;
  const middle = mean(values, 0, n);
  let m2 = 0;
  for (const value of values) m2 += (value - middle) ** 2;
  return { n, mean: middle, m2 };
}

/** Chan, Golub and LeVeque's update for two groups. */
function merge(a: Moments, b: Moments): Moments {
  if (a.n === 0 || b.n === 0) return a.n === 0 ? b : a;
  const n = a.n + b.n;
  const d = b.mean - a.mean;
  return { n, mean: a.mean + (d * b.n) / n, m2: a.m2 + b.m2 + (d * d * a.n * b.n) / n };
}

/** What the host counts is counted up to a whole quarter of an hour, so that a look a second later finds the same. */
const SLOT = 900_000;

/** What one metric gate has to show. Effects are oriented so that positive is worse. */
export interface MetricReading {
  readonly pooled: AncovaFit | undefined;
  readonly byHardware: readonly { readonly hardware: string; readonly fit: AncovaFit | undefined; readonly canaries: Moments }[];
  readonly canaries: Moments;
  /** Usable devices and their mean (on the gate's scale): [controls, canaries]. */
  readonly arms: readonly [{ readonly n: number; readonly mean: number | null }, { readonly n: number; readonly mean: number | null }];
}

function mean(values: readonly number[], from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < to; i++) sum += values[i] as number;
  return sum / (to - from);
}

/** One metric gate's folds: caches beside the state, rebuilt from it at any time. */
export class LiveMetric {
  readonly #spec: MetricSource;
  readonly #gates: GatesSpec;
  readonly #records: Readonly<Record<string, DeviceRecord>>;
  readonly #spell: (device: string, canary: 0 | 1) => Spell | undefined;
  /** Sum of squares that is taken where no device differs from another: as if one were off by the prior scale. */
  readonly #leastScatter: number;
  readonly #strata = new Map<string, Stratum>();
  /** End of the time that the host's own counts are about. */
  #until = 0;
  /** In the order of their keys; undefined after a new one. */
  #sorted: readonly Stratum[] | undefined;

  constructor(
    spec: MetricSource & { readonly tau: number },
    gates: GatesSpec,
    records: Readonly<Record<string, DeviceRecord>>,
    spell: (device: string, canary: 0 | 1) => Spell | undefined,
  ) {
    this.#spec = spec;
    this.#leastScatter = spec.tau * spec.tau;
    this.#gates = gates;
    this.#records = records;
    this.#spell = spell;
  }

  get metric(): string {
    return this.#spec.metric;
  }

  /** Its numbers come from crashes and exposure, not from samples. */
  get isCounted(): boolean {
    return (this.#spec.source ?? "samples") !== "samples";
  }

  /** Takes note of a device's changed spell in one arm. */
  changed(device: string, canary: 0 | 1, before: Spell | undefined, after: Spell | undefined): void {
    if (before !== undefined) {
      const old = this.#stratum(before);
      if (old.members[canary].delete(device)) old.order[canary] = undefined;
      old.stale = true;
    }
    if (after === undefined || (this.isCounted && this.#records[device]?.mute === true) || !isSampled(this.#gates, device, canary, after.placement.stage)) return;
    const stratum = this.#stratum(after);
    stratum.members[canary].set(device, { device, row: undefined, stale: true });
    stratum.order[canary] = undefined;
    stratum.stale = true;
  }

  /** Takes note of a new sample of a device that stands in an arm. */
  sampled(device: string, spell: Spell): void {
    const stratum = this.#stratum(spell);
    const member = stratum.members[spell.canary].get(device);
    if (member !== undefined) {
      member.stale = true;
      stratum.stale = true;
    }
  }

  /** The comparison now; strata with news are summed again, the others are not touched. */
  read(now: number): MetricReading {
    const until = Math.floor(now / SLOT) * SLOT;
    if (this.isCounted && until !== this.#until) this.#recount(until);
    const hardware = new Map<string, { readonly sums: (StratumSums | undefined)[]; canaries: Moments }>();
    let canaries = noMoments;
    const all: (StratumSums | undefined)[] = [];
    const arms = noArms();
    this.#sorted ??= [...this.#strata].sort(([a], [b]) => compareCodePoints(a, b)).map(([, stratum]) => stratum);
    for (const stratum of this.#sorted) {
      if (stratum.stale) this.#resum(stratum);
      all.push(stratum.sums);
      const own = hardware.get(stratum.hardware);
      if (own === undefined) hardware.set(stratum.hardware, { sums: [stratum.sums], canaries: stratum.canaries });
      else {
        own.sums.push(stratum.sums);
        own.canaries = merge(own.canaries, stratum.canaries);
      }
      canaries = merge(canaries, stratum.canaries);
      for (const arm of [0, 1] as const) {
        arms[arm].n += stratum.arms[arm].n;
        arms[arm].sum += stratum.arms[arm].sum;
      }
    }
    const show = (arm: ArmSum) => ({ n: arm.n, mean: arm.n === 0 ? null : arm.sum / arm.n });
    return {
      pooled: ancova(all, this.#leastScatter),
      canaries,
      byHardware: [...hardware]
        .sort(([a], [b]) => compareCodePoints(a, b))
        .map(([name, own]) => ({ hardware: name, fit: ancova(own.sums, this.#leastScatter), canaries: own.canaries })),
      arms: [show(arms[0]), show(arms[1])],
    };
  }

  #stratum(spell: Spell): Stratum {
    const key = stratumKey(spell.placement);
    let stratum = this.#strata.get(key);
    if (stratum === undefined) {
      stratum = {
        hardware: spell.placement.hardware,
        members: [new Map(), new Map()],
        order: [undefined, undefined],
        stale: true,
        sums: undefined,
        arms: noArms(),
        canaries: noMoments,
      };
      this.#strata.set(key, stratum);
      this.#sorted = undefined;
    }
    return stratum;
  }

  #recount(until: number): void {
    this.#until = until;
    for (const stratum of this.#strata.values()) {
      stratum.stale = true;
      for (const members of stratum.members) for (const member of members.values()) member.stale = true;
    }
  }

  #resum(stratum: Stratum): void {
    const rows: DeviceMeans[] = [];
    const arms = noArms();
    for (const canary of [0, 1] as const) {
      const members = (stratum.order[canary] ??= [...stratum.members[canary].values()].sort((a, b) => compareCodePoints(a.device, b.device)));
      for (const member of members) {
        if (member.stale) {
          member.row = this.#row(member.device, this.#spell(member.device, canary) as Spell);
          member.stale = false;
        }
        const { row } = member;
        if (row === undefined) continue;
        rows.push(row);
        arms[canary].n += 1;
        arms[canary].sum += this.#spec.worse === "higher" ? row.since : -row.since;
      }
    }
    stratum.sums = stratumSums(rows);
    stratum.canaries = momentsOf(rows.filter((row) => row.canary === 1).map((row) => row.since));
    stratum.arms = arms;
    stratum.stale = false;
  }

  /** A device's means, oriented so that higher is worse; undefined while it has too few samples or one that has no logarithm. */
  #row(device: string, spell: Spell): DeviceMeans | undefined {
    const record = this.#records[device] as DeviceRecord;
    if (this.isCounted) {
      const counted = this.#counted(record, spell);
      return counted === undefined ? undefined : { canary: spell.canary, before: 0, since: this.#onScale(counted) };
    }
    const samples = record.samples[this.#spec.metric];
    if (samples === undefined) return undefined;
    const from = lowerBound(samples.at, spell.enter);
    const end = spellEnd(spell);
    const to = end === null ? samples.at.length : lowerBound(samples.at, end);
    if (to - from < (this.#spec.samplesMin ?? SAMPLES_MIN_DEFAULT)) return undefined;
    const window = this.#spec.baselineWindow ?? BASELINE_WINDOW_DEFAULT;
    let before = 0;
    if (window > 0 && spell.placement.stage < (this.#spec.baselineFromStage ?? 0)) {
      const usual = record.usual?.[this.#spec.metric];
      if (this.#spec.usual === true && usual === undefined) return undefined;
      before = this.#spec.usual === true ? this.#onScale(usual as number) : 0;
    } else if (window > 0) {
      // A canary's baseline ends when its update starts, not when the new image confirms.
      const until = spell.canary === 1 ? (record.canary as { startedAt: number }).startedAt : spell.enter;
      const first = lowerBound(samples.at, until - window);
      const last = lowerBound(samples.at, until);
      if (last === first) return undefined;
      before = this.#onScale(mean(samples.value, first, last));
    }
    const since = this.#onScale(mean(samples.value, from, to));
    return Number.isFinite(before) && Number.isFinite(since) ? { canary: spell.canary, before, since } : undefined;
  }

  /** What the host counts of a device up to now; undefined while it has been at risk for too short. */
  #counted(record: DeviceRecord, spell: Spell): number | undefined {
    const end = Math.min(this.#until, spellEnd(spell) ?? this.#until);
    if (this.#spec.source === "episode-rate") {
      const hours = (end - spell.enter) / 3_600_000;
      return hours < 1 ? undefined : countEpisodes(record.crashes, spell.enter, { end, quiet: QUIET_DEFAULT }) / hours;
    }
    const { hours, free } = crashFreeHours(record.crashes, spell.enter, end);
    return hours < (this.#spec.samplesMin ?? SAMPLES_MIN_DEFAULT) ? undefined : free / hours;
  }

  #onScale(value: number): number {
    const scaled = this.#spec.scale === "ln" ? (value > 0 ? Math.log(value) : NaN) : value;
    return this.#spec.worse === "higher" ? scaled : -scaled;
  }
}
