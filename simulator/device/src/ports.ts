// SPDX-License-Identifier: Apache-2.0
import type { Instant } from "@coalmine/core";
import type { BootCutPlan } from "./boot-cut.ts";
import type { BlockAnswer, BlockRequest, Command, Report, ResetCause } from "@coalmine/protocol";

/** What the world does to a device. */
export type DeviceInput =
  /** Power comes (back), or the reset button was pressed: the bootloader runs, then an image, or nothing. */
  | { readonly kind: "power-on"; readonly cause: ResetCause }
  /** The moment the device asked for with `wake` has come (or passed). */
  | { readonly kind: "wake" }
  /** A command reached the device. A sleeping device keeps it until it wakes by its duty cycle. */
  | { readonly kind: "command"; readonly command: Command }
  | { readonly kind: "block"; readonly answer: BlockAnswer }
  /** A report was acknowledged by the other side (PUBACK, 2.04, or delivery in virtual time). */
  | { readonly kind: "acknowledged"; readonly boot: number; readonly sequence: number }
  | { readonly kind: "link"; readonly up: boolean }
  /** Something from outside makes the running application crash: the fault handler notes it, then the board resets. */
  | { readonly kind: "crash" }
  /** Power is lost at once; with `cut` in a run of the bootloader to come. */
  | { readonly kind: "power-cut"; readonly cut?: BootCutPlan };

/** What a device does to the world. Driver: live (sockets) or site (virtual time). */
export type DeviceEffect =
  /** Deliver at least once while the link is up. */
  | { readonly kind: "report"; readonly report: Report }
  | { readonly kind: "request"; readonly request: BlockRequest }
  /** The one timer of this device, replacing any earlier one. */
  | { readonly kind: "wake"; readonly at: Instant };
