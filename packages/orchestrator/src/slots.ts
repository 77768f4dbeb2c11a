// SPDX-License-Identifier: Apache-2.0
// What follows from the bootloader a device says it has: how large an image may be, and which ways back there are.
import { modeFacts, trailerOffsets, trailerSize } from "@coalmine/mcuboot";
import type { Hardware } from "@coalmine/protocol";

/** What a device's bootloader can do after an update (docs/mcuboot-modes.md). */
export interface BootloaderFacts {
  /** The previous image stays on the device after a confirmed update. */
  readonly keepsRollbackImage: boolean;
  /** It comes back by an order, without a download (R34). */
  readonly swapBackWorks: boolean;
  /** An image that does not confirm is undone. Null: direct-XIP may be built either way, and devices do not say which. */
  readonly revertWorks: boolean | null;
}

export function bootloaderFacts({ mode }: Pick<Hardware, "mode">): BootloaderFacts {
  const { keepsRollbackImage, swapBackWorks, revertWorks } = modeFacts({ mode, xipRevert: false });
  return { keepsRollbackImage, swapBackWorks, revertWorks: mode === "direct-xip" ? null : revertWorks };
}

/** Smallest sector that is assumed, in bytes. */
const sectorBytesMin = 256;

/**
 * The most bytes of header, payload and TLVs that a slot can hold in its mode, whatever its sectors and write size: devices
 * do not report those. The least trailer counts (one byte per write), with the number of sectors that leaves most room
 * (MCUboot design document, "Maximal slot and image size"). A real slot holds this or less, never more.
 */
export function roomMax({ mode, slotSize }: Pick<Hardware, "mode" | "slotSize">): number {
  const trailer = (maxImgSectors: number): number => trailerSize({ mode, maxAlign: 8, maxImgSectors, enc: null }, 1);
  switch (mode) {
    case "overwrite":
    case "direct-xip":
      return Math.max(0, trailerOffsets({ mode, maxAlign: 8, maxImgSectors: 1, enc: null }, { id: 2, size: slotSize, align: 1 }).swapInfo);
    case "swap-scratch":
      return Math.max(0, slotSize - trailer(1));
    case "swap-move":
    case "swap-offset": {
      // One sector is needed to move through, and the trailer fills whole ones: few large sectors, or many small ones.
      let most = 0;
      for (let sector = sectorBytesMin; 2 * sector <= slotSize; sector *= 2) {
        const own = Math.ceil(trailer(Math.ceil(slotSize / sector)) / sector) * sector;
        most = Math.max(most, slotSize - own - sector);
      }
      return most;
    }
  }
}
