// SPDX-License-Identifier: Apache-2.0
import type { BootConfig, SwapMode } from "./config.ts";
import { Flash } from "./flash.ts";
import type { AreaSpec, FlashGeometry } from "./geometry.ts";
import { AssertionFailed, Loader, SECONDARY } from "./loader.ts";
import { overwrite } from "./overwrite.ts";
import { swapMove } from "./swap-move.ts";
import { swapOffset } from "./swap-offset.ts";
import { swapScratch } from "./swap-scratch.ts";
import type { UpgradeMode } from "./swap-status.ts";

const MODES: Readonly<Record<SwapMode, UpgradeMode>> = {
  "swap-move": swapMove,
  "swap-offset": swapOffset,
  "swap-scratch": swapScratch,
  overwrite,
  "direct-xip": overwrite,
};

/**
 * Largest image (header, payload and TLVs, in bytes) that can be installed on a layout in the configuration's mode.
 *
 * 0 when no image can: the slots' sectors do not fit each other, or the trailer leaves no room. The bootloader's own
 * check computes the same, and erases a larger image. Formulas: MCUboot design document, "Maximal slot and image size".
 */
export function slotCapacity(config: BootConfig, areas: readonly AreaSpec[] | FlashGeometry, image = 0): number {
  const loader = new Loader(config, Flash.create(areas), []);
  loader.image = image;
  const mode = MODES[config.mode];
  try {
    if (loader.readSectors() !== "ok") {
      return 0;
    }
    if (config.mode !== "direct-xip" && !mode.slotsCompatible(loader)) {
      return 0;
    }
    const primary = mode.maxImageSize(loader, loader.primary.area);
    const secondary = mode.maxImageSize(loader, loader.slot(SECONDARY).area);
    const capacity = Math.min(primary, secondary);
    // In 32 bits a trailer larger than the slot wraps to a huge size; no image fits such a slot.
    return capacity > loader.primary.area.size ? 0 : Math.max(0, capacity);
  } catch (error) {
    if (error instanceof AssertionFailed) {
      return 0;
    }
    throw error;
  }
}

/** What a mode can and cannot do; docs/mcuboot-modes.md has the table with its evidence. */
export interface ModeFacts {
  /** The previous image stays on the device after a confirmed upgrade. */
  readonly keepsRollbackImage: boolean;
  /** A request for the image in the secondary slot brings the previous image back without a download. */
  readonly swapBackWorks: boolean;
  /** An unconfirmed image is undone at the next boot. */
  readonly revertWorks: boolean;
  /** Byte of the secondary slot an upload must start at. */
  readonly uploadOffset: "first-sector" | "second-sector";
  /** Starting an upload while an image is on trial destroys its fallback. */
  readonly uploadDuringTrialHarms: boolean;
}

export function modeFacts(config: Pick<BootConfig, "mode" | "xipRevert">): ModeFacts {
  switch (config.mode) {
    case "swap-move":
    case "swap-scratch":
      return { keepsRollbackImage: true, swapBackWorks: true, revertWorks: true, uploadOffset: "first-sector", uploadDuringTrialHarms: true };
    case "swap-offset":
      return { keepsRollbackImage: true, swapBackWorks: false, revertWorks: true, uploadOffset: "second-sector", uploadDuringTrialHarms: true };
    case "overwrite":
      return { keepsRollbackImage: false, swapBackWorks: false, revertWorks: false, uploadOffset: "first-sector", uploadDuringTrialHarms: false };
    case "direct-xip":
      return { keepsRollbackImage: true, swapBackWorks: false, revertWorks: config.xipRevert, uploadOffset: "first-sector", uploadDuringTrialHarms: config.xipRevert };
  }
}

/** The previous image is still on the device after an upgrade. */
export function keepsRollbackImage(config: Pick<BootConfig, "mode" | "xipRevert">): boolean {
  return modeFacts(config).keepsRollbackImage;
}

/** Asking for the image in the secondary slot brings it back; in swap-offset the request erases it instead. */
export function swapBackWorks(config: Pick<BootConfig, "mode" | "xipRevert">): boolean {
  return modeFacts(config).swapBackWorks;
}

/** Byte of the secondary slot where an upload must begin. */
export function uploadOffset(config: Pick<BootConfig, "mode" | "xipRevert">, areas: readonly AreaSpec[] | FlashGeometry, image = 0): number {
  if (modeFacts(config).uploadOffset === "first-sector") {
    return 0;
  }
  const flash = Flash.create(areas);
  return flash.area(image === 0 ? 2 : 3 + 2 * image).sectorSize[0] ?? 0;
}
