// SPDX-License-Identifier: Apache-2.0
// The log: Zephyr's subsys/fs/nvs, whose images it reads and which reads its images.
//
// N1. The newest valid entry of an id counts. An entry is written after its data, so an interrupted write is as if never made.
// N2. A full sector is closed; the log goes on in the next one, and what is still valid in the one after that is copied there.
// N3. The copy is marked as finished before the old sector is erased, so a cut leaves either sector whole.
// N4. There is always room for one entry more than the data: an id can be deleted even when the log is full.
import { CoalmineError } from "@coalmine/core";
import { decodeEntry, encodeEntry, type Entry, entryBytes, logId, putEntry } from "./entry.ts";
import { draw, PowerLoss, type PowerSupply } from "./power.ts";
import { blankSector, eraseSector, extended, indexIn, isBlank, isErased, programSector, readSector, type Sector, sectorOf, sectorWith, wholeSector } from "./sector.ts";
import { piece } from "./slab.ts";

export interface NvsGeometry {
  /** Bytes of a sector: at least 8 write blocks, at most 32 KiB. */
  readonly sectorSize: number;
  /** At least two. */
  readonly sectorCount: number;
  /** Bytes of a write block: 1, 2, 4, 8, 16 or 32. */
  readonly align: number;
}

/** A storage area and where its log stands. A plain value that the functions here change; what stands after `sectors` is known once mounted. */
export interface Nvs {
  readonly geometry: NvsGeometry;
  readonly sectors: Sector[];
  /** The sector that is written. */
  current: number;
  /** Where its next entry goes, and its next data. */
  entryAt: number;
  dataAt: number;
}

/** Bytes that Zephyr copies at a time while it collects. */
const copyBytes = 32;

/** Throws `nvs/geometry` when Zephyr could not use such an area. */
export function checkGeometry(geometry: NvsGeometry): NvsGeometry {
  const { sectorSize, sectorCount, align } = geometry;
  if (![1, 2, 4, 8, 16, 32].includes(align) || sectorSize % align !== 0 || sectorSize < 8 * slotOf(geometry) || sectorSize > 32_768 || sectorCount < 2) {
    throw new CoalmineError("nvs/geometry", `${sectorCount} sectors of ${sectorSize} bytes with a write block of ${align} are no NVS area`);
  }
  return geometry;
}

export function blankNvs(geometry: NvsGeometry): Nvs {
  return { geometry, sectors: Array.from({ length: geometry.sectorCount }, () => blankSector), current: 0, entryAt: 0, dataAt: 0 };
}

/** An area into which these entries were written, in this order, when it was erased. Throws `nvs/full` when they need more than one sector. */
export function nvsWith(geometry: NvsGeometry, entries: readonly (readonly [id: number, data: Uint8Array])[]): Nvs {
  const { sectorSize } = geometry;
  const slot = slotOf(geometry);
  const low = entries.reduce((sum, [, data]) => sum + aligned(geometry, data.length), 0);
  const high = slot * (entries.length + 1);
  if (low + high + 2 * slot > sectorSize) {
    throw new CoalmineError("nvs/full", `${entries.length} entries of ${low} bytes do not fit a sector of ${sectorSize}`);
  }
  const bytes = piece(low + high + slot).fill(0xff);
  let at = 0;
  let entryAt = low + high - slot;
  putEntry(bytes, entryAt, { id: logId, offset: 0, length: 0 });
  for (const [id, data] of entries) {
    entryAt -= slot;
    bytes.set(data, at);
    putEntry(bytes, entryAt, { id, offset: at, length: data.length });
    at += aligned(geometry, data.length);
  }
  const nvs = blankNvs(geometry);
  nvs.sectors[0] = sectorWith(bytes, low);
  return nvs;
}

