// SPDX-License-Identifier: Apache-2.0
import { equalBytes } from "./format.ts";
import type { FlashArea } from "./geometry.ts";
import type { Loader, SlotIndex, SwapStatus } from "./loader.ts";
import { Swap, assertThat } from "./loader.ts";
import type { TrailerState } from "./trailer.ts";
import {
  SWAP_TYPE_NUMBER,
  readSwapInfoType,
  readTrailer,
  statusStates,
  trailerMagic,
  trailerOffsets,
  writeCopyDone,
  writeImageOk,
  writeMagic,
  writeSwapInfo,
  writeSwapSize,
  writeTlvSizes,
} from "./trailer.ts";

/** What distinguishes one way of upgrading from another. Results named `ok` are false when flash refused or a range was bad. */
export interface UpgradeMode {
  /** Reads a slot's header, which an interrupted swap may have moved; false when it is not there. */
  readHeader(loader: Loader, slot: SlotIndex, status: SwapStatus | undefined): boolean;
  slotsCompatible(loader: Loader): boolean;
  /** Largest image with header and TLVs that this slot may hold, in bytes. */
  maxImageSize(loader: Loader, area: FlashArea): number;
}

/** A mode that keeps both images and can be resumed. */
export interface SwapMachine extends UpgradeMode {
  statusSource(loader: Loader): SwapStatus["source"];
  /** Finds how far an interrupted swap came; false when a status cell lies outside the area. */
  readStatusCells(loader: Loader, area: FlashArea, status: SwapStatus): boolean;
  /** Offset of the next status cell, in cells. */
  nextCell(loader: Loader, status: SwapStatus): number;
  swap(loader: Loader, status: SwapStatus, size: number): void;
}

export function freshStatus(loader: Loader): SwapStatus {
  const status: SwapStatus = {
    idx: 1,
    state: 1,
    op: "move",
    useScratch: false,
    swapType: Swap.none,
    swapSize: 0,
    source: "none",
    encKeys: [loader.noKey(), loader.noKey()],
  };
  resetStatus(loader, status);
  return status;
}

/** Forgets any progress: no swap is under way. */
export function resetStatus(loader: Loader, status: SwapStatus): void {
  status.idx = 1;
  status.state = 1;
  status.op = loader.config.mode === "swap-offset" ? "swap" : "move";
  status.useScratch = false;
  status.swapType = Swap.none;
  status.swapSize = 0;
  status.source = "none";
  status.encKeys = [loader.noKey(), loader.noKey()];
}

/** True before the first status cell of a swap was written. */
export function isReset(loader: Loader, status: SwapStatus): boolean {
  return status.op === (loader.config.mode === "swap-offset" ? "swap" : "move") && status.idx === 1 && status.state === 1;
}

/** The area that holds the status of an interrupted swap: the first of scratch and primary with a valid magic. */
export function findStatusArea(loader: Loader): FlashArea {
  if (loader.scratch !== undefined && magicGood(loader, loader.scratch)) {
    return loader.scratch;
  }
  return loader.primary.area;
}

function magicGood(loader: Loader, area: FlashArea): boolean {
  const magic = loader.flash.read(area, trailerOffsets(loader.config, area).magic, 16);
  return magic !== undefined && equalBytes(magic, trailerMagic(loader.config.maxAlign));
}

export function statusOffset(loader: Loader, area: FlashArea): number {
  const off = trailerOffsets(loader.config, area).status;
  assertThat(off >= 0, "trailer larger than its area");
  return off;
}

/** Status cells an area can hold. */
export function statusCells(loader: Loader, area: FlashArea): number {
  const states = statusStates(loader.config);
  return area === loader.scratch ? states : states * loader.config.maxImgSectors;
}

/** The first byte of each status cell; nothing in a cell that lies outside the area. */
export function statusCell(loader: Loader, area: FlashArea, cell: number): number | undefined {
  return loader.flash.read(area, statusOffset(loader, area) + cell * loader.writeSize, 1)?.[0];
}

