// SPDX-License-Identifier: Apache-2.0
import type { Variant } from "@coalmine/core";

/** How the new image earns its confirmation (R17). */
export interface ConfirmPolicy {
  /** Seconds the image must have run before it confirms. */
  readonly minUptime_s: number;
  /** Seconds after which an unconfirmed image resets itself, so that MCUboot reverts. */
  readonly deadline_s: number;
  /** Reaching the server is part of health. */
  readonly serverContact: boolean;
}

/** The manifest of a release for one device. Redelivery of the same `offer` is a no-op (I2). */
export interface Offer {
  readonly kind: "offer";
  readonly offer: number;
  readonly release: string;
  readonly version: string;
  readonly variant: Variant;
  /** SHA-256 of the artifact file, 32 bytes; checked before apply (R12). */
  readonly digest: Uint8Array;
  /** MCUboot image hash, 32 bytes. */
  readonly imageHash: Uint8Array;
  readonly size: number;
  /** The device waits a share of this many seconds, drawn by its own name, before it starts (R10). */
  readonly jitter_s: number;
  readonly confirm: ConfirmPolicy;
}

/** Stops an offer that has not passed its reboot (R30). */
export interface Cancel {
  readonly kind: "cancel";
  readonly offer: number;
}

/** Orders the device back to the image in its other slot, without a download. */
export interface SwapBack {
  readonly kind: "swap-back";
  readonly offer: number;
  readonly imageHash: Uint8Array;
}

/** Changes the confirmation policy of a running trial. */
export interface Confirm {
  readonly kind: "confirm";
  readonly offer: number;
  readonly policy: ConfirmPolicy;
}

/** Asks for a hello now. */
export interface Identify {
  readonly kind: "identify";
}

/**
 * Boots up to this number were counted in an earlier life of the device: its counter was lost, and its reports look old. When its
 * own is below, it goes on above, stores that, and says hello.
 */
export interface Renumber {
  readonly kind: "renumber";
  readonly boot: number;
}

export type Command = Offer | Cancel | SwapBack | Confirm | Identify | Renumber;
