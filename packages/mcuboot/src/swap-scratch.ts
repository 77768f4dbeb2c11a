// SPDX-License-Identifier: Apache-2.0
import { alignDown } from "./format.ts";
import type { FlashArea } from "./geometry.ts";
import type { Loader, SlotIndex, SwapStatus } from "./loader.ts";
import { PRIMARY, SECONDARY, assertThat } from "./loader.ts";
import type { SwapMachine } from "./swap-status.ts";
import { findStatusArea, initStatus, isReset, noteStatusWrite, statusCell, statusCells, statusOffset, swapTypeNumber, writeStatus } from "./swap-status.ts";
import type { TrailerState } from "./trailer.ts";
import { readSwapSize, readTrailer, scratchTrailerSize, writeImageOk, writeMagic, writeSwapInfo, writeSwapSize } from "./trailer.ts";

// MCUboot design document, "Swap status" and "Image swap using scratch": sectors are exchanged through the scratch area in
// chunks as large as it, last chunk first.

export const swapScratch: SwapMachine = {
  readHeader(loader, slot, status) {
    let area = loader.slot(slot).area;
    if (status !== undefined && !isReset(loader, status)) {
      const chunks = chunkCount(loader, readSwapSize(loader.config, loader.flash, findStatusArea(loader)));
      const done = status.idx - 1;
      if (done >= chunks) {
        area = loader.slot(slot === PRIMARY ? SECONDARY : PRIMARY).area;
      } else if (done === chunks - 1) {
        // The first chunk of each slot, with the headers, is the last to be exchanged.
        if (slot === SECONDARY && status.state >= 2) {
          area = loader.scratchArea();
        } else if (slot === PRIMARY && status.state >= 3) {
          area = loader.secondary.area;
        }
      }
    }
    return loader.loadHeader(slot, area, 0);
  },

  slotsCompatible(loader) {
    const { maxImgSectors } = loader.config;
    return loader.primary.sectors <= maxImgSectors && loader.secondary.sectors <= maxImgSectors && pairSectors(loader)?.exact === true;
  },

  maxImageSize(loader) {
    const paired = pairSectors(loader);
    if (paired === undefined) {
      return 0;
    }
    const trailerOff = paired.size - loader.trailerSize;
    const inFirstSector = Math.max(trailerSectorEnd(loader, PRIMARY), trailerSectorEnd(loader, SECONDARY)) - trailerOff;
    // Unsigned in the original: a negative part counts as a large one.
    const padding = inFirstSector < 0 ? 0 : Math.max(0, scratchTrailerSize(loader.config, loader.writeSize) - inFirstSector);
    const most = (trailerOff - padding) >>> 0;
    // What ends at an offset that another area cannot be written to makes the exact build assert: deviation S8.
    return loader.config.profile === "safe" ? alignDown(most, coarsestAlign(loader)) : most;
  },

  statusSource(loader) {
    const { config, flash } = loader;
    const primary = readTrailer(config, flash, loader.primary.area);
    const scratch = readTrailer(config, flash, loader.scratchArea());
    if (config.profile === "safe" && scratch.magic === "good" && pastFirstChunk(loader, primary)) {
      // The scratch trailer is a leftover of the first chunk, its data perhaps half erased: deviation S3.
      return "primary";
    }
    if (primary.magic === "good" && scratch.magic !== "good" && primary.copyDone !== "bad") {
      return primary.copyDone === "set" ? "none" : "primary";
    }
    if (scratch.magic === "good") {
      return config.images > 1 && scratch.imageNum !== loader.image ? "none" : "scratch";
    }
    return primary.magic === "unset" && primary.copyDone === "unset" ? "primary" : "none";
  },

  readStatusCells(loader, area, status) {
    const cells = statusCells(loader, area);
    let begun = false;
    let next = 0;
    let cell = 0;
    for (; cell < cells; cell++) {
      const value = statusCell(loader, area, cell);
      if (value === undefined) {
        return false;
      }
      if (value === 0xff) {
        if (begun && next === 0) {
          next = cell;
        }
      } else if (!begun) {
        begun = true;
      } else if (next !== 0) {
        // Written cells after an erased one: a status write was lost.
        assertThat(loader.config.validatePrimary, "inconsistent status");
        break;
      }
    }
    if (begun) {
      const at = next === 0 ? cell : next;
      status.idx = Math.floor(at / 3) + 1;
      status.state = (at % 3) + 1;
    }
    return true;
  },

  nextCell(_loader, status) {
    return (status.idx - 1) * 3 + status.state - 1;
  },

  swap(loader, status, size) {
    let last = lastSector(loader, size);
    for (let chunk = 0; last >= 0; chunk++) {
      const { first, size: chunkSize } = chunkEndingAt(loader, last);
      if (chunk >= status.idx - 1) {
        exchange(loader, status, first, chunkSize);
      }
      last = first - 1;
    }
  },
};

