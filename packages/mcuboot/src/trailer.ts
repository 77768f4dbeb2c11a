// SPDX-License-Identifier: Apache-2.0
import type { BootConfig } from "./config.ts";
import { AREA_SCRATCH } from "./config.ts";
import type { Flash } from "./flash.ts";
import { alignDown, alignUp, equalBytes, isErased, putU32, u32 } from "./format.ts";
import type { FlashArea } from "./geometry.ts";

// The image trailer: MCUboot design document, "Image trailer". Offsets count from the start of the area, sizes in bytes.

const MAGIC_BYTES = 16;
/** Bytes of an image encryption key (AES-128). */
export const ENC_KEY_BYTES = 16;

export type Magic = "good" | "bad" | "unset";
export type Flag = "set" | "bad" | "unset";
export type SwapType = "none" | "test" | "perm" | "revert";

/** Numbers of the swap types in a trailer's swap_info field. */
export const SWAP_TYPE_NUMBER: Readonly<Record<SwapType, number>> = { none: 1, test: 2, perm: 3, revert: 4 };
const SWAP_TYPES = ["unknown", "none", "test", "perm", "revert"] as const;

/** A slot's trailer as decoded by the bootloader. */
export interface TrailerState {
  readonly magic: Magic;
  /** What the swap that wrote this trailer was, used when resuming it; `unknown` is the value 0, which nobody writes. */
  readonly swapType: SwapType | "unknown";
  readonly imageNum: number;
  readonly copyDone: Flag;
  readonly imageOk: Flag;
}

/** The parts of a configuration that decide where trailer fields lie. */
export type TrailerConfig = Pick<BootConfig, "mode" | "maxAlign" | "maxImgSectors" | "enc">;

/** Number of status cells one sector (or chunk) takes. */
export function statusStates(config: TrailerConfig): number {
  return config.mode === "swap-offset" ? 2 : 3;
}

function infoSize(config: TrailerConfig): number {
  const fields = config.mode === "swap-offset" ? 5 : 4;
  return (
    fields * config.maxAlign +
    alignUp(MAGIC_BYTES, config.maxAlign) +
    (config.enc === null ? 0 : 2 * alignUp(ENC_KEY_BYTES, config.maxAlign))
  );
}

/** Bytes of a slot's trailer when status cells are `writeSize` bytes. */
export function trailerSize(config: TrailerConfig, writeSize: number): number {
  return statusStates(config) * config.maxImgSectors * writeSize + infoSize(config);
}

/** Bytes of the trailer in a scratch area. */
export function scratchTrailerSize(config: TrailerConfig, writeSize: number): number {
  return statusStates(config) * writeSize + infoSize(config);
}

/** Offsets of the trailer's fields in an area. */
export interface TrailerOffsets {
  readonly magic: number;
  readonly imageOk: number;
  readonly copyDone: number;
  readonly swapInfo: number;
  /** swap-offset only. */
  readonly tlvSizes: number | undefined;
  readonly swapSize: number;
  /** Negative when the trailer is larger than the area. */
  readonly status: number;
}

export function trailerOffsets(config: TrailerConfig, area: Pick<FlashArea, "id" | "size" | "align">): TrailerOffsets {
  const { maxAlign } = config;
  const magic = area.size - MAGIC_BYTES;
  const imageOk = alignDown(magic - maxAlign, maxAlign);
  const copyDone = imageOk - maxAlign;
  const swapInfo = copyDone - maxAlign;
  const tlvSizes = config.mode === "swap-offset" ? swapInfo - maxAlign : undefined;
  const swapSize = (tlvSizes ?? swapInfo) - maxAlign;
  const isScratch = config.mode === "swap-scratch" && area.id === AREA_SCRATCH;
  const size = isScratch ? scratchTrailerSize(config, area.align) : trailerSize(config, area.align);
  return { magic, imageOk, copyDone, swapInfo, tlvSizes, swapSize, status: area.size - size };
}

const MAGIC_8 = Uint8Array.of(0x77, 0xc2, 0x95, 0xf3, 0x60, 0xd2, 0xef, 0x7f, 0x35, 0x52, 0x50, 0x0f, 0x2c, 0xb6, 0x79, 0x80);
const MAGIC_TAIL = Uint8Array.of(0x2d, 0xe1, 0x5d, 0x29, 0x41, 0x0b, 0x8d, 0x77, 0x67, 0x9c, 0x11, 0x0f, 0x1f, 0x8a);

/** The 16 bytes that make a trailer valid; builds for more than 8-byte alignment carry the alignment in it. */
export function trailerMagic(maxAlign: number): Uint8Array {
  if (maxAlign === 8) {
    return MAGIC_8;
  }
  const magic = new Uint8Array(MAGIC_BYTES);
  magic[0] = maxAlign & 0xff;
  magic[1] = maxAlign >> 8;
  magic.set(MAGIC_TAIL, 2);
  return magic;
}

