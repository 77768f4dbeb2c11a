// SPDX-License-Identifier: Apache-2.0
import type { AreaSpec, BootConfig, FlashOps, SectorPool, SwapMode } from "@coalmine/mcuboot";
import {
  Flash,
  boot,
  bootConfig,
  buildImage,
  loadPublicKey,
  scratchTrailerSize,
  setConfirmed,
  setPending,
  slotCapacity,
  trailerOffsets,
  trailerSize,
} from "@coalmine/mcuboot";
import { differ } from "./mcuboot-vectors.ts";

// The tables of vectors/mcuboot/trailer.

interface Offsets {
  readonly magicOff: number;
  readonly imageOkOff: number;
  readonly copyDoneOff: number;
  readonly swapInfoOff: number;
  readonly unprotTlvSizesOff: number | null;
  readonly swapSizeOff: number;
  readonly statusOff: number;
}

export interface LayoutRow {
  readonly mode: SwapMode;
  readonly sector: number;
  readonly primarySectors: number;
  readonly secondarySectors: number;
  readonly align: number;
  readonly maxAlign: number;
  readonly maxImgSectors: number;
  readonly trailerSz: number;
  readonly scratchTrailerSz?: number;
  readonly primary: Offsets;
  readonly secondary: Offsets;
  readonly maxImage?: number;
  readonly maxImagePrimary?: number;
  readonly maxImageSecondary?: number;
  /** What the recorded code itself computed. */
  readonly real: { readonly maxPrimary: number; readonly maxSecondary: number; readonly trailerSz: number; readonly writeSz?: number };
}

export interface BytesRow {
  readonly mode: SwapMode;
  readonly align: number;
  readonly maxAlign: number;
  readonly maxImgSectors: number;
  readonly slotSize: number;
  readonly permanent: boolean;
  readonly stage: "start" | "pending" | "swapped" | "confirmed" | "reverted";
  readonly area: "primary" | "secondary";
  readonly oldSize: number;
  readonly newSize: number;
  readonly trailerSz: number;
  readonly nonErased: readonly (readonly [number, string])[];
}

export interface OpsRow {
  readonly mode: SwapMode;
  readonly sector: number;
  readonly align: number;
  readonly scratchSectors: number;
  readonly oldSize: number;
  readonly newSize: number;
  readonly step: "test" | "revert";
  readonly ops: FlashOps;
  readonly erasesByArea: Readonly<Record<string, number>>;
}

/** Offsets, sizes and the maximum image of one layout, by formula. */
export function checkLayout(row: LayoutRow, pool: SectorPool): string[] {
  const problems: string[] = [];
  const config = bootConfig({ mode: row.mode, sig: "none", maxAlign: row.maxAlign, maxImgSectors: row.maxImgSectors });
  differ(problems, "trailerSz", trailerSize(config, row.align), row.trailerSz);
  if (row.scratchTrailerSz !== undefined) {
    differ(problems, "scratchTrailerSz", scratchTrailerSize(config, row.align), row.scratchTrailerSz);
  }
  const areas = layout(row.mode, row.sector, row.align, { primary: row.primarySectors, secondary: row.secondarySectors, scratch: 1 });
  const flash = Flash.create(areas, { pool });
  for (const name of ["primary", "secondary"] as const) {
    const at = trailerOffsets(config, flash.area(name));
    const want = row[name];
    differ(problems, `${name} magic`, at.magic, want.magicOff);
    differ(problems, `${name} image_ok`, at.imageOk, want.imageOkOff);
    differ(problems, `${name} copy_done`, at.copyDone, want.copyDoneOff);
    differ(problems, `${name} swap_info`, at.swapInfo, want.swapInfoOff);
    differ(problems, `${name} TLV sizes`, at.tlvSizes ?? null, want.unprotTlvSizesOff);
    differ(problems, `${name} swap_size`, at.swapSize, want.swapSizeOff);
    differ(problems, `${name} status`, at.status, want.statusOff);
  }
  differ(problems, "real trailerSz", trailerSize(config, row.align), row.real.trailerSz);
  differ(problems, "real maximum image", slotCapacity(config, areas), Math.min(row.real.maxPrimary, row.real.maxSecondary));
  const capacity = row.maxImage ?? Math.min(row.maxImagePrimary ?? Infinity, row.maxImageSecondary ?? Infinity);
  differ(problems, "maximum image", slotCapacity(config, areas), capacity);
  return problems;
}

