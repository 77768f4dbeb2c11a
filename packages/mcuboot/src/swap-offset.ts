// SPDX-License-Identifier: Apache-2.0
import { alignUp } from "./format.ts";
import type { Loader, SlotIndex, SwapStatus } from "./loader.ts";
import { PRIMARY, SECONDARY, Swap, assertThat } from "./loader.ts";
import type { SwapMachine } from "./swap-status.ts";
import {
  findStatusArea,
  firstTrailerSector,
  initStatus,
  isReset,
  lastStatusCell,
  sourceOfTwoSlots,
  writeStatus,
} from "./swap-status.ts";
import { swapType } from "./swap-type.ts";
import { readSwapSize, readTlvSizes, readTrailer, writeCopyDone } from "./trailer.ts";

// MCUboot design document, "Swap using offset": an upload lies one sector up in the secondary slot, so each sector of the
// primary goes to the free sector below before its successor arrives. A revert runs the other way, last sector first.

/** Index of the last sector taking part in a swap. */
function lastSector(loader: Loader, size: number): number {
  const sectorSize = loader.sectorSize(PRIMARY, 0);
  assertThat(size <= 0xffffffff - sectorSize, "swap size beyond any slot");
  return Math.max(1, Math.ceil(size / sectorSize)) - 1;
}

function revertDue(loader: Loader): boolean {
  return swapType(loader.config, loader.flash, loader.image) === "revert";
}

export const swapOffset: SwapMachine = {
  readHeader(loader, slot, status) {
    const resuming = status !== undefined && !isReset(loader, status);
    const place = resuming ? headerDuringSwap(loader, slot, status) : headerAtRest(loader, slot, status);
    let { off } = place;
    if (!loader.loadHeader(slot, loader.slot(place.slot).area, off)) {
      return false;
    }
    if (!resuming && slot === SECONDARY && !loader.hasMagic(slot)) {
      off = revertDue(loader) ? loader.sectorSize(SECONDARY, 0) : 0;
      if (!loader.loadHeader(slot, loader.slot(place.slot).area, off)) {
        return false;
      }
    }
    const settles = status !== undefined || (loader.config.bootstrap && loader.bootstrapOffsetSet[loader.image] === false);
    if (loader.hasMagic(slot) && place.slot === SECONDARY && settles) {
      loader.bootstrapOffsetSet[loader.image] = true;
      loader.secondaryOffset = off;
    }
    return status === undefined || loader.hasMagic(slot);
  },

  slotsCompatible(loader) {
    const pri = loader.primary.sectors;
    const sec = loader.secondary.sectors;
    if ((pri !== sec && pri + 1 !== sec) || pri > loader.config.maxImgSectors) {
      return false;
    }
    for (let i = 0; i < sec - 1; i++) {
      if (loader.sectorSize(PRIMARY, i) !== loader.sectorSize(SECONDARY, i)) {
        return false;
      }
    }
    return true;
  },

  maxImageSize(loader) {
    const sectorSize = loader.sectorSize(PRIMARY, 0);
    const trailer = alignUp(loader.trailerSize, sectorSize);
    const primary = (loader.primary.sectors * sectorSize - trailer) >>> 0;
    const secondary = (loader.secondary.sectors * sectorSize - trailer - sectorSize) >>> 0;
    return Math.min(primary, secondary);
  },

  statusSource: sourceOfTwoSlots,

  readStatusCells(loader, area, status) {
    const found = lastStatusCell(loader, area);
    if (found === undefined || found === 0) {
      return found === 0;
    }
    status.op = "swap";
    status.idx = Math.floor(found / 2) + 1;
    status.state = (found % 2) + 1;
    return true;
  },

  nextCell(_loader, status) {
    return (status.idx - 1) * 2 + status.state - 1;
  },

  swap(loader, status, size) {
    const { config, flash } = loader;
    const last = lastSector(loader, size);
    const sectorSize = loader.sectorSize(PRIMARY, 0);
    const primary = loader.primary.area;
    const secondary = loader.secondary.area;
    if (isReset(loader, status) && last >= firstTrailerSector(loader, sectorSize)) {
      status.swapType = Swap.none;
      return;
    }
    protectRevert(loader, status);
    if (status.idx === 1) {
      if (status.source !== "primary") {
        assertThat(loader.eraseTrailer(primary), "primary trailer erase");
        initStatus(loader, primary, status);
      }
      assertThat(loader.eraseTrailer(secondary), "secondary trailer erase");
    }
    const tlvs = readTlvSizes(config, flash, primary);
    const used = { primary: usedSectors(loader, PRIMARY, tlvs.primary), secondary: usedSectors(loader, SECONDARY, tlvs.secondary) };
    const reverting = status.swapType === Swap.revert || revertDue(loader);
    for (let step = 0; step <= last; step++) {
      if (step >= status.idx - 1) {
        const n = reverting ? last - step : step;
        exchange(loader, status, n, reverting, { primary: n > used.primary, secondary: n > used.secondary });
      }
    }
    if (reverting) {
      // What is left in the first sector must not be taken for an image.
      assertThat(loader.eraseRegion(secondary, 0, sectorSize), "erase");
      assertThat(loader.eraseTrailer(secondary), "secondary trailer erase");
    }
  },
};

