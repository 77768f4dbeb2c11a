// SPDX-License-Identifier: Apache-2.0
// What a plan asks of its evidence, and the plain data the gates keep.

/** Where a device stands among its comparisons: devices are compared inside stage x hardware x connectivity only. */
export interface Placement {
  readonly stage: number;
  readonly hardware: string;
  readonly connectivity: string;
}

interface GateCommon {
  readonly name: string;
  /** Share of alpha; the weights of enforced gates are normalised to 1. */
  readonly weight: number;
  /** Evaluated and shown, but never halts or blocks. */
  readonly dryRun?: boolean;
  /** Canaries with data below which the gate does not pass; 1 by default. Evidence of harm grows with the sample and needs no least one. */
  readonly devicesMin?: number;
}

/** Boot confirmation: failures among started updates against a fixed limit (evidence.md 3.1). */
export interface BootGateSpec extends GateCommon {
  readonly kind: "boot";
  /** Failure probability that is still harmless; 0.005 by default plans. */
  readonly limit: number;
  /** Failure probability to exclude before advancing, per stage. */
  readonly margins: readonly number[];
}

/** What may happen to a device whose update has started, at most once each. `looped`: it restarted over and over. */
export type ShareEvent = "reverted" | "looped" | "overdue";

/** Share of the started updates that something happened to, against a fixed limit: the boot gate's evidence on another event. */
export interface ShareGateSpec extends GateCommon {
  readonly kind: "share";
  readonly event: ShareEvent;
  readonly limit: number;
  /** Share to exclude before advancing, per stage. */
  readonly margins: readonly number[];
}

/** Crash episodes (evidence.md 3.2) or first silence (3.4) of canaries against controls at risk. */
export interface EventGateSpec extends GateCommon {
  readonly kind: "crash" | "silence";
  /** Quiet period that ends an episode, milliseconds; crash gate only, 6 h by default. */
  readonly quiet?: number;
  /** Hazard ratio to exclude before advancing, per stage. */
  readonly margins: readonly number[];
  /**
   * A second way to pass, for events too rare for a ratio: the share of canaries with one in their first `window` is
   * shown to lie below this, per stage. Without it only the ratio counts.
   */
  readonly shares?: readonly number[];
  /** Milliseconds after a canary's confirmation that `shares` is about; a day by default. */
  readonly window?: number;
  /** Milliseconds after its window until a canary without news counts as clean: until then it may be silent unnoticed. 0 by default. */
  readonly settle?: number;
}

/** Where one number per device comes from, and what it means. */
export interface MetricSource {
  readonly metric: string;
  /**
   * `samples` (default): the mean of what the device reports. `crash-free-hours`: the share of its whole hours at risk
   * without a crash. `episode-rate`: its crash episodes per hour at risk. The last two are counted by the host (R20).
   */
  readonly source?: "samples" | "crash-free-hours" | "episode-rate";
  /** Which direction is a regression. */
  readonly worse: "higher" | "lower";
  /** `ln` for positive ratio-like metrics (battery drain): effects are ln ratios. `raw` otherwise: effects are differences. */
  readonly scale: "ln" | "raw";
  /** Samples (or hours at risk) a device needs since its start before it counts; 3 by default. */
  readonly samplesMin?: number;
  /** Length of the matched window before the start, milliseconds; 7 days by default. 0: no baseline, plain comparison of arms. */
  readonly baselineWindow?: number;
  /** First stage whose devices have samples of that window; 0 by default. */
  readonly baselineFromStage?: number;
  /** Devices of earlier stages are compared by what was usual before the rollout (`baseline` observations), and left out without; else by their means since the start alone. */
  readonly usual?: boolean;
  /** What a gate that too few report to means for advancing: `hold` (default) blocks, `ignore` lets it pass. */
  readonly missingData?: "hold" | "ignore";
}

/** A number of each device, canaries against controls (evidence.md 3.3). */
export interface MetricGateSpec extends GateCommon, MetricSource {
  readonly kind: "metric";
  /** Prior effect scale in effect units; ln 1.1 is customary for `ln`. */
  readonly tau: number;
  /** Worsening to exclude before advancing, per stage, positive, in effect units. */
  readonly margins: readonly number[];
}

/** A number of each canary against a fixed bound: the half-t mixture (evidence.md 3.3) of one mean. */
export interface BoundGateSpec extends GateCommon, MetricSource {
  readonly kind: "bound";
  /** On the gate's scale, with the sign as reported: the mean must not be worse. */
  readonly bound: number;
  readonly tau: number;
}

export type GateSpec = BootGateSpec | ShareGateSpec | EventGateSpec | MetricGateSpec | BoundGateSpec;

/** A deterministic operator rule beside the statistics, outside alpha (R25): so many devices hit halts at once. */
export interface Tripwire {
  readonly name: string;
  readonly event: "failed" | "crashed" | ShareEvent;
  /** Canary devices hit before it fires. */
  readonly count: number;
  /** Only the first so many devices to start count; all when absent. */
  readonly amongFirst?: number;
}

