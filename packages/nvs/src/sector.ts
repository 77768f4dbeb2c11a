// SPDX-License-Identifier: Apache-2.0
// One flash sector as a value: what was written from its start, and what was written from its end. Between them it is erased, and
// erased bytes cost nothing. Never changed: every operation makes another one, so that sectors can be shared.

/** What an erased byte reads as. */
const erased = 0xff;

export interface Sector {
  /** The written bytes from offset 0, then those that end with the sector. */
  readonly bytes: Uint8Array;
  /** How many of them begin at offset 0. */
  readonly low: number;
  /** How often the sector was erased: its wear. */
  readonly erases: number;
}

/** A sector that was never used. Shared. */
export const blankSector: Sector = { bytes: new Uint8Array(0), low: 0, erases: 0 };

export function isBlank(sector: Sector): boolean {
  return sector.bytes.length === 0;
}

/** The byte at an offset of a sector of `size` bytes. */
export function byteAt(sector: Sector, size: number, offset: number): number {
  const { bytes, low } = sector;
  if (offset < low) {
    return bytes[offset] as number;
  }
  const highAt = size - (bytes.length - low);
  return offset < highAt ? erased : (bytes[low + offset - highAt] as number);
}

export function readSector(sector: Sector, size: number, offset: number, length: number): Uint8Array {
  const { bytes, low } = sector;
  if (offset + length <= low) {
    return bytes.subarray(offset, offset + length);
  }
  const highAt = size - (bytes.length - low);
  if (offset >= highAt) {
    return bytes.subarray(low + offset - highAt, low + offset - highAt + length);
  }
  return wholeSector(sector, size).slice(offset, offset + length);
}

/** True when nothing was written between two offsets. */
export function isErased(sector: Sector, size: number, from: number, to: number): boolean {
  const { bytes, low } = sector;
  const highAt = size - (bytes.length - low);
  for (let i = from; i < Math.min(to, low); i++) {
    if (bytes[i] !== erased) {
      return false;
    }
  }
  for (let i = Math.max(from, highAt); i < to; i++) {
    if (bytes[low + i - highAt] !== erased) {
      return false;
    }
  }
  return true;
}

/** Programs bytes: flash only ever clears bits. */
export function programSector(sector: Sector, size: number, offset: number, data: Uint8Array): Sector {
  const { bytes, low, erases } = sector;
  const highAt = size - (bytes.length - low);
  const atStart = offset === low && offset + data.length <= highAt;
  if (atStart || (offset + data.length === highAt && offset >= low)) {
    const grown = new Uint8Array(bytes.length + data.length);
    grown.set(low === bytes.length ? bytes : bytes.subarray(0, low));
    grown.set(data, low);
    if (low < bytes.length) {
      grown.set(bytes.subarray(low), low + data.length);
    }
    return { bytes: grown, low: atStart ? low + data.length : low, erases };
  }
  const whole = wholeSector(sector, size);
  data.forEach((byte, i) => {
    whole[offset + i] = (whole[offset + i] as number) & byte;
  });
  return sectorOf(whole, erases);
}

/** Erases the first `upTo` bytes, as an erase does that power is lost in, or all of them. */
export function eraseSector(sector: Sector, size: number, upTo = size): Sector {
  const erases = sector.erases + 1;
  if (upTo >= size) {
    return { ...blankSector, erases };
  }
  return sectorOf(wholeSector(sector, size).fill(erased, 0, upTo), erases);
}

export function wholeSector(sector: Sector, size: number): Uint8Array {
  const whole = new Uint8Array(size).fill(erased);
  whole.set(sector.bytes.subarray(0, sector.low));
  whole.set(sector.bytes.subarray(sector.low), size - (sector.bytes.length - sector.low));
  return whole;
}

/** The sector with this content: the longest erased stretch in it is left out. */
export function sectorOf(whole: Uint8Array, erases = 0): Sector {
  let [from, length, at] = [whole.length, 0, 0];
  while (at < whole.length) {
    let end = at;
    while (end < whole.length && whole[end] === erased) {
      end++;
    }
    if (end - at > length) {
      [from, length] = [at, end - at];
    }
    at = end + 1;
  }
  const bytes = new Uint8Array(whole.length - length);
  bytes.set(whole.subarray(0, from));
  bytes.set(whole.subarray(from + length), from);
  return { bytes, low: from, erases };
}
