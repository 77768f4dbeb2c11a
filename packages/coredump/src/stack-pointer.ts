// SPDX-License-Identifier: Apache-2.0

import type { ArchBlock, FpuBlock, MemoryBlock, StackPointer, Target, ThreadInfo } from "./dump.ts";
import { blockAt, wordAt } from "./memory.ts";

// The order in which a Cortex-M stacks on exception entry (Armv7-M Architecture Reference Manual, B1.5.6).
const FRAME = ["r0", "r1", "r2", "r3", "r12", "lr", "pc", "xpsr"] as const;
const FRAME_BYTES = 32;
/** With the floating-point unit in use: s0 to s15, FPSCR and a word for alignment more. */
const FPU_BYTES = 72;
const FPU_REGISTERS = 16;
/** Set when the processor pushed one more word to align the stack to 8 bytes. */
const XPSR_ALIGNED = 1 << 9;

/** What the search looks at. */
export interface StackEvidence {
  readonly target: Target;
  readonly arch: ArchBlock;
  readonly memory: readonly MemoryBlock[];
  readonly thread: ThreadInfo | null;
  readonly fpu: readonly FpuBlock[];
}

/**
 * Finds the true stack pointer of a Cortex-M dump.
 *
 * Zephyr before pull request 79622 dumps the address of the exception frame, or 0 on the SVC path, without a change of
 * version; so the decision is made by content: eight words at sp equal to the dumped registers are the frame.
 */
export function findStackPointer({ target, arch, memory, thread, fpu }: StackEvidence): StackPointer {
  const registers = arch.registers;
  const dumped = registers?.["sp"];
  if (target !== "cortex-m" || registers === undefined || dumped === undefined) {
    return { kind: "unknown", dumped: 0, why: arch.bytes.length === 0 ? "no registers were dumped" : `registers of ${target} are not decoded` };
  }
  const isFrame = (at: number): boolean => at >= 0 && FRAME.every((name, i) => wordAt(memory, at + 4 * i) === registers[name]);
  if (dumped === 0) return { kind: "unknown", dumped, why: "sp was not recorded (oops, panic or assert on an older Zephyr)" };
  const padding = ((registers["xpsr"] as number) & XPSR_ALIGNED) === 0 ? 0 : 4;
  if (isFrame(dumped)) {
    const extended = hasFpuRegisters(memory, dumped + FRAME_BYTES, thread, fpu) ? FPU_BYTES : 0;
    return { kind: "exception-frame", dumped, sp: dumped + FRAME_BYTES + extended + padding };
  }
  const stack = thread?.stack ?? null;
  const inStack = stack === null || (BigInt(dumped) >= stack.start && BigInt(dumped) <= stack.end);
  const inMemory = blockAt(memory, dumped, 4) !== undefined || memory.some((block) => BigInt(dumped) === block.end);
  if (dumped % 4 !== 0 || !inMemory || !inStack) {
    return { kind: "unknown", dumped, why: "sp lies outside the dumped stack" };
  }
  const proved = [0, FPU_BYTES].some((extended) => isFrame(dumped - padding - extended - FRAME_BYTES));
  return { kind: "as-dumped", dumped, sp: dumped, proved };
}

/** Whether the registers of the thread's "F" block lie at `at`. Lazy stacking leaves the room unwritten: then they do not, and the scan begins early. */
function hasFpuRegisters(memory: readonly MemoryBlock[], at: number, thread: ThreadInfo | null, fpu: readonly FpuBlock[]): boolean {
  const state = fpu.find((block) => block.thread === thread?.address) ?? (thread === null ? fpu[0] : undefined);
  if (state === undefined || state.bytes.length < 4 * FPU_REGISTERS) return false;
  const view = new DataView(state.bytes.buffer, state.bytes.byteOffset, state.bytes.byteLength);
  const words = Array.from({ length: FPU_REGISTERS }, (_, i) => view.getUint32(4 * i, true));
  // All zero says nothing: untouched stack looks like that, too.
  return words.some((word) => word !== 0) && words.every((word, i) => wordAt(memory, at + 4 * i) === word);
}

/** Words of an exception frame that must be different and not zero, so that its likeness is no chance. */
const TELLING = 4;
/** How far below the true sp a frame may lie: with floating-point registers and the word for alignment. */
const FRAME_REACH = FRAME_BYTES + FPU_BYTES + 4;

/**
 * Damage that registers and memory give away together: an exception frame that agrees with the registers in all words but one, or in all
 * but lies far from sp. Neither a checksum nor a CRC is needed for that.
 */
export function frameDoubts({ target, arch, memory }: Pick<StackEvidence, "target" | "arch" | "memory">): string[] {
  const { registers } = arch;
  if (target !== "cortex-m" || registers === undefined) return [];
  const words = FRAME.map((name) => registers[name] ?? 0);
  const sp = registers["sp"] ?? 0;
  let apart: number | undefined;
  let nearly: string | undefined;
  for (const [index, block] of memory.entries()) {
    const view = new DataView(block.data.buffer, block.data.byteOffset, block.data.byteLength);
    for (let at = 0; at + FRAME_BYTES <= block.data.length; at += 4) {
      // One word may differ, so of the first two at least one agrees; most places are done with here.
      const [first, second] = [view.getUint32(at, true) === words[0], view.getUint32(at + 4, true) === words[1]];
      if (!first && !second) continue;
      const equal = words.map((word, n) => view.getUint32(at + 4 * n, true) === word);
      const differing = equal.filter((one) => !one).length;
      const telling = new Set(words.filter((word, n) => equal[n] === true && word !== 0)).size;
      if (differing > 1 || telling < TELLING) continue;
      const address = Number(block.start) + at;
      if (differing === 0) {
        // Fault handlers make copies: one frame where it belongs is enough.
        if (sp === 0 || (address >= sp - FRAME_REACH && address <= sp)) return [];
        apart ??= address;
        continue;
      }
      const name = FRAME[equal.indexOf(false)];
      nearly ??= `block A and the exception frame in block M #${index + 1} agree in all but ${name}: one of them is damaged`;
    }
  }
  if (apart !== undefined) return [`the exception frame lies at 0x${apart.toString(16)}, sp in block A says 0x${sp.toString(16)}: one of them is damaged`];
  return nearly === undefined ? [] : [nearly];
}
