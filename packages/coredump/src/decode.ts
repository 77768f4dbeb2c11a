// SPDX-License-Identifier: Apache-2.0
// Decoding of Zephyr coredumps, file header versions 1 and 2.
//
// D1. Every byte belongs to a block that is complete; anything else is an error that names the block.
// D2. Nothing is guessed from a damaged dump: it has no registers, no thread and no backtrace.

import { crc32 } from "./crc32.ts";
import type { ArchBlock, BrokenDump, Coredump, FileHeader, FpuBlock, MemoryBlock, Target } from "./dump.ts";
import { unwrapAll, type Unwrapped } from "./forms.ts";
import { Broken, Reader } from "./reader.ts";
import { reasonName } from "./reasons.ts";
import { findStackPointer, frameDoubts } from "./stack-pointer.ts";
import { faultingThread } from "./thread.ts";

const TARGETS: Readonly<Record<number, { readonly target: Target; readonly pointerBits: readonly number[] }>> = {
  1: { target: "x86", pointerBits: [5] },
  2: { target: "x86-64", pointerBits: [6] },
  3: { target: "cortex-m", pointerBits: [5] },
  4: { target: "risc-v", pointerBits: [5, 6] },
  5: { target: "xtensa", pointerBits: [5] },
  6: { target: "arm64", pointerBits: [6] },
};

const CORTEX_M_REGISTERS = [
  "r0", "r1", "r2", "r3", "r12", "lr", "pc", "xpsr", "sp", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11",
  "calleeSavedValid", "calleeSavedOffset",
] as const;
// Payload sizes by arch block version: version 1 stops at sp, version 3 adds where the callee-saved registers are.
const CORTEX_M_BYTES: Readonly<Record<number, readonly number[]>> = { 1: [36], 2: [68], 3: [76] };

/** Decodes a dump in any of its three forms; of a log with several, the last. Never throws on bytes: damage comes back as a value naming the block. */
export function decodeCoredump(input: Uint8Array): Coredump | BrokenDump {
  return decodeCoredumps(input).at(-1) as Coredump | BrokenDump;
}

/** Decodes all dumps of an input, in the order in which they were made: one or more, more only in a log. */
export function decodeCoredumps(input: Uint8Array): readonly (Coredump | BrokenDump)[] {
  return unwrapAll(input).map((one) => {
    try {
      if (one instanceof Broken) throw one;
      return decode(one);
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      return { kind: "broken", block: error.block, offset: error.offset, detail: error.message };
    }
  });
}

/** A fatal error without an exception has no registers, and Zephyr then writes no block for them. */
const NO_ARCH: ArchBlock = { version: 0, bytes: new Uint8Array(0), registers: undefined };

interface Blocks {
  arch?: ArchBlock;
  readonly memory: MemoryBlock[];
  readonly fpu: FpuBlock[];
  kernelState: Coredump["kernelState"];
  crc: boolean;
}

function decode({ form, data, partition, warnings }: Unwrapped): Coredump {
  const reader = new Reader(data);
  const header = readHeader(reader);
  const blocks: Blocks = { memory: [], fpu: [], kernelState: null, crc: false };
  while (reader.left > 0) readBlock(reader, header, blocks, form);
  const { arch, memory, fpu, kernelState } = blocks;
  if (arch === undefined && memory.length === 0) throw new Broken("A", reader.offset, "the dump ends before its architecture block");
  checkComplete(reader, header, blocks);
  const thread = faultingThread(header, memory, arch?.registers?.["sp"]);
  return {
    kind: "coredump", form, bytes: data, partition, header, arch: arch ?? NO_ARCH, memory, kernelState, fpu,
    integrity: blocks.crc ? "crc" : partition === null ? "none" : "checksum",
    thread,
    stackPointer: findStackPointer({ target: header.target, arch: arch ?? NO_ARCH, memory, thread, fpu }),
    warnings: [...warnings, ...doubts(header, blocks)],
  };
}

