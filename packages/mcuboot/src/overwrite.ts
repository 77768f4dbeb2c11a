// SPDX-License-Identifier: Apache-2.0
import type { Loader, SwapStatus } from "./loader.ts";
import { PRIMARY, SECONDARY, assertThat } from "./loader.ts";
import { isEncrypted } from "./format.ts";
import { pairSectors } from "./swap-scratch.ts";
import type { UpgradeMode } from "./swap-status.ts";
import { trailerOffsets, writeMagic } from "./trailer.ts";
import { imageSize, securityCounter } from "./validate.ts";

/** Overwrite-only: the secondary image replaces the primary one, and nothing is kept. */
export const overwrite: UpgradeMode = {
  readHeader(loader, slot) {
    return loader.loadHeader(slot, loader.slot(slot).area, 0);
  },
  slotsCompatible(loader) {
    const { maxImgSectors } = loader.config;
    return loader.primary.sectors <= maxImgSectors && loader.secondary.sectors <= maxImgSectors && pairSectors(loader)?.exact === true;
  },
  maxImageSize(loader, area) {
    return trailerOffsets(loader.config, area).swapInfo;
  },
};

/** Total size of a slot's image; remembers its unprotected TLV size for swap-offset. */
export function measureImage(loader: Loader, slot: typeof PRIMARY | typeof SECONDARY): number {
  const { area, header } = loader.slot(slot);
  const size = imageSize(header, (off, len) => loader.flash.read(area, off, len), loader.imageStart(slot));
  assertThat(size !== undefined, "image size");
  loader.slot(slot).unprotectedTlvSize = size.unprotected & 0xffff;
  return size.total;
}

/**
 * Replaces the primary image by the secondary one: overwrite-only upgrades, and bootstrap in the swap modes.
 *
 * Fast overwrite, move and offset touch only the sectors the image and the trailer need; the others copy the whole slot.
 */
export function copyImage(loader: Loader, status: SwapStatus): void {
  const { config } = loader;
  const { mode } = config;
  const measured = mode === "swap-move" || mode === "swap-offset" || (mode === "overwrite" && config.overwriteFast);
  const size = measured ? eraseForImage(loader) : eraseWholeSlot(loader);
  const primary = loader.primary.area;
  const secondary = loader.secondary.area;

  if (config.enc !== null && isEncrypted(loader.secondary.header)) {
    assertThat(loader.loadImageKey(SECONDARY, status) !== "failed", "image key");
  }
  const from = mode === "swap-offset" ? loader.sectorSize(SECONDARY, 0) : 0;
  assertThat(loader.copyRegion(secondary, primary, from, 0, size), "copy");
  if (measured) {
    assertThat(writeMagic(config, loader.flash, primary), "magic write");
  }
  if (config.hwRollback) {
    assertThat(raiseCounter(loader, PRIMARY, SECONDARY), "security counter");
  }
  if (mode !== "swap-move" && mode !== "swap-offset") {
    assertThat(loader.eraseRegion(secondary, 0, loader.sectorSize(SECONDARY, 0)), "erase");
  }
  const last = loader.secondary.sectors - 1;
  assertThat(loader.eraseRegion(secondary, loader.sectorOff(SECONDARY, last), loader.sectorSize(SECONDARY, last)), "erase");
}

/** Erases what image and trailer need; the bytes to copy: the image and, always, part of one more write block. */
function eraseForImage(loader: Loader): number {
  const { area } = loader.primary;
  const imageBytes = measureImage(loader, SECONDARY);
  let size = 0;
  for (let n = 0; n < loader.primary.sectors; n++) {
    const sectorSize = loader.sectorSize(PRIMARY, n);
    assertThat(loader.eraseRegion(area, size, sectorSize), "erase");
    if (size + sectorSize >= imageBytes) {
      size = imageBytes + loader.writeSize - (imageBytes % loader.writeSize);
      break;
    }
    size += sectorSize;
  }
  let sector = loader.primary.sectors;
  let trailerBytes = 0;
  do {
    sector--;
    trailerBytes += loader.sectorSize(PRIMARY, sector);
  } while (trailerBytes < loader.trailerSize);
  assertThat(loader.eraseRegion(area, loader.sectorOff(PRIMARY, sector), trailerBytes), "erase");
  return size;
}

function eraseWholeSlot(loader: Loader): number {
  const { area } = loader.primary;
  assertThat(loader.eraseRegion(area, 0, area.size), "erase");
  return area.size;
}

/** Raises the stored counter to that of the image now in `slot`, whose header is still in `headerSlot`'s state. False without a counter. */
export function raiseCounter(loader: Loader, slot: typeof PRIMARY | typeof SECONDARY, headerSlot: typeof PRIMARY | typeof SECONDARY): boolean {
  const { area } = loader.slot(slot);
  const read = (off: number, len: number): Uint8Array | undefined => loader.flash.read(area, off, len);
  const counter = securityCounter(loader.slot(headerSlot).header, read, loader.imageStart(slot));
  if (counter === undefined) {
    return false;
  }
  loader.counters[loader.image] = Math.max(loader.counters[loader.image] ?? 0, counter);
  return true;
}
