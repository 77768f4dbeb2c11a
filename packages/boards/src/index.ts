// SPDX-License-Identifier: Apache-2.0
export type { ConsoleMatch } from "./console.ts";
export { BoardConsole, LineReader } from "./console.ts";
export type { FlashContents } from "./flash-file.ts";
export { armCut, composeFlash, installSecond, readLaboratory, requestSwap, writeLaboratory } from "./flash-file.ts";
export type { Holder } from "./hold.ts";
export { holderOf } from "./hold.ts";
export type { BoardState, SlotState } from "./inspect.ts";
export { inspectFlash, storedCoredump } from "./inspect.ts";
export type { BoardEntry } from "./inventory.ts";
export { consolePort, readInventory, smpAddress, westArguments } from "./inventory.ts";
export type { CutStyle, Identity, Laboratory, LaboratorySettings } from "./laboratory.ts";
export type { ForwardedPort } from "./machine.ts";
export { NETWORK } from "./machine.ts";
export { IMAGE_HEADER_BYTES, REGIONS } from "./memory-map.ts";
export type { BoardCounts, BoardEvent, QemuOptions } from "./qemu-board.ts";
export { findQemu, QemuBoard } from "./qemu-board.ts";
export { Qmp } from "./qmp.ts";