function readHeader(reader: Reader): FileHeader {
  const id = reader.take(2, "id");
  if (id[0] !== 0x5a || id[1] !== 0x45) throw new Broken("file header", 0, 'does not start with "ZE"');
  const version = reader.u16("version");
  if (version !== 1 && version !== 2) throw new Broken("file header", 2, `version ${version} is unknown (1 and 2 are known)`);
  const targetCode = reader.u16("target");
  const known = TARGETS[targetCode];
  if (known === undefined) throw new Broken("file header", 4, `target ${targetCode} is unknown`);
  const ptrSizeLog2 = reader.u8("pointer size");
  if (!known.pointerBits.includes(ptrSizeLog2)) throw new Broken("file header", 6, `${known.target} has no pointers of 2^${ptrSizeLog2} bits`);
  const flag = reader.u8("flag");
  if (version === 1 ? flag !== 0 : (flag & ~1) !== 0) throw new Broken("file header", 7, `flag ${flag} is unknown in version ${version}`);
  const reason = reader.u32("reason");
  if (reason > 0xffff) throw new Broken("file header", 8, `reason 0x${reason.toString(16)} does not fit the 16 bits Zephyr sets`);
  return { version, targetCode, target: known.target, ptrSizeLog2, flag, reason, reasonName: reasonName(reason, known.target) };
}

function readBlock(reader: Reader, header: FileHeader, blocks: Blocks, form: Coredump["form"]): void {
  const start = reader.offset;
  const id = String.fromCharCode(reader.bytes[start] as number);
  reader.block = blockName(id, start, blocks);
  if (blocks.crc) throw new Broken("C", start, "data follows the CRC block, which must be the last");
  if (!"AMTFC".includes(id)) throw new Broken(reader.block, start, `0x${(reader.bytes[start] as number).toString(16)} starts no known block: the block before it has a wrong length, or bytes are damaged`);
  if (id === "A" && (blocks.memory.length > 0 || blocks.kernelState !== null)) throw new Broken("A", start, "comes behind other blocks; it is the first");
  reader.u8("id");
  const version = reader.u16("version");
  switch (id) {
    case "A":
      if (blocks.arch !== undefined) throw new Broken(reader.block, start, "a second architecture block");
      blocks.arch = readArch(reader, header, version);
      return;
    case "M":
      blocks.memory.push(readMemory(reader, header, version, form));
      return;
    case "T":
      expectVersion(reader, version, [1]);
      blocks.kernelState = { version, bytes: reader.take(reader.u16("length"), "kernel state") };
      return;
    case "F":
      expectVersion(reader, version, [1]);
      blocks.fpu.push(readFpu(reader, header, version));
      return;
    default: {
      expectVersion(reader, version, [1]);
      const expected = reader.u32("CRC");
      const actual = crc32(reader.bytes.subarray(0, start));
      if (actual !== expected) throw new Broken("C", start, `the CRC of the dump is 0x${actual.toString(16)}, the block says 0x${expected.toString(16)}: bytes are damaged`);
      blocks.crc = true;
    }
  }
}

function blockName(id: string, start: number, blocks: Blocks): string {
  if (id === "M") return `M #${blocks.memory.length + 1}`;
  if ("ATC".includes(id)) return id;
  if (id === "F") return `F #${blocks.fpu.length + 1}`;
  return `block at ${start}`;
}

function expectVersion(reader: Reader, version: number, known: readonly number[]): void {
  if (!known.includes(version)) throw new Broken(reader.block, reader.offset - 2, `version ${version} is unknown`);
}

