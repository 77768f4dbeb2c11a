// SPDX-License-Identifier: Apache-2.0
// Settings in Zephyr's non-volatile storage: the entries of subsys/fs/nvs, and the names that subsys/settings/src/settings_nvs.c keeps there.

const ENTRY_BYTES = 8;
const ERASED = 0xff;
/** Names count down to here, values lie 0x4000 above their name. */
const NAMES_FROM = 0x8000;
const VALUES_ABOVE = 0x4000;

interface Entry {
  readonly id: number;
  readonly offset: number;
  readonly length: number;
}

/** The newest value of every id; deleted ids are left out. Damaged entries are passed over, as Zephyr does. */
function readNvs(storage: Uint8Array, sectorBytes: number): ReadonlyMap<number, Uint8Array> {
  const sectors = Array.from({ length: Math.floor(storage.length / sectorBytes) }, (_, n) => storage.subarray(n * sectorBytes, (n + 1) * sectorBytes));
  const values = new Map<number, Uint8Array>();
  for (const sector of oldestFirst(sectors)) {
    for (const { id, offset, length } of entries(sector)) {
      if (id === 0xffff) {
        continue;
      }
      if (length === 0) {
        values.delete(id);
      } else {
        values.set(id, sector.subarray(offset, offset + length));
      }
    }
  }
  return values;
}

/** Settings by name. Raw bytes: their form is the application's. */
export function readSettings(storage: Uint8Array, sectorBytes: number): ReadonlyMap<string, Uint8Array> {
  const values = readNvs(storage, sectorBytes);
  const settings = new Map<string, Uint8Array>();
  for (const [id, name] of values) {
    const value = values.get(id + VALUES_ABOVE);
    if (id > NAMES_FROM && id < NAMES_FROM + VALUES_ABOVE && value !== undefined) {
      settings.set(new TextDecoder("latin1").decode(name), value);
    }
  }
  return settings;
}

/** The ring begins behind the open sector: the one in use that is not closed, or whose next one is empty. */
function oldestFirst(sectors: readonly Uint8Array[]): readonly Uint8Array[] {
  const open = sectors.findIndex((sector) => !isClosed(sector) && !isEmpty(sector));
  const last = open >= 0 ? open : sectors.findIndex((sector, n) => isClosed(sector) && !isClosed(sectors[(n + 1) % sectors.length] as Uint8Array));
  return last < 0 ? sectors : sectors.map((_, n) => sectors[(last + 1 + n) % sectors.length] as Uint8Array);
}

function isEmpty(sector: Uint8Array): boolean {
  return sector.subarray(sector.length - 2 * ENTRY_BYTES).every((byte) => byte === ERASED);
}

function isClosed(sector: Uint8Array): boolean {
  return sector.subarray(sector.length - ENTRY_BYTES).some((byte) => byte !== ERASED);
}

/** Entries grow downwards from below the closing one, the oldest on top. */
function* entries(sector: Uint8Array): Generator<Entry> {
  const view = new DataView(sector.buffer, sector.byteOffset, sector.byteLength);
  for (let at = sector.length - 2 * ENTRY_BYTES; at >= 0; at -= ENTRY_BYTES) {
    const raw = sector.subarray(at, at + ENTRY_BYTES);
    if (raw.every((byte) => byte === ERASED)) {
      return;
    }
    if (crc8(raw.subarray(0, ENTRY_BYTES - 1)) !== raw[ENTRY_BYTES - 1]) {
      continue;
    }
    const entry = { id: view.getUint16(at, true), offset: view.getUint16(at + 2, true), length: view.getUint16(at + 4, true) };
    if (entry.offset + entry.length <= at) {
      yield entry;
    }
  }
}

/** CRC-8 of CCITT with initial value 0xff: what an entry ends with. */
export function crc8(bytes: Uint8Array): number {
  let crc = 0xff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) {
      crc = (crc & 0x80) === 0 ? (crc << 1) & 0xff : ((crc << 1) ^ 0x07) & 0xff;
    }
  }
  return crc;
}
