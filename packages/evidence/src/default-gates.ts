// SPDX-License-Identifier: Apache-2.0

import type { GatesSpec, MetricGateSpec } from "./gate-spec.ts";
import { harmBudgetMargins, ratioMargins } from "./margins.ts";

/** What an operator and the fleet's history tell; everything else has a default that is safe. */
export interface DefaultGatesInput {
  /** Devices reached by the end of each stage. */
  readonly cumulative: readonly number[];
  /** Controls per stage. */
  readonly controls: readonly number[];
  readonly origin: number;
  readonly seed: string;
  /** Devices the operator can afford to harm in the next stage; 0.5 % of the fleet by default. */
  readonly harmBudget?: number;
  /** Fraction of devices with at least one event per soak day, frozen at the start. */
  readonly baseline?: { readonly crash?: number; readonly silence?: number };
  /** Failure probability that is still harmless; 0.5 % by default. */
  readonly bootLimit?: number;
  readonly metrics?: readonly MetricGateSpec[];
}

/** Battery drain on the log scale with the margins of evidence.md 3.7: +30 %, +15 %, +10 %. */
export function batteryGate(metric: string): MetricGateSpec {
  return {
    kind: "metric", name: "battery", weight: 0.2, metric, worse: "higher", scale: "ln", tau: Math.log(1.1),
    margins: [Math.log(1.3), Math.log(1.15), Math.log(1.1)], missingData: "ignore",
  };
}

/** Gates from a harm budget (evidence.md 3.5 and 3.7): boot 0.4, crash 0.3, battery 0.2, silence 0.1; weights are normalised over those present. */
export function defaultGates(input: DefaultGatesInput): GatesSpec {
  const fleet = input.cumulative.at(-1) ?? 0;
  const limit = input.bootLimit ?? 0.005;
  const margins = harmBudgetMargins(input.cumulative, input.harmBudget ?? Math.max(1, 0.005 * fleet));
  const floor = 0.001;
  const ratios = (fraction: number): number[] => ratioMargins(margins, { fraction, floor });
  return {
    alpha: 0.05,
    alphaPass: 0.05,
    origin: input.origin,
    seed: input.seed,
    stages: input.cumulative.map((reached, i) => ({ devices: reached - (input.cumulative[i - 1] ?? 0), controls: input.controls[i] ?? 0 })),
    gates: [
      // A margin below the limit could never be excluded by a release at the limit: it would hold every rollout.
      { kind: "boot", name: "boot", weight: 0.4, limit, margins: margins.map((margin) => Math.max(margin, 2 * limit)) },
      { kind: "crash", name: "crash", weight: 0.3, margins: ratios(input.baseline?.crash ?? 0.02) },
      { kind: "silence", name: "silence", weight: 0.1, margins: ratios(input.baseline?.silence ?? 0.002) },
      ...(input.metrics ?? []),
    ],
  };
}
