// SPDX-License-Identifier: Apache-2.0
// Risk sets that keep up with reports (evidence.md 3.2), stratum by stratum.
//
// L1. A stratum's sums are those of its moments folded in E4 order, to the last bit, however the reports arrived.
// L2. A report later than everything folded in its stratum costs O(1) at the next look. An earlier one marks that stratum
//     alone for a fresh fold: comparisons never cross strata, so no other sum can change.

import { lowerBound, type Spell, spellEnd, stratumKey } from "./device-record.ts";
import { compareMoments, type Moment, momentsOf, RiskSets, type Subject } from "./episodes.ts";
import type { DeviceRecord, EventGateSpec } from "./gate-spec.ts";
import { QUIET_DEFAULT } from "./gate-spec.ts";
import { addToLikelihood, emptyLikelihood, hazardRatio, type LikelihoodNodes, mergeLikelihood } from "./likelihood.ts";
import { lnGateMixture } from "./mixture.ts";
import { compareCodePoints } from "./order.ts";
import { addRiskEvent, emptyRiskSums, HALT_RATIOS, lnRiskEvidence, PASS_RATIOS, type RatioBounds, type RiskSums } from "./risk-set.ts";

interface Stratum {
  readonly hardware: string;
  /** Device ids by arm: 0 controls, 1 canaries. */
  readonly members: readonly [Set<string>, Set<string>];
  sets: RiskSets;
  sums: RiskSums[];
  likelihood: LikelihoodNodes;
  /** Events by arm. */
  events: [number, number];
  cursor: Moment | null;
  /** What happened since the last look, in any order. */
  coming: Moment[];
  stale: boolean;
}

/** What one event gate has to show. */
export interface RiskReading {
  readonly lnEHalt: number;
  /** By margin, in the order of `margins`. */
  readonly lnEPass: readonly number[];
  /** Events by arm: [controls, canaries]. */
  readonly events: readonly [number, number];
  readonly byHardware: readonly { readonly hardware: string; readonly lnEHalt: number; readonly events: number }[];
}

/** One event gate's folds: caches beside the state, rebuilt from it at any time. */
export class LiveRisk {
  readonly margins: readonly number[];
  readonly #spec: EventGateSpec;
  readonly #records: Readonly<Record<string, DeviceRecord>>;
  readonly #spell: (device: string, canary: 0 | 1) => Spell | undefined;
  readonly #strata = new Map<string, Stratum>();
  /** In the order of their keys; undefined after a new one. */
  #sorted: readonly Stratum[] | undefined;
  /** Undefined after a change. */
  #reading: RiskReading | undefined;

  constructor(
    spec: EventGateSpec,
    records: Readonly<Record<string, DeviceRecord>>,
    spell: (device: string, canary: 0 | 1) => Spell | undefined,
  ) {
    this.#spec = spec;
    this.#records = records;
    this.#spell = spell;
    this.margins = [...new Set(spec.margins)];
  }

