// SPDX-License-Identifier: Apache-2.0
// The emulated board's memory, as firmware/qemu describes it in devicetree. Offsets count from the start of the flash file.

import { type AreaSpec, type BootConfig, bootConfig } from "@coalmine/mcuboot";
import type { NvsGeometry } from "@coalmine/nvs";

/** Bytes of the file behind the board's PSRAM. Only what is written takes room on disk. */
export const FILE_BYTES = 16 * 1024 * 1024;
/** Bytes of it that are flash; the rest is memory that nobody uses, but for the laboratory page. */
export const FLASH_BYTES = 2 * 1024 * 1024;
const PAGE_BYTES = 4096;

/** Bytes from the start of an image to its vector table on this board. */
export const IMAGE_HEADER_BYTES = 0x200;

export interface Region {
  readonly offset: number;
  readonly bytes: number;
}

export const REGIONS = {
  bootloader: { offset: 0, bytes: 0x10000 },
  slot0: { offset: 0x10000, bytes: 0x70000 },
  slot1: { offset: 0x80000, bytes: 0x70000 },
  scratch: { offset: 0xf0000, bytes: 0x8000 },
  storage: { offset: 0xf8000, bytes: 0x8000 },
  coredump: { offset: 0x100000, bytes: 0x10000 },
  laboratory: { offset: 0x7ff000, bytes: PAGE_BYTES },
} as const satisfies Record<string, Region>;

/** The settings' NVS area. */
export const STORAGE: NvsGeometry = { sectorSize: PAGE_BYTES, sectorCount: REGIONS.storage.bytes / PAGE_BYTES, align: 4 };

const area = (name: string, id: number, region: Region): AreaSpec => ({
  name, id, off: region.offset, size: region.bytes, align: 4, sectors: [[region.bytes / PAGE_BYTES, PAGE_BYTES]],
});

/** What the bootloader model of packages/mcuboot sees of the file. */
export const AREAS: readonly AreaSpec[] = [area("primary", 1, REGIONS.slot0), area("secondary", 2, REGIONS.slot1), area("scratch", 3, REGIONS.scratch)];

/** Where trailer fields lie: as firmware/qemu/mcuboot.conf builds MCUboot. */
export const TRAILERS: BootConfig = bootConfig({ mode: "swap-move", maxImgSectors: 128 });
