// SPDX-License-Identifier: Apache-2.0

import type { ArchBlock, MemoryBlock, StackPointer, Target, ThreadInfo } from "./dump.ts";
import { blockAt, wordAt } from "./memory.ts";

// The order in which a Cortex-M stacks on exception entry (Armv7-M Architecture Reference Manual, B1.5.6).
const FRAME = ["r0", "r1", "r2", "r3", "r12", "lr", "pc", "xpsr"] as const;
const FRAME_BYTES = 32;
/** Set when the processor pushed one more word to align the stack to 8 bytes. */
const XPSR_ALIGNED = 1 << 9;

/**
 * Finds the true stack pointer of a Cortex-M dump.
 *
 * Zephyr before pull request 79622 dumps the address of the exception frame, or 0 on the SVC path, without a change of
 * version; so the decision is made by content: eight words at sp equal to the dumped registers are the frame.
 */
export function findStackPointer(
  target: Target, arch: ArchBlock, memory: readonly MemoryBlock[], thread: ThreadInfo | null,
): StackPointer {
  const registers = arch.registers;
  const dumped = registers?.["sp"];
  if (target !== "cortex-m" || registers === undefined || dumped === undefined) {
    return { kind: "unknown", dumped: 0, why: `registers of ${target} are not decoded` };
  }
  if (dumped === 0) return { kind: "unknown", dumped, why: "sp was not recorded (oops, panic or assert on an older Zephyr)" };
  if (FRAME.every((name, i) => wordAt(memory, dumped + 4 * i) === registers[name])) {
    const padding = ((registers["xpsr"] as number) & XPSR_ALIGNED) === 0 ? 0 : 4;
    return { kind: "exception-frame", dumped, sp: dumped + FRAME_BYTES + padding };
  }
  const stack = thread?.stack ?? null;
  const inStack = stack === null || (BigInt(dumped) >= stack.start && BigInt(dumped) <= stack.end);
  const inMemory = blockAt(memory, dumped, 4) !== undefined || memory.some((block) => BigInt(dumped) === block.end);
  if (dumped % 4 !== 0 || !inMemory || !inStack) {
    return { kind: "unknown", dumped, why: "sp lies outside the dumped stack" };
  }
  return { kind: "as-dumped", dumped, sp: dumped };
}
