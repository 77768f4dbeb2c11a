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

interface Moment {
  readonly at: number;
  readonly rank: 0 | 1 | 2;
  readonly subject: Subject;
}

/** Orders moments as invariant E4 demands. */
function compareMoments(a: Moment, b: Moment): number {
  return a.at - b.at || a.rank - b.rank || compareCodePoints(a.subject.id, b.subject.id);
}

interface Standing {
  episodes: number;
  last: number | null;
  counted: boolean;
  open: boolean;
}

/** Numbers of devices at risk by earlier episodes: [canaries, controls] at each index. */
type AtRisk = [number, number][];

/**
 * The risk sets of one stratum. Feed moments in E4 order with {@link fold}; state is a few integers per device.
 *
 * With `quiet` = Infinity a device leaves after its first event: the silence gate's "first overdue".
 */
export class RiskSets {
  readonly events: RiskEvent[] = [];
  readonly #quiet: number;
  readonly #standing = new Map<Subject, Standing>();
  readonly #atRisk: AtRisk = [];
  // Devices inside their quiet period, in order of their last event. Entries made stale by a later event are skipped.
  #resting: { readonly subject: Subject; readonly last: number }[] = [];
  #restingFrom = 0;

  constructor(quiet: number) {
    this.#quiet = quiet;
  }

  /** Applies one moment; returns the evidence it carries, if any. */
  fold(moment: Moment): RiskEvent | undefined {
    const { at, subject, rank } = moment;
    if (rank === 0) {
      const standing: Standing = { episodes: 0, last: null, counted: false, open: true };
      this.#standing.set(subject, standing);
      this.#count(subject, standing, true);
      return undefined;
    }
    const standing = this.#standing.get(subject);
    if (standing === undefined || !standing.open) return undefined;
    if (rank === 2) {
      standing.open = false;
      if (standing.counted) this.#count(subject, standing, false);
      return undefined;
    }
    this.#wake(at);
    let event: RiskEvent | undefined;
    if (standing.counted) {
      const [canaries, controls] = this.#atRisk[standing.episodes] as [number, number];
      event = [subject.canary, canaries, controls];
      this.events.push(event);
      this.#count(subject, standing, false);
      standing.episodes += 1;
    }
    standing.last = at;
    this.#resting.push({ subject, last: at });
    return event;
  }

  /** Returns devices whose quiet period is over at `at` to their risk set. */
  #wake(at: number): void {
    for (let entry = this.#resting[this.#restingFrom]; entry !== undefined; entry = this.#resting[this.#restingFrom]) {
      if (!(at - entry.last >= this.#quiet)) break;
      this.#restingFrom += 1;
      const standing = this.#standing.get(entry.subject) as Standing;
      if (standing.open && !standing.counted && standing.last === entry.last) this.#count(entry.subject, standing, true);
    }
    if (this.#restingFrom > 1024) {
      this.#resting = this.#resting.slice(this.#restingFrom);
      this.#restingFrom = 0;
    }
  }

  #count(subject: Subject, standing: Standing, enters: boolean): void {
    while (this.#atRisk.length <= standing.episodes) this.#atRisk.push([0, 0]);
    const cell = this.#atRisk[standing.episodes] as [number, number];
    cell[subject.canary === 1 ? 0 : 1] += enters ? 1 : -1;
    standing.counted = enters;
  }
}

function momentsOf(subject: Subject): Moment[] {
  const moments: Moment[] = [{ at: subject.enter, rank: 0, subject }];
  for (const at of subject.events) {
    if (at >= subject.enter && (subject.exit === null || at <= subject.exit)) moments.push({ at, rank: 1, subject });
  }
  if (subject.exit !== null && subject.exit >= subject.enter) moments.push({ at: subject.exit, rank: 2, subject });
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
      if (event !== undefined) placed.push({ at: moment.at, device: moment.subject.id, stratum, event });
    }
  }
  return placed.sort((a, b) => a.at - b.at || compareCodePoints(a.device, b.device));
}