function coarsestAlign(loader: Loader): number {
  return Math.max(loader.primary.area.align, loader.secondary.area.align, loader.scratchArea().align);
}

/** True when the primary trailer alone proves that the chunk which kept its status in scratch is finished. */
function pastFirstChunk(loader: Loader, primary: TrailerState): boolean {
  if (primary.magic !== "good" || primary.copyDone !== "unset") {
    return false;
  }
  return [0, 1, 2].every((cell) => statusCell(loader, loader.primary.area, cell) !== 0xff);
}

/**
 * Walks both slots' sectors in step, so that groups of equal size (and, with scratch, no larger than it) form.
 *
 * `exact` is false when the walk ran past the end of the shorter slot. The original does not notice that: it reads on
 * in its array of sectors, which is why some unequal layouts have a maximum image size and others have none.
 */
export function pairSectors(loader: Loader): { size: number; exact: boolean } | undefined {
  const pri = loader.primary;
  const sec = loader.secondary;
  const room = loader.scratch?.size;
  let i = 0;
  let j = 0;
  let priSize = 0;
  let secSize = 0;
  let total = 0;
  let smaller: "none" | "primary" | "secondary" = "none";
  while (i < pri.sectors || j < sec.sectors) {
    const growPri = priSize <= secSize;
    const growSec = secSize <= priSize;
    if (growPri) {
      const size = sectorInMemory(loader, PRIMARY, i++);
      if (size === undefined || (!growSec && smaller === "secondary")) {
        return undefined;
      }
      priSize += size;
    }
    if (growSec) {
      const size = sectorInMemory(loader, SECONDARY, j++);
      if (size === undefined || (!growPri && smaller === "primary")) {
        return undefined;
      }
      secSize += size;
    }
    if (growPri !== growSec) {
      smaller = growPri ? "primary" : "secondary";
    }
    // Overwriting needs no scratch, and the original then never starts a new group.
    if (room !== undefined && priSize === secSize) {
      total += priSize;
      if (priSize > room) {
        return undefined;
      }
      priSize = 0;
      secSize = 0;
      smaller = "none";
    }
  }
  return { size: room === undefined ? Math.min(priSize, secSize) : total, exact: i === pri.sectors && j === sec.sectors };
}

/**
 * Size of a sector as the original's array of sectors has it, beyond the end of a slot too: unused entries are 0, and
 * behind the primaries' entries follow the secondaries' and the scratch area's. Nothing beyond the array.
 */
function sectorInMemory(loader: Loader, slot: SlotIndex, index: number): number | undefined {
  const { maxImgSectors, images } = loader.config;
  let run = slot * images + loader.image + Math.floor(index / maxImgSectors);
  const within = index % maxImgSectors;
  if (run >= 2 * images) {
    run -= 2 * images;
    return run > 0 || loader.scratch === undefined ? undefined : (loader.scratch.sectorSize[within] ?? 0);
  }
  const image = run % images;
  // Later images' layouts are not read yet.
  if (image > loader.image) {
    return 0;
  }
  const other = loader.slots[image]?.[run < images ? PRIMARY : SECONDARY];
  return within < (other?.sectors ?? 0) ? (other?.area.sectorSize[within] ?? 0) : 0;
}

/** Index of the first sector of a slot that holds trailer bytes. */
function firstTrailerSector(loader: Loader, slot: SlotIndex, trailer: number): number {
  let first = loader.slot(slot).sectors - 1;
  for (let size = loader.sectorSize(slot, first); size < trailer; size += loader.sectorSize(slot, first)) {
    first--;
  }
  return first;
}

function trailerSectorEnd(loader: Loader, slot: SlotIndex): number {
  const first = firstTrailerSector(loader, slot, loader.trailerSize);
  return loader.sectorOff(slot, first) + loader.sectorSize(slot, first);
}

/** Sectors of the primary ending at `last` that fit scratch together. */
function chunkEndingAt(loader: Loader, last: number): { first: number; size: number } {
  const room = loader.scratchArea().size;
  let size = 0;
  let first = last + 1;
  while (first > 0 && size + loader.sectorSize(PRIMARY, first - 1) <= room) {
    first--;
    size += loader.sectorSize(PRIMARY, first);
  }
  assertThat(first <= last, "sector larger than scratch");
  return { first, size };
}

/** Index of the last primary sector to be swapped: the first border common to both slots at or behind `size` bytes. */
function lastSector(loader: Loader, size: number): number {
  let pri = 0;
  let sec = 0;
  let priSize = 0;
  let secSize = 0;
  while (priSize < size || secSize < size || priSize !== secSize) {
    const growPri = priSize < size || priSize < secSize;
    if (growPri) {
      priSize += loader.sectorSize(PRIMARY, pri++);
    }
    if (secSize < size || secSize < priSize) {
      secSize += loader.sectorSize(SECONDARY, sec++);
    }
  }
  return pri - 1;
}

