// SPDX-License-Identifier: Apache-2.0
import { opsSince } from "./application.ts";
import type { BootConfig, Profile } from "./config.ts";
import { withProfile } from "./config.ts";
import { bootDirectXip } from "./direct-xip.ts";
import type { Flash, FlashOperation, FlashOps, PowerCutPlan } from "./flash.ts";
import { PowerCut } from "./flash.ts";
import type { ImageHeader } from "./format.ts";
import { TlvType, isEncrypted } from "./format.ts";
import type { SlotIndex, SwapStatus } from "./loader.ts";
import { AssertionFailed, Loader, PRIMARY, SECONDARY, Swap, assertThat, isUpgrade } from "./loader.ts";
import { copyImage, measureImage, overwrite, raiseCounter } from "./overwrite.ts";
import { dependenciesMet, downgradeRefused, slotAfterSwap, slotValid } from "./slot-check.ts";
import { swapMove } from "./swap-move.ts";
import { swapOffset } from "./swap-offset.ts";
import { swapScratch } from "./swap-scratch.ts";
import type { SwapMachine, UpgradeMode } from "./swap-status.ts";
import { findStatusArea, freshStatus, isReset, readStatus, resetStatus, setCopyDone, setImageOk, swapTypeNumber } from "./swap-status.ts";
import { swapType } from "./swap-type.ts";
import { TlvCursor, locateTlvs } from "./tlv.ts";
import type { SwapType } from "./trailer.ts";
import { readSwapSize, readTrailer } from "./trailer.ts";
import type { ImageVersion } from "./version.ts";

export interface BootOptions extends PowerCutPlan {
  /** Stored security counters by image (hardware rollback protection); the result carries them on. */
  readonly nv?: readonly number[] | undefined;
  /** Overrides the configuration's profile. */
  readonly profile?: Profile | undefined;
}

/**
 * What one boot came to.
 *
 * `boot`: an image runs. `fail`: the bootloader found nothing to boot and stops. `assert`: an assertion of the bootloader
 * failed; such a device comes back only if the next boot takes another path. `cut`: power was lost as planned.
 */
export interface BootResult {
  readonly outcome: "boot" | "fail" | "assert" | "cut";
  /** Slot of image 0 that runs; set when something boots. */
  readonly slot: "primary" | "secondary" | undefined;
  readonly header: ImageHeader | undefined;
  readonly version: ImageVersion | undefined;
  /** SHA-256 TLV of the image that runs: the artifact's `imageHash`. */
  readonly imageHash: Uint8Array | undefined;
  /** What the trailers of image 0 called for before this boot. */
  readonly swapType: SwapType;
  readonly ops: FlashOps;
  /** Stored security counters after the boot. */
  readonly nv: readonly number[];
  /** Which assertion failed. */
  readonly assertion: string | undefined;
  /** The operation that the power was lost before or in. */
  readonly cutAt: FlashOperation | undefined;
}

/**
 * One boot of the bootloader over a flash, which it changes.
 *
 * Given the same flash and configuration it leaves the same flash as the bootutil it was compared with, operation by
 * operation (`npm run conform -- mcuboot`). Synchronous; never throws for any flash contents.
 */
export function boot(config: BootConfig, flash: Flash, options: BootOptions = {}): BootResult {
  const effective = options.profile === undefined ? config : withProfile(config, options.profile);
  const loader = new Loader(effective, flash, options.nv ?? []);
  const before = flash.ops;
  const typeBefore = swapType(effective, flash);
  let outcome: BootResult["outcome"] = "fail";
  let assertion: string | undefined;
  let cutAt: FlashOperation | undefined;
  let slot: SlotIndex | undefined;
  flash.arm(options);
  try {
    slot = effective.mode === "direct-xip" ? bootDirectXip(loader) : bootSlots(loader);
    outcome = slot === undefined ? "fail" : "boot";
  } catch (error) {
    if (error instanceof PowerCut) {
      outcome = "cut";
      cutAt = error.operation;
    } else if (error instanceof AssertionFailed) {
      outcome = "assert";
      assertion = error.message;
    } else {
      throw error;
    }
  } finally {
    flash.arm();
    flash.settle();
  }
  const running = slot === undefined ? undefined : loader.slots[0]?.[slot];
  return {
    outcome,
    slot: slot === undefined ? undefined : slot === PRIMARY ? "primary" : "secondary",
    header: running?.header,
    version: running?.header.version,
    imageHash: running === undefined ? undefined : imageHashAt(flash, running.area.name, running.header),
    swapType: typeBefore,
    ops: opsSince(before, flash.ops),
    nv: loader.counters,
    assertion,
    cutAt,
  };
}