function readArch(reader: Reader, header: FileHeader, version: number): ArchBlock {
  const size = reader.u16("length");
  if (header.target !== "cortex-m") return { version, bytes: reader.take(size, "registers"), registers: undefined };
  const sizes = CORTEX_M_BYTES[version];
  if (sizes === undefined) throw new Broken("A", reader.offset - 4, `version ${version} is unknown for Cortex-M (1 to 3 are known)`);
  if (!sizes.includes(size)) throw new Broken("A", reader.offset - 2, `${size} bytes of registers; Cortex-M version ${version} has ${sizes.join(" or ")}`);
  const bytes = reader.take(size, "registers");
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const registers: Record<string, number> = {};
  for (let i = 0; i < size / 4; i++) registers[CORTEX_M_REGISTERS[i] as string] = words.getUint32(4 * i, true);
  return { version, bytes, registers };
}

function readMemory(reader: Reader, header: FileHeader, version: number, form: Coredump["form"]): MemoryBlock {
  expectVersion(reader, version, [1]);
  const pointer = header.ptrSizeLog2 === 6 ? 8 : 4;
  const start = reader.pointer(pointer, "start address");
  const end = reader.pointer(pointer, "end address");
  if (end <= start) throw new Broken(reader.block, reader.offset - 2 * pointer, `ends at 0x${end.toString(16)}, not after its start 0x${start.toString(16)}`);
  const size = end - start;
  if (size > BigInt(reader.left)) {
    const why = form === "flash-partition" ? "; Zephyr does not notice when the partition is too small for the dump" : "";
    throw new Broken(reader.block, reader.offset, `0x${start.toString(16)} to 0x${end.toString(16)} needs ${size} bytes, the dump has ${reader.left} left: it is truncated${why}`);
  }
  const dataOffset = reader.offset;
  return { version, start, end, dataOffset, data: reader.take(Number(size), "memory") };
}

function readFpu(reader: Reader, header: FileHeader, version: number): FpuBlock {
  const size = reader.u16("length");
  const cpu = reader.u32("CPU");
  const thread = reader.pointer(header.ptrSizeLog2 === 6 ? 8 : 4, "thread");
  return { version, cpu, thread, bytes: reader.take(size, "FPU state") };
}

/** What is odd about a dump that can be read: it may be whole and may be not. */
function doubts(header: FileHeader, { arch, memory, fpu, crc }: Blocks): string[] {
  const found: string[] = [];
  if (arch === undefined) found.push("no architecture block (A): the fatal error had no exception, or the block was lost; there are no registers");
  if (arch !== undefined) found.push(...frameDoubts({ target: header.target, arch, memory }));
  if (header.version === 1 && crc) found.push("a CRC block in a dump of file version 1");
  const byStart = [...memory].sort((a, b) => (a.start < b.start ? -1 : 1));
  for (const [index, block] of byStart.entries()) {
    const next = byStart[index + 1];
    if (next !== undefined && next.start < block.end) {
      found.push(`memory blocks overlap at 0x${next.start.toString(16)}: an address in both may have either value`);
      break;
    }
  }
  const [structure] = memory;
  if (fpu.length > 0 && structure !== undefined && memory.length === 2 && fpu.every((block) => block.thread !== structure.start)) {
    found.push("the floating-point state belongs to another thread than the dump");
  }
  return found;
}

// Zephyr's smallest dump has the faulting thread's structure and its stack; anything less lost its end exactly between two blocks.
const RAM_DUMP_MIN = 1024;

function checkComplete(reader: Reader, header: FileHeader, blocks: Blocks): void {
  if (header.version === 2 && (header.flag & 1) === 1 && !blocks.crc) {
    throw new Broken("C", reader.offset, "the header promises a CRC block, the dump ends without one: it is truncated");
  }
  const [only, second] = blocks.memory;
  if (only === undefined) throw new Broken("M #1", reader.offset, "the dump ends before its first memory block: it is truncated");
  if (second === undefined && only.data.length < RAM_DUMP_MIN) {
    throw new Broken("M #2", reader.offset, "the dump ends after the thread structure, without a stack: it is truncated");
  }
}