function chunkCount(loader: Loader, size: number): number {
  let count = 0;
  for (let last = lastSector(loader, size); last >= 0; count++) {
    last = chunkEndingAt(loader, last).first - 1;
  }
  return count;
}

function exchange(loader: Loader, status: SwapStatus, first: number, size: number): void {
  const { config } = loader;
  const primary = loader.primary.area;
  const secondary = loader.secondary.area;
  const scratch = loader.scratchArea();
  const trailer = loader.trailerSize;
  const off = loader.sectorOff(PRIMARY, first);
  const trailerOff = loader.sectorOff(PRIMARY, firstTrailerSector(loader, PRIMARY, trailer));

  let reach = size;
  if (off + size > trailerOff) {
    // The chunk reaches the trailer: copy image bytes only, and no more than fit below the trailer in scratch.
    reach = Math.min((primary.size - off - trailer) >>> 0, statusOffset(loader, scratch));
  }
  const copied = config.profile === "safe" ? alignDown(reach, coarsestAlign(loader)) : reach;
  status.useScratch = status.idx === 1 && copied !== size;

  if (status.state === 1) {
    fillScratch(loader, status, scratch);
    assertThat(loader.copyRegion(secondary, scratch, off, 0, copied), "copy");
    writeStatus(loader, swapScratch, status);
    status.state = 2;
  }

  if (status.state === 2) {
    let erase = size;
    if (status.idx === 1) {
      assertThat(loader.eraseTrailer(secondary), "secondary trailer erase");
      if (status.useScratch) {
        erase = loader.sectorOff(SECONDARY, firstTrailerSector(loader, SECONDARY, trailer)) - off;
      }
    }
    eraseBelowTrailer(loader, secondary, off, erase);
    assertThat(loader.copyRegion(primary, secondary, off, off, copied), "copy");
    writeStatus(loader, swapScratch, status);
    status.state = 3;
  }

  if (status.state === 3) {
    let erase = size;
    if (status.useScratch) {
      assertThat(loader.eraseTrailer(primary), "primary trailer erase");
      erase = trailerOff - off;
    }
    eraseBelowTrailer(loader, primary, off, erase);
    assertThat(loader.copyRegion(scratch, primary, 0, off, copied), "copy");
    const statusWasInScratch = status.useScratch;
    if (statusWasInScratch) {
      moveStatusToPrimary(loader, status, off + reach);
    }
    status.useScratch = false;
    writeStatus(loader, swapScratch, status);
    status.idx++;
    status.state = 1;
    if (statusWasInScratch) {
      assertThat(loader.eraseRegion(scratch, 0, scratch.size, "backward"), "scratch erase");
    }
  }
}

/** Copies the two status cells written so far, and rebuilds the rest of the trailer in the primary. */
function moveStatusToPrimary(loader: Loader, status: SwapStatus, to: number): void {
  const { config, flash } = loader;
  const scratch = loader.scratchArea();
  const primary = loader.primary.area;
  noteStatusWrite(loader, loader.copyRegion(scratch, primary, statusOffset(loader, scratch), to, 2 * loader.writeSize));
  const state = readTrailer(config, flash, scratch);
  if (state.imageOk === "set") {
    assertThat(writeImageOk(config, flash, primary), "image_ok write");
  }
  if (state.swapType !== "none") {
    assertThat(writeSwapInfo(config, flash, primary, swapTypeNumber(state.swapType), loader.image), "swap_info write");
  }
  assertThat(writeSwapSize(config, flash, primary, status.swapSize), "swap_size write");
  loader.writeImageKeys(primary, status);
  assertThat(writeMagic(config, flash, primary), "magic write");
}

/** Empties scratch for a chunk; for the first chunk it also places the status, in scratch or (by way of it) in the primary. */
function fillScratch(loader: Loader, status: SwapStatus, scratch: FlashArea): void {
  const { config, flash } = loader;
  const primary = loader.primary.area;
  // When scratch holds the only trace of the wish to swap, erasing it first could lose a revert: deviation S4.
  const keepTrailer =
    config.profile === "safe" && status.idx === 1 && !status.useScratch && readTrailer(config, flash, scratch).magic === "good";
  if (!keepTrailer) {
    assertThat(loader.eraseRegion(scratch, 0, scratch.size), "scratch erase");
  }
  if (status.idx !== 1) {
    return;
  }
  if (!keepTrailer) {
    initStatus(loader, scratch, status);
  }
  if (!status.useScratch) {
    assertThat(loader.eraseTrailer(primary), "primary trailer erase");
    initStatus(loader, primary, status);
    assertThat(loader.eraseRegion(scratch, 0, scratch.size), "scratch erase");
  }
}

function eraseBelowTrailer(loader: Loader, area: FlashArea, off: number, size: number): void {
  if (size !== 0) {
    assertThat(size > 0 && loader.eraseRegion(area, off, size), "erase");
  }
}
