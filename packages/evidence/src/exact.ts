// SPDX-License-Identifier: Apache-2.0
// Exact operating characteristics of binary halting rules, by dynamic programme over the failure count (evidence.md 4.1).

import { lnBootEvidence } from "./boot.ts";
import { binomialUpper } from "./distributions.ts";

/** A rule that looks after every device at k failures among n. */
export type BinaryRule =
  /** Ours: ln E_halt(k, n; q) >= ln(1/alpha). */
  | { readonly kind: "e"; readonly q: number; readonly alpha: number }
  /** Repeated exact binomial test: P(X >= k | n, q) < alpha. */
  | { readonly kind: "binom"; readonly q: number; readonly alpha: number }
  /** Running percentage: n >= minN and k/n >= threshold. */
  | { readonly kind: "ratio"; readonly threshold: number; readonly minN: number };

/** Whether the rule halts at k failures among n devices. Every rule here halts at k + 1 if it halts at k. */
export function halts(rule: BinaryRule, k: number, n: number): boolean {
  if (rule.kind === "e") return k > 0 && lnBootEvidence(k, n, rule.q).halt >= -Math.log(rule.alpha);
  if (rule.kind === "binom") return k > 0 && binomialUpper(k, n, rule.q) < rule.alpha;
  return n >= rule.minN && k / n >= rule.threshold;
}

/** Fewest failures at which the rule halts, for n = 1 ... nMax (index n; n + 1 means never). */
export function haltingCounts(rule: BinaryRule, nMax: number): Int32Array {
  const counts = new Int32Array(nMax + 1);
  let k = 0;
  for (let n = 1; n <= nMax; n++) {
    if (rule.kind === "ratio" && n < rule.minN) {
      counts[n] = n + 1;
      continue;
    }
    // More successes never strengthen the case against a release, so the boundary does not come down.
    while (k <= n && !halts(rule, k, n)) k += 1;
    counts[n] = k;
  }
  return counts;
}

/** What a rule does to a release whose failure probability is p. */
export interface OperatingCharacteristics {
  readonly haltProbability: number;
  /** Fewest devices by which half of all rollouts have halted; null if fewer than half ever do. */
  readonly medianDevices: number | null;
}

/** Exact probability that `rule` has halted by `nMax` devices, looking after every device. */
export function operatingCharacteristics(
  rule: BinaryRule,
  options: { readonly p: number; readonly nMax: number },
  boundary: Int32Array = haltingCounts(rule, options.nMax),
): OperatingCharacteristics {
  const { p, nMax } = options;
  let alive = new Float64Array(nMax + 2);
  alive[0] = 1;
  let top = 0;
  let halted = 0;
  let medianDevices: number | null = null;
  for (let n = 1; n <= nMax; n++) {
    top += 1;
    for (let k = top; k >= 1; k--) alive[k] = (alive[k] as number) * (1 - p) + (alive[k - 1] as number) * p;
    alive[0] = alive[0] * (1 - p);
    const limit = boundary[n] as number;
    for (; top >= limit && top >= 0; top--) {
      halted += alive[top] as number;
      alive[top] = 0;
    }
    if (medianDevices === null && halted >= 0.5) medianDevices = n;
    if (top < 0) break;
  }
  return { haltProbability: halted, medianDevices };
}
