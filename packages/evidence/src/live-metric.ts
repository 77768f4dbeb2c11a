// SPDX-License-Identifier: Apache-2.0
// Per-device means of a reported metric, kept in strata (evidence.md 3.3).

import { hash } from "node:crypto";
import { addArm, ancova, type AncovaFit, type ArmTotals, type DeviceMeans, stratumSums, type StratumSums } from "./ancova.ts";
import { countEpisodes, crashFreeHours } from "./crash-free.ts";
import { type KnownDevice, lowerBound, type Spell, spellEnd, stratumKey } from "./device-record.ts";
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

/** A device in an arm. */
interface MetricMember {
  readonly device: string;
  readonly known: KnownDevice;
  readonly canary: 0 | 1;
  readonly stratum: Stratum;
  /** Its means as of its newest sample, unless it is among the stratum's `fresh`. */
  row: DeviceMeans | undefined;
  isFresh: boolean;
  isGone: boolean;
  /** Its place in its arm's columns. */
  at: number;
}

/** One arm of a stratum. Columns hold what `members` have, in code-point order of the devices, while `isOrdered`. */
interface Arm {
  readonly members: Set<MetricMember>;
  before: number[];
  since: number[];
  isOrdered: boolean;
}

const noArm = (): Arm => ({ members: new Set(), before: [], since: [], isOrdered: true });
const noTotals = (): ArmTotals => ({ n: 0, before: 0, since: 0 });

interface Stratum {
  readonly hardware: string;
  /** [controls, canaries], here and below. */
  readonly arms: readonly [Arm, Arm];
  /** Members with news since they were last summed. */
  fresh: MetricMember[];
  /** Something has changed since. */
  stale: boolean;
  sums: StratumSums | undefined;
  /** Oriented so that higher is worse. */
  totals: readonly [ArmTotals, ArmTotals];
  canaries: Moments;
}

/** Number, mean and sum of squared deviations; oriented so that higher is worse. */
export interface Moments {
  readonly n: number;
  readonly mean: number;
  readonly m2: number;
}

const noMoments: Moments = { n: 0, mean: 0, m2: 0 };

/** Of values without NaN, whose number and sum are known. */
function momentsOf(values: readonly number[], { n, since: sum }: ArmTotals): Moments {
  if (n === 0) return noMoments;
  const middle = sum / n;
  let m2 = 0;
  for (const value of values) if (!Number.isNaN(value)) m2 += (value - middle) ** 2;
  return { n, mean: middle, m2 };
}

/** Chan, Golub and LeVeque's update for two groups. */
function merge(a: Moments, b: Moments): Moments {
  if (a.n === 0 || b.n === 0) return a.n === 0 ? b : a;
  const n = a.n + b.n;
  const d = b.mean - a.mean;
  return { n, mean: a.mean + (d * b.n) / n, m2: a.m2 + b.m2 + (d * d * a.n * b.n) / n };
}

function put(arm: Arm, { at, row }: MetricMember): void {
  arm.before[at] = row === undefined ? 0 : row.before;
  arm.since[at] = row === undefined ? NaN : row.since;
}