/** The SHA-256 TLV of an image in flash, unverified. */
export function imageHashAt(flash: Flash, areaName: string, header: ImageHeader, start = 0): Uint8Array | undefined {
  const area = flash.area(areaName);
  const read = (off: number, len: number): Uint8Array | undefined => flash.read(area, off, len);
  const tlvs = locateTlvs(header, read, start);
  const entry = tlvs === undefined ? "end" : new TlvCursor(header, tlvs, read).nextOf(TlvType.sha256);
  return typeof entry === "string" ? undefined : read(entry.off, entry.len)?.slice();
}

const MACHINES: Readonly<Partial<Record<BootConfig["mode"], SwapMachine>>> = {
  "swap-move": swapMove,
  "swap-offset": swapOffset,
  "swap-scratch": swapScratch,
};

/** Swap and overwrite modes: decide, check dependencies, act, validate. The slot to boot is always the primary. */
function bootSlots(loader: Loader): SlotIndex | undefined {
  const { config } = loader;
  const machine = MACHINES[config.mode];
  const mode: UpgradeMode = machine ?? overwrite;
  const status = freshStatus(loader);
  const everyImage = (visit: () => void): void => {
    for (loader.image = 0; loader.image < config.images; loader.image++) {
      visit();
    }
    loader.image = 0;
  };

  everyImage(() => {
    if (config.images > 1) {
      loader.forgetImageKeys();
    }
    const layout = loader.readSectors();
    if (layout !== "ok") {
      loader.swapType = Swap.none;
    }
    if (layout !== "primary") {
      prepare(loader, mode, machine, status);
    }
  });
  if (config.images > 1 && loader.swapTypes.some(isUpgrade)) {
    cancelUnmetDependencies(loader);
  }
  everyImage(() => {
    if (config.images > 1) {
      loader.forgetImageKeys();
      resetStatus(loader, status);
    }
    status.swapType = loader.swapType;
    act(loader, mode, machine, status);
  });

  for (loader.image = 0; loader.image < config.images; loader.image++) {
    if (loader.swapType !== Swap.none && !readHeaders(loader, mode, undefined, false)) {
      return undefined;
    }
    if (config.validatePrimary ? !slotValid(loader, mode, PRIMARY, undefined) : !loader.hasMagic(PRIMARY)) {
      return undefined;
    }
    if (config.hwRollback) {
      const state = readTrailer(config, loader.flash, loader.primary.area);
      // A trial image must not raise the counter, or its fallback could not boot any more.
      if ((state.magic !== "good" || state.imageOk === "set") && !raiseCounter(loader, PRIMARY, PRIMARY)) {
        return undefined;
      }
    }
  }
  return PRIMARY;
}

/** Both headers, or with `requireAll` unset at least the primary's. */
function readHeaders(loader: Loader, mode: UpgradeMode, status: SwapStatus | undefined, requireAll: boolean): boolean {
  if (!mode.readHeader(loader, PRIMARY, status)) {
    return false;
  }
  return mode.readHeader(loader, SECONDARY, status) || !requireAll;
}

/** Completes an interrupted swap of the current image, or determines what is to be done with it. */
function prepare(loader: Loader, mode: UpgradeMode, machine: SwapMachine | undefined, status: SwapStatus): void {
  const { config } = loader;
  if (!readHeaders(loader, mode, undefined, false) || !mode.slotsCompatible(loader)) {
    loader.swapType = Swap.none;
    return;
  }
  resetStatus(loader, status);
  if (machine !== undefined) {
    if (!readStatus(loader, machine, status)) {
      loader.swapType = Swap.none;
      return;
    }
    const readable = readHeaders(loader, mode, status, !isReset(loader, status));
    // A primary without an image must not keep a good one from being installed: deviation S7.
    const mayProceed = config.profile === "safe" || (config.bootstrap && loader.headerErased(PRIMARY));
    if (!readable && !mayProceed) {
      loader.swapType = Swap.none;
      return;
    }
    if (!readable && config.profile === "safe") {
      mode.readHeader(loader, SECONDARY, status);
    }
    if (!isReset(loader, status)) {
      reviewEarlierImages(loader, true);
      resume(loader, machine, status);
      assertThat(readHeaders(loader, mode, undefined, false), "headers after a resumed swap");
      loader.swapType = Swap.none;
      return;
    }
  }
  loader.swapType = status.swapType === Swap.none ? requestedSwap(loader, mode, status) : interruptedSwap(loader, mode, status);
  reviewEarlierImages(loader, false);
  if (config.bootstrap && loader.swapType === Swap.none) {
    bootstrap(loader, mode, status);
  }
}

function requestedSwap(loader: Loader, mode: UpgradeMode, status: SwapStatus): number {
  const { config } = loader;
  const type = swapTypeNumber(swapType(config, loader.flash, loader.image));
  if (config.profile === "safe" && config.mode === "swap-offset" && type === Swap.revert && loader.hasMagic(SECONDARY) && loader.secondaryOffset !== 0) {
    // An upload took the fallback's place. Going back would copy it shifted by a sector: deviation S6.
    return Swap.none;
  }
  return isUpgrade(type) && !slotValid(loader, mode, SECONDARY, status, type) ? Swap.none : type;
}

