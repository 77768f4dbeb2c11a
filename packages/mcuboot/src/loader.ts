// SPDX-License-Identifier: Apache-2.0
import type { BootConfig } from "./config.ts";
import { AREA_SCRATCH, slotIds } from "./config.ts";
import { applyKeystream, unwrapKey, wrappedKeyTlv } from "./encryption.ts";
import type { Flash } from "./flash.ts";
import type { ImageHeader } from "./format.ts";
import { HEADER_BYTES, IMAGE_MAGIC, ZERO_HEADER, alignUp, decodeHeader, isEncrypted, isErased } from "./format.ts";
import type { FlashArea } from "./geometry.ts";
import { sectorAt } from "./geometry.ts";
import { TlvCursor, locateTlvs } from "./tlv.ts";
import { ENC_KEY_BYTES, encKeyOffset, trailerSize } from "./trailer.ts";

/** An assertion of the bootloader failed: the device hangs or resets for ever. */
export class AssertionFailed extends Error {}

export function assertThat(condition: boolean, what: string): asserts condition {
  if (!condition) {
    throw new AssertionFailed(what);
  }
}

/** Swap types as the bootloader numbers them. */
export const Swap = { none: 1, test: 2, perm: 3, revert: 4, fail: 5, panic: 0xff } as const;

export function isUpgrade(swapType: number): boolean {
  return swapType === Swap.test || swapType === Swap.perm || swapType === Swap.revert;
}

export const PRIMARY = 0;
export const SECONDARY = 1;
export type SlotIndex = typeof PRIMARY | typeof SECONDARY;

/** Progress of a swap: which step (`idx` from 1) and which part of it (`state` from 1) comes next. */
export interface SwapStatus {
  idx: number;
  state: number;
  op: "move" | "swap";
  useScratch: boolean;
  swapType: number;
  swapSize: number;
  source: "none" | "scratch" | "primary";
  /** Keys as they stand in the trailer: alignUp(16, maxAlign) bytes, 0xff when there is none. */
  encKeys: [Uint8Array, Uint8Array];
}

export interface Slot {
  readonly area: FlashArea;
  header: ImageHeader;
  /** 0 until the sector layout was read. */
  sectors: number;
  unprotectedTlvSize: number;
}

/** The bootloader's working state during one boot. Flash it reads and writes; all else is forgotten afterwards. */
export class Loader {
  readonly config: BootConfig;
  readonly flash: Flash;
  /** Stored security counters, one per image; only ever raised. */
  readonly counters: number[];
  readonly slots: readonly (readonly [Slot, Slot])[];
  readonly scratch: FlashArea | undefined;
  readonly swapTypes: number[];
  readonly writeSizes: number[];
  /** swap-offset: where the secondary slot's image begins. */
  readonly secondaryOffsets: number[];
  readonly bootstrapOffsetSet: boolean[];
  /** Loaded image keys by image and slot. */
  readonly imageKeys: (readonly [{ key: Uint8Array | undefined }, { key: Uint8Array | undefined }])[];
  /** The image being worked on. */
  image = 0;

  constructor(config: BootConfig, flash: Flash, counters: readonly number[]) {
    this.config = config;
    this.flash = flash;
    const images = Array.from({ length: config.images }, (_, image) => image);
    this.counters = images.map((image) => counters[image] ?? 0);
    const slot = (id: number): Slot => ({ area: flash.area(id), header: ZERO_HEADER, sectors: 0, unprotectedTlvSize: 0 });
    this.slots = images.map((image) => {
      const ids = slotIds(image);
      return [slot(ids.primary), slot(ids.secondary)] as const;
    });
    this.scratch = config.mode === "swap-scratch" ? flash.area(AREA_SCRATCH) : undefined;
    this.swapTypes = images.map(() => 0);
    this.writeSizes = images.map(() => 0);
    this.secondaryOffsets = images.map(() => 0);
    this.bootstrapOffsetSet = images.map(() => false);
    this.imageKeys = images.map(() => [{ key: undefined }, { key: undefined }] as const);
  }

  slot(index: SlotIndex): Slot {
    const slot = this.slots[this.image]?.[index];
    assertThat(slot !== undefined, "slot");
    return slot;
  }

  get primary(): Slot {
    return this.slot(PRIMARY);
  }

  get secondary(): Slot {
    return this.slot(SECONDARY);
  }

  scratchArea(): FlashArea {
    assertThat(this.scratch !== undefined, "scratch area");
    return this.scratch;
  }

  get swapType(): number {
    return this.swapTypes[this.image] ?? 0;
  }