/** The area in a flash image. Throws `nvs/geometry` when the length is not that of the area. */
export function nvsFromBytes(bytes: Uint8Array, geometry: NvsGeometry): Nvs {
  const { sectorSize, sectorCount } = checkGeometry(geometry);
  if (bytes.length !== sectorSize * sectorCount) {
    throw new CoalmineError("nvs/geometry", `${bytes.length} bytes are not ${sectorCount} sectors of ${sectorSize}`);
  }
  const nvs = blankNvs(geometry);
  for (let i = 0; i < sectorCount; i++) {
    nvs.sectors[i] = sectorOf(bytes.subarray(i * sectorSize, (i + 1) * sectorSize));
  }
  return nvs;
}

/** What lies on the flash. */
export function nvsToBytes({ sectors, geometry: { sectorSize, sectorCount } }: Nvs): Uint8Array {
  const bytes = new Uint8Array(sectorSize * sectorCount);
  sectors.forEach((sector, i) => bytes.set(wholeSector(sector, sectorSize), i * sectorSize));
  return bytes;
}

/** The same area, to go on with apart from the first. */
export function copyNvs(nvs: Nvs): Nvs {
  return { ...nvs, sectors: [...nvs.sectors] };
}

/** Finds the place to write and repairs what a loss of power left. Throws `nvs/foreign` when every sector is closed. */
export function mountNvs(nvs: Nvs, power: PowerSupply): void {
  const { sectors, geometry } = nvs;
  const { sectorSize } = geometry;
  const slot = slotOf(geometry);
  nvs.current = openSector(nvs);
  findEnd(nvs);
  const next = following(nvs, nvs.current);
  if (!isBlank(sectors[next] as Sector)) {
    // The collection was interrupted: after its mark only the erase is missing, before it everything is done again.
    if (hasMark(nvs)) {
      erase(nvs, power, next);
      return;
    }
    erase(nvs, power, nvs.current);
    begin(nvs, nvs.current);
    collect(nvs, power);
    return;
  }
  // Data whose entry was never written.
  while (nvs.entryAt > nvs.dataAt && !isErased(sectors[nvs.current] as Sector, sectorSize, nvs.dataAt, nvs.entryAt)) {
    nvs.dataAt += geometry.align;
  }
  if (nvs.entryAt === sectorSize - 2 * slot) {
    if (nvs.dataAt > 0) {
      erase(nvs, power, nvs.current);
      nvs.dataAt = 0;
    }
    writeEntry(nvs, power, { id: logId, offset: 0, length: 0 });
  }
}

/** Stores the data of an id; none deletes it. What is there already is not written again. Throws `nvs/full` when nothing more fits. */
export function writeNvs(nvs: Nvs, power: PowerSupply, id: number, data: Uint8Array): void {
  const { geometry } = nvs;
  const slot = slotOf(geometry);
  if (id < 0 || id >= logId || data.length > geometry.sectorSize - 4 * slot) {
    throw new CoalmineError("nvs/full", `id ${id} with ${data.length} bytes: ids are below ${logId}, and a sector of ${geometry.sectorSize} takes ${geometry.sectorSize - 4 * slot} bytes`);
  }
  const known = latest(nvs, id);
  if (known === undefined ? data.length === 0 : sameBytes(known, data)) {
    return;
  }
  const needed = data.length === 0 ? 0 : aligned(geometry, data.length) + slot;
  for (let collected = 0; nvs.entryAt < nvs.dataAt + needed; collected++) {
    if (collected === geometry.sectorCount) {
      throw new CoalmineError("nvs/full", `no room for ${data.length} bytes of id ${id}: all ${geometry.sectorCount} sectors hold valid data`);
    }
    close(nvs, power);
    collect(nvs, power);
  }
  if (power.flashLeft === Number.POSITIVE_INFINITY && append(nvs, id, data)) {
    return;
  }
  const offset = nvs.dataAt;
  writeData(nvs, power, data);
  writeEntry(nvs, power, { id, offset, length: data.length });
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < b.length; i++) {
    if (a[i] !== b[i]) {
      return false;
    }
  }
  return a.length === b.length;
}

