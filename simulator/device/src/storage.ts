// SPDX-License-Identifier: Apache-2.0
// The settings area of a board: two flash pages with a log of records, as Zephyr's NVS and FCB keep them.
//
// S1. The newest complete record of a kind counts; a record torn by a power cut is as if never written.
// S2. Copying to the other page seals it last, so a cut leaves either page whole.
// S3. Only bytes that were written are held: an idle board costs what it stored, not two pages.

/** Page size in bytes. */
export const pageBytes = 1024;

/** Kinds of records. */
export const RecordKind = { boot: 2, attempt: 3, offer: 4, crashes: 5, seen: 6, identity: 7, schema: 8 } as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

const PAGE_MAGIC = 0xc5;
const SEAL = 1;
const RECORD_HEAD = 5;

/** Counts down to a power cut inside the application's flash work; see `cutApplication`. */
export interface PowerSupply {
  /** Flash operations of the application that still succeed; `Infinity` as a rule. */
  flashLeft: number;
}

/** Unwinds a step when power is lost inside it. */
export class PowerLoss extends Error {}

/** Says that one flash operation begins. Throws `PowerLoss` when it is the one that power is lost in. */
export function spend(power: PowerSupply): void {
  if (power.flashLeft <= 0) {
    power.flashLeft = Number.POSITIVE_INFINITY;
    throw new PowerLoss();
  }
  power.flashLeft -= 1;
}

/** The two pages: what was written of the one in use, and of the other one (empty but for an interrupted copy). */
export interface Storage {
  page: Uint8Array;
  other: Uint8Array;
}

const nothing = new Uint8Array(0);

export function emptyStorage(): Storage {
  return { page: nothing, other: nothing };
}

/** CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xffff). */
function crc16(bytes: Uint8Array, from: number, to: number, kind: number): number {
  let crc = 0xffff ^ kind;
  for (let at = from; at < to; at++) {
    crc ^= (bytes[at] as number) << 8;
    for (let bit = 0; bit < 8; bit++) {
      crc = (crc & 0x8000) === 0 ? (crc << 1) & 0xffff : ((crc << 1) ^ 0x1021) & 0xffff;
    }
  }
  return crc;
}

function record(kind: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(RECORD_HEAD + data.length);
  bytes[0] = kind;
  bytes[1] = data.length & 0xff;
  bytes[2] = data.length >> 8;
  bytes.set(data, RECORD_HEAD);
  const crc = crc16(bytes, RECORD_HEAD, bytes.length, kind);
  bytes[3] = crc & 0xff;
  bytes[4] = crc >> 8;
  return bytes;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(a.length + b.length);
  bytes.set(a);
  bytes.set(b, a.length);
  return bytes;
}

interface Scan {
  /** Newest data by kind. */
  readonly records: Map<number, Uint8Array>;
  readonly sealed: boolean;
  readonly generation: number;
  /** The page ends in bytes that are no record. */
  readonly torn: boolean;
}

function scan(page: Uint8Array): Scan {
  const records = new Map<number, Uint8Array>();
  let sealed = false;
  let at = 2;
  if (page.length >= 2 && page[0] === PAGE_MAGIC) {
    while (at + RECORD_HEAD <= page.length) {
      const kind = page[at] as number;
      const length = (page[at + 1] as number) | ((page[at + 2] as number) << 8);
      const from = at + RECORD_HEAD;
      const crc = (page[at + 3] as number) | ((page[at + 4] as number) << 8);
      if (from + length > page.length || crc16(page, from, from + length, kind) !== crc) {
        break;
      }
      if (kind === SEAL) {
        sealed = true;
      } else {
        records.set(kind, page.subarray(from, from + length));
      }
      at = from + length;
    }
  }
  return { records, sealed, generation: page[1] ?? 0, torn: at < page.length };
}

/** Reads the newest records after a start and repairs what a power cut left: an interrupted copy, a torn record. */
export function mount(storage: Storage, power: PowerSupply): ReadonlyMap<number, Uint8Array> {
  const page = scan(storage.page);
  const other = scan(storage.other);
  // Generations wrap at 256; between two pages the newer one is one ahead.
  if (other.sealed && (!page.sealed || ((other.generation - page.generation) & 0xff) === 1)) {
    const { page: old } = storage;
    storage.page = storage.other;
    storage.other = old;
    if (old.length > 0) {
      erase(storage, power);
    }
    return mount(storage, power);
  }
  if (storage.other.length > 0) {
    erase(storage, power);
  }
  if (storage.page.length > 0 && (page.torn || !page.sealed)) {
    copyLive(storage, power, page);
  }
  return page.records;
}

/** Stores the newest data of a kind; empty data means "none". One flash operation, or a page copy when the page is full. */
export function store(storage: Storage, power: PowerSupply, kind: RecordKind, data: Uint8Array): void {
  const bytes = record(kind, data);
  if (storage.page.length === 0 || storage.page.length + bytes.length > pageBytes) {
    const page = scan(storage.page);
    page.records.set(kind, data);
    copyLive(storage, power, page);
    return;
  }
  append(storage, "page", power, bytes);
}

function append(storage: Storage, which: "page" | "other", power: PowerSupply, bytes: Uint8Array): void {
  try {
    spend(power);
  } catch (loss) {
    // A torn write: the first half of the bytes reached the flash.
    storage[which] = joined(storage[which], bytes.subarray(0, bytes.length >> 1));
    throw loss;
  }
  storage[which] = joined(storage[which], bytes);
}

function erase(storage: Storage, power: PowerSupply): void {
  spend(power);
  storage.other = nothing;
}

/** Writes the newest records to the other page, seals it, and erases this one. */
function copyLive(storage: Storage, power: PowerSupply, page: Scan): void {
  if (storage.other.length > 0) {
    erase(storage, power);
  }
  append(storage, "other", power, Uint8Array.of(PAGE_MAGIC, (page.generation + 1) & 0xff));
  for (const [kind, data] of page.records) {
    if (data.length > 0) {
      append(storage, "other", power, record(kind, data));
    }
  }
  append(storage, "other", power, record(SEAL, nothing));
  const { page: old } = storage;
  storage.page = storage.other;
  storage.other = old;
  if (old.length > 0) {
    erase(storage, power);
  }
}
