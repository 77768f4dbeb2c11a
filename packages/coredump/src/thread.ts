// SPDX-License-Identifier: Apache-2.0

import type { FileHeader, MemoryBlock, ThreadInfo } from "./dump.ts";

/** Larger first blocks are RAM, not one thread's structure. */
const THREAD_BYTES_MAX = 1024;

/**
 * The faulting thread: of a minimal dump its structure is the first memory block and its stack the second. A dump of all threads has such a
 * pair for each; there it is the one on whose stack `sp` lies, and nobody when sp was not recorded or is on the stack of interrupts.
 *
 * Where name and stack lie inside struct k_thread depends on the build's options, so they are found by shape: the stack
 * as a start and size that match the block behind it (then the stack is `sure`), the name as the longest printable string.
 */
export function faultingThread(header: FileHeader, memory: readonly MemoryBlock[], sp: number | undefined): ThreadInfo | null {
  const pairs = memory.flatMap((structure, index): ThreadInfo[] => {
    const stack = memory[index + 1];
    if (stack === undefined || structure.data.length > THREAD_BYTES_MAX) return [];
    const stackSure = namesStack(header, structure, stack);
    return index === 0 || stackSure ? [{ address: structure.start, name: longestName(structure.data), stack: { start: stack.start, end: stack.end }, stackSure }] : [];
  });
  if (pairs.length < 2) return pairs[0] ?? null;
  const at = BigInt(sp ?? 0);
  return pairs.find(({ stack }) => stack !== null && at >= stack.start && at < stack.end) ?? null;
}

/** Whether the structure holds a stack_info {start, size} that is the second block. */
function namesStack(header: FileHeader, structure: MemoryBlock, stack: MemoryBlock): boolean {
  const size = header.ptrSizeLog2 === 6 ? 8 : 4;
  const view = new DataView(structure.data.buffer, structure.data.byteOffset, structure.data.byteLength);
  const word = (at: number): bigint => (size === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true)));
  for (let at = 0; at + 2 * size <= structure.data.length; at += size) {
    if (word(at) === stack.start && word(at + size) === stack.end - stack.start) return true;
  }
  return false;
}

/** Longer ones do not fit Zephyr's default of 32 with its end. */
const NAME_MAX = 31;
const NAME = /[A-Za-z0-9_][\x21-\x7e ]*/;

/**
 * The longest run of printable characters that a zero ends. Names lie at any offset, and what lies before one may look printable: the
 * top byte of an address in RAM is a space.
 */
function longestName(data: Uint8Array): string | null {
  let best = "";
  for (let at = 0; at < data.length; at++) {
    const begin = at;
    while (at < data.length && isPrintable(data[at] as number)) at += 1;
    if (at === data.length || data[at] !== 0) continue;
    const name = NAME.exec(String.fromCharCode(...data.subarray(Math.max(begin, at - NAME_MAX - 1), at)))?.[0] ?? "";
    // Two letters are the least that is not chance.
    if (name.length >= 2 && name.length <= NAME_MAX && name.length > best.length) best = name;
  }
  return best === "" ? null : best;
}

const isPrintable = (byte: number): boolean => byte >= 0x20 && byte < 0x7f;