/** Data and entry in one go, where they continue what was written: the same bytes, without the steps. False when they do not. */
function append(nvs: Nvs, id: number, data: Uint8Array): boolean {
  const { sectors, geometry, current, dataAt, entryAt } = nvs;
  const before = sectors[current] as Sector;
  const slot = slotOf(geometry);
  if (dataAt !== before.low || entryAt + slot !== geometry.sectorSize - before.high) {
    return false;
  }
  const room = aligned(geometry, data.length);
  const { sector, lowAt, highAt } = extended(before, geometry.sectorSize, { low: room, high: slot });
  const { bytes } = sector.store;
  bytes.set(data, lowAt);
  bytes.fill(0xff, lowAt + data.length, lowAt + room);
  bytes.fill(0xff, highAt + entryBytes, highAt + slot);
  putEntry(bytes, highAt, { id, offset: dataAt, length: data.length });
  sectors[current] = sector;
  nvs.dataAt += room;
  nvs.entryAt -= slot;
  return true;
}

/** The newest data of an id; undefined when there is none. */
export function readNvs(nvs: Nvs, id: number): Uint8Array | undefined {
  const data = latest(nvs, id);
  return data === undefined || data.length === 0 ? undefined : data;
}

/** The newest data of every id. */
export function readAll(nvs: Nvs): Map<number, Uint8Array> {
  const all = new Map<number, Uint8Array>();
  visit(nvs, (sector, at) => {
    const entry = entryIn(nvs, sector, at);
    if (entry !== undefined && entry.id !== logId && !all.has(entry.id)) {
      all.set(entry.id, readSector(nvs.sectors[sector] as Sector, nvs.geometry.sectorSize, entry.offset, entry.length));
    }
    return false;
  });
  for (const [id, data] of all) {
    if (data.length === 0) {
      all.delete(id);
    }
  }
  return all;
}

/** Bytes that new data and their entries may still take (`nvs_calc_free_space`): all sectors but the one kept for collecting, less what is valid. */
export function freeNvs(nvs: Nvs): number {
  const { geometry } = nvs;
  const slot = slotOf(geometry);
  let free = (geometry.sectorCount - 1) * (geometry.sectorSize - slot);
  for (const data of readAll(nvs).values()) {
    free -= aligned(geometry, data.length) + slot;
  }
  return free;
}

/** Bytes of write blocks that an entry takes. */
function slotOf(geometry: NvsGeometry): number {
  return aligned(geometry, entryBytes);
}

function aligned({ align }: NvsGeometry, length: number): number {
  return (length + align - 1) & -align;
}

function following({ geometry: { sectorCount } }: Nvs, sector: number): number {
  return (sector + 1) % sectorCount;
}

/** Empty data: deleted. Undefined: never written. */
function latest(nvs: Nvs, id: number): Uint8Array | undefined {
  const { sectors, geometry: { sectorSize } } = nvs;
  let found: Uint8Array | undefined;
  visit(nvs, (number, at) => {
    const sector = sectors[number] as Sector;
    const { bytes } = sector.store;
    const index = indexIn(sector, sectorSize, at, entryBytes);
    if (index < 0 || (bytes[index] === (id & 0xff) && bytes[index + 1] === id >> 8)) {
      const entry = entryIn(nvs, number, at);
      found = entry?.id === id ? readSector(sector, sectorSize, entry.offset, entry.length) : undefined;
    }
    return found !== undefined;
  });
  return found;
}

/** The entry with a right CRC at a place, or undefined. */
function decodedAt(sector: Sector, size: number, at: number): Entry | undefined {
  const index = indexIn(sector, size, at, entryBytes);
  return index < 0 ? decodeEntry(readSector(sector, size, at, entryBytes)) : decodeEntry(sector.store.bytes, index);
}

/** The valid entry at a place, or undefined. */
function entryIn({ sectors, geometry }: Nvs, sector: number, at: number): Entry | undefined {
  const entry = decodedAt(sectors[sector] as Sector, geometry.sectorSize, at);
  // A torn entry names data that reaches past itself: 0xff bytes are missing ones.
  return entry === undefined || entry.offset + entry.length > (entry.length === 0 ? geometry.sectorSize - slotOf(geometry) : at) ? undefined : entry;
}

