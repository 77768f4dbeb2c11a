// SPDX-License-Identifier: Apache-2.0
// Why a device dumped, by name (Zephyr's include/zephyr/fatal_types.h and arch/arm error codes).

import type { Target } from "./dump.ts";

const KERNEL: Readonly<Record<number, string>> = {
  0: "CPU exception",
  1: "spurious interrupt",
  2: "stack overflow",
  3: "kernel oops",
  4: "kernel panic",
};

// Arm numbers its architecture codes from 16 on.
const CORTEX_M: readonly string[] = [
  "memory fault", "memory fault while stacking", "memory fault while unstacking", "memory fault on data access",
  "memory fault on instruction access", "memory fault while saving the FPU state", "bus fault", "bus fault while stacking",
  "bus fault while unstacking", "precise bus fault", "imprecise bus fault", "bus fault on instruction access",
  "bus fault while saving the FPU state", "usage fault", "division by zero", "unaligned access", "stack overflow found by hardware",
  "no coprocessor", "illegal EXC_RETURN", "illegal EPSR", "undefined instruction", "secure fault",
];

/** A dump's reason in words; unknown codes keep their number. */
export function reasonName(reason: number, target: Target): string {
  const name = KERNEL[reason] ?? (target === "cortex-m" ? CORTEX_M[reason - 16] : undefined);
  return name ?? `architecture reason ${reason}`;
}
