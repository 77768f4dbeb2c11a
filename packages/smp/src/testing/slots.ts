// SPDX-License-Identifier: Apache-2.0
import type { BootConfig, Flash, FlashArea, ImageHeader, ImageVersion } from "@coalmine/mcuboot";
import { HEADER_BYTES, IMAGE_MAGIC, ImageFlag, decodeHeader, imageHashAt, setConfirmed, setPending, slotIds, swapType, trailerOffsets, uploadOffset } from "@coalmine/mcuboot";
import { createHash } from "node:crypto";
import { ImageRc } from "../refusal.ts";

/** What a listing says of a slot. */
export interface SlotImage {
  readonly slot: 0 | 1;
  readonly header: ImageHeader;
  readonly hash: Uint8Array;
  readonly pending: boolean;
  readonly confirmed: boolean;
  readonly active: boolean;
  readonly permanent: boolean;
}

/** Bytes that Zephyr's flash_img collects before it writes (CONFIG_IMG_BLOCK_BUF_SIZE). */
const BLOCK_BYTES = 512;

/**
 * The two slots of image 0 as the application's side sees them: Zephyr's img_mgmt over bootutil, for swap and overwrite modes.
 *
 * Codes returned are the image group's; 0 is done.
 */
export class Slots {
  readonly #config: BootConfig;
  readonly #flash: Flash;
  readonly #primary: FlashArea;
  readonly #secondary: FlashArea;
  /** Byte of the secondary slot an image starts at: the second sector in swap-offset. */
  readonly #start: number;
  #block: Uint8Array = new Uint8Array(0);
  #written = 0;

  constructor(config: BootConfig, flash: Flash) {
    if (config.mode === "direct-xip" || config.images !== 1) {
      throw new Error("the simulated server has one image and no direct-XIP");
    }
    const ids = slotIds(0);
    this.#config = config;
    this.#flash = flash;
    this.#primary = flash.area(ids.primary);
    this.#secondary = flash.area(ids.secondary);
    this.#start = uploadOffset(config, flash.geometry);
  }

  /** Slots with an image that can be read, slot 0 first. */
  list(): readonly SlotImage[] {
    const type = swapType(this.#config, this.#flash);
    const slots: SlotImage[] = [];
    for (const slot of [0, 1] as const) {
      const found = this.#read(slot);
      if (found === undefined) {
        continue;
      }
      const other = slot === 1;
      slots.push({
        slot,
        ...found,
        active: !other,
        // While a revert is due, the fallback is what stays.
        confirmed: other === (type === "revert"),
        pending: other && (type === "test" || type === "perm"),
        permanent: other && type === "perm",
      });
    }
    return slots;
  }

  runningVersion(): ImageVersion | undefined {
    return this.#read(0)?.header.version;
  }

  /** Chooses the slot of the next boot (img_mgmt_set_next_boot_slot). */
  choose(slot: 0 | 1, confirm: boolean): number {
    const type = swapType(this.#config, this.#flash);
    const next = type === "none" ? 0 : 1;
    if (!confirm && slot === 0) {
      return ImageRc.testOfActiveDenied;
    }
    switch (type) {
      case "test":
        return !confirm && slot === next ? 0 : ImageRc.imageAlreadyPending;
      case "revert":
        if (confirm && slot === next) {
          return 0;
        }
        return confirm ? this.#setNext(slot, confirm) : ImageRc.imageAlreadyPending;
      case "none":
      case "perm":
        if (confirm && slot === next) {
          return 0;
        }
        return (slot === 0 && next === 1) || (!confirm && slot === next) ? ImageRc.imageAlreadyPending : this.#setNext(slot, confirm);
    }
  }

  /** A slot that a boot or a revert needs (img_mgmt_slot_in_use). */
  inUse(slot: 0 | 1): boolean {
    return slot === 0 || swapType(this.#config, this.#flash) !== "none";
  }

  slotHasImage(slot: 0 | 1): boolean {
    return this.#read(slot) !== undefined;
  }

  get uploadBytesMax(): number {
    return this.#secondary.size;
  }

  /** Begins writing an image of this size: erases what it needs and the trailer, unless the slot is empty. */
  begin(size: number): void {
    this.#block = new Uint8Array(0);
    this.#written = 0;
    const area = this.#secondary;
    const content = this.#flash.read(area, 0, area.size);
    if (content?.some((byte) => byte !== 0xff) !== true) {
      return;
    }
    const trailer = trailerOffsets(this.#config, area).status;
    for (const [index, off] of area.sectorOff.entries()) {
      if (off < this.#start + size || off + (area.sectorSize[index] ?? 0) > trailer) {
        this.#flash.eraseSector(area, index);
      }
    }
  }

  /** Takes the next bytes; whole blocks go to flash, and with the last piece the rest, padded to the write alignment. */
  append(data: Uint8Array, last: boolean): boolean {
    const joined = new Uint8Array(this.#block.length + data.length);
    joined.set(this.#block);
    joined.set(data, this.#block.length);
    const whole = last ? joined.length : joined.length - (joined.length % BLOCK_BYTES);
    this.#block = joined.slice(whole);
    const { align } = this.#secondary;
    const padded = new Uint8Array(Math.ceil(whole / align) * align).fill(0xff);
    padded.set(joined.subarray(0, whole));
    for (let at = 0; at < padded.length; at += BLOCK_BYTES) {
      const part = padded.subarray(at, at + BLOCK_BYTES);
      if (!this.#flash.write(this.#secondary, this.#start + this.#written, part)) {
        return false;
      }
      this.#written += part.length;
    }
    this.#flash.settle();
    return true;
  }

  /** SHA-256 of the first `size` bytes in the upload's place. */
  digest(size: number): Uint8Array | undefined {
    const bytes = this.#flash.read(this.#secondary, this.#start, size);
    return bytes === undefined ? undefined : new Uint8Array(createHash("sha256").update(bytes).digest());
  }

  erase(): void {
    for (const index of this.#secondary.sectorSize.keys()) {
      this.#flash.eraseSector(this.#secondary, index);
    }
    this.#flash.settle();
  }

  #setNext(slot: 0 | 1, confirm: boolean): number {
    const { rc } = slot === 0 ? setConfirmed(this.#config, this.#flash) : setPending(this.#config, this.#flash, { permanent: confirm });
    switch (rc) {
      case 0:
        return 0;
      case 1:
        return ImageRc.flashWriteFailed;
      case 3:
        return ImageRc.invalidImageHeaderMagic;
      default:
        return ImageRc.invalidImageVectorTable;
    }
  }

  #read(slot: 0 | 1): { readonly header: ImageHeader; readonly hash: Uint8Array } | undefined {
    const area = slot === 0 ? this.#primary : this.#secondary;
    const start = slot === 0 ? 0 : this.#start;
    const bytes = this.#flash.read(area, start, HEADER_BYTES);
    if (bytes === undefined) {
      return undefined;
    }
    const header = decodeHeader(bytes);
    const hash = header.magic === IMAGE_MAGIC ? imageHashAt(this.#flash, area.name, header, start) : undefined;
    return hash?.length === 32 ? { header, hash } : undefined;
  }
}

/** `1.2.3`, and `.4` after it for a build number, as img_mgmt writes versions. */
export function zephyrVersion(version: ImageVersion): string {
  const text = `${version.major}.${version.minor}.${version.revision}`;
  return version.build === 0 ? text : `${text}.${version.build}`;
}

export function isBootable(header: ImageHeader): boolean {
  return (header.flags & ImageFlag.nonBootable) === 0;
}
