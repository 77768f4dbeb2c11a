// SPDX-License-Identifier: Apache-2.0
// What a plan can and cannot see, said before it starts (R24, evidence.md 3.7).

import { normalQuantile } from "./distributions.ts";
import { operatingCharacteristics } from "./exact.ts";
import { lnGammaInc } from "./gamma.ts";
import { halfTBounds } from "./half-t.ts";
import { logMeanExp } from "./logspace.ts";
import { HALT_RATIOS, PASS_RATIOS } from "./risk-set.ts";

/** One line of a power statement: the smallest regression that `devices` canaries and `hours` of soak halt with probability `withProbability`. */
export interface PowerLine {
  readonly gate: string;
  readonly metric: string;
  /** Failure probability, rate ratio, or worsening on the metric's scale; null when nothing plausible is found that often. */
  readonly detects: number | null;
  readonly withProbability: number;
  readonly devices: number;
  readonly hours: number;
  readonly words: string;
}

// A gate splits its e-value between the fleet and its hardware revisions (evidence.md 3.5): alone, the pooled half must reach twice the threshold.
const POOLED_SHARE = 0.5;

/** The smallest x of an ascending grid for which `enough` holds, refined by bisection on a log scale. */
function smallest(low: number, high: number, enough: (x: number) => boolean): number | null {
  if (!enough(high)) return null;
  let [a, b] = [Math.log(low), Math.log(high)];
  for (let i = 0; i < 30; i++) {
    const mid = (a + b) / 2;
    if (enough(Math.exp(mid))) b = mid;
    else a = mid;
  }
  return Math.exp(b);
}

/** Smallest boot failure probability halted by `devices` started updates, exactly (dynamic programme of section 4.1). */
export function bootPower(options: { readonly devices: number; readonly limit: number; readonly alpha: number; readonly probability: number }): number | null {
  const rule = { kind: "e" as const, q: options.limit, alpha: options.alpha * POOLED_SHARE };
  return smallest(options.limit, 1, (p) => operatingCharacteristics(rule, { p, nMax: options.devices }).haltProbability >= options.probability);
}

const lnPoissonUpper = (x: number, mean: number): number => (x <= 0 ? 0 : lnGammaInc(x, mean).lower);

/**
 * Probability that the crash or silence gate halts on rate ratio `r` by the end of the soak.
 *
 * `expected` is the number of baseline events in the canary (mu of section 3.7), `controlsPerCanary` the ratio of
 * exposures. Summed over Poisson counts at the end; earlier crossings only add to it. Frailty is not modelled.
 */
export function eventPower(r: number, options: { readonly expected: number; readonly controlsPerCanary: number; readonly alpha: number }): number {
  const { expected: mu, controlsPerCanary: c } = options;
  const goal = -Math.log(options.alpha * POOLED_SHARE);
  const lnE = (x: number, y: number): number =>
    logMeanExp(HALT_RATIOS.map((ratio) => x * Math.log(ratio) - (x + y) * Math.log((ratio + c) / (1 + c))));
  const mean = c * mu;
  const spread = 8 * Math.sqrt(mean) + 8;
  let power = 0;
  let least = 0;
  const to = Math.ceil(mean + spread);
  for (let y = Math.max(0, Math.floor(mean - spread)); y <= to; y++) {
    const share = Math.exp(lnPoissonUpper(y, mean)) - Math.exp(lnPoissonUpper(y + 1, mean));
    while (lnE(least, y) < goal && least < 100_000) least += 1;
    power += share * Math.exp(lnPoissonUpper(least, r * mu));
  }
  return power;
}

/** Events that two arms are expected to see of a release that changes nothing. */
export interface ExpectedEvents {
  /** In the canaries. */
  readonly canary: number;
  /** The controls' exposure as a multiple of the canaries'. */
  readonly controlsPerCanary: number;
}

/**
 * Probability that a release that changes nothing passes the crash or silence gate against the ratio margin `R` (the PASS
 * side of evidence.md 3.2). Summed over Poisson counts at the end of the soak. Frailty is not modelled: devices with the
 * same number of earlier episodes are compared, which takes most of it away.
 */
export function eventPassPower(R: number, events: ExpectedEvents, alphaPass = 0.05): number {
  return passPowerOf(events, alphaPass)(R);
}

const LN_PASS_RATIOS = PASS_RATIOS.map(Math.log);

/** {@link eventPassPower} as a function of the margin: what does not depend on it is worked out once. */
function passPowerOf({ canary: mu, controlsPerCanary: c }: ExpectedEvents, alphaPass: number): (R: number) => number {
  if (mu <= 0 || c <= 0) return () => 0;
  const goal = -Math.log(alphaPass);
  const mean = c * mu;
  const spread = 8 * Math.sqrt(mean) + 8;
  const first = Math.max(0, Math.floor(mean - spread));
  /** Chances of `first` events in the controls and more. */
  const shares: number[] = [];
  for (let y = first; y <= Math.ceil(mean + spread); y++) shares.push(Math.exp(lnPoissonUpper(y, mean)) - Math.exp(lnPoissonUpper(y + 1, mean)));
  /** Chance that fewer canary events come than this, by number. */
  const fewer: number[] = [];
  const terms: number[] = [];
  return (R) => {
    if (R <= 1) return 0;
    const lnFactors = PASS_RATIOS.map((ratio) => Math.log((R + c) / (ratio * R + c)));
    const lnE = (x: number, y: number): number => {
      for (let j = 0; j < lnFactors.length; j++) terms[j] = x * (LN_PASS_RATIOS[j] as number) + (x + y) * (lnFactors[j] as number);
      return logMeanExp(terms);
    };
    let power = 0;
    /** The least number of canary events that do not pass. */
    let most = 0;
    for (const [i, share] of shares.entries()) {
      while (lnE(most, first + i) >= goal) most += 1;
      power += share * (fewer[most] ??= -Math.expm1(lnPoissonUpper(most, mu)));
    }
    return power;
  };
}

