// SPDX-License-Identifier: Apache-2.0
import type { AssignmentState } from "./assignment.ts";
import type { DeviceId, ReleaseId, RolloutId } from "./ids.ts";
import type { Plan } from "./plan.ts";
import type { Instant, Millis } from "./time.ts";
import type { GateReading, Verdict } from "./verdict.ts";

/** A member as it was frozen at the start of a rollout (R2). */
export interface Member {
  readonly device: DeviceId;
  readonly stage: number;
  readonly stratum: string;
  readonly hardware: string;
  readonly connectivity: string;
  readonly control: number | null;
  readonly heardAt: Instant;
  readonly interval: Millis;
  /** What is usual for it, by metric: means of the days before the start, of metrics that the plan compares (evidence.md 3.3). */
  readonly usual?: Readonly<Record<string, number>>;
  /** It has no way to tell of a crash: never having crashed is no health of it. Absent: it has. */
  readonly mute?: true;
  /** Slot 1 holds exactly the image of the release, and an order brings it back. Absent: it does not. */
  readonly swapBack?: boolean;
  /** Absent: it may be offered the release. False in a rollback while the device does not run what is left for good. */
  readonly ready?: boolean;
}

/** How a device gets the image of an offer: fetched, or taken from its other slot. */
export type Way = "download" | "swap-back";

/**
 * Reversed intent (R33): the rollout brings the devices that another one reached back to an earlier release. Its start
 * ends that other rollout, in one entry: nothing lies between them (R3).
 */
export interface Rollback {
  /** The rollout that is rolled back. */
  readonly of: RolloutId;
  /** The release that is left. Barred from then on (R36). */
  readonly from: ReleaseId;
  readonly emergency: boolean;
  /** What was predicted before the start: devices by class (orchestrator: BackClass). */
  readonly predicted: Readonly<Record<string, number>>;
}

/** What the members did before any update, measured at the start of a rollout and frozen there (evidence.md 3.7). */
export interface Baseline {
  /** Device-days it was measured over. */
  readonly deviceDays: number;
  /** Fraction of the devices that crash, or fall silent, in a day. */
  readonly crash: number;
  readonly silence: number;
}

/** Who asked for something, and why. `by` is "coalmine" when the machine decided on its own. */
export interface Authority {
  readonly by: string;
  readonly reason: string;
}

/**
 * What a rollout decides. Each is written to the event log before any effect of it leaves (I3, I5), and folding the
 * decisions and facts of the log in order gives the same rollout again.
 */
export type Decision =
  | {
      readonly type: "rollout-started";
      readonly rollout: RolloutId;
      readonly release: ReleaseId;
      readonly plan: Plan;
      readonly seed: number;
      /** Offer numbers of this rollout are `offerBase + member index + 1`. */
      readonly offerBase: number;
      readonly members: readonly Member[];
      /** Devices that the selector named and that cannot take the release, with why. */
      readonly excluded?: readonly { readonly device: DeviceId; readonly reason: string }[] | undefined;
      /** How well the canary represents the population; "no" blocks passing, never halting (R6). */
      readonly representative: "yes" | "warn" | "no";
      /** Left out when the fleet has too little history. */
      readonly baseline?: Baseline;
      /** Present when it is a rollback. */
      readonly rollback?: Rollback;
      /** The release that exposed devices go back to by themselves when a gate halts this one (R35). */
      readonly wayBack?: ReleaseId;
      readonly authority: Authority;
    }
  | { readonly type: "stage-opened"; readonly rollout: RolloutId; readonly stage: number }
  | { readonly type: "offered"; readonly rollout: RolloutId; readonly device: DeviceId; readonly offer: number; readonly way?: Way }
  | {
      readonly type: "moved";
      readonly rollout: RolloutId;
      readonly device: DeviceId;
      readonly state: AssignmentState;
      readonly reason: string;
    }
  /** A control has fallen silent: evidence, but no change of state. */
  | { readonly type: "silent"; readonly rollout: RolloutId; readonly device: DeviceId }
  | { readonly type: "stage-closed"; readonly rollout: RolloutId; readonly stage: number; readonly verdict: Verdict; readonly gates: readonly GateReading[] }
  /** `despite`: what a person overrode. */
  | { readonly type: "promoted"; readonly rollout: RolloutId; readonly stage: number; readonly despite?: string | undefined; readonly authority: Authority }
  | { readonly type: "held"; readonly rollout: RolloutId; readonly verdict: Verdict; readonly authority: Authority }
  | {
      readonly type: "halted";
      readonly rollout: RolloutId;
      readonly gate: string;
      readonly metric: string;
      readonly gates: readonly GateReading[];
      readonly authority: Authority;
    }
  /** The rollback that the plan asks for after a halt could not start; a person has to. */
  | { readonly type: "rollback-declined"; readonly rollout: RolloutId; readonly authority: Authority }
  | { readonly type: "resumed"; readonly rollout: RolloutId; readonly authority: Authority }
  | { readonly type: "aborted"; readonly rollout: RolloutId; readonly authority: Authority }
  | { readonly type: "completed"; readonly rollout: RolloutId; readonly verdict: Verdict };

/** What an operator may order of a running rollout. */
export type RolloutCommand =
  | { readonly kind: "hold" | "halt" | "resume" | "abort"; readonly authority: Authority }
  | { readonly kind: "promote"; readonly despite?: string | undefined; readonly authority: Authority }
  | { readonly kind: "excuse"; readonly device: DeviceId; readonly authority: Authority };

/** What a report says about a member, read by the orchestrator. Out-of-date reports never get here. */
export type Signal =
  | {
      readonly kind: "heard";
      readonly interval: Millis;
      readonly onRelease: boolean;
      readonly confirmed: boolean;
      /** Number of the boot that reports. */
      readonly boot: number;
      /** By the names of gates. */
      readonly metrics: Readonly<Record<string, number>>;
      /** The other slot holds an intact earlier image that an order brings back (R40). */
      readonly keeps?: boolean;
      /** As in `Member`, as of now. */
      readonly swapBack?: boolean;
      readonly ready?: boolean;
    }
  /** In a rollback: the device has left the release by itself, before it was ordered to. */
  | { readonly kind: "returned"; readonly reason: string }
  | { readonly kind: "progress"; readonly state: "downloading" | "downloaded" | "applying" | "testing" }
  | { readonly kind: "deferred"; readonly reason: string; readonly until: Instant }
  | { readonly kind: "ended"; readonly outcome: "reverted" | "refused" | "failed"; readonly reason: string }
  | { readonly kind: "crash"; readonly onRelease: boolean; readonly signature: string };
