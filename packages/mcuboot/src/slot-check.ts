// SPDX-License-Identifier: Apache-2.0
import { slotIds } from "./config.ts";
import type { ImageHeader } from "./format.ts";
import { HEADER_BYTES, IMAGE_MAGIC, ImageFlag, TlvType, decodeHeader, isEncrypted, readVersion, u32 } from "./format.ts";
import type { Loader, SlotIndex, SwapStatus } from "./loader.ts";
import { PRIMARY, SECONDARY, Swap, isUpgrade } from "./loader.ts";
import type { UpgradeMode } from "./swap-status.ts";
import { isReset } from "./swap-status.ts";
import { swapType } from "./swap-type.ts";
import { TlvCursor, locateTlvs } from "./tlv.ts";
import { checkHeader, securityCounter, validateImage } from "./validate.ts";
import { compareVersion } from "./version.ts";

/** Whether a slot holds an image fit to boot; a bad one in the secondary (in direct-XIP in either slot) is erased. */
export function slotValid(
  loader: Loader,
  mode: UpgradeMode,
  slot: SlotIndex,
  status: SwapStatus | undefined,
  expected: number = 0,
): boolean {
  const { config, flash } = loader;
  const { area } = loader.slot(slot);
  const isXip = config.mode === "direct-xip";
  if (loader.headerErased(slot) || (loader.slot(slot).header.flags & ImageFlag.nonBootable) !== 0) {
    clearLeftoverTrailer(loader, slot, status);
    return false;
  }
  const freshRequest = expected === Swap.test || expected === Swap.perm;
  if (config.mode === "swap-offset" && slot === SECONDARY && freshRequest && status !== undefined && isReset(loader, status)) {
    const first = flash.read(area, 0, HEADER_BYTES);
    if (first === undefined) {
      return false;
    }
    if (decodeHeader(first).magic === IMAGE_MAGIC) {
      // An image in the first sector was most likely uploaded to the wrong place.
      loader.eraseSlot(slot);
      return false;
    }
  }
  if (config.mode === "overwrite" && config.downgrade !== null && slot === SECONDARY) {
    const order = compareVersion(loader.secondary.header.version, loader.primary.header.version, { build: config.versionCmpBuild });
    if (order < 0 && !loader.headerErased(PRIMARY)) {
      loader.eraseSlot(slot);
      return false;
    }
  }
  if (!imageValid(loader, mode, slot, status)) {
    if (slot === SECONDARY || isXip) {
      loader.eraseSlot(slot);
    }
    return false;
  }
  return true;
}

/** An erased image with a trailer left behind would keep new uploads from being accepted. */
function clearLeftoverTrailer(loader: Loader, slot: SlotIndex, status: SwapStatus | undefined): void {
  const { config } = loader;
  const { mode } = config;
  if (slot !== SECONDARY || (mode !== "swap-move" && mode !== "swap-offset" && mode !== "swap-scratch")) {
    return;
  }
  loader.eraseTrailer(loader.secondary.area);
  const revertDue = status?.swapType === Swap.revert || swapType(config, loader.flash, loader.image) === "revert";
  if (mode === "swap-move" && revertDue) {
    loader.eraseTrailer(loader.primary.area);
  }
}

function imageValid(loader: Loader, mode: UpgradeMode, slot: SlotIndex, status: SwapStatus | undefined): boolean {
  const { config, flash } = loader;
  const { area, header } = loader.slot(slot);
  if (checkHeader(header, area.size, config.enc !== null) !== undefined) {
    return false;
  }
  const mustDecrypt = config.enc !== null && area.id === slotIds(loader.image).secondary && isEncrypted(header);
  if (mustDecrypt && (status === undefined || loader.loadImageKey(SECONDARY, status) === "failed")) {
    return false;
  }
  const verdict = validateImage(
    header,
    {
      read: (off, len) => flash.read(area, off, len),
      start: loader.imageStart(slot),
      knownDigest: (size, bytes) => {
        const name = flash.rangeIdentity(area, loader.imageStart(slot), size);
        return name === undefined ? undefined : flash.pool.digest(name, bytes);
      },
      plain: mustDecrypt ? (head: ImageHeader, bytes: Uint8Array) => loader.decryptImage(head, bytes) : undefined,
    },
    {
      sig: config.sig,
      keys: config.keys,
      tlvAllowList: config.tlvAllowList,
      maxSize: mode.maxImageSize(loader, area),
      rollbackCounter: config.hwRollback ? (loader.counters[loader.image] ?? 0) : undefined,
    },
  );
  return verdict.ok;
}

/** True when downgrade prevention refuses the pending image, which is then erased. Reverts are never refused. */
export function downgradeRefused(loader: Loader): boolean {
  const { config, flash } = loader;
  if (config.downgrade === null || config.mode === "overwrite") {
    return false;
  }
  let refused: boolean;
  if (config.downgrade === "counter") {
    const counter = (slot: SlotIndex): number | undefined => {
      const { area, header } = loader.slot(slot);
      return securityCounter(header, (off, len) => flash.read(area, off, len), loader.imageStart(slot));
    };
    const installed = counter(PRIMARY);
    if (installed === undefined) {
      return false;
    }
    const offered = counter(SECONDARY);
    refused = offered === undefined || installed > offered;
  } else {
    refused = compareVersion(loader.secondary.header.version, loader.primary.header.version, { build: config.versionCmpBuild }) < 0;
  }
  if (refused) {
    loader.eraseSlot(SECONDARY);
  }
  return refused;
}

/** Whether every dependency of the image in a slot is met; `present` tells which slot another image will run from. */
export function dependenciesMet(loader: Loader, slot: SlotIndex, present: (image: number) => SlotIndex | undefined): boolean {
  const { config, flash } = loader;
  const { area, header } = loader.slot(slot);
  const read = (off: number, len: number): Uint8Array | undefined => flash.read(area, off, len);
  const tlvs = locateTlvs(header, read, loader.imageStart(slot));
  if (tlvs === undefined) {
    return false;
  }
  const cursor = new TlvCursor(header, tlvs, read, { protectedOnly: true });
  for (;;) {
    const entry = cursor.nextOf(TlvType.dependency);
    if (entry === "end") {
      return true;
    }
    const value = entry === "malformed" || entry.len !== 12 ? undefined : read(entry.off, 12);
    const image = value === undefined ? config.images : (u32(value, 0) & 0xff);
    const from = image < config.images ? present(image) : undefined;
    const other = from === undefined ? undefined : loader.slots[image]?.[from];
    if (value === undefined || other === undefined) {
      return false;
    }
    if (compareVersion(other.header.version, readVersion(value, 4), { build: config.versionCmpBuild }) < 0) {
      return false;
    }
  }
}

/** The slot an image will run from after the swaps now planned. */
export function slotAfterSwap(loader: Loader, image: number): SlotIndex {
  return isUpgrade(loader.swapTypes[image] ?? 0) ? SECONDARY : PRIMARY;
}