/** Plans that are rehearsed ask the same again with every rollout. */
const margins = new Map<string, number | null>();
const marginsMax = 1_024;

/** The smallest ratio margin that a release that changes nothing passes with `probability`; null when that is above `max`. */
export function smallestRatioMargin(events: ExpectedEvents, options: { readonly probability: number; readonly max: number; readonly alphaPass?: number }): number | null {
  const { probability, max, alphaPass = 0.05 } = options;
  const key = `${events.canary} ${events.controlsPerCanary} ${probability} ${max} ${alphaPass}`;
  let margin = margins.get(key);
  if (margin === undefined) {
    const power = passPowerOf(events, alphaPass);
    margin = smallest(1, max, (R) => power(R) >= probability);
    if (margins.size >= marginsMax) margins.clear();
    margins.set(key, margin);
  }
  return margin;
}

/** Smallest worsening of a metric halted with the given probability: reach of the half-t bound plus the estimate's own spread. */
export function metricPower(options: {
  readonly canaries: number; readonly controls: number; readonly strata: number; readonly residualSd: number; readonly tau: number;
  readonly alpha: number; readonly probability: number;
}): number | null {
  const V = options.residualSd ** 2 * (1 / options.canaries + 1 / options.controls);
  const nu = options.canaries + options.controls - options.strata - 2;
  if (nu < 4) return null;
  const { upper } = halfTBounds({ effect: 0, V, nu }, { tau: options.tau, alpha: options.alpha * POOLED_SHARE });
  return upper === null ? null : upper + normalQuantile(options.probability) * Math.sqrt(V);
}

/** What a power statement is computed from. */
export interface PowerInput {
  readonly canaries: number;
  readonly controls: number;
  readonly soakHours: number;
  readonly alpha: number;
  readonly probability?: number;
  readonly gates: readonly (
    | { readonly kind: "boot"; readonly name: string; readonly metric?: string; readonly share: number; readonly limit: number }
    | { readonly kind: "crash" | "silence"; readonly name: string; readonly share: number; readonly perDeviceDay: number }
    | { readonly kind: "metric"; readonly name: string; readonly metric: string; readonly share: number; readonly scale: "ln" | "raw"; readonly tau: number; readonly residualSd: number; readonly strata: number }
  )[];
}

const RATIO_MAX = 1000;

/** The power statement of a plan's canary stage, one line per gate. `share` is the gate's normalised weight. */
export function powerStatement(input: PowerInput): PowerLine[] {
  const probability = input.probability ?? 0.9;
  const { canaries: devices, soakHours: hours } = input;
  const percent = (x: number): string => `${Number((100 * x).toPrecision(2))} %`;
  const with90 = `with probability ${probability}`;
  const scope = `${devices} canaries and ${hours} h`;
  return input.gates.map((gate): PowerLine => {
    const alpha = input.alpha * gate.share;
    const line = (metric: string, detects: number | null, words: string): PowerLine => ({
      gate: gate.name, metric, detects, withProbability: probability, devices, hours,
      words: detects === null ? `${scope} detect no change of ${metric} ${with90}` : `${scope} detect ${words} ${with90}`,
    });
    if (gate.kind === "boot") {
      const p = bootPower({ devices, limit: gate.limit, alpha, probability });
      const metric = gate.metric ?? "boot failures";
      return line(metric, p, p === null ? "" : `${metric} of ${percent(p)} or more`);
    }
    if (gate.kind === "metric") {
      const worse = metricPower({ canaries: devices, controls: input.controls, strata: gate.strata, residualSd: gate.residualSd, tau: gate.tau, alpha, probability });
      const size = worse === null ? "" : gate.scale === "ln" ? percent(Math.expm1(worse)) : String(Number(worse.toPrecision(2)));
      return line(gate.metric, worse, `${gate.metric} worse by ${size}`);
    }
    const expected = (devices * hours * gate.perDeviceDay) / 24;
    const controlsPerCanary = input.controls / devices;
    const enough = (r: number): boolean => eventPower(r, { expected, controlsPerCanary, alpha }) >= probability;
    const r = input.controls === 0 || expected === 0 ? null : smallest(1, RATIO_MAX, enough);
    const metric = gate.kind === "crash" ? "crash rate" : "silence rate";
    return line(metric, r, r === null ? "" : `${Number(r.toPrecision(2))} times the ${metric} or more`);
  });
}
