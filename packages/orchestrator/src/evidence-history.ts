// SPDX-License-Identifier: Apache-2.0
// The evidence of rollouts over time, for whoever watches: read from the log once, then continued by a reading now and then.
import type { Instant, RolloutId } from "@coalmine/core";
import type { Conductor } from "./conductor.ts";
import { type EvidenceSample, evidenceSeries } from "./evidence-series.ts";
import type { EventLog } from "./ports.ts";
import { gatesNow } from "./report.ts";

interface Kept {
  samples: EvidenceSample[];
  /** Milliseconds between samples. */
  step: number;
}

const points = 120;
const samplesMax = 2 * points;
const rolloutsMax = 16;
const stepMin = 1_000;
/** After a gap of so many steps the log tells what happened meanwhile. */
const gapSteps = 10;

export class EvidenceHistory {
  readonly #conductor: Conductor;
  readonly #log: EventLog;
  readonly #kept = new Map<RolloutId, Kept>();
  readonly #reading = new Map<RolloutId, Promise<Kept>>();

  constructor(conductor: Conductor, log: EventLog) {
    this.#conductor = conductor;
    this.#log = log;
  }

  /** Readings from the rollout's start until now, or until it ended. Throws `rollout/unknown`. */
  async series(id: RolloutId, now: Instant): Promise<readonly EvidenceSample[]> {
    const rollout = this.#conductor.rollout(id);
    const end = rollout.endedAt ?? now;
    const kept = this.#kept.get(id);
    const last = kept?.samples.at(-1)?.at ?? 0;
    if (kept === undefined || end < last || end - last > gapSteps * kept.step) {
      return (await this.#read(id, end)).samples;
    }
    // The last word of a rollout that ended is kept however little time has passed.
    if (end - last >= kept.step || (rollout.endedAt !== null && end > last)) {
      kept.samples.push({ at: end, gates: gatesNow(rollout, this.#conductor.judge, end) });
      if (kept.samples.length > samplesMax) {
        kept.samples = kept.samples.filter((_, index) => index % 2 === 0);
        kept.step *= 2;
      }
    }
    return kept.samples;
  }

  /** Several who ask at once wait for one reading of the log. */
  #read(id: RolloutId, end: Instant): Promise<Kept> {
    const known = this.#reading.get(id);
    if (known !== undefined) {
      return known;
    }
    const { startedAt } = this.#conductor.rollout(id);
    const reading = evidenceSeries(this.#conductor, this.#log, id, { end, points })
      .then((samples) => {
        const kept = { samples, step: Math.max(stepMin, (end - startedAt) / points) };
        this.#kept.delete(id);
        this.#kept.set(id, kept);
        if (this.#kept.size > rolloutsMax) {
          this.#kept.delete(this.#kept.keys().next().value as RolloutId);
        }
        return kept;
      })
      .finally(() => this.#reading.delete(id));
    this.#reading.set(id, reading);
    return reading;
  }
}
