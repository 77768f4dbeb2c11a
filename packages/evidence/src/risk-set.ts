// SPDX-License-Identifier: Apache-2.0
// The risk-set e-process (evidence.md 3.2): the safe, anytime-valid logrank test of ter Schure et al., arXiv 2011.06931.

import { bisect, logMeanExp } from "./logspace.ts";

/** Alternatives of the HALT side, as multiples of the null hazard ratio. */
export const HALT_RATIOS: readonly number[] = [1.25, 1.5, 2, 3, 5, 10, 20];
/** Alternatives of the PASS side, as multiples of the margin. */
export const PASS_RATIOS: readonly number[] = [1 / 1.25, 1 / 1.5, 1 / 2, 1 / 3, 1 / 5, 1 / 10];

/** One event: 1 if the device is a canary; canaries and controls at risk just before it, the device included. */
export type RiskEvent = readonly [canary: 0 | 1, canaries: number, controls: number];

/** ln of the partial likelihood of one event at hazard ratio theta: x ln theta - ln(theta n1 + n0). */
function lnPartial(x: number, n1: number, n0: number, theta: number): number {
  return x * Math.log(theta) - Math.log(theta * n1 + n0);
}

/** Sums of the log partial likelihood at rho0 and at each alternative r rho0: all that one side of the test needs to keep. */
export interface RiskSums {
  readonly rho0: number;
  readonly ratios: readonly number[];
  /** S_j = sum of x ln r_j + ln(rho0 n1 + n0) - ln(r_j rho0 n1 + n0). */
  readonly sums: number[];
}

export function emptyRiskSums(rho0: number, ratios: readonly number[]): RiskSums {
  return { rho0, ratios, sums: ratios.map(() => 0) };
}

/** Adds one event to `sums` in place; O(1). */
export function addRiskEvent(side: RiskSums, event: RiskEvent): void {
  const [x, n1, n0] = event;
  if (n1 === 0 || n0 === 0) return; // A risk set with one arm only says nothing about the ratio: its factor is exactly 1.
  const base = Math.log(side.rho0 * n1 + n0);
  for (let j = 0; j < side.ratios.length; j++) {
    const r = side.ratios[j] as number;
    side.sums[j] = (side.sums[j] as number) + x * Math.log(r) + base - Math.log(r * side.rho0 * n1 + n0);
  }
}

/** ln E = logsumexp_j(S_j) - ln J. */
export function lnRiskEvidence(side: RiskSums): number {
  return logMeanExp(side.sums);
}

/** Running log e-values after each event, for both sides. */
export function lnRiskEvidencePath(
  events: readonly RiskEvent[],
  options: { readonly rho0Halt: number; readonly rho0Pass: number },
): { readonly halt: readonly number[]; readonly pass: readonly number[] } {
  const halt = emptyRiskSums(options.rho0Halt, HALT_RATIOS);
  const pass = emptyRiskSums(options.rho0Pass, PASS_RATIOS);
  const path = { halt: [] as number[], pass: [] as number[] };
  for (const event of events) {
    addRiskEvent(halt, event);
    addRiskEvent(pass, event);
    path.halt.push(lnRiskEvidence(halt));
    path.pass.push(lnRiskEvidence(pass));
  }
  return path;
}

/** Anytime one-sided bounds on a hazard ratio; null where no ratio between 1e-3 and 1e3 is rejected. */
export interface RatioBounds {
  readonly lower: number | null;
  readonly upper: number | null;
}

const LN_RANGE = Math.log(1e3);

/** Bounds from a function ln rho -> log partial likelihood (up to a constant), by inverting both sides in ln rho0. */
export function invertPartialLikelihood(lnLikelihood: (lnTheta: number) => number, alpha: number): RatioBounds {
  const goal = -Math.log(alpha);
  const excess = (ratios: readonly number[]) => (z: number): number => {
    const base = lnLikelihood(z);
    return logMeanExp(ratios.map((r) => lnLikelihood(z + Math.log(r)) - base)) - goal;
  };
  const halt = excess(HALT_RATIOS);
  const pass = excess(PASS_RATIOS);
  const lower =
    halt(-LN_RANGE) < 0 ? null : halt(LN_RANGE) >= 0 ? LN_RANGE : bisect(halt, -LN_RANGE, LN_RANGE);
  const upper =
    pass(LN_RANGE) < 0 ? null : pass(-LN_RANGE) >= 0 ? -LN_RANGE : bisect(pass, -LN_RANGE, LN_RANGE);
  return { lower: lower === null ? null : Math.exp(lower), upper: upper === null ? null : Math.exp(upper) };
}

/** Anytime bounds on the hazard ratio from the events themselves (evidence.md 3.2, "invert in ln rho0"). */
export function riskBounds(events: readonly RiskEvent[], alpha: number): RatioBounds {
  const informative = events.filter(([, n1, n0]) => n1 > 0 && n0 > 0);
  return invertPartialLikelihood((lnTheta) => {
    const theta = Math.exp(lnTheta);
    let sum = 0;
    for (const [x, n1, n0] of informative) sum += lnPartial(x, n1, n0, theta);
    return sum;
  }, alpha);
}
