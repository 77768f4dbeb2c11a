// SPDX-License-Identifier: Apache-2.0
// A decoded Zephyr coredump as plain values. Field names follow Zephyr's coredump documentation.

import type { PartitionHeader } from "./forms.ts";

export type Target = "x86" | "x86-64" | "cortex-m" | "risc-v" | "xtensa" | "arm64";

export interface FileHeader {
  readonly version: number;
  readonly targetCode: number;
  readonly target: Target;
  readonly ptrSizeLog2: number;
  readonly flag: number;
  readonly reason: number;
  readonly reasonName: string;
}

/** Registers by name, as dumped; undefined for targets whose payload this decoder does not know. */
export interface ArchBlock {
  readonly version: number;
  readonly bytes: Uint8Array;
  readonly registers: Readonly<Record<string, number>> | undefined;
}

export interface MemoryBlock {
  readonly version: number;
  readonly start: bigint;
  /** Exclusive. */
  readonly end: bigint;
  /** Where the data starts in the dump. */
  readonly dataOffset: number;
  readonly data: Uint8Array;
}

/** A thread the dump names. What its structure holds depends on the build, so name and stack are found by shape. */
export interface ThreadInfo {
  readonly address: bigint;
  readonly name: string | null;
  readonly stack: { readonly start: bigint; readonly end: bigint } | null;
  /** The structure itself names this stack. */
  readonly stackSure: boolean;
}

/** Floating-point state of one thread on one CPU ("F" block). */
export interface FpuBlock {
  readonly version: number;
  readonly cpu: number;
  readonly thread: bigint;
  readonly bytes: Uint8Array;
}

export interface Coredump {
  readonly kind: "coredump";
  readonly form: "raw" | "flash-partition" | "log-capture";
  readonly bytes: Uint8Array;
  readonly partition: PartitionHeader | null;
  readonly header: FileHeader;
  readonly arch: ArchBlock;
  readonly memory: readonly MemoryBlock[];
  /** Kernel state ("T" block), for tools that have the ELF of exactly that build. */
  readonly kernelState: { readonly version: number; readonly bytes: Uint8Array } | null;
  readonly fpu: readonly FpuBlock[];
  /** What vouches for the bytes: the partition's checksum, a CRC block, or nothing. */
  readonly integrity: "crc" | "checksum" | "none";
  readonly thread: ThreadInfo | null;
  readonly stackPointer: StackPointer;
  /** What is odd about a dump that can be read. */
  readonly warnings: readonly string[];
}

/** Where the stack of the faulting code was at the exception. */
export type StackPointer =
  /** sp points at the hardware exception frame, which proves pc and lr: the true sp lies behind it. */
  | { readonly kind: "exception-frame"; readonly dumped: number; readonly sp: number }
  /** sp is what it says; `proved` when the exception frame still lies below it, which vouches for pc and lr. */
  | { readonly kind: "as-dumped"; readonly dumped: number; readonly sp: number; readonly proved: boolean }
  /** Not recorded (SVC path: oops, panic, assert on older Zephyr) or outside the dumped memory. */
  | { readonly kind: "unknown"; readonly dumped: number; readonly why: string };

/** A dump that must not be believed: the block that is wrong, where, and how. */
export interface BrokenDump {
  readonly kind: "broken";
  readonly block: string;
  /** Byte offset in the dump, or in the file for a partition's header; line number for a log capture. */
  readonly offset: number;
  readonly detail: string;
}
