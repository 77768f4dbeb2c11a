// SPDX-License-Identifier: Apache-2.0
import type { Way } from "./decision.ts";
import type { DeviceId } from "./ids.ts";
import type { Instant, Millis } from "./time.ts";

/** States of an assignment (device x rollout), in the order a good update passes them, then the ways out. */
export const assignmentStates = [
  "planned",
  "offered",
  "downloading",
  "downloaded",
  "applying",
  "testing",
  "confirmed",
  "soaking",
  "healthy",
  "deferred",
  "failed",
  "reverted",
  "refused",
  "missing",
  "excused",
  "quarantined",
  "rolled_back",
] as const;

export type AssignmentState = (typeof assignmentStates)[number];

/** The offer can still be taken back: the device has not passed its reboot (R30). */
export const cancellable: ReadonlySet<AssignmentState> = new Set(["offered", "downloading", "downloaded", "deferred"]);

/** The update has begun: the device rebooted into it, or may have. These devices are exposed. */
export const started: ReadonlySet<AssignmentState> = new Set([
  "applying",
  "testing",
  "confirmed",
  "soaking",
  "healthy",
  "reverted",
  "refused",
  "quarantined",
  "rolled_back",
]);

/** The release runs on the device for good, whether that is wanted or not. */
export const holding: ReadonlySet<AssignmentState> = new Set(["confirmed", "soaking", "healthy", "quarantined"]);

/** Nothing further is expected of these by themselves; R38 counts them as ended. */
export const settled: ReadonlySet<AssignmentState> = new Set([
  "healthy",
  "failed",
  "reverted",
  "refused",
  "missing",
  "excused",
  "quarantined",
  "rolled_back",
]);

/** The release is being fetched, applied or tried: a deadline runs. */
export const underway: ReadonlySet<AssignmentState> = new Set([
  "offered",
  "downloading",
  "downloaded",
  "applying",
  "testing",
]);

/** One device in one rollout. Plain data; times are the orchestrator's. */
export interface Assignment {
  readonly device: DeviceId;
  /** Index of the stage that opens this device. */
  readonly stage: number;
  /** The cell of declared dimensions, `revB|wifi|1.0.0`. */
  readonly stratum: string;
  /** Where its evidence is compared: devices of other hardware or connectivity are no controls for it. */
  readonly hardware: string;
  readonly connectivity: string;
  /** Index of the stage whose control this device is until its own update; null when of none. */
  readonly control: number | null;
  state: AssignmentState;
  /** When `state` was entered. */
  since: Instant;
  /** Number of the offer; 0 before the first one. The same for every redelivery (I2). */
  offer: number;
  offeredAt: Instant | null;
  /** How the newest offer wants it done. */
  way: Way;
  /** Slot 1 holds exactly the image of the release, and an order brings it back. */
  swapBack: boolean;
  /** Its other slot holds an intact earlier image that an order brings back (R40), as far as it has said. */
  keeps: boolean;
  /** A swap-back was tried and could not begin: from then on it is a download. */
  swapBackFailed: boolean;
  /** False while it must not be offered the release, whatever its stage. */
  ready: boolean;
  /** When the update was seen to begin (reboot, or the first sign of it). Stays set: the device was exposed. */
  startedAt: Instant | null;
  confirmedAt: Instant | null;
  /** Last report of this device, and its expected check-in interval. */
  heardAt: Instant;
  interval: Millis;
  /** The door it comes through; left out when that never shuts. */
  door?: string;
  crashes: number;
  /** As in `Member`. */
  readonly mute?: true;
  /** A control that fell silent before its own stage opened. */
  silent: boolean;
  /** Why it is failed, refused, deferred, missing ... in words. */
  reason: string;
}
