// SPDX-License-Identifier: Apache-2.0
// The risk-set e-process on typed arrays, for millions of simulated events.

import { logMeanExp } from "../logspace.ts";
import { lnGateMixture } from "../mixture.ts";
import { HALT_RATIOS, PASS_RATIOS } from "../risk-set.ts";

const EPISODES_MAX = 512;
const HARDWARE = 3;

const LN_HALT = HALT_RATIOS.map(Math.log);
const LN_PASS = PASS_RATIOS.map(Math.log);

/** Risk sets and sums of one event gate: pooled, by hardware revision, and for each stage's margin. */
export class SimulatedRisk {
  // [cell][episodes][arm], a cell being stage x hardware x connectivity.
  readonly #atRisk = new Int32Array(36 * EPISODES_MAX * 2);
  readonly #halt = Array.from({ length: 1 + HARDWARE }, () => new Array<number>(HALT_RATIOS.length).fill(0));
  readonly #lnE = new Array<number>(1 + HARDWARE).fill(0);
  readonly #pass: readonly { readonly margin: number; readonly sums: number[] }[];

  constructor(margins: readonly number[]) {
    this.#pass = margins.map((margin) => ({ margin, sums: new Array<number>(PASS_RATIOS.length).fill(0) }));
  }

  count(cell: number, episodes: number, arm: 0 | 1, by: 1 | -1): void {
    const index = (cell * EPISODES_MAX + Math.min(episodes, EPISODES_MAX - 1)) * 2 + arm;
    this.#atRisk[index] = (this.#atRisk[index] as number) + by;
  }

  /** Folds an event of a device that is still counted as at risk. */
  event(cell: number, episodes: number, arm: 0 | 1, hardware: number): void {
    const index = (cell * EPISODES_MAX + Math.min(episodes, EPISODES_MAX - 1)) * 2;
    const n0 = this.#atRisk[index] as number;
    const n1 = this.#atRisk[index + 1] as number;
    if (n0 === 0 || n1 === 0) return;
    const base = Math.log(n1 + n0);
    const pooled = this.#halt[0] as number[];
    const own = this.#halt[1 + hardware] as number[];
    for (let j = 0; j < pooled.length; j++) {
      const step = arm * (LN_HALT[j] as number) + base - Math.log((HALT_RATIOS[j] as number) * n1 + n0);
      pooled[j] = (pooled[j] as number) + step;
      own[j] = (own[j] as number) + step;
    }
    this.#lnE[0] = logMeanExp(pooled);
    this.#lnE[1 + hardware] = logMeanExp(own);
    for (const { margin, sums } of this.#pass) {
      const start = Math.log(margin * n1 + n0);
      for (let j = 0; j < sums.length; j++) {
        sums[j] = (sums[j] as number) + arm * (LN_PASS[j] as number) + start - Math.log((PASS_RATIOS[j] as number) * margin * n1 + n0);
      }
    }
  }

  lnEHalt(): number {
    return lnGateMixture(this.#lnE[0] as number, this.#lnE.slice(1));
  }

  lnEPass(stage: number): number {
    const side = this.#pass[stage];
    return side === undefined ? 0 : logMeanExp(side.sums);
  }
}