  set swapType(type: number) {
    this.swapTypes[this.image] = type;
  }

  /** Bytes of a status cell: the larger write alignment of primary and scratch. */
  get writeSize(): number {
    return this.writeSizes[this.image] ?? 0;
  }

  get trailerSize(): number {
    return trailerSize(this.config, this.writeSize);
  }

  get secondaryOffset(): number {
    return this.secondaryOffsets[this.image] ?? 0;
  }

  set secondaryOffset(off: number) {
    this.secondaryOffsets[this.image] = off;
  }

  /** Where the image in a slot begins; not 0 only for swap-offset's secondary slot. */
  imageStart(slot: SlotIndex): number {
    return slot === SECONDARY && this.config.mode === "swap-offset" ? this.secondaryOffset : 0;
  }

  sectorSize(slot: SlotIndex, index: number): number {
    const size = this.slot(slot).area.sectorSize[index];
    assertThat(size !== undefined, "sector index beyond the slot");
    return size;
  }

  sectorOff(slot: SlotIndex, index: number): number {
    const off = this.slot(slot).area.sectorOff[index];
    assertThat(off !== undefined, "sector index beyond the slot");
    return off;
  }

  /** Reads the sector layout of both slots; which one has more sectors than the build can hold, if any. */
  readSectors(): "ok" | "primary" | "secondary" {
    const { maxImgSectors } = this.config;
    if (this.primary.area.sectorSize.length > maxImgSectors) {
      return "primary";
    }
    this.primary.sectors = this.primary.area.sectorSize.length;
    if (this.secondary.area.sectorSize.length > maxImgSectors) {
      return "secondary";
    }
    this.secondary.sectors = this.secondary.area.sectorSize.length;
    if (this.scratch !== undefined && this.scratch.sectorSize.length > maxImgSectors) {
      return "primary";
    }
    this.writeSizes[this.image] = Math.max(this.primary.area.align, this.scratch?.align ?? 0);
    return "ok";
  }

  /** Reads a header from flash into the slot's state; false when it lies outside the area. */
  loadHeader(slot: SlotIndex, area: FlashArea, off: number): boolean {
    const bytes = this.flash.read(area, off, HEADER_BYTES);
    if (bytes === undefined) {
      return false;
    }
    this.slot(slot).header = decodeHeader(bytes);
    return true;
  }

  headerErased(slot: SlotIndex): boolean {
    return this.slot(slot).header.magic === 0xffffffff;
  }

  hasMagic(slot: SlotIndex): boolean {
    return this.slot(slot).header.magic === IMAGE_MAGIC;
  }

  /** Erases every sector touched by a range, in either direction; false when the range leaves the area. */
  eraseRegion(area: FlashArea, off: number, size: number, direction: "forward" | "backward" = "forward"): boolean {
    if (off >= area.size || area.size - off < size || size === 0) {
      return size === 0 && off < area.size;
    }
    const first = sectorAt(area, off);
    const last = sectorAt(area, off + size - 1);
    for (let n = first; n <= last; n++) {
      this.flash.eraseSector(area, direction === "forward" ? n : first + last - n);
    }
    return true;
  }

  /** Erases a whole slot. */
  eraseSlot(slot: SlotIndex): void {
    const { area } = this.slot(slot);
    this.eraseRegion(area, 0, area.size);
  }

  /** Erases the sectors that hold the trailer, last one first; false when the trailer is larger than the area. */
  eraseTrailer(area: FlashArea): boolean {
    const size = trailerSize(this.config, Math.max(this.writeSize, area.align));
    const first = sectorAt(area, area.size - size);
    const off = area.sectorOff[first];
    return off !== undefined && this.eraseRegion(area, off, area.size - off, "backward");
  }

