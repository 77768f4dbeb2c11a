// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";

/** One flash area, as in the conformance vectors: place in the flat flash, write alignment, runs of equal sectors. Bytes. */
export interface AreaSpec {
  readonly name: string;
  /** Flash area id: primary 1, secondary 2, scratch 3, second image's primary 4 and secondary 5. */
  readonly id: number;
  readonly off: number;
  readonly size: number;
  /** Smallest write, in bytes; a power of two. */
  readonly align: number;
  readonly sectors: readonly (readonly [count: number, size: number])[];
}

/** An area with its sectors laid out; immutable and shared by all devices of one hardware kind. */
export interface FlashArea {
  readonly name: string;
  readonly id: number;
  readonly off: number;
  readonly size: number;
  readonly align: number;
  /** Index of the area's first sector in the device's sector vector. */
  readonly firstSector: number;
  readonly sectorOff: readonly number[];
  readonly sectorSize: readonly number[];
}

/** The flash layout of one hardware kind. */
export interface FlashGeometry {
  readonly areas: readonly FlashArea[];
  readonly sectorCount: number;
  /** Bytes of a flat dump: the end of the last area. */
  readonly size: number;
}

/** Largest flat dump accepted, in bytes; no MCUboot target comes near it. */
const FLASH_BYTES_MAX = 256 * 1024 * 1024;

/**
 * Lays out flash areas.
 *
 * @throws CoalmineError `mcuboot/bad-flash-map` naming the area when sectors do not add up to its size, an alignment is no
 * power of two up to 1024, sectors are not multiples of it, or areas overlap.
 */
export function layOut(specs: readonly AreaSpec[]): FlashGeometry {
  const fail = (spec: AreaSpec, what: string): never => {
    throw new CoalmineError("mcuboot/bad-flash-map", `flash area ${JSON.stringify(spec.name)}: ${what}`);
  };
  let firstSector = 0;
  const areas = specs.map((spec): FlashArea => {
    if (![spec.off, spec.size, spec.id].every((value) => Number.isSafeInteger(value) && value >= 0) || spec.off + spec.size > FLASH_BYTES_MAX) {
      return fail(spec, "id, offset and size must be whole numbers and end within 256 MiB");
    }
    if (![1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024].includes(spec.align)) {
      return fail(spec, `write alignment ${spec.align} is not a power of two up to 1024`);
    }
    const sectorOff: number[] = [];
    const sectorSize: number[] = [];
    let at = 0;
    for (const [count, size] of spec.sectors) {
      if (!Number.isSafeInteger(count) || !Number.isSafeInteger(size) || count < 0 || size < 1 || size % spec.align !== 0 || count * size > spec.size) {
        return fail(spec, `${count} sectors of ${size} bytes do not fit the area or its write alignment`);
      }
      for (let i = 0; i < count; i++) {
        sectorOff.push(at);
        sectorSize.push(size);
        at += size;
      }
    }
    if (at !== spec.size || at === 0) {
      return fail(spec, `its sectors add up to ${at} bytes, not to its size ${spec.size}`);
    }
    const area = { name: spec.name, id: spec.id, off: spec.off, size: spec.size, align: spec.align, firstSector, sectorOff, sectorSize };
    firstSector += sectorOff.length;
    return area;
  });
  const byPlace = [...areas].sort((a, b) => a.off - b.off);
  for (const [i, area] of byPlace.entries()) {
    const next = byPlace[i + 1];
    if (next !== undefined && area.off + area.size > next.off) {
      throw new CoalmineError("mcuboot/bad-flash-map", `flash areas ${JSON.stringify(area.name)} and ${JSON.stringify(next.name)} overlap`);
    }
  }
  return { areas, sectorCount: firstSector, size: Math.max(0, ...areas.map((area) => area.off + area.size)) };
}

/** Index within the area of the sector that holds byte `off`; -1 outside the area. */
export function sectorAt(area: FlashArea, off: number): number {
  if (off < 0 || off >= area.size) {
    return -1;
  }
  let low = 0;
  let high = area.sectorOff.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((area.sectorOff[middle] ?? 0) <= off) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}