/** Marks the current part of the current step as done. */
export function writeStatus(loader: Loader, machine: SwapMachine, status: SwapStatus): void {
  const area = status.useScratch ? loader.scratchArea() : loader.primary.area;
  const cell = new Uint8Array(area.align).fill(0xff);
  cell[0] = status.state;
  const off = statusOffset(loader, area) + machine.nextCell(loader, status) * loader.writeSize;
  noteStatusWrite(loader, loader.flash.write(area, off, cell));
}

/** A lost status write is tolerated only where the primary slot will be validated anyway. */
export function noteStatusWrite(loader: Loader, ok: boolean): void {
  assertThat(ok || loader.config.validatePrimary, "status write");
}

/** Writes a new trailer; the magic comes last, so a trailer with a magic is complete. */
export function initStatus(loader: Loader, area: FlashArea, status: SwapStatus): void {
  const { config, flash } = loader;
  const secondary = readTrailer(config, flash, loader.secondary.area);
  if (status.swapType !== Swap.none) {
    assertThat(writeSwapInfo(config, flash, area, status.swapType, loader.image), "swap_info write");
  }
  if (secondary.imageOk === "set") {
    assertThat(writeImageOk(config, flash, area), "image_ok write");
  }
  assertThat(writeSwapSize(config, flash, area, status.swapSize), "swap_size write");
  if (config.mode === "swap-offset") {
    const sizes = { primary: loader.primary.unprotectedTlvSize, secondary: loader.secondary.unprotectedTlvSize };
    assertThat(writeTlvSizes(config, flash, area, sizes), "TLV sizes write");
  }
  loader.writeImageKeys(area, status);
  assertThat(writeMagic(config, flash, area), "magic write");
}

/** Finds out whether a swap was interrupted, and where; false when the status cannot be read. */
export function readStatus(loader: Loader, machine: SwapMachine, status: SwapStatus): boolean {
  status.source = machine.statusSource(loader);
  if (status.source === "none") {
    return true;
  }
  const area = status.source === "scratch" ? loader.scratchArea() : loader.primary.area;
  if (!machine.readStatusCells(loader, area, status)) {
    return false;
  }
  status.swapType = readSwapInfoType(loader.config, loader.flash, area);
  return true;
}

/** move and offset: a swap is under way when the primary has an unfinished trailer and the request is gone. */
export function sourceOfTwoSlots(loader: Loader): SwapStatus["source"] {
  const { config, flash } = loader;
  const primary = readTrailer(config, flash, loader.primary.area);
  const secondary = readTrailer(config, flash, loader.secondary.area);
  return primary.magic === "good" && primary.copyDone === "unset" && secondary.magic !== "good" ? "primary" : "none";
}

/** The last written status cell, counted from 1; 0 when there is none, nothing when a cell cannot be read. */
export function lastStatusCell(loader: Loader, area: FlashArea): number | undefined {
  for (let cell = statusCells(loader, area); cell > 0; cell--) {
    const value = statusCell(loader, area, cell - 1);
    if (value === undefined) {
      return undefined;
    }
    if (value !== 0xff) {
      return cell;
    }
  }
  return 0;
}

/** First sector (index) of the trailer when whole sectors of equal size are counted from the end. */
export function firstTrailerSector(loader: Loader, sectorSize: number): number {
  return (loader.primary.sectors - Math.max(1, Math.ceil(loader.trailerSize / sectorSize))) >>> 0;
}

export function setImageOk(loader: Loader): boolean {
  const { config, flash } = loader;
  const { area } = loader.primary;
  return readTrailer(config, flash, area).imageOk !== "unset" || writeImageOk(config, flash, area);
}

export function setCopyDone(loader: Loader): boolean {
  return writeCopyDone(loader.config, loader.flash, loader.primary.area);
}

/** The number of a trailer's swap type. */
export function swapTypeNumber(type: TrailerState["swapType"]): number {
  return type === "unknown" ? 0 : SWAP_TYPE_NUMBER[type];
}
