// SPDX-License-Identifier: Apache-2.0

/** So many in a row, and so many a second in the long run. */
export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

/** Token buckets by name, the name that was quiet longest forgotten first. */
export class Buckets {
  readonly #rate: Rate;
  readonly #namesMax: number;
  readonly #levels = new Map<string, { level: number; at_s: number }>();

  constructor(rate: Rate, namesMax: number) {
    this.#rate = rate;
    this.#namesMax = namesMax;
  }

  /** Takes one, or says in how many seconds there will be one; 0 when it was taken. */
  take(name: string, now_s: number): number {
    const known = this.#levels.get(name);
    const level = known === undefined ? this.#rate.burst : Math.min(this.#rate.burst, known.level + (now_s - known.at_s) * this.#rate.perSecond);
    const wait_s = level >= 1 ? 0 : (1 - level) / this.#rate.perSecond;
    this.#levels.delete(name);
    this.#levels.set(name, { level: wait_s === 0 ? level - 1 : level, at_s: now_s });
    if (this.#levels.size > this.#namesMax) {
      for (const oldest of this.#levels.keys()) {
        this.#levels.delete(oldest);
        break;
      }
    }
    return wait_s;
  }
}