/** Brings an arm's columns into order after members came or went. */
function order(arm: Arm): void {
  if (arm.isOrdered) return;
  const members = [...arm.members].sort((a, b) => compareCodePoints(a.device, b.device));
  arm.before = [];
  arm.since = [];
  for (const [at, member] of members.entries()) {
    member.at = at;
    put(arm, member);
  }
  arm.isOrdered = true;
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
  /** Sum of squares that is taken where no device differs from another: as if one were off by the prior scale. */
  readonly #leastScatter: number;
  readonly #strata = new Map<string, Stratum>();
  /** By arm and device. */
  readonly #members = [new Map<string, MetricMember>(), new Map<string, MetricMember>()] as const;
  /** End of the time that the host's own counts are about. */
  #until = 0;
  /** In the order of their keys; undefined after a new one. */
  #sorted: readonly Stratum[] | undefined;
  /** Undefined after a change. */
  #reading: MetricReading | undefined;

  constructor(spec: MetricSource & { readonly tau: number }, gates: GatesSpec) {
    this.#spec = spec;
    this.#leastScatter = spec.tau * spec.tau;
    this.#gates = gates;
  }

  get metric(): string {
    return this.#spec.metric;
  }

  /** Its numbers come from crashes and exposure, not from samples. */
  get isCounted(): boolean {
    return (this.#spec.source ?? "samples") !== "samples";
  }

  /** Takes note of a device's changed spell in one arm. */
  changed(device: string, known: KnownDevice, canary: 0 | 1): void {
    const members = this.#members[canary];
    const old = members.get(device);
    if (old !== undefined) {
      const arm = old.stratum.arms[canary];
      members.delete(device);
      arm.members.delete(old);
      arm.isOrdered = false;
      old.isGone = true;
      this.#stale(old.stratum);
    }
    const spell = known.facts.spells[canary];
    if (spell === undefined || (this.isCounted && known.record.mute === true) || !isSampled(this.#gates, device, canary, spell.placement.stage)) return;
    const stratum = this.#stratum(spell);
    const member: MetricMember = { device, known, canary, stratum, row: undefined, isFresh: false, isGone: false, at: 0 };
    const arm = stratum.arms[canary];
    members.set(device, member);
    arm.members.add(member);
    arm.isOrdered = false;
    this.#refresh(member);
  }

  /** Takes note of a new sample of a device that stands in an arm. */
  sampled(device: string, canary: 0 | 1): void {
    const member = this.#members[canary].get(device);
    if (member !== undefined) this.#refresh(member);
  }

  /** The comparison now; strata with news are summed again, the others are not touched. */
  read(now: number): MetricReading {
    const until = Math.floor(now / SLOT) * SLOT;
    if (this.isCounted && until !== this.#until) this.#recount(until);
    return (this.#reading ??= this.#summed());
  }

  #summed(): MetricReading {
    const hardware = new Map<string, { readonly sums: (StratumSums | undefined)[]; canaries: Moments }>();
    let canaries = noMoments;
    const all: (StratumSums | undefined)[] = [];
    const totals = [noTotals(), noTotals()] as const;
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
      for (const canary of [0, 1] as const) {
        totals[canary].n += stratum.totals[canary].n;
        totals[canary].since += stratum.totals[canary].since;
      }
    }
    const show = ({ n, since }: ArmTotals) => ({ n, mean: n === 0 ? null : (this.#spec.worse === "higher" ? since : -since) / n });
    return {
      pooled: ancova(all, this.#leastScatter),
      canaries,
      byHardware: [...hardware]
        .sort(([a], [b]) => compareCodePoints(a, b))
        .map(([name, own]) => ({ hardware: name, fit: ancova(own.sums, this.#leastScatter), canaries: own.canaries })),
      arms: [show(totals[0]), show(totals[1])],
    };
  }

  #stratum(spell: Spell): Stratum {
    const key = stratumKey(spell.placement);
    let stratum = this.#strata.get(key);
    if (stratum === undefined) {
      stratum = {
        hardware: spell.placement.hardware,
        arms: [noArm(), noArm()],
        fresh: [],
        stale: true,
        sums: undefined,
        totals: [noTotals(), noTotals()],
        canaries: noMoments,
      };
      this.#strata.set(key, stratum);
      this.#sorted = undefined;
    }
    return stratum;
  }

  #stale(stratum: Stratum): void {
    stratum.stale = true;
    this.#reading = undefined;
  }

  #refresh(member: MetricMember): void {
    if (!member.isFresh) {
      member.isFresh = true;
      member.stratum.fresh.push(member);
      this.#stale(member.stratum);
    }
  }

  #recount(until: number): void {
    this.#until = until;
    for (const members of this.#members) for (const member of members.values()) this.#refresh(member);
  }

  #resum(stratum: Stratum): void {
    for (const member of stratum.fresh) {
      member.isFresh = false;
      if (member.isGone) continue;
      member.row = this.#row(member.known.record, member.known.facts.spells[member.canary] as Spell);
      const arm = stratum.arms[member.canary];
      if (arm.isOrdered) put(arm, member);
    }
    stratum.fresh = [];
    stratum.arms.forEach(order);
    stratum.sums = stratumSums(stratum.arms);
    stratum.totals = [noTotals(), noTotals()];
    for (const canary of [0, 1] as const) addArm(stratum.arms[canary], stratum.totals[canary]);
    stratum.canaries = momentsOf(stratum.arms[1].since, stratum.totals[1]);
    stratum.stale = false;
  }

  /** A device's means, oriented so that higher is worse; undefined while it has too few samples or one that has no logarithm. */
  #row(record: DeviceRecord, spell: Spell): DeviceMeans | undefined {
    if (this.isCounted) {
      const counted = this.#counted(record, spell);
      const since = counted === undefined ? NaN : this.#onScale(counted);
      return Number.isFinite(since) ? { canary: spell.canary, before: 0, since } : undefined;
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
