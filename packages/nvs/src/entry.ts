// SPDX-License-Identifier: Apache-2.0
// One entry of the allocation table (ATE), eight bytes: Zephyr's subsys/fs/nvs/nvs_priv.h.
//
//     offset  size  content, little endian
//     0       2     id
//     2       2     offset of the data in the sector
//     4       2     length of the data; 0 deletes the id
//     6       1     part, always 0xff
//     7       1     CRC-8/CCITT (polynomial 0x07, start 0xff) of the seven bytes before

export const entryBytes = 8;

/** Id of the entries that belong to the log itself: a closed sector, a finished collection. */
export const logId = 0xffff;

export interface Entry {
  readonly id: number;
  readonly offset: number;
  readonly length: number;
}

const table = Uint8Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) {
    crc = (crc & 0x80) === 0 ? crc << 1 : (crc << 1) ^ 0x07;
  }
  return crc & 0xff;
});

export function encodeEntry(entry: Entry): Uint8Array {
  const bytes = new Uint8Array(entryBytes);
  putEntry(bytes, 0, entry);
  return bytes;
}

/** Writes an entry into bytes. */
export function putEntry(bytes: Uint8Array, at: number, { id, offset, length }: Entry): void {
  bytes[at] = id & 0xff;
  bytes[at + 1] = id >> 8;
  bytes[at + 2] = offset & 0xff;
  bytes[at + 3] = offset >> 8;
  bytes[at + 4] = length & 0xff;
  bytes[at + 5] = length >> 8;
  bytes[at + 6] = 0xff;
  bytes[at + 7] = crcOf(bytes, at);
}

/** The entry at `at`; undefined when its CRC is wrong. */
export function decodeEntry(bytes: Uint8Array, at = 0): Entry | undefined {
  return at + entryBytes <= bytes.length && crcOf(bytes, at) === bytes[at + 7] ? { id: word(bytes, at), offset: word(bytes, at + 2), length: word(bytes, at + 4) } : undefined;
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
}

function crcOf(bytes: Uint8Array, at: number): number {
  let crc = 0xff;
  for (let i = at; i < at + 7; i++) {
    crc = table[crc ^ (bytes[i] as number)] as number;
  }
  return crc;
}