  /** Takes note of a device's changed spell in one arm. */
  changed(device: string, canary: 0 | 1, before: Spell | undefined, after: Spell | undefined): void {
    if (this.#spec.kind === "crash" && this.#records[device]?.mute === true) return;
    this.#reading = undefined;
    if (before !== undefined && (after === undefined || stratumKey(before.placement) !== stratumKey(after.placement))) {
      const old = this.#stratum(before);
      old.members[canary].delete(device);
      old.stale = true;
    }
    if (after === undefined) return;
    const stratum = this.#stratum(after);
    const known = stratum.members[canary].has(device);
    stratum.members[canary].add(device);
    if (stratum.stale) return;
    const moments = momentsOf(this.#subject(device, after));
    if (!known) {
      stratum.coming.push(...moments);
      return;
    }
    if (before === undefined || before.enter !== after.enter) {
      stratum.stale = true;
      return;
    }
    const earlier = momentsOf(this.#subject(device, before));
    const fresh = moments.filter((m) => !earlier.some((e) => e.at === m.at && e.rank === m.rank));
    if (earlier.length + fresh.length === moments.length) stratum.coming.push(...fresh);
    else stratum.stale = true;
  }

  /** Takes note of a crash of a device that stands at risk. */
  crashed(device: string, spell: Spell, at: number): void {
    const stratum = this.#stratum(spell);
    const end = spellEnd(spell);
    if (this.#spec.kind !== "crash" || stratum.stale || at < spell.enter || (end !== null && at > end)) return;
    stratum.coming.push({ at, rank: 1, id: device, canary: spell.canary });
    this.#reading = undefined;
  }

  /** Strata with everything folded, always in one order: sums of floating-point numbers depend on it. */
  #folded(): readonly Stratum[] {
    this.#sorted ??= [...this.#strata].sort(([a], [b]) => compareCodePoints(a, b)).map(([, stratum]) => stratum);
    for (const stratum of this.#sorted) {
      if (!stratum.stale && stratum.coming.length > 0) this.#advance(stratum);
      if (stratum.stale) this.#refold(stratum);
    }
    return this.#sorted;
  }

  /** The hazard ratio now, with anytime bounds each at `alpha`: dear, and for people only. */
  hazard(alpha: number): RatioBounds & { readonly estimate: number | null } {
    const likelihood = emptyLikelihood();
    for (const stratum of this.#folded()) mergeLikelihood(likelihood, stratum.likelihood);
    return hazardRatio(likelihood, alpha);
  }

  /** Evidence now. */
  read(): RiskReading {
    return (this.#reading ??= this.#summed());
  }

  #summed(): RiskReading {
    const sums = this.#emptySums();
    const events: [number, number] = [0, 0];
    const hardware = new Map<string, { side: RiskSums; events: number }>();
    for (const stratum of this.#folded()) {
      for (const [i, side] of sums.entries()) merge(side, stratum.sums[i] as RiskSums);
      events[0] += stratum.events[0];
      events[1] += stratum.events[1];
      let own = hardware.get(stratum.hardware);
      if (own === undefined) hardware.set(stratum.hardware, (own = { side: emptyRiskSums(1, HALT_RATIOS), events: 0 }));
      merge(own.side, stratum.sums[0] as RiskSums);
      own.events += stratum.events[0] + stratum.events[1];
    }
    const byHardware = [...hardware]
      .sort(([a], [b]) => compareCodePoints(a, b))
      .map(([name, own]) => ({ hardware: name, lnEHalt: lnRiskEvidence(own.side), events: own.events }));
    const [halt, ...pass] = sums as [RiskSums, ...RiskSums[]];
    return {
      lnEHalt: lnGateMixture(lnRiskEvidence(halt), byHardware.map((own) => own.lnEHalt)),
      lnEPass: pass.map(lnRiskEvidence),
      events,
      byHardware,
    };
  }

  #emptySums(): RiskSums[] {
    return [emptyRiskSums(1, HALT_RATIOS), ...this.margins.map((margin) => emptyRiskSums(margin, PASS_RATIOS))];
  }

  #stratum(spell: Spell): Stratum {
    const key = stratumKey(spell.placement);
    let stratum = this.#strata.get(key);
    if (stratum === undefined) {
      stratum = {
        hardware: spell.placement.hardware,
        members: [new Set(), new Set()],
        ...this.#emptyFold(),
      };
      this.#strata.set(key, stratum);
      this.#sorted = undefined;
    }
    return stratum;
  }

  #emptyFold(): Omit<Stratum, "hardware" | "members"> {
    const quiet = this.#spec.kind === "crash" ? (this.#spec.quiet ?? QUIET_DEFAULT) : Infinity;
    return {
      sets: new RiskSets(quiet),
      sums: this.#emptySums(),
      likelihood: emptyLikelihood(),
      events: [0, 0],
      cursor: null,
      coming: [],
      stale: false,
    };
  }

  #subject(device: string, spell: Spell): Subject {
    const { canary, enter } = spell;
    if (this.#spec.kind === "silence") {
      return { id: device, canary, enter, exit: spell.exit, events: spell.overdue === null ? [] : [spell.overdue] };
    }
    const crashes = (this.#records[device] as DeviceRecord).crashes;
    return { id: device, canary, enter, exit: spellEnd(spell), events: crashes.slice(lowerBound(crashes, enter)) };
  }

  /** Folds what has come if none of it lies behind the stratum's cursor (L2). */
  #advance(stratum: Stratum): void {
    const moments = stratum.coming.sort(compareMoments);
    stratum.coming = [];
    const first = moments[0];
    if (first === undefined) return;
    if (stratum.cursor !== null && compareMoments(first, stratum.cursor) <= 0) {
      stratum.stale = true;
      return;
    }
    for (const moment of moments) {
      const event = stratum.sets.fold(moment);
      if (event === undefined) continue;
      for (const side of stratum.sums) addRiskEvent(side, event);
      addToLikelihood(stratum.likelihood, event);
      stratum.events[event[0]] += 1;
    }
    stratum.cursor = moments.at(-1) as Moment;
  }

  #refold(stratum: Stratum): void {
    Object.assign(stratum, this.#emptyFold());
    for (const canary of [0, 1] as const) {
      for (const device of stratum.members[canary]) {
        stratum.coming.push(...momentsOf(this.#subject(device, this.#spell(device, canary) as Spell)));
      }
    }
    this.#advance(stratum);
  }
}

function merge(side: RiskSums, other: RiskSums): void {
  for (let j = 0; j < side.sums.length; j++) side.sums[j] = (side.sums[j] as number) + (other.sums[j] as number);
}
