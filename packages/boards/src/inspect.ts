// SPDX-License-Identifier: Apache-2.0
import { type BrokenDump, type Coredump, decodeCoredump } from "@coalmine/coredump";
import { Flash, formatVersion, parseImage, readTrailer, swapType, type SwapType, type TrailerState } from "@coalmine/mcuboot";
import { nvsFromBytes, readSettings } from "@coalmine/nvs";
import { readLaboratory, readRegion } from "./flash-file.ts";
import type { Laboratory } from "./laboratory.ts";
import { AREAS, FLASH_BYTES, REGIONS, type Region, STORAGE, TRAILERS } from "./memory-map.ts";

/** One slot of a flash file. */
export interface SlotState {
  /** Nothing when the slot holds no image; `reason` says what is there instead. */
  readonly image: {
    readonly version: string;
    readonly imageHash: string | null;
    /** The bytes have the hash that the image names. */
    readonly intact: boolean;
    readonly bytes: number;
  } | null;
  readonly reason: string | null;
  readonly trailer: TrailerState;
}

/** What a flash file says about its board. */
export interface BoardState {
  readonly laboratory: Laboratory;
  readonly slots: readonly [SlotState, SlotState];
  /** What the bootloader will do at the next start. */
  readonly swapType: SwapType;
  readonly settings: ReadonlyMap<string, Uint8Array>;
  /** Nothing when no dump is stored. */
  readonly coredump: Coredump | BrokenDump | null;
}

/** Looks into a flash file, also of a running board: then it is a moment's view. @throws CoalmineError `boards/file`. */
export function inspectFlash(file: string): BoardState {
  const bytes = readRegion(file, { offset: 0, bytes: FLASH_BYTES });
  const part = (region: Region): Uint8Array => bytes.subarray(region.offset, region.offset + region.bytes);
  const flash = Flash.create(AREAS, { dump: bytes });
  const slot = (name: string, region: Region): SlotState => {
    const parsed = parseImage(part(region));
    const trailer = readTrailer(TRAILERS, flash, name);
    if (parsed.kind === "malformed") {
      return { image: null, reason: part(region).subarray(0, 32).every((byte) => byte === 0xff) ? "empty" : parsed.reason, trailer };
    }
    const { imageHash, computedHash } = parsed;
    const intact = imageHash !== undefined && imageHash.every((byte, index) => byte === computedHash[index]);
    return { image: { version: formatVersion(parsed.version), imageHash: imageHash?.toHex() ?? null, intact, bytes: parsed.totalSize }, reason: null, trailer };
  };
  const dump = part(REGIONS.coredump);
  return {
    laboratory: readLaboratory(file),
    slots: [slot("primary", REGIONS.slot0), slot("secondary", REGIONS.slot1)],
    swapType: swapType(TRAILERS, flash),
    settings: readSettings(nvsFromBytes(part(REGIONS.storage), STORAGE)),
    coredump: dump.subarray(0, 16).every((byte) => byte === 0xff) ? null : decodeCoredump(dump),
  };
}

/** The coredump partition's bytes up to the last written one, as `coalmine coredump decode` takes them; nothing when it is erased. */
export function storedCoredump(file: string): Uint8Array | undefined {
  const bytes = readRegion(file, REGIONS.coredump);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0xff) {
    end -= 1;
  }
  return end === 0 ? undefined : bytes.subarray(0, end);
}