/**
 * Goes through every place of an entry, newest first, until `look` is done: the sector that is written, from its newest entry up, then the
 * sectors before it.
 */
function visit(nvs: Nvs, look: (sector: number, at: number) => boolean): void {
  const { sectorSize, sectorCount } = nvs.geometry;
  const slot = slotOf(nvs.geometry);
  let sector = nvs.current;
  let from = nvs.entryAt + slot;
  for (let count = 0; count < sectorCount; count++) {
    for (let at = from; at <= sectorSize - 2 * slot; at += slot) {
      if (look(sector, at)) {
        return;
      }
    }
    sector = (sector + sectorCount - 1) % sectorCount;
    if (isErasedAt(nvs, sector, sectorSize - slot)) {
      return; // never closed: the log begins here
    }
    from = newestOf(nvs, sector);
  }
}

/** Place of the newest entry of a closed sector: its closing entry says so, or else it is looked for. */
function newestOf(nvs: Nvs, sector: number): number {
  const { sectorSize } = nvs.geometry;
  const slot = slotOf(nvs.geometry);
  const closing = decodedAt(nvs.sectors[sector] as Sector, sectorSize, sectorSize - slot);
  if (closing !== undefined && closing.id === logId && closing.length === 0 && closing.offset < sectorSize - slot && (sectorSize - closing.offset) % slot === 0) {
    return closing.offset;
  }
  let newest = sectorSize - slot;
  let dataEnd = 0;
  for (let at = sectorSize - 2 * slot; at >= dataEnd && at > 0; at -= slot) {
    const entry = entryIn(nvs, sector, at);
    if (entry !== undefined) {
      newest = at;
      dataEnd = entry.offset + entry.length;
    }
  }
  return newest;
}

/** The open sector behind a closed one; without any closed one, that which holds something, or the first. */
function openSector(nvs: Nvs): number {
  const { sectorSize, sectorCount } = nvs.geometry;
  const slot = slotOf(nvs.geometry);
  const isClosed = (sector: number): boolean => !isErasedAt(nvs, sector, sectorSize - slot);
  let closed = 0;
  for (let sector = 0; sector < sectorCount; sector++) {
    if (isClosed(sector)) {
      closed++;
      if (!isClosed(following(nvs, sector))) {
        return following(nvs, sector);
      }
    }
  }
  if (closed === sectorCount) {
    throw new CoalmineError("nvs/foreign", "every sector is closed: this is no NVS area, or one of another geometry");
  }
  return isErasedAt(nvs, sectorCount - 1, sectorSize - 2 * slot) ? 0 : sectorCount - 1;
}

/** Finds the end of entries and data in the current sector. */
function findEnd(nvs: Nvs): void {
  const { geometry } = nvs;
  const slot = slotOf(geometry);
  begin(nvs, nvs.current);
  while (nvs.entryAt >= nvs.dataAt && !isErasedAt(nvs, nvs.current, nvs.entryAt)) {
    const entry = entryIn(nvs, nvs.current, nvs.entryAt);
    if (entry !== undefined) {
      nvs.dataAt = Math.max(nvs.dataAt, aligned(geometry, entry.offset + entry.length));
    }
    nvs.entryAt -= slot;
  }
}

function begin(nvs: Nvs, sector: number): void {
  nvs.current = sector;
  nvs.entryAt = nvs.geometry.sectorSize - 2 * slotOf(nvs.geometry);
  nvs.dataAt = 0;
}

function hasMark(nvs: Nvs): boolean {
  const slot = slotOf(nvs.geometry);
  for (let at = nvs.entryAt + slot; at < nvs.geometry.sectorSize - slot; at += slot) {
    const entry = entryIn(nvs, nvs.current, at);
    if (entry?.id === logId && entry.length === 0) {
      return true;
    }
  }
  return false;
}

