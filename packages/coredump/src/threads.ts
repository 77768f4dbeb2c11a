// SPDX-License-Identifier: Apache-2.0
// All threads of a dump that holds the kernel's memory, by the tables that Zephyr's CONFIG_DEBUG_THREAD_INFO puts into the ELF
// (subsys/debug/thread_info.c, versions 0 and 1).

import type { Coredump } from "./dump.ts";
import { bytesOf, findSymbol, type SymbolTable } from "./elf.ts";
import { wordAt } from "./memory.ts";

/** A thread that the kernel knew. */
export interface ThreadEntry {
  readonly address: number;
  readonly name: string | null;
  /** In words, as Zephyr's thread states are called. */
  readonly state: string;
  readonly priority: number;
  /** Running at the crash, or interrupted by it. */
  readonly current: boolean;
  /** Stack pointer at its last switch; 0 for the thread that ran. */
  readonly stackPointer: number;
}

const THREADS_MAX = 256;
const NAME_MAX = 64;
const UNIMPLEMENTED = 0xffff_ffff;

// Places in _kernel_thread_info_offsets.
const AT = { version: 0, current: 1, threads: 2, next: 4, state: 5, priority: 7, stackPointer: 8, name: 9 } as const;

const STATES: readonly (readonly [bit: number, name: string])[] = [
  [0x01, "dummy"], [0x02, "pending"], [0x04, "prestart"], [0x08, "dead"], [0x10, "suspended"], [0x20, "aborting"], [0x80, "queued"],
];

/**
 * The kernel's list of threads. Nothing without the tables in the ELF, or when the dump has not the memory they lead to; a list that
 * leads out of the dump ends there.
 *
 * Only true with the ELF of exactly the build that crashed.
 */
export function listThreads(dump: Coredump, symbols: SymbolTable): readonly ThreadEntry[] | undefined {
  const kernel = findSymbol(symbols, "_kernel");
  const table = findSymbol(symbols, "_kernel_thread_info_offsets");
  if (kernel === undefined || table === undefined || dump.header.ptrSizeLog2 !== 5) return undefined;
  const offsets = words(bytesOf(symbols, table.start, table.size));
  const offset = (name: keyof typeof AT): number | undefined => (offsets[AT[name]] === UNIMPLEMENTED ? undefined : offsets[AT[name]]);
  const [version, threads, next, state, priority] = [offset("version"), offset("threads"), offset("next"), offset("state"), offset("priority")];
  if (version === undefined || version > 1 || threads === undefined || next === undefined || state === undefined || priority === undefined) return undefined;
  const read = reader(dump, kernel.start);
  const current = read(kernel.start + (offset("current") ?? 0));
  let at = read(kernel.start + threads);
  if (at === undefined) return undefined;
  const [stackAt, nameAt] = [offset("stackPointer"), version === 0 ? undefined : offset("name")];
  const found: ThreadEntry[] = [];
  const seen = new Set<number>();
  while (at !== undefined && at !== 0 && found.length < THREADS_MAX && !seen.has(at)) {
    seen.add(at);
    const bits = byte(read, at + state);
    const level = byte(read, at + priority);
    if (bits === undefined || level === undefined) break;
    found.push({
      address: at,
      name: nameAt === undefined ? null : text(read, at + nameAt),
      state: STATES.filter(([bit]) => (bits & bit) !== 0).map(([, name]) => name).join("+") || "running",
      priority: level > 127 ? level - 256 : level,
      current: at === current,
      stackPointer: (stackAt === undefined ? undefined : read(at + stackAt)) ?? 0,
    });
    at = read(at + next);
  }
  return found;
}

type Read = (address: number) => number | undefined;

/** Words of the dump's memory; of the kernel's state also where only a "T" block has it. */
function reader(dump: Coredump, kernel: number): Read {
  const state = dump.kernelState?.bytes;
  const view = state === undefined ? undefined : new DataView(state.buffer, state.byteOffset, state.byteLength);
  return (address) => {
    const inState = address - kernel;
    return wordAt(dump.memory, address) ?? (view !== undefined && inState >= 0 && inState + 4 <= view.byteLength ? view.getUint32(inState, true) : undefined);
  };
}

function byte(read: Read, address: number): number | undefined {
  const word = read(address - (address % 4));
  return word === undefined ? undefined : (word >>> (8 * (address % 4))) & 0xff;
}

function text(read: Read, address: number): string | null {
  let name = "";
  for (let at = address; name.length < NAME_MAX; at++) {
    const code = byte(read, at);
    if (code === undefined || (code !== 0 && (code < 0x20 || code > 0x7e))) return null;
    if (code === 0) break;
    name += String.fromCharCode(code);
  }
  return name === "" ? null : name;
}

function words(bytes: Uint8Array | undefined): number[] {
  if (bytes === undefined) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: Math.floor(bytes.length / 4) }, (_, i) => view.getUint32(4 * i, true));
}
