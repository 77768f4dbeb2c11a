// SPDX-License-Identifier: Apache-2.0

export * from "./backtrace.ts";
export * from "./crc32.ts";
export * from "./decode.ts";
export * from "./dump.ts";
export * from "./elf.ts";
export { wordAt } from "./memory.ts";
export type { PartitionHeader } from "./forms.ts";
export * from "./reasons.ts";
export type { ThreadEntry } from "./threads.ts";
export { listThreads } from "./threads.ts";
