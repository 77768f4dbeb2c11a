// SPDX-License-Identifier: Apache-2.0
import type { Assignment } from "./assignment.ts";
import type { Baseline, Member } from "./decision.ts";
import type { Plan } from "./plan.ts";
import type { Instant, Millis } from "./time.ts";

/** What the evidence says of a release so far. "Not enough" is an outcome of its own and never promotes (R23). */
export type Verdict =
  | { readonly kind: "pass" }
  | { readonly kind: "fail"; readonly gate: string; readonly metric: string; readonly reason: string }
  | { readonly kind: "inconclusive"; readonly missing: readonly string[] };

/** What a judge learns of a member. Facts only: the judge decides what they mean. */
export type Observation =
  | { readonly kind: "offered" }
  | { readonly kind: "started" }
  | { readonly kind: "confirmed" }
  | { readonly kind: "healthy" }
  /** The attempt ended without the release running for good. */
  | { readonly kind: "reverted" | "refused" | "failed"; readonly reason: string }
  /** Silent past its expected check-in while on, or on the way to, the release (R26). */
  | { readonly kind: "missing" }
  /** A missing device was heard again. */
  | { readonly kind: "returned" }
  | { readonly kind: "crash"; readonly onRelease: boolean; readonly signature: string }
  | { readonly kind: "heard"; readonly onRelease: boolean; readonly boot: number; readonly metrics: Readonly<Record<string, number>> }
  | { readonly kind: "excused" };

/** One gate's numbers, for people, reports and the verdict's reasons. */
export interface GateReading {
  readonly gate: string;
  readonly metric: string;
  readonly verdict: Verdict["kind"];
  /** Devices and what was counted among them. */
  readonly canary: { readonly devices: number; readonly events: number; readonly exposure_h: number; readonly estimate: number | null };
  readonly control: { readonly devices: number; readonly events: number; readonly exposure_h: number; readonly estimate: number | null } | null;
  readonly bound: string;
  readonly reason: string;
  /** The statistics behind it; absent for a fixed bound. Logs are natural. */
  readonly evidence?: {
    /** What `effect` and `margin` are: a share, a ratio of rates, a difference to the controls, or a mean beside its bound. */
    readonly kind: "share" | "ratio" | "difference" | "bound";
    readonly lnEHalt: number;
    readonly haltAt: number;
    readonly lnEPass: number;
    readonly passAt: number;
    readonly margin: number;
    readonly effect: { readonly estimate: number | null; readonly lower: number | null; readonly upper: number | null };
  };
}

export interface Judgement {
  readonly verdict: Verdict;
  readonly gates: readonly GateReading[];
}

/** Where the rollout stands when it asks for a verdict. */
export interface JudgeContext {
  readonly now: Instant;
  /** Index of the stage being judged: the newest open one. Earlier stages are judged with it (R27). */
  readonly stage: number;
  readonly openedAt: Instant;
  /** Members of the stage, and how many of them ended one way or the other. */
  readonly size: number;
  readonly settled: number;
  readonly soakMin: Millis;
  readonly soakMax: Millis;
  /** Members of all open stages. */
  readonly target: number;
  readonly minDevices: number;
  readonly representative: "yes" | "warn" | "no";
  /** Gates an operator has overridden in this rollout (R32): shown, but they no longer fail it. */
  readonly overrides: readonly string[];
}

/** What is known when a rollout starts, and does not change after. */
export interface RolloutStart {
  readonly at: Instant;
  readonly seed: string;
  /** Undefined when the fleet has too little history. */
  readonly baseline?: Baseline | undefined;
  /** The usual values of the members that have any. */
  readonly usual?: readonly Pick<Member, "device" | "usual">[];
}

/**
 * The gate as a port: folds observations and judges. `State` is plain JSON data, so that it goes into a snapshot
 * and a restart continues with the same numbers.
 */
export interface Judge<State = unknown> {
  init(plan: Plan, members: readonly Assignment[], start: RolloutStart): State;
  observe(state: State, member: Assignment, observation: Observation, at: Instant): void;
  judge(state: State, context: JudgeContext): Judgement;
}