function isErasedAt(nvs: Nvs, sector: number, at: number): boolean {
  return isErased(nvs.sectors[sector] as Sector, nvs.geometry.sectorSize, at, at + entryBytes);
}

/** Closes the current sector and goes on to the next. */
function close(nvs: Nvs, power: PowerSupply): void {
  const slot = slotOf(nvs.geometry);
  const offset = nvs.entryAt + slot;
  program(nvs, power, nvs.geometry.sectorSize - slot, encodeEntry({ id: logId, offset, length: 0 }));
  begin(nvs, following(nvs, nvs.current));
}

/** Copies what is still valid in the oldest sector into the current one, marks that, and erases the oldest. */
function collect(nvs: Nvs, power: PowerSupply): void {
  const { sectors, geometry } = nvs;
  const { sectorSize } = geometry;
  const slot = slotOf(geometry);
  const oldest = following(nvs, nvs.current);
  if (!isErasedAt(nvs, oldest, sectorSize - slot)) {
    for (let at = newestOf(nvs, oldest); at <= sectorSize - 2 * slot; at += slot) {
      const entry = entryIn(nvs, oldest, at);
      if (entry !== undefined && entry.length > 0 && isNewest(nvs, entry.id, oldest, at)) {
        const offset = nvs.dataAt;
        const data = readSector(sectors[oldest] as Sector, sectorSize, entry.offset, entry.length);
        for (let done = 0; done < data.length; done += copyBytes) {
          writeData(nvs, power, data.subarray(done, done + copyBytes));
        }
        writeEntry(nvs, power, { ...entry, offset });
      }
    }
  }
  if (nvs.entryAt >= nvs.dataAt + slot) {
    writeEntry(nvs, power, { id: logId, offset: nvs.dataAt, length: 0 });
  }
  erase(nvs, power, oldest);
}

function isNewest(nvs: Nvs, id: number, sector: number, at: number): boolean {
  let newest = false;
  visit(nvs, (otherSector, otherAt) => {
    if (entryIn(nvs, otherSector, otherAt)?.id !== id) {
      return false;
    }
    newest = otherSector === sector && otherAt === at;
    return true;
  });
  return newest;
}

function writeData(nvs: Nvs, power: PowerSupply, data: Uint8Array): void {
  const { align } = nvs.geometry;
  const whole = data.length - (data.length % align);
  const at = nvs.dataAt;
  nvs.dataAt += aligned(nvs.geometry, data.length);
  if (whole > 0) {
    program(nvs, power, at, data.subarray(0, whole));
  }
  if (whole < data.length) {
    const last = new Uint8Array(align).fill(0xff);
    last.set(data.subarray(whole));
    program(nvs, power, at + whole, last);
  }
}

function writeEntry(nvs: Nvs, power: PowerSupply, entry: Entry): void {
  const bytes = new Uint8Array(slotOf(nvs.geometry)).fill(0xff);
  bytes.set(encodeEntry(entry));
  program(nvs, power, nvs.entryAt, bytes);
  nvs.entryAt -= bytes.length;
}

/** One write to the current sector; power may be lost after any of its write blocks. */
function program(nvs: Nvs, power: PowerSupply, at: number, bytes: Uint8Array): void {
  const { align, sectorSize } = nvs.geometry;
  const units = Math.ceil(bytes.length / align);
  const done = draw(power, units);
  nvs.sectors[nvs.current] = programSector(nvs.sectors[nvs.current] as Sector, sectorSize, at, bytes.subarray(0, done * align));
  if (done < units) {
    throw new PowerLoss();
  }
}

/** Erases a sector; power may be lost in the middle. */
function erase(nvs: Nvs, power: PowerSupply, sector: number): void {
  const { align, sectorSize } = nvs.geometry;
  const units = sectorSize / align;
  const done = draw(power, units);
  if (done > 0) {
    nvs.sectors[sector] = eraseSector(nvs.sectors[sector] as Sector, sectorSize, done * align);
  }
  if (done < units) {
    throw new PowerLoss();
  }
}
