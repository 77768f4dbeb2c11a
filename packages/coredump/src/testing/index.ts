// SPDX-License-Identifier: Apache-2.0
// Builds coredumps and ELF files byte by byte, for tests.

import { crc32 } from "../crc32.ts";

function u16(n: number): number[] {
  return [n & 0xff, (n >> 8) & 0xff];
}

function u32(n: number): number[] {
  return [...u16(n & 0xffff), ...u16(n >>> 16)];
}

const ascii = (text: string): number[] => [...text].map((c) => c.charCodeAt(0));

export interface DumpParts {
  readonly version?: number;
  readonly target?: number;
  readonly flag?: number;
  readonly reason?: number;
  readonly archVersion?: number;
  readonly registers?: readonly number[];
  readonly memory?: readonly { readonly start: number; readonly data: readonly number[] }[];
  readonly kernelState?: readonly number[];
  readonly fpu?: { readonly cpu: number; readonly thread: number; readonly data: readonly number[] };
  readonly crc?: boolean;
}

export const THREAD = 0x2000_0700;
export const STACK = 0x2000_9000;
const STACK_BYTES = 256;
/** Where the exception frame lies in the default dump. */
export const FRAME = STACK + 64;

// r0 r1 r2 r3 r12 lr pc xpsr sp r4 ... r11
export const REGISTERS: readonly number[] = [
  0x2000a7d0, 0x21026f55, 0, 0xf0000000, 0x3d090, 0x0000_1153, 0x0000_2006, 0x61000000, FRAME,
  4, 5, 6, 7, 8, 9, 10, 11,
];

/** struct k_thread by shape: a name at 40 and stack_info at 76. */
export function threadStructure(): number[] {
  const bytes = new Array<number>(96).fill(0);
  bytes.splice(40, 4, ...ascii("main"));
  bytes.splice(76, 8, ...u32(STACK), ...u32(STACK_BYTES));
  return bytes;
}

/** A stack with the exception frame at FRAME and return addresses above it. */
export function stackData(registers: readonly number[] = REGISTERS): number[] {
  const words = new Array<number>(STACK_BYTES / 4).fill(0);
  for (let i = 0; i < 8; i++) words[16 + i] = registers[i] as number;
  words[26] = 0x0000_1231; // in caller
  words[28] = 0x0000_1230; // even: not a Thumb return address
  words[30] = 0x0000_1311; // in main
  return words.flatMap(u32);
}

export function buildDump(parts: DumpParts = {}): Uint8Array {
  const registers = parts.registers ?? REGISTERS;
  const memory = parts.memory ?? [{ start: THREAD, data: threadStructure() }, { start: STACK, data: stackData(registers) }];
  const bytes = [
    ...ascii("ZE"), ...u16(parts.version ?? 1), ...u16(parts.target ?? 3), 5, parts.flag ?? 0, ...u32(parts.reason ?? 25),
    ...ascii("A"), ...u16(parts.archVersion ?? 2), ...u16(4 * registers.length), ...registers.flatMap(u32),
    ...memory.flatMap((m) => [...ascii("M"), ...u16(1), ...u32(m.start), ...u32(m.start + m.data.length), ...m.data]),
  ];
  if (parts.kernelState !== undefined) bytes.push(...ascii("T"), ...u16(1), ...u16(parts.kernelState.length), ...parts.kernelState);
  if (parts.fpu !== undefined) {
    bytes.push(...ascii("F"), ...u16(1), ...u16(parts.fpu.data.length), ...u32(parts.fpu.cpu), ...u32(parts.fpu.thread), ...parts.fpu.data);
  }
  if (parts.crc === true) bytes.push(...ascii("C"), ...u16(1), ...u32(crc32(Uint8Array.from(bytes))));
  return Uint8Array.from(bytes);
}

export function buildPartition(dump: Uint8Array, options: { readonly header?: number; readonly error?: number; readonly size?: number } = {}): Uint8Array {
  const kept = dump.subarray(0, options.size ?? dump.length);
  const sum = kept.reduce((a, b) => (a + b) & 0xffff, 0);
  const header = [...ascii("CD"), ...u16(1), ...u32(kept.length), ...u16(0), ...u16(sum), ...u32(options.error ?? 0)];
  while (header.length < (options.header ?? 16)) header.push(0xff);
  return Uint8Array.from([...header, ...kept, ...new Array<number>(37).fill(0xff)]);
}

export function buildLog(dump: Uint8Array): string {
  const lines = ["BEGIN#"];
  for (let at = 0; at < dump.length; at += 32) lines.push(Array.from(dump.subarray(at, at + 32), (b) => b.toString(16).padStart(2, "0")).join(""));
  lines.push("END#");
  const escape = String.fromCharCode(27);
  return ["*** Booting", ...lines.map((line) => `[00:00:02.460,000] ${escape}[1;31m<err> coredump: #CD:${line}${escape}[0m\r`), "bye"].join("\n");
}

/** A 32-bit little-endian Arm ELF with .text, .symtab and .strtab. */
export function buildElf(symbols: readonly { name: string; value: number; size: number; type: number }[], text: { start: number; bytes: readonly number[] }): Uint8Array {
  const names: number[] = [0];
  const table: number[] = new Array<number>(16).fill(0);
  for (const symbol of symbols) {
    table.push(...u32(names.length), ...u32(symbol.value), ...u32(symbol.size), symbol.type, 0, ...u16(1));
    names.push(...ascii(symbol.name), 0);
  }
  const [textAt, tableAt] = [52, 52 + text.bytes.length];
  const namesAt = tableAt + table.length;
  const sectionsAt = namesAt + names.length;
  const section = (type: number, flags: number, address: number, offset: number, size: number, link: number): number[] => [
    ...u32(0), ...u32(type), ...u32(flags), ...u32(address), ...u32(offset), ...u32(size), ...u32(link), ...u32(0), ...u32(4), ...u32(16),
  ];
  const header = [
    0x7f, ...ascii("ELF"), 1, 1, 1, ...new Array<number>(9).fill(0), ...u16(2), ...u16(40), ...u32(1), ...u32(0), ...u32(0), ...u32(sectionsAt),
    ...u32(0), ...u16(52), ...u16(32), ...u16(0), ...u16(40), ...u16(4), ...u16(0),
  ];
  return Uint8Array.from([
    ...header, ...text.bytes, ...table, ...names,
    ...section(0, 0, 0, 0, 0, 0), ...section(1, 6, text.start, textAt, text.bytes.length, 0),
    ...section(2, 0, 0, tableAt, table.length, 3), ...section(3, 0, 0, namesAt, names.length, 0),
  ]);
}
