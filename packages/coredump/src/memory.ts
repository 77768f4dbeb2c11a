// SPDX-License-Identifier: Apache-2.0

import type { MemoryBlock } from "./dump.ts";

/** The dumped block that holds `size` bytes at `address`, if one does. */
export function blockAt(memory: readonly MemoryBlock[], address: number, size: number): MemoryBlock | undefined {
  const at = BigInt(address);
  return memory.find((block) => at >= block.start && at + BigInt(size) <= block.end);
}

/** The 32-bit little-endian word at `address`, if dumped. */
export function wordAt(memory: readonly MemoryBlock[], address: number): number | undefined {
  const block = blockAt(memory, address, 4);
  if (block === undefined) return undefined;
  const { data } = block;
  return new DataView(data.buffer, data.byteOffset, data.byteLength).getUint32(Number(BigInt(address) - block.start), true);
}
