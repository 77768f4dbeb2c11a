// SPDX-License-Identifier: Apache-2.0
// One flash sector as a value: what was written from its start, and what was written from its end. Between them it is erased, and
// erased bytes cost next to nothing. Never changed: every operation makes another one, so that sectors can be shared.

import { piece } from "./slab.ts";

/** What an erased byte reads as. */
const erased = 0xff;

/**
 * Bytes that several values of one sector share. What a value wrote into them stays: whoever continues the newest value writes
 * behind its bytes, in the room between both ends, and whoever continues an older one, or finds no room, writes into a copy.
 */
interface Store {
  readonly bytes: Uint8Array;
  /** How many bytes from the start, and how many before the end, belong to some value. */
  low: number;
  high: number;
}

export interface Sector {
  readonly store: Store;
  /** How many written bytes begin at offset 0: the first of the store. */
  readonly low: number;
  /** How many written bytes end with the sector: the last of the store. */
  readonly high: number;
  /** How often the sector was erased: its wear. */
  readonly erases: number;
}

const emptyStore: Store = { bytes: new Uint8Array(0), low: 0, high: 0 };

/** A sector that was never used. Shared. */
export const blankSector: Sector = { store: emptyStore, low: 0, high: 0, erases: 0 };

export function isBlank(sector: Sector): boolean {
  return sector.low + sector.high === 0;
}

/** Where the bytes from an offset on lie in the store; -1 when they are not all written at one end. */
export function indexIn({ store, low, high }: Sector, size: number, offset: number, length: number): number {
  return offset + length <= low ? offset : offset >= size - high ? offset + store.bytes.length - size : -1;
}

export function readSector(sector: Sector, size: number, offset: number, length: number): Uint8Array {
  const at = indexIn(sector, size, offset, length);
  return at < 0 ? wholeSector(sector, size).slice(offset, offset + length) : sector.store.bytes.subarray(at, at + length);
}

/** True when nothing was written between two offsets. */
export function isErased({ store: { bytes }, low, high }: Sector, size: number, from: number, to: number): boolean {
  for (let i = from; i < Math.min(to, low); i++) {
    if (bytes[i] !== erased) {
      return false;
    }
  }
  for (let i = Math.max(from, size - high); i < to; i++) {
    if (bytes[i + bytes.length - size] !== erased) {
      return false;
    }
  }
  return true;
}

/**
 * The sector with so many more bytes behind those at its start, and before those at its end, and where they lie in its store: the caller
 * writes them at once.
 */
export function extended({ store, low, high, erases }: Sector, size: number, more: { readonly low: number; readonly high: number }): { readonly sector: Sector; readonly lowAt: number; readonly highAt: number } {
  const [newLow, newHigh] = [low + more.low, high + more.high];
  let own = store;
  if (store.low !== low || store.high !== high || newLow + newHigh > store.bytes.length) {
    own = { bytes: piece(size), low, high };
    own.bytes.set(store.bytes.subarray(0, low));
    own.bytes.set(store.bytes.subarray(store.bytes.length - high), own.bytes.length - high);
  }
  own.low = newLow;
  own.high = newHigh;
  return { sector: { store: own, low: newLow, high: newHigh, erases }, lowAt: low, highAt: own.bytes.length - newHigh };
}

/** Programs bytes: flash only ever clears bits. */
export function programSector(sector: Sector, size: number, offset: number, data: Uint8Array): Sector {
  const { store, low, high, erases } = sector;
  const highAt = size - high;
  if (offset === low && offset + data.length <= highAt) {
    const { sector: grown, lowAt } = extended(sector, size, { low: data.length, high: 0 });
    grown.store.bytes.set(data, lowAt);
    return grown;
  }
  if (offset + data.length === highAt && offset >= low) {
    const { sector: grown, highAt: at } = extended(sector, size, { low: 0, high: data.length });
    grown.store.bytes.set(data, at);
    return grown;
  }
  const at = indexIn(sector, size, offset, data.length);
  if (at >= 0) {
    const bytes = store.bytes.slice();
    clear(bytes, at, data);
    return { store: { bytes, low, high }, low, high, erases };
  }
  const whole = wholeSector(sector, size);
  clear(whole, offset, data);
  return sectorOf(whole, erases);
}

function clear(bytes: Uint8Array, at: number, data: Uint8Array): void {
  data.forEach((byte, i) => {
    bytes[at + i] = (bytes[at + i] as number) & byte;
  });
}

/** Erases the first `upTo` bytes, as an erase does that power is lost in, or all of them. */
export function eraseSector(sector: Sector, size: number, upTo = size): Sector {
  const erases = sector.erases + 1;
  if (upTo >= size) {
    return { ...blankSector, erases };
  }
  return sectorOf(wholeSector(sector, size).fill(erased, 0, upTo), erases);
}

export function wholeSector({ store: { bytes }, low, high }: Sector, size: number): Uint8Array {
  const whole = new Uint8Array(size).fill(erased);
  whole.set(bytes.subarray(0, low));
  whole.set(bytes.subarray(bytes.length - high), size - high);
  return whole;
}

/** A sector of these bytes: the first `low` at its start, the others at its end. */
export function sectorWith(bytes: Uint8Array, low: number, erases = 0): Sector {
  const high = bytes.length - low;
  return { store: { bytes, low, high }, low, high, erases };
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
  return sectorWith(bytes, from, erases);
}
