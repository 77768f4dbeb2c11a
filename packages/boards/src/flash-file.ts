// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import { AREAS, FILE_BYTES, FLASH_BYTES, IMAGE_HEADER_BYTES, REGIONS, type Region, STORAGE, TRAILERS } from "./memory-map.ts";
import { Flash, padImage, parseImage, setPending } from "@coalmine/mcuboot";
import { nvsToBytes, nvsWith, settingEntries } from "@coalmine/nvs";
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { type CutStyle, decodeLaboratory, encodeLaboratory, type Identity, type Laboratory, type LaboratorySettings, WORDS } from "./laboratory.ts";

/** What a new board holds. Images are signed MCUboot images, as a file of one holds them. */
export interface FlashContents {
  /** Binary that runs at the start of flash: MCUboot, or what stands in for it. */
  readonly bootloader: Uint8Array;
  /** The image that runs; confirmed, as a programmer leaves it. */
  readonly image?: Uint8Array | undefined;
  /** An image in slot 1. */
  readonly second?: { readonly image: Uint8Array; /** Asks for a test swap at the next boot. */ readonly pending: boolean } | undefined;
  /** Stored settings by name, as provisioning leaves them. */
  readonly settings?: ReadonlyMap<string, Uint8Array> | undefined;
  readonly identity: Identity;
  readonly laboratory?: LaboratorySettings | undefined;
}

/**
 * Makes the file that is a board: flash erased but for the contents, and the laboratory page. The file is sparse: 2 of its 16 MiB take room.
 *
 * @throws CoalmineError `boards/bad-image` for what does not fit or is no image, `nvs/full` for settings of more than a sector, `boards/bad-identity`, `boards/file` when it
 * cannot be written.
 */
export function composeFlash(file: string, contents: FlashContents): void {
  const flash = new Uint8Array(FLASH_BYTES).fill(0xff);
  place(flash, REGIONS.bootloader, contents.bootloader, "the bootloader");
  vectorsOf(contents.bootloader);
  if (contents.image !== undefined) {
    place(flash, REGIONS.slot0, checkedImage(contents.image, "the image"), "the image");
  }
  if (contents.second !== undefined) {
    const { image, pending } = contents.second;
    const checked = checkedImage(image, "the second image");
    place(flash, REGIONS.slot1, pending ? padImage(checked, { slotSize: REGIONS.slot1.bytes, align: 4, maxImgSectors: 128 }) : checked, "the second image");
  }
  if (contents.settings !== undefined) {
    flash.set(nvsToBytes(nvsWith(STORAGE, settingEntries(contents.settings))), REGIONS.storage.offset);
  }
  const page = encodeLaboratory(contents.identity, contents.laboratory);
  withFile(file, "w+", (fd) => {
    ftruncateSync(fd, FILE_BYTES);
    writeSync(fd, flash, 0, flash.length, 0);
    writeSync(fd, page, 0, page.length, REGIONS.laboratory.offset);
  });
}

/**
 * Initial stack and reset vector of a bootloader: the 8 bytes that the CPU reads at every reset.
 *
 * @throws CoalmineError `boards/bad-image` when they cannot be vectors of this board.
 */
export function vectorsOf(bootloader: Uint8Array): Uint8Array {
  const view = new DataView(bootloader.buffer, bootloader.byteOffset, bootloader.byteLength);
  const [stack, reset] = bootloader.length < 8 ? [0, 0] : [view.getUint32(0, true), view.getUint32(4, true)];
  const inRam = stack >= 0x2000_0000 && stack <= 0x2040_0000;
  const inFlash = reset % 2 === 1 && reset > 0x2100_0000 && reset < 0x2100_0000 + REGIONS.bootloader.bytes;
  if (!inRam || !inFlash) {
    throw new CoalmineError(
      "boards/bad-image",
      `the bootloader's vectors (stack 0x${stack.toString(16)}, reset 0x${reset.toString(16)}) are not those of this board: build it for mps2_an385 with firmware/qemu's overlay, and give its .bin`,
    );
  }
  return bootloader.slice(0, 8);
}