/** Everything frozen at the start of a rollout. */
export interface GatesSpec {
  /** False-halt probability for the whole rollout; 0.05 by default plans. */
  readonly alpha: number;
  /** Level of each PASS test; 0.05 by default plans. */
  readonly alphaPass: number;
  /** Start of the rollout, milliseconds: only the origin of internal sums. */
  readonly origin: number;
  readonly seed: string;
  /** Planned devices and controls per stage; used to thin metric data of huge stages. */
  readonly stages: readonly { readonly devices: number; readonly controls: number }[];
  readonly gates: readonly GateSpec[];
  readonly tripwires?: readonly Tripwire[];
  /** Devices per stage and arm whose metric samples are kept, drawn by hash; 500 by default. */
  readonly metricDevicesMax?: number;
}

/** Facts the gates fold. `at` is when it happened on the orchestrator's clock, milliseconds; clamp it to the arrival time. */
export type GateObservation =
  /** `mute`: it has no way to tell of a crash. */
  | { readonly kind: "updateStarted"; readonly device: string; readonly at: number; readonly placement: Placement; readonly mute?: boolean }
  | { readonly kind: "confirmed" | "reverted" | "overdue" | "looped" | "crash"; readonly device: string; readonly at: number }
  | { readonly kind: "metricSample"; readonly device: string; readonly at: number; readonly name: string; readonly value: number }
  /** What was usual for a device before the rollout, in the metric's own unit. */
  | { readonly kind: "baseline"; readonly device: string; readonly at: number; readonly name: string; readonly value: number }
  /** A device that was overdue was heard again, with everything it had kept to say. */
  | { readonly kind: "returned"; readonly device: string; readonly at: number }
  /** A control's sham start, drawn from the same ramp as the canaries' (section 3.2). */
  | { readonly kind: "controlStart"; readonly device: string; readonly at: number; readonly placement: Placement; readonly mute?: boolean }
  | { readonly kind: "controlCensored"; readonly device: string; readonly at: number }
  /** The device leaves all comparisons: excused, swapped back, retired. */
  | { readonly kind: "withdrawn"; readonly device: string; readonly at: number };

/** Samples of one metric of one device, ascending by time. */
export interface Samples {
  at: number[];
  value: number[];
}

/** All that is kept about a device. Plain JSON data; every field is a set or a minimum, so order and duplicates do not matter. */
export interface DeviceRecord {
  canary?: { placement: Placement; startedAt: number };
  confirmedAt?: number;
  revertedAt?: number;
  withdrawnAt?: number;
  loopedAt?: number;
  /** Usual values before the rollout, by metric. */
  usual?: Record<string, number>;
  /** The latest. */
  returnedAt?: number;
  control?: { placement: Placement; enterAt: number };
  controlExitAt?: number;
  /** It has no way to tell of a crash: crash gates do not see it. */
  mute?: true;
  /** Ascending, without repeats. */
  overdues: number[];
  crashes: number[];
  samples: Record<string, Samples>;
}

/** State of all gates of a rollout: plain JSON data. Sums are caches beside it and re-fold to the same numbers after a restart. */
export interface GatesState {
  readonly spec: GatesSpec;
  readonly devices: Record<string, DeviceRecord>;
}

const HOUR = 3_600_000;
export const QUIET_DEFAULT = 6 * HOUR;
export const BASELINE_WINDOW_DEFAULT = 7 * 24 * HOUR;
export const SAMPLES_MIN_DEFAULT = 3;
export const METRIC_DEVICES_MAX_DEFAULT = 500;
export const WINDOW_DEFAULT = 24 * HOUR;

/** Fresh gates for a rollout. Throws RangeError on a spec no evidence could ever satisfy. */
export function openGates(spec: GatesSpec): GatesState {
  if (spec.gates.every((gate) => gate.dryRun === true)) throw new RangeError("a plan without an enforced gate does not start (R14)");
  for (const gate of spec.gates) {
    if (!(gate.weight > 0)) throw new RangeError(`gate ${gate.name}: weight must be above 0`);
    if (gate.kind === "bound") {
      if (!Number.isFinite(gate.bound) || !(gate.tau > 0)) throw new RangeError(`gate ${gate.name}: its bound must be a number, and tau above 0`);
      continue;
    }
    const floor = gate.kind === "boot" || gate.kind === "share" ? gate.limit : gate.kind === "metric" ? 0 : 1;
    if (gate.margins.length === 0 || !gate.margins.every((margin) => margin > floor)) {
      throw new RangeError(`gate ${gate.name}: margins must exist and lie above ${floor}`);
    }
  }
  return { spec, devices: {} };
}

/** The margin in force at a stage, the last one goes on; a fixed bound is its own. */
export function marginAt(gate: GateSpec, stage: number): number {
  if (gate.kind === "bound") return gate.bound;
  return gate.margins[Math.min(stage, gate.margins.length - 1)] as number;
}

/** The share in force at a stage, or undefined when the gate passes by its ratio only. */
export function shareAt(gate: EventGateSpec, stage: number): number | undefined {
  return gate.shares?.[Math.min(stage, gate.shares.length - 1)];
}
