// SPDX-License-Identifier: Apache-2.0
import { alignUp } from "./format.ts";
import type { Loader, SwapStatus } from "./loader.ts";
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
import { readSwapSize, readTrailer, writeImageOk, writeMagic, writeSwapSize } from "./trailer.ts";

// MCUboot design document, "Image swap without using scratch" (swap-move): the primary image moves up by one sector,
// last sector first; then each sector of the secondary goes to the primary, and the moved one to the secondary.

/** Number of sectors taking part in a swap. */
function sectorsIn(loader: Loader, size: number): number {
  const sectorSize = loader.sectorSize(PRIMARY, 0);
  // The original counts up in 32 bits and never comes to an end for a size that no count reaches.
  assertThat(size <= 0xffffffff - sectorSize, "swap size beyond any slot");
  return Math.max(1, Math.ceil(size / sectorSize));
}

export const swapMove: SwapMachine = {
  readHeader(loader, slot, status) {
    let from = slot;
    let off = 0;
    if (status !== undefined && !isReset(loader, status)) {
      const last = sectorsIn(loader, readSwapSize(loader.config, loader.flash, findStatusArea(loader)));
      const sectorSize = loader.sectorSize(PRIMARY, 0);
      if (status.op === "move") {
        off = slot === PRIMARY && status.idx > last ? sectorSize : 0;
      } else if (status.idx > 1 && status.idx <= last) {
        from = slot === PRIMARY ? SECONDARY : PRIMARY;
      } else if (status.idx === 1) {
        if (slot === PRIMARY) {
          off = sectorSize;
        } else if (status.state === 2) {
          from = PRIMARY;
        }
      }
    }
    return loader.loadHeader(slot, loader.slot(from).area, off) && (status === undefined || loader.hasMagic(slot));
  },

  slotsCompatible(loader) {
    const pri = loader.primary.sectors;
    const sec = loader.secondary.sectors;
    if ((pri !== sec && pri !== sec + 1) || pri > loader.config.maxImgSectors) {
      return false;
    }
    for (let i = 0; i < sec; i++) {
      if (loader.sectorSize(PRIMARY, i) !== loader.sectorSize(SECONDARY, i)) {
        return false;
      }
    }
    return pri === sec || (sec > 0 && loader.sectorSize(PRIMARY, sec) === loader.sectorSize(PRIMARY, sec - 1));
  },

  maxImageSize(loader) {
    const sectorSize = loader.sectorSize(PRIMARY, 0);
    const trailer = alignUp(loader.trailerSize, sectorSize);
    const primary = (loader.primary.sectors * sectorSize - trailer - sectorSize) >>> 0;
    const secondary = (loader.secondary.sectors * sectorSize - trailer) >>> 0;
    return Math.min(primary, secondary);
  },

  statusSource: sourceOfTwoSlots,

  readStatusCells(loader, area, status) {
    const found = lastStatusCell(loader, area);
    const moveCells = loader.config.maxImgSectors;
    if (found === undefined || found === 0) {
      return found === 0;
    }
    if (found < moveCells) {
      status.op = "move";
      status.idx = found + 1;
      status.state = 1;
    } else {
      status.op = "swap";
      status.idx = Math.floor((found - moveCells) / 2) + 1;
      status.state = ((found - moveCells) % 2) + 1;
    }
    return true;
  },

  nextCell(loader, status) {
    return status.op === "move" ? status.idx - 1 : loader.config.maxImgSectors + (status.idx - 1) * 2 + status.state - 1;
  },

  swap(loader, status, size) {
    const last = sectorsIn(loader, size);
    if (isReset(loader, status) && last >= firstTrailerSector(loader, loader.sectorSize(PRIMARY, 0))) {
      // No room to move the image up.
      status.swapType = Swap.none;
      return;
    }
    protectRevert(loader, status);
    if (status.op === "move") {
      for (let n = last; n > 0; n--) {
        if (n <= (last - status.idx + 1) >>> 0) {
          moveUp(loader, status, n);
        }
      }
      status.idx = 1;
    }
    status.op = "swap";
    for (let n = 1; n <= last; n++) {
      if (n >= status.idx) {
        swapSector(loader, status, n);
      }
    }
  },
};

/**
 * A revert starts with the only status in the primary trailer, which the swap is about to rewrite. Writing a permanent
 * request into the secondary first keeps the wish alive through a power cut in between.
 */
function protectRevert(loader: Loader, status: SwapStatus): void {
  const { config, flash } = loader;
  const { area } = loader.secondary;
  if (status.swapType !== Swap.revert || status.op !== "move" || status.idx !== 1) {
    return;
  }
  const { magic } = readTrailer(config, flash, area);
  // A magic torn by a power cut protects nothing; the original takes it for a foreign trailer and goes on: deviation S5.
  if (magic === "unset" || (magic === "bad" && config.profile === "safe")) {
    assertThat(loader.eraseTrailer(area), "secondary trailer erase");
    assertThat(writeImageOk(config, flash, area), "image_ok write");
    assertThat(writeSwapSize(config, flash, area, status.swapSize), "swap_size write");
    assertThat(writeMagic(config, flash, area), "magic write");
  }
}

function moveUp(loader: Loader, status: SwapStatus, n: number): void {
  const { area } = loader.primary;
  const size = loader.sectorSize(PRIMARY, 0);
  const to = loader.sectorOff(PRIMARY, n);
  const from = loader.sectorOff(PRIMARY, n - 1);
  if (status.idx === 1) {
    if (status.source !== "primary") {
      assertThat(loader.eraseTrailer(area), "primary trailer erase");
      initStatus(loader, area, status);
    }
    assertThat(loader.eraseTrailer(loader.secondary.area), "secondary trailer erase");
  }
  assertThat(loader.eraseRegion(area, to, size), "erase");
  assertThat(loader.copyRegion(area, area, from, to, size), "copy");
  writeStatus(loader, swapMove, status);
  status.idx++;
}

function swapSector(loader: Loader, status: SwapStatus, n: number): void {
  const primary = loader.primary.area;
  const secondary = loader.secondary.area;
  const size = loader.sectorSize(PRIMARY, 0);
  const moved = loader.sectorOff(PRIMARY, n);
  const pri = loader.sectorOff(PRIMARY, n - 1);
  const sec = loader.sectorOff(SECONDARY, n - 1);
  if (status.state === 1) {
    assertThat(loader.eraseRegion(primary, pri, size), "erase");
    assertThat(loader.copyRegion(secondary, primary, sec, pri, size), "copy");
    writeStatus(loader, swapMove, status);
    status.state = 2;
  }
  if (status.state === 2) {
    assertThat(loader.eraseRegion(secondary, sec, size), "erase");
    assertThat(loader.copyRegion(primary, secondary, moved, sec, size), "copy");
    writeStatus(loader, swapMove, status);
    status.idx++;
    status.state = 1;
  }
}
