// SPDX-License-Identifier: Apache-2.0
// The evidence of rollouts over time, for whoever watches. Rollouts that start while this runs are read now and then from
// their start on; those of before are read from the log once, when somebody asks, and continued.
import { type Instant, isActive, type Rollout, type RolloutId } from "@coalmine/core";
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
/** Past this every second sample goes, and the next ones come half as often. */
const samplesMax = 2 * points;
const rolloutsMax = 16;
const stepMin = 1_000;

export class EvidenceHistory {
  readonly #conductor: Conductor;
  readonly #log: EventLog;
  /** Rollouts that start later are seen from their start. */
  readonly #since: Instant;
  readonly #kept = new Map<RolloutId, Kept>();
  readonly #reading = new Map<RolloutId, Promise<Kept>>();

  constructor(conductor: Conductor, log: EventLog, since: Instant) {
    this.#conductor = conductor;
    this.#log = log;
    this.#since = since;
  }

  /** Takes a reading of every rollout where one is due. Call it a few times a second: it costs nothing when none is. */
  note(now: Instant): void {
    for (const rollout of this.#conductor.state.rollouts.values()) {
      const kept = this.#kept.get(rollout.id);
      if (kept !== undefined) {
        this.#continue(rollout, kept, now);
      } else if (isActive(rollout) && rollout.startedAt >= this.#since && !this.#reading.has(rollout.id)) {
        this.#keep(rollout.id, { samples: [], step: stepMin });
      }
    }
  }

  /** Readings from the rollout's start until now, or until it ended. Throws `rollout/unknown`. */
  async series(id: RolloutId, now: Instant): Promise<readonly EvidenceSample[]> {
    const rollout = this.#conductor.rollout(id);
    const kept = this.#kept.get(id) ?? (await this.#read(id, rollout.endedAt ?? now));
    this.#continue(rollout, kept, now);
    return kept.samples;
  }

  #continue(rollout: Rollout, kept: Kept, now: Instant): void {
    const end = rollout.endedAt ?? now;
    const last = kept.samples.at(-1)?.at ?? rollout.startedAt;
    // The last word of a rollout that ended is kept however little time has passed.
    if (end - last < kept.step && !(rollout.endedAt !== null && end > last)) {
      return;
    }
    kept.samples.push({ at: end, gates: gatesNow(rollout, this.#conductor.judge, end) });
    if (kept.samples.length > samplesMax) {
      kept.samples = kept.samples.filter((_, index) => index % 2 === 0);
      kept.step *= 2;
    }
  }

  /** Several who ask at once wait for one reading of the log. */
  #read(id: RolloutId, end: Instant): Promise<Kept> {
    const known = this.#reading.get(id);
    if (known !== undefined) {
      return known;
    }
    const { startedAt } = this.#conductor.rollout(id);
    const reading = evidenceSeries(this.#conductor, this.#log, id, { end, points })
      .then((samples) => this.#keep(id, { samples, step: Math.max(stepMin, (end - startedAt) / points) }))
      .finally(() => this.#reading.delete(id));
    this.#reading.set(id, reading);
    return reading;
  }

  #keep(id: RolloutId, kept: Kept): Kept {
    this.#kept.set(id, kept);
    if (this.#kept.size > rolloutsMax) {
      this.#kept.delete(this.#kept.keys().next().value as RolloutId);
    }
    return kept;
  }
}