/** Where a header lies when no swap is under way: an upload is in the second sector, a fallback image in the first. */
function headerAtRest(loader: Loader, slot: SlotIndex, status: SwapStatus | undefined): { slot: SlotIndex; off: number } {
  const reverting = (status !== undefined && status.swapType === Swap.revert) || revertDue(loader);
  return { slot, off: slot === SECONDARY && !reverting ? loader.sectorSize(SECONDARY, 0) : 0 };
}

function headerDuringSwap(loader: Loader, slot: SlotIndex, status: SwapStatus): { slot: SlotIndex; off: number } {
  const last = lastSector(loader, readSwapSize(loader.config, loader.flash, findStatusArea(loader)));
  const up = loader.sectorSize(PRIMARY, 0);
  const step = status.idx - 1;
  if (status.swapType === Swap.revert || revertDue(loader)) {
    // Sector 0, with the headers, is the last step of a revert.
    if (slot === PRIMARY) {
      return step > last || (step === last && status.state === 2) ? { slot: SECONDARY, off: up } : { slot: PRIMARY, off: 0 };
    }
    return step > last ? { slot: PRIMARY, off: 0 } : { slot: SECONDARY, off: 0 };
  }
  if (slot === PRIMARY) {
    const copiedDown = status.idx > 1 || status.state === 2;
    // The original compares a step counted from 1 with a last sector counted from 0, so that during the last sector
    // it looks into the wrong slot: docs/mcuboot-modes.md, deviation S1.
    const withinLast = loader.config.profile === "safe" || status.idx <= last;
    return copiedDown && withinLast ? { slot: SECONDARY, off: 0 } : { slot: PRIMARY, off: 0 };
  }
  return status.idx > 1 ? { slot: PRIMARY, off: 0 } : { slot: SECONDARY, off: up };
}

/** Sectors of an image, by the header as read and the TLV size stored at the start of the swap. */
function usedSectors(loader: Loader, slot: SlotIndex, unprotectedTlvs: number): number {
  const { header } = loader.slot(slot);
  if (loader.config.profile === "safe" && !loader.hasMagic(slot)) {
    // Nothing is known about what lies there, so nothing may be skipped: deviation S7.
    return Infinity;
  }
  const size = (header.hdrSize + unprotectedTlvs + header.protTlvSize + header.imgSize) >>> 0;
  const sectorSize = loader.sectorSize(PRIMARY, 0);
  return Math.floor(((size + sectorSize - 1) >>> 0) / sectorSize);
}

/** A revert's wish is kept in the secondary trailer while the primary trailer is rewritten. */
function protectRevert(loader: Loader, status: SwapStatus): void {
  const { config, flash } = loader;
  const { area } = loader.secondary;
  if (status.swapType !== Swap.revert || status.idx !== 1) {
    return;
  }
  if (config.profile === "safe" && status.source === "primary") {
    // The primary trailer already carries the revert; another one would restart it half way: deviation S2.
    return;
  }
  const { magic } = readTrailer(config, flash, area);
  // As in swap-move: deviation S5.
  if (magic === "unset" || (magic === "bad" && config.profile === "safe")) {
    assertThat(loader.eraseTrailer(area), "secondary trailer erase");
    assertThat(writeCopyDone(config, flash, area), "copy_done write");
    initStatus(loader, area, status);
  }
}

/** One step: the primary's sector goes to the secondary, then the secondary's other sector to the primary. */
function exchange(
  loader: Loader,
  status: SwapStatus,
  n: number,
  reverting: boolean,
  skip: { primary: boolean; secondary: boolean },
): void {
  const primary = loader.primary.area;
  const secondary = loader.secondary.area;
  const size = loader.sectorSize(PRIMARY, 0);
  const pri = loader.sectorOff(PRIMARY, n);
  const down = reverting ? loader.sectorOff(SECONDARY, n + 1) : loader.sectorOff(SECONDARY, n);
  if (status.state === 1) {
    if (!skip.primary) {
      assertThat(loader.eraseRegion(secondary, down, size), "erase");
      assertThat(loader.copyRegion(primary, secondary, pri, down, size, reverting ? size : 0), "copy");
    }
    writeStatus(loader, swapOffset, status);
    status.state = 2;
  }
  if (status.state === 2) {
    if (!skip.secondary) {
      const up = reverting ? pri : loader.sectorOff(PRIMARY, n + 1);
      assertThat(loader.eraseRegion(primary, pri, size), "erase");
      assertThat(loader.copyRegion(secondary, primary, up, pri, size), "copy");
    }
    writeStatus(loader, swapOffset, status);
    status.idx++;
    status.state = 1;
  }
}