/** A trailer was begun, but no status written: the swap starts anew, if the image is still good. */
function interruptedSwap(loader: Loader, mode: UpgradeMode, status: SwapStatus): number {
  return slotValid(loader, mode, SECONDARY, status) ? status.swapType : Swap.fail;
}

/** An unusable primary is replaced by a good secondary without a request. */
function bootstrap(loader: Loader, mode: UpgradeMode, status: SwapStatus): void {
  const usable = slotValid(loader, mode, PRIMARY, status);
  if (usable && !loader.headerErased(PRIMARY)) {
    return;
  }
  const hadMagic = loader.hasMagic(SECONDARY);
  if (slotValid(loader, mode, SECONDARY, status) && hadMagic) {
    loader.swapType = Swap.revert;
  }
}

/**
 * When a swap of a later image was interrupted, or one is about to begin, an earlier image that looks as if it had to
 * be reverted was merely upgraded before the reset.
 */
function reviewEarlierImages(loader: Loader, interrupted: boolean): void {
  if (loader.image === 0 || (!interrupted && (loader.swapType === Swap.none || loader.swapType === Swap.revert))) {
    return;
  }
  for (let image = 0; image < loader.image; image++) {
    if (loader.swapTypes[image] === Swap.revert) {
      loader.swapTypes[image] = Swap.none;
    }
  }
}

/** One unmet dependency cancels the upgrades of all images; the requests stay. */
function cancelUnmetDependencies(loader: Loader): void {
  const { images } = loader.config;
  for (loader.image = 0; loader.image < images; loader.image++) {
    const moves = loader.swapType !== Swap.none && loader.swapType !== Swap.fail;
    if (!dependenciesMet(loader, moves ? SECONDARY : PRIMARY, (image) => slotAfterSwap(loader, image))) {
      loader.swapTypes.fill(Swap.none);
      break;
    }
  }
  loader.image = 0;
}

/** Carries out the swap type found for the current image. */
function act(loader: Loader, mode: UpgradeMode, machine: SwapMachine | undefined, status: SwapStatus): void {
  switch (loader.swapType) {
    case Swap.none:
      return;
    case Swap.test:
    case Swap.perm:
      if (downgradeRefused(loader)) {
        loader.swapType = Swap.none;
        return;
      }
      upgrade(loader, mode, machine, status);
      return;
    case Swap.revert:
      upgrade(loader, mode, machine, status);
      return;
    case Swap.fail:
      // The image is gone; marking the primary confirmed keeps the swap from being taken up again.
      if (machine !== undefined) {
        assertThat(setImageOk(loader), "image_ok write");
      }
      return;
    default:
      throw new AssertionFailed("unknown swap type");
  }
}

function upgrade(loader: Loader, mode: UpgradeMode, machine: SwapMachine | undefined, status: SwapStatus): void {
  const { config } = loader;
  if (machine === undefined) {
    copyImage(loader, status);
    return;
  }
  const replace = config.bootstrap && (!slotValid(loader, mode, PRIMARY, status) || loader.headerErased(PRIMARY));
  if (replace) {
    copyImage(loader, status);
  } else {
    swapImages(loader, machine, status);
  }
  const type = loader.swapType;
  if (type === Swap.revert || type === Swap.perm) {
    assertThat(setImageOk(loader), "image_ok write");
  }
  const counted = !config.hwRollback || type !== Swap.perm || raiseCounter(loader, PRIMARY, SECONDARY);
  assertThat(setCopyDone(loader), "copy_done write");
  assertThat(counted, "security counter");
}

function resume(loader: Loader, machine: SwapMachine, status: SwapStatus): void {
  swapImages(loader, machine, status);
  loader.swapType = status.swapType;
  if (status.swapType === Swap.revert || status.swapType === Swap.perm) {
    assertThat(setImageOk(loader), "image_ok write");
  }
  if (isUpgrade(status.swapType)) {
    assertThat(setCopyDone(loader), "copy_done write");
  }
}

/** Starts or continues a swap of the two slots over the size of the larger image. */
function swapImages(loader: Loader, machine: SwapMachine, status: SwapStatus): void {
  const { config } = loader;
  if (isReset(loader, status)) {
    let size = 0;
    for (const slot of [PRIMARY, SECONDARY] as const) {
      if (loader.hasMagic(slot)) {
        size = Math.max(size, measureImage(loader, slot));
      }
      if (config.enc !== null) {
        if (isEncrypted(loader.slot(slot).header)) {
          assertThat(loader.loadImageKey(slot, status) !== "failed", "image key");
        } else {
          status.encKeys[slot] = loader.noKey();
        }
      }
    }
    status.swapSize = size;
  } else {
    const area = findStatusArea(loader);
    status.swapSize = readSwapSize(config, loader.flash, area);
    if (config.enc !== null) {
      loader.readImageKeys(area, status);
    }
  }
  machine.swap(loader, status, status.swapSize);
}
