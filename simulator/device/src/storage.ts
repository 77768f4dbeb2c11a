// SPDX-License-Identifier: Apache-2.0
// The settings area of a board: an NVS log on its flash, as Zephyr keeps it. The device library's own records have ids of their own;
// the application's settings lie beside them by name (settings.ts).
import { blankNvs, isBlank, mountNvs, type Nvs, type NvsGeometry, type PowerSupply, readAll, writeNvs } from "@coalmine/nvs";

export { PowerLoss, type PowerSupply, spend } from "@coalmine/nvs";

/** The storage partition of every simulated board. */
export const storageGeometry: NvsGeometry = { sectorSize: 1024, sectorCount: 3, align: 4 };

/** NVS ids of the device library's records. */
export const RecordKind = { boot: 2, attempt: 3, offer: 4, crashes: 5, seen: 6, schema: 8 } as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

export type Storage = Nvs;

export function emptyStorage(): Storage {
  return blankNvs(storageGeometry);
}

/** True for an area that nothing was ever written to. */
export function isFresh(storage: Storage): boolean {
  return storage.sectors.every(isBlank);
}

/** Repairs what a power cut left, and reads the newest of everything by NVS id. */
export function mount(storage: Storage, power: PowerSupply): ReadonlyMap<number, Uint8Array> {
  mountNvs(storage, power);
  return readAll(storage);
}

/** Stores the newest data of a record; empty data means "none". */
export function store(storage: Storage, power: PowerSupply, kind: RecordKind, data: Uint8Array): void {
  writeNvs(storage, power, kind, data);
}