/** Decodes the trailer of an area. Areas too small to hold one read as a bad trailer. */
export function readTrailer(config: TrailerConfig, flash: Flash, which: FlashArea | string): TrailerState {
  const area = typeof which === "string" ? flash.area(which) : which;
  const at = trailerOffsets(config, area);
  const magic = flash.read(area, at.magic, MAGIC_BYTES);
  const info = flash.read(area, at.swapInfo, 1)?.[0];
  const number = info === undefined ? 0 : info & 0x0f;
  const none = info === undefined || info === 0xff || number > 4;
  return {
    magic: magic === undefined ? "bad" : isErased(magic) ? "unset" : equalBytes(magic, trailerMagic(config.maxAlign)) ? "good" : "bad",
    swapType: none ? "none" : (SWAP_TYPES[number] ?? "none"),
    imageNum: none ? 0 : info >> 4,
    copyDone: readFlag(flash, area, at.copyDone),
    imageOk: readFlag(flash, area, at.imageOk),
  };
}

function readFlag(flash: Flash, area: FlashArea, off: number): Flag {
  const value = flash.read(area, off, 1)?.[0];
  return value === 0xff ? "unset" : value === 1 ? "set" : "bad";
}

/** The swap_info byte itself; `none` (1) when it is erased. */
export function readSwapInfoType(config: TrailerConfig, flash: Flash, area: FlashArea): number {
  const info = flash.read(area, trailerOffsets(config, area).swapInfo, 1)?.[0] ?? 0xff;
  return info === 0xff ? SWAP_TYPE_NUMBER.none : info & 0x0f;
}

/** Bytes taking part in the swap: the larger image with all TLVs. */
export function readSwapSize(config: TrailerConfig, flash: Flash, area: FlashArea): number {
  const bytes = flash.read(area, trailerOffsets(config, area).swapSize, 4);
  return bytes === undefined ? 0xffffffff : u32(bytes, 0);
}

/** False when the flash refused the write. */
export function writeMagic(config: TrailerConfig, flash: Flash, area: FlashArea): boolean {
  const cell = new Uint8Array(alignUp(MAGIC_BYTES, config.maxAlign)).fill(0xff);
  cell.set(trailerMagic(config.maxAlign), cell.length - MAGIC_BYTES);
  return flash.write(area, alignDown(trailerOffsets(config, area).magic, config.maxAlign), cell);
}

export function writeImageOk(config: TrailerConfig, flash: Flash, area: FlashArea): boolean {
  return writeCell(flash, area, trailerOffsets(config, area).imageOk, Uint8Array.of(1));
}

export function writeCopyDone(config: TrailerConfig, flash: Flash, area: FlashArea): boolean {
  return writeCell(flash, area, trailerOffsets(config, area).copyDone, Uint8Array.of(1));
}

export function writeSwapInfo(config: TrailerConfig, flash: Flash, area: FlashArea, swapType: number, image: number): boolean {
  return writeCell(flash, area, trailerOffsets(config, area).swapInfo, Uint8Array.of((image << 4) | swapType));
}

export function writeSwapSize(config: TrailerConfig, flash: Flash, area: FlashArea, size: number): boolean {
  return writeCell(flash, area, trailerOffsets(config, area).swapSize, u32Bytes(size));
}

/** swap-offset: unprotected TLV sizes of both slots' images, which cannot be read from the images once the swap has begun. */
export function writeTlvSizes(config: TrailerConfig, flash: Flash, area: FlashArea, sizes: { primary: number; secondary: number }): boolean {
  const at = trailerOffsets(config, area).tlvSizes;
  return at !== undefined && writeCell(flash, area, at, u32Bytes(((sizes.secondary << 16) | sizes.primary) >>> 0));
}

export function readTlvSizes(config: TrailerConfig, flash: Flash, area: FlashArea): { primary: number; secondary: number } {
  const at = trailerOffsets(config, area).tlvSizes;
  const bytes = at === undefined ? undefined : flash.read(area, at, 4);
  const both = bytes === undefined ? 0 : u32(bytes, 0);
  return { primary: both & 0xffff, secondary: both >>> 16 };
}

/** Offset of the stored encryption key of a slot (0 primary, 1 secondary). */
export function encKeyOffset(config: TrailerConfig, area: FlashArea, slot: number): number {
  return trailerOffsets(config, area).swapSize - (slot + 1) * alignUp(ENC_KEY_BYTES, config.maxAlign);
}

/** A field is written as its value padded with 0xff to the area's write alignment, not to `maxAlign`. */
function writeCell(flash: Flash, area: FlashArea, off: number, value: Uint8Array): boolean {
  const cell = new Uint8Array(alignUp(value.length, area.align)).fill(0xff);
  cell.set(value);
  return flash.write(area, off, cell);
}

function u32Bytes(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  putU32(bytes, 0, value);
  return bytes;
}
