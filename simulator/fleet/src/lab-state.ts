// SPDX-License-Identifier: Apache-2.0
// The states of a board's settings storage that a migration must get along with.
import { type Device, storageGeometry } from "@coalmine/device";
import { entryBytes, freeNvs, mains, mountNvs, type Nvs, programSector, saveSetting, type Sector, writeNvs } from "@coalmine/nvs";

/** `cut` is a clean storage whose power is lost at every flash operation in turn. */
export const startStates = ["clean", "full", "worn", "corrupt", "cut"] as const;
export type StartState = (typeof startStates)[number];

/** How many boards a state is tried with: storages filled to different levels, worn to different places, damaged in different ones. */
export const variants: Readonly<Record<StartState, number>> = { clean: 1, full: 12, worn: 8, corrupt: 24, cut: 1 };

/** Bytes that the fullest storage leaves, and by how much the next one leaves more: the records of an update fit, a second copy of the settings need not. */
const roomLeft = 432;
const roomStep = 32;
/** Erases of a worn sector: a usual guarantee of flash in microcontrollers is 10,000. */
const wornErases = 9_900;

/** Prepares a storage that the factory filled. */
export function prepare(device: Device, state: StartState, variant: number): void {
  const nvs = device.storage;
  switch (state) {
    case "clean":
    case "cut":
      break;
    case "full":
      mountNvs(nvs, mains());
      fill(nvs, roomLeft + variant * roomStep);
      break;
    case "worn":
      wear(nvs, 32 + 24 * variant);
      break;
    case "corrupt":
      corrupt(nvs, variant);
      break;
  }
}

/** The application keeps a journal, until only so many bytes are left. */
function fill(nvs: Nvs, room: number): void {
  for (let n = 0; ; n++) {
    // The entry and its name take some too, and so does the record of the largest id.
    const length = Math.min(96, freeNvs(nvs) - room - 3 * entryBytes - 8);
    if (length < 4) {
      return;
    }
    saveSetting(nvs, mains(), `log/${n}`, new Uint8Array(length).fill(0x30 + n));
  }
}

/** Sectors near their end of life, and a current one that is nearly full: the migration has to collect garbage. */
function wear(nvs: Nvs, room: number): void {
  mountNvs(nvs, mains());
  const mark = 0x7f00;
  for (let n = 0; n < 200 || nvs.entryAt - nvs.dataAt > room; n++) {
    writeNvs(nvs, mains(), mark, Uint8Array.of(n & 0xff, n >> 8, 1, 2));
  }
  nvs.sectors.forEach((sector, i) => (nvs.sectors[i] = { ...sector, erases: sector.erases + wornErases }));
}

/** Clears bits of one entry of the table, or of one byte of data: where depends on the variant. */
function corrupt(nvs: Nvs, variant: number): void {
  const { sectorSize } = storageGeometry;
  const sector = nvs.sectors[0] as Sector;
  const entries = Math.floor(sector.high / entryBytes) - 2;
  const isEntry = variant % 3 < 2;
  const at = isEntry ? sectorSize - 2 * entryBytes - entryBytes * (1 + ((variant * 5) % entries)) + (variant % entryBytes) : (variant * 37) % sector.low;
  nvs.sectors[0] = programSector(sector, sectorSize, at, Uint8Array.of(0));
}
