// SPDX-License-Identifier: Apache-2.0
import type { BootConfig } from "./config.ts";
import { slotIds } from "./config.ts";
import type { Flash } from "./flash.ts";
import type { SwapType } from "./trailer.ts";
import { readTrailer } from "./trailer.ts";

/**
 * What the bootloader will do with an image at the next boot, from the two trailers alone (boot_swap_type_multi).
 *
 * The first matching row decides: a request in the secondary slot comes before a revert due in the primary. The
 * trailers' swap_info takes no part, and a flag with an unexpected value matches neither set nor unset.
 */
export function swapType(config: BootConfig, flash: Flash, image = 0): SwapType {
  const ids = slotIds(image);
  const secondary = readTrailer(config, flash, flash.area(ids.secondary));
  if (secondary.magic === "good") {
    if (config.mode === "swap-offset" && secondary.imageOk === "unset" && secondary.copyDone === "set") {
      return "revert";
    }
    if (secondary.imageOk === "unset") {
      return "test";
    }
    if (secondary.imageOk === "set") {
      return "perm";
    }
  }
  const primary = readTrailer(config, flash, flash.area(ids.primary));
  return primary.magic === "good" && primary.copyDone === "set" && primary.imageOk === "unset" ? "revert" : "none";
}
