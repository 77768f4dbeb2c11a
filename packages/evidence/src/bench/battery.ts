// SPDX-License-Identifier: Apache-2.0
// The simulated battery gate: log drain with device effects, drift, AR(1) noise and a common walk.

import { ancova, type AncovaFit, type StratumSums } from "../ancova.ts";
import { type Fleet, STAGES } from "./model.ts";
import { Stream } from "./random.ts";

const PER_ARM_MAX = 500;
const TICKS_MIN = 3;
const AR = 0.8;
const NOISE_SD = 0.6 / Math.SQRT2;
const STEP_SD = NOISE_SD * Math.sqrt(1 - AR * AR);
const COMMON_SD = 0.006;

interface Subject {
  readonly device: number;
  readonly canary: 0 | 1;
  noise: number;
  sum: number;
  ticks: number;
  inside: boolean;
}

/** What the rules see at one tick. */
export interface BatteryLook {
  readonly pooled: AncovaFit | undefined;
  readonly byHardware: readonly (AncovaFit | undefined)[];
  /** Mean drain of usable devices by arm, not on the log scale: [controls, canaries]. */
  readonly drain: readonly [number, number];
  readonly canaries: number;
}

/** Samples per device, summed inside stage x hardware x connectivity at every tick. */
export class SimulatedBattery {
  readonly #fleet: Fleet;
  readonly #effect: number;
  readonly #noise: Stream;
  readonly #common: Stream;
  #walk = 0;
  // 27 strata: stages 1 to 3 (stage 4 has no controls).
  readonly #strata: Subject[][] = Array.from({ length: 27 }, () => []);
  // Index by arm * fleet + device.
  readonly #subjects = new Map<number, Subject>();
  readonly #taken = [new Int32Array(3), new Int32Array(3)] as const;

  constructor(seed: string, fleet: Fleet, bat: number) {
    this.#fleet = fleet;
    this.#effect = Math.log(bat);
    this.#noise = new Stream(`${seed}/battery-noise`);
    this.#common = new Stream(`${seed}/battery-common`);
  }

  enter(device: number, stage: number, canary: 0 | 1): void {
    const taken = this.#taken[canary];
    if (stage >= STAGES.length - 1 || (taken[stage] as number) >= PER_ARM_MAX) return;
    taken[stage] = (taken[stage] as number) + 1;
    const subject: Subject = { device, canary, noise: NaN, sum: 0, ticks: 0, inside: true };
    this.#subjects.set(canary * 16_384 + device, subject);
    const { hardware, connectivity } = this.#fleet;
    (this.#strata[stage * 9 + (hardware[device] as number) * 3 + (connectivity[device] as number)] as Subject[]).push(subject);
  }

  leave(device: number, canary: 0 | 1): void {
    const subject = this.#subjects.get(canary * 16_384 + device);
    if (subject !== undefined) subject.inside = false;
  }

  /** Samples every device once and fits the comparison. */
  tick(): BatteryLook {
    this.#walk += COMMON_SD * this.#common.normal();
    const sums: (StratumSums | undefined)[] = [];
    const drain = [0, 0];
    const counts = [0, 0];
    for (const [index, stratum] of this.#strata.entries()) {
      if (stratum.some((s) => !s.inside)) this.#strata[index] = stratum.filter((s) => s.inside);
      sums.push(this.#sample(this.#strata[index] as Subject[], drain, counts));
    }
    const byHardware = [0, 1, 2].map((hw) => ancova(sums.filter((_, index) => Math.floor(index / 3) % 3 === hw)));
    const mean = (arm: 0 | 1): number => (counts[arm] === 0 ? NaN : (drain[arm] as number) / (counts[arm] as number));
    return { pooled: ancova(sums), byHardware, drain: [mean(0), mean(1)], canaries: counts[1] as number };
  }

  /** One tick of one stratum: new samples, then centred sums over devices with enough of them. */
  #sample(stratum: readonly Subject[], drain: number[], counts: number[]): StratumSums | undefined {
    const { before, drain: usual } = this.#fleet;
    let n = 0;
    let n1 = 0;
    let sumB = 0;
    let sumY = 0;
    for (const s of stratum) {
      s.noise = s.ticks === 0 ? NOISE_SD * this.#noise.normal() : AR * s.noise + STEP_SD * this.#noise.normal();
      s.sum += (usual[s.device] as number) + s.noise + this.#walk + s.canary * this.#effect;
      s.ticks += 1;
      if (s.ticks < TICKS_MIN) continue;
      const y = s.sum / s.ticks;
      n += 1;
      n1 += s.canary;
      sumB += before[s.device] as number;
      sumY += y;
      drain[s.canary] = (drain[s.canary] as number) + Math.exp(y);
      counts[s.canary] = (counts[s.canary] as number) + 1;
    }
    if (n1 === 0 || n1 === n) return undefined;
    const [meanA, meanB, meanY] = [n1 / n, sumB / n, sumY / n];
    let ab = 0;
    let ay = 0;
    let bb = 0;
    let by = 0;
    let yy = 0;
    for (const s of stratum) {
      if (s.ticks < TICKS_MIN) continue;
      const a = s.canary - meanA;
      const b = (before[s.device] as number) - meanB;
      const y = s.sum / s.ticks - meanY;
      ab += a * b;
      ay += a * y;
      bb += b * b;
      by += b * y;
      yy += y * y;
    }
    return { n1, n0: n - n1, aa: n * meanA * (1 - meanA), ab, ay, bb, by, yy };
  }
}