function checkedImage(image: Uint8Array, what: string): Uint8Array {
  const parsed = parseImage(image);
  if (parsed.kind === "malformed") {
    throw new CoalmineError("boards/bad-image", `${what} is no MCUboot image: ${parsed.reason}; sign it with \`coalmine artifact sign\``);
  }
  if (parsed.hdrSize !== IMAGE_HEADER_BYTES) {
    throw new CoalmineError("boards/bad-image", `the header of ${what} takes 0x${parsed.hdrSize.toString(16)} bytes; this board's images have 0x${IMAGE_HEADER_BYTES.toString(16)}`);
  }
  return image;
}

function place(flash: Uint8Array, region: Region, bytes: Uint8Array, what: string): void {
  if (bytes.length > region.bytes) {
    throw new CoalmineError("boards/bad-image", `${what} has ${bytes.length} bytes, its place has ${region.bytes}`);
  }
  flash.set(bytes, region.offset);
}

/** Bytes of a region, or of the whole flash. @throws CoalmineError `boards/file`. */
export function readRegion(file: string, region: Region = { offset: 0, bytes: FLASH_BYTES }): Uint8Array {
  return withFile(file, "r", (fd) => {
    const bytes = new Uint8Array(region.bytes);
    const got = readSync(fd, bytes, 0, bytes.length, region.offset);
    if (got < bytes.length) {
      throw new CoalmineError("boards/file", `${file} ends before 0x${(region.offset + region.bytes).toString(16)}: it is not the flash of an emulated board`);
    }
    return bytes;
  });
}

/** The laboratory page, also of a running board. @throws CoalmineError `boards/file` when there is none. */
export function readLaboratory(file: string): Laboratory {
  const page = decodeLaboratory(readRegion(file, REGIONS.laboratory));
  if (page === undefined) {
    throw new CoalmineError("boards/file", `${file} has no laboratory page: make it with \`coalmine board qemu make\``);
  }
  return page;
}

/** Rewrites identity and settings; the counters go back to zero. The board must be off. */
export function writeLaboratory(file: string, identity: Identity, settings: LaboratorySettings = {}): void {
  const page = encodeLaboratory(identity, settings);
  withFile(file, "r+", (fd) => writeSync(fd, page, 0, page.length, REGIONS.laboratory.offset));
}

/**
 * Plans a loss of power in the operation that is `operations` away (1 for the next one), also on a running board.
 *
 * The style goes first: the number is what arms it.
 */
export function armCut(file: string, operations: number, style: CutStyle): void {
  const at = operations <= 0 ? 0 : readLaboratory(file).operations + operations;
  withFile(file, "r+", (fd) => {
    for (const [offset, value] of [[WORDS.cutStyle, style === "reset" ? 1 : 0], [WORDS.cutAt, at]] as const) {
      const word = new Uint8Array(4);
      new DataView(word.buffer).setUint32(0, value, true);
      writeSync(fd, word, 0, 4, REGIONS.laboratory.offset + offset);
    }
  });
}

/** Puts a signed image into slot 1 of a board that is off, over what was there, and asks for a test swap (or a permanent one). */
export function installSecond(file: string, image: Uint8Array, options: { readonly permanent?: boolean } = {}): void {
  const padded = padImage(checkedImage(image, "the image"), { slotSize: REGIONS.slot1.bytes, align: 4, maxImgSectors: 128, confirm: options.permanent === true });
  withFile(file, "r+", (fd) => writeSync(fd, padded, 0, padded.length, REGIONS.slot1.offset));
}

/** Asks for the image that slot 1 holds, as an application does: a swap-back. The board must be off. */
export function requestSwap(file: string, options: { readonly permanent?: boolean } = {}): void {
  const flash = Flash.create(AREAS, { dump: readRegion(file) });
  const result = setPending(TRAILERS, flash, { permanent: options.permanent === true });
  if (result.rc !== 0) {
    throw new CoalmineError("boards/file", `the trailer of slot 1 of ${file} is damaged: no swap can be requested`);
  }
  const slot = flash.dump().subarray(REGIONS.slot1.offset, REGIONS.slot1.offset + REGIONS.slot1.bytes);
  withFile(file, "r+", (fd) => writeSync(fd, slot, 0, slot.length, REGIONS.slot1.offset));
}

function withFile<T>(file: string, flags: string, use: (fd: number) => T): T {
  let fd: number;
  try {
    fd = openSync(file, flags);
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    throw new CoalmineError("boards/file", `cannot open the flash file ${file}: ${missing ? "there is none" : (cause as Error).message}`, { cause });
  }
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}
