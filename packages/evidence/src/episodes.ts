// SPDX-License-Identifier: Apache-2.0
// From raw crash times to risk sets (evidence.md 3.2).
//
// E1. A crash less than `quiet` after the device's previous crash extends an episode and carries no evidence (R28).
// E2. A device is at risk at t when enter <= t <= exit and it has been quiet for at least `quiet`.
// E3. A device is compared only with devices of the same stratum and the same number of earlier episodes.
// E4. Moments are folded in (time, entry < event < exit, device id) order; nothing else about the order of arrival matters.

import type { RiskEvent } from "./risk-set.ts";
import { compareCodePoints } from "./order.ts";

/** One device in one arm, as far as events are concerned. Times in any one unit. */
export interface Subject {
  readonly id: string;
  readonly canary: 0 | 1;
  readonly enter: number;
  /** Last moment at risk: own update, silence, withdrawal; null while it lasts. */
  readonly exit: number | null;
  /** Event times in any order; those outside [enter, exit] are ignored. */
  readonly events: readonly number[];
}

/** What a moment does: 0 entry, 1 event, 2 exit. At one instant entries come first and exits last, so both ends of [enter, exit] count. */
export type MomentRank = 0 | 1 | 2;

/** One thing that happens to one device of one arm. */
export interface Moment {
  readonly at: number;
  readonly rank: MomentRank;
  readonly id: string;
  readonly canary: 0 | 1;
}

/** Orders moments as invariant E4 demands; a device that is in both arms at one instant comes as control first. */
export function compareMoments(a: Moment, b: Moment): number {
  return a.at - b.at || a.rank - b.rank || compareCodePoints(a.id, b.id) || a.canary - b.canary;
}

interface Standing {
  episodes: number;
  last: number;
  counted: boolean;
  open: boolean;
}

/**
 * The risk sets of one stratum. Feed moments in E4 order with {@link fold}: O(1) amortised, a few integers per device.
 *
 * With `quiet` = Infinity a device leaves after its first event: the silence gate's "first overdue".
 */
export class RiskSets {
  readonly #quiet: number;
  // One map per arm: index 0 controls, 1 canaries.
  readonly #standing = [new Map<string, Standing>(), new Map<string, Standing>()] as const;
  // Devices at risk by number of earlier episodes: [controls, canaries].
  readonly #atRisk: [number, number][] = [];
  // Devices inside their quiet period, in order of their last event. Entries made stale by a later event are skipped.
  #resting: { readonly standing: Standing; readonly canary: 0 | 1; readonly last: number }[] = [];
  #restingFrom = 0;

  constructor(quiet: number) {
    this.#quiet = quiet;
  }

  /** Applies one moment; returns the evidence it carries, if any. */
  fold(moment: Moment): RiskEvent | undefined {
    const { at, canary } = moment;
    const standings = this.#standing[canary];
    const standing = standings.get(moment.id);
    if (moment.rank === 0) {
      if (standing !== undefined) return undefined;
      const entered: Standing = { episodes: 0, last: -Infinity, counted: false, open: true };
      standings.set(moment.id, entered);
      this.#count(entered, canary, true);
      return undefined;
    }
    if (standing === undefined || !standing.open) return undefined;
    if (moment.rank === 2) {
      standing.open = false;
      if (standing.counted) this.#count(standing, canary, false);
      return undefined;
    }
    this.#wake(at);
    let event: RiskEvent | undefined;
    if (standing.counted) {
      const [controls, canaries] = this.#atRisk[standing.episodes] as [number, number];
      event = [canary, canaries, controls];
      this.#count(standing, canary, false);
      standing.episodes += 1;
    }
    standing.last = at;
    this.#resting.push({ standing, canary, last: at });
    return event;
  }

  /** Returns devices whose quiet period is over at `at` to their risk set. */
  #wake(at: number): void {
    for (let entry = this.#resting[this.#restingFrom]; entry !== undefined; entry = this.#resting[this.#restingFrom]) {
      if (!(at - entry.last >= this.#quiet)) break;
      this.#restingFrom += 1;
      const { standing } = entry;
      if (standing.open && !standing.counted && standing.last === entry.last) this.#count(standing, entry.canary, true);
    }
    if (this.#restingFrom > 1024) {
      this.#resting = this.#resting.slice(this.#restingFrom);
      this.#restingFrom = 0;
    }
  }

  #count(standing: Standing, canary: 0 | 1, enters: boolean): void {
    while (this.#atRisk.length <= standing.episodes) this.#atRisk.push([0, 0]);
    const cell = this.#atRisk[standing.episodes] as [number, number];
    cell[canary] += enters ? 1 : -1;
    standing.counted = enters;
  }
}

/** A subject's history as moments, unordered. */
export function momentsOf(subject: Subject): Moment[] {
  const { id, canary, enter, exit } = subject;
  const moments: Moment[] = [{ at: enter, rank: 0, id, canary }];
  for (const at of subject.events) {
    if (at >= enter && (exit === null || at <= exit)) moments.push({ at, rank: 1, id, canary });
  }
  if (exit !== null) moments.push({ at: Math.max(enter, exit), rank: 2, id, canary });
  return moments;
}

/** One risk event with when it happened and where. */
export interface PlacedEvent {
  readonly at: number;
  readonly device: string;
  readonly stratum: string;
  readonly event: RiskEvent;
}

/** Folds whole histories: every stratum apart, events returned in (time, device id) order. */
export function riskEvents(
  strata: Iterable<readonly [stratum: string, subjects: readonly Subject[]]>,
  quiet: number,
): PlacedEvent[] {
  const placed: PlacedEvent[] = [];
  for (const [stratum, subjects] of strata) {
    const sets = new RiskSets(quiet);
    for (const moment of subjects.flatMap(momentsOf).sort(compareMoments)) {
      const event = sets.fold(moment);
      if (event !== undefined) placed.push({ at: moment.at, device: moment.id, stratum, event });
    }
  }
  return placed.sort((a, b) => a.at - b.at || compareCodePoints(a.device, b.device));
}
