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