  /**
   * Copies between areas in chunks, de- or encrypting payload bytes that cross the border between the primary slot and
   * the rest. `sectorOff` is what swap-offset's revert subtracts from the target offset to find the place in the image.
   */
  copyRegion(from: FlashArea, to: FlashArea, fromOff: number, toOff: number, size: number, sectorOff = 0): boolean {
    const header = this.#cryptHeader(from, to);
    if (header === undefined || !isEncrypted(header.header)) {
      return this.flash.copy(from, fromOff, to, toOff, size);
    }
    for (let done = 0; done < size; ) {
      const chunk = Math.min(1024, size - done);
      const data = this.flash.read(from, fromOff + done, chunk);
      if (data === undefined || !this.flash.write(to, toOff + done, this.#crypt(header.header, header.slot, toOff - sectorOff + done, data))) {
        return false;
      }
      done += chunk;
    }
    return true;
  }

  /** Loads the key of an encrypted image from its TLV: `loaded`, `kept` (had it, or there is no TLV), or `failed`. */
  loadImageKey(slot: SlotIndex, status: SwapStatus): "loaded" | "kept" | "failed" {
    const { enc, encKey } = this.config;
    const state = this.imageKeys[this.image]?.[slot];
    if (enc === null || state === undefined) {
      return "failed";
    }
    if (state.key !== undefined) {
      return "kept";
    }
    const { area, header } = this.slot(slot);
    const read = (off: number, len: number): Uint8Array | undefined => this.flash.read(area, off, len);
    const tlvs = locateTlvs(header, read, this.imageStart(slot));
    const { type, size } = wrappedKeyTlv(enc);
    const entry = tlvs === undefined ? "malformed" : new TlvCursor(header, tlvs, read).nextOf(type);
    if (entry === "end") {
      return "kept";
    }
    const value = entry === "malformed" || entry.len !== size ? undefined : read(entry.off, size);
    const key = value === undefined || encKey === undefined ? undefined : unwrapKey(enc, encKey, value);
    if (key === undefined) {
      return "failed";
    }
    status.encKeys[slot] = this.#storedKey(key);
    state.key = key;
    return "loaded";
  }

  /** Undoes the encryption of an image read from the secondary slot; nothing when no key is loaded. */
  decryptImage(header: ImageHeader, bytes: Uint8Array): Uint8Array | undefined {
    const key = this.imageKeys[this.image]?.[SECONDARY].key;
    if (key === undefined) {
      return undefined;
    }
    const plain = bytes.slice();
    const end = header.hdrSize + header.imgSize;
    plain.set(applyKeystream(key, 0, bytes.subarray(header.hdrSize, end)), header.hdrSize);
    return plain;
  }

  /** Writes both image keys to a trailer; refused writes are not noticed, as in the original. */
  writeImageKeys(area: FlashArea, status: SwapStatus): void {
    if (this.config.enc === null) {
      return;
    }
    for (const slot of [PRIMARY, SECONDARY] as const) {
      if (!this.flash.write(area, encKeyOffset(this.config, area, slot), status.encKeys[slot])) {
        return;
      }
    }
  }

  /** Takes both image keys from the trailer of an interrupted swap. */
  readImageKeys(area: FlashArea, status: SwapStatus): void {
    for (const slot of [PRIMARY, SECONDARY] as const) {
      const stored = this.flash.read(area, encKeyOffset(this.config, area, slot), this.#keyCell());
      const state = this.imageKeys[this.image]?.[slot];
      if (stored !== undefined) {
        status.encKeys[slot] = stored.slice();
        if (state !== undefined && !isErased(stored)) {
          state.key = stored.slice(0, ENC_KEY_BYTES);
        }
      }
    }
  }

  forgetImageKeys(): void {
    for (const state of this.imageKeys[this.image] ?? []) {
      state.key = undefined;
    }
  }

  noKey(): Uint8Array {
    return new Uint8Array(this.#keyCell()).fill(0xff);
  }

  #keyCell(): number {
    return alignUp(ENC_KEY_BYTES, this.config.maxAlign);
  }

  #storedKey(key: Uint8Array): Uint8Array {
    const cell = this.noKey();
    cell.set(key);
    return cell;
  }

  #cryptHeader(from: FlashArea, to: FlashArea): { header: ImageHeader; slot: SlotIndex } | undefined {
    if (this.config.enc === null) {
      return undefined;
    }
    const primaryId = slotIds(this.image).primary;
    if ((from.id === primaryId) === (to.id === primaryId)) {
      return undefined;
    }
    const slot = to.id === primaryId ? SECONDARY : PRIMARY;
    return { header: this.slot(slot).header, slot };
  }

  #crypt(header: ImageHeader, slot: SlotIndex, at: number, data: Uint8Array): Uint8Array {
    // Only payload bytes are encrypted: neither the header nor the TLVs.
    const begin = Math.max(header.hdrSize - at, 0);
    const end = Math.min(header.hdrSize + header.imgSize - at, data.length);
    if (begin >= end) {
      return data;
    }
    const key = this.imageKeys[this.image]?.[slot].key;
    assertThat(key !== undefined, "no key for an encrypted image");
    const out = data.slice();
    out.set(applyKeystream(key, at + begin - header.hdrSize, data.subarray(begin, end)), begin);
    return out;
  }
}