/** The bytes of a trailer at one stage of an upgrade. */
export function checkBytes(row: BytesRow, pool: SectorPool, signingKey: string): string[] {
  const config = bootConfig({ mode: row.mode, keys: [loadPublicKey(signingKey)], maxAlign: row.maxAlign, maxImgSectors: row.maxImgSectors });
  // The table's slots: 6 sectors of 4096, and one more where the mode wants it.
  const extra = { primary: row.mode === "swap-move" ? 7 : 6, secondary: row.mode === "swap-offset" ? 7 : 6, scratch: 1 };
  const flash = prepared(config, layout(row.mode, 4096, row.align, extra), row, pool, signingKey);
  const order = ["start", "pending", "swapped"];
  if (order.indexOf(row.stage) !== 0) {
    setPending(config, flash, { permanent: row.permanent });
  }
  if (order.indexOf(row.stage) < 0 || row.stage === "swapped") {
    boot(config, flash);
  }
  if (row.stage === "confirmed") {
    setConfirmed(config, flash);
  }
  if (row.stage === "reverted") {
    boot(config, flash);
  }
  const area = flash.area(row.area);
  const problems: string[] = [];
  differ(problems, "slot size", area.size, row.slotSize);
  const trailer = flash.read(area, area.size - row.trailerSz, row.trailerSz) ?? new Uint8Array(0);
  differ(problems, "bytes", runs(trailer, area.size - row.trailerSz), JSON.stringify(row.nonErased));
  return problems;
}

/** Flash operations of an upgrade or of its revert, by image size. */
export function checkOps(row: OpsRow, pool: SectorPool): string[] {
  // The table's slots: 64 sectors, at most 256 KiB, and room for one sector more in maxImgSectors.
  const sectors = Math.min(64, (256 * 1024) / row.sector);
  const config = bootConfig({ mode: row.mode, sig: "none", maxAlign: Math.max(8, row.align), maxImgSectors: sectors + 1 });
  const sectorCounts = {
    primary: sectors + (row.mode === "swap-move" ? 1 : 0),
    secondary: sectors + (row.mode === "swap-offset" ? 1 : 0),
    scratch: row.scratchSectors,
  };
  const flash = prepared(config, layout(row.mode, row.sector, row.align, sectorCounts), row, pool, undefined);
  setPending(config, flash, { permanent: false });
  if (row.step === "revert") {
    boot(config, flash);
  }
  const erases: Record<string, number> = {};
  flash.observe(({ kind, area }) => {
    if (kind === "erase") {
      erases[area.id] = (erases[area.id] ?? 0) + 1;
    }
  });
  const result = boot(config, flash);
  flash.observe();
  const problems: string[] = [];
  for (const field of ["total", "writes", "erases", "bytesWritten", "bytesErased"] as const) {
    differ(problems, field, result.ops[field], row.ops[field]);
  }
  for (const { id } of flash.geometry.areas) {
    differ(problems, `erases of area ${id}`, erases[id] ?? 0, row.erasesByArea[id] ?? 0);
  }
  return problems;
}

function layout(mode: SwapMode, sector: number, align: number, counts: { primary: number; secondary: number; scratch: number }): AreaSpec[] {
  const areas: AreaSpec[] = [];
  const add = (name: string, id: number, count: number): void => {
    const last = areas.at(-1);
    areas.push({ name, id, off: last === undefined ? 0 : last.off + last.size, size: count * sector, align, sectors: [[count, sector]] });
  };
  add("primary", 1, counts.primary);
  add("secondary", 2, counts.secondary);
  if (mode === "swap-scratch") {
    add("scratch", 3, counts.scratch);
  }
  return areas;
}

function prepared(config: BootConfig, areas: readonly AreaSpec[], sizes: { oldSize: number; newSize: number }, pool: SectorPool, key: string | undefined): Flash {
  const flash = Flash.create(areas, { pool });
  flash.install("primary", imageOfSize(1, sizes.oldSize, key));
  flash.install("secondary", imageOfSize(2, sizes.newSize, key), config.mode === "swap-offset" ? (flash.area("secondary").sectorSize[0] ?? 0) : 0);
  return flash;
}

const images = new Map<string, Uint8Array>();

/** An image of `size` bytes with header and TLVs, unsigned or with an Ed25519 signature. */
function imageOfSize(major: number, size: number, key: string | undefined): Uint8Array {
  const name = `${major} ${size} ${key ?? ""}`;
  let image = images.get(name);
  if (image === undefined) {
    const overhead = 32 + 4 + 36 + (key === undefined ? 0 : 36 + 68);
    const payload = new Uint8Array(size - overhead).map((_, i) => (i * 31 + major) & 0xff);
    image = buildImage({ version: { major, minor: 0, revision: 0, build: 0 }, headerSize: 32, payload, key });
    images.set(name, image);
  }
  return image;
}

/** Runs of bytes that are not 0xff, as the table has them. */
function runs(bytes: Uint8Array, base: number): string {
  const found: [number, string][] = [];
  let open = false;
  for (const [i, byte] of bytes.entries()) {
    if (byte === 0xff) {
      open = false;
      continue;
    }
    const text = byte.toString(16).padStart(2, "0");
    const last = found.at(-1);
    if (open && last !== undefined) {
      last[1] += text;
    } else {
      found.push([base + i, text]);
      open = true;
    }
  }
  return JSON.stringify(found);
}
