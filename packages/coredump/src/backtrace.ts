// SPDX-License-Identifier: Apache-2.0
// Who called whom, as far as a dump and a symbol table can tell.
//
// B1. Without unwind tables only pc can be stated, and only when something vouches for it; lr may be stale, and every
//     address found on the stack may be left over from an earlier call. Each frame says how sure it is.

import type { Coredump } from "./dump.ts";
import { isAfterCall, locate, type Located, type SymbolTable } from "./elf.ts";
import { blockAt, wordAt } from "./memory.ts";

/**
 * `certain`: pc, proved by a checksum, CRC or the exception frame. `likely`: pc of an unprotected dump, or lr.
 * `guess`: an address on the stack that could be a return address.
 */
export type Certainty = "certain" | "likely" | "guess";

export interface Frame {
  readonly address: number;
  readonly from: "pc" | "lr" | "stack";
  readonly function: Located | undefined;
  readonly certainty: Certainty;
}

export interface Backtrace {
  readonly frames: readonly Frame[];
  /** Only true when every frame is certain, which takes unwind tables for anything deeper than pc. */
  readonly sure: boolean;
  readonly notes: readonly string[];
}

const FRAMES_MAX = 64;

/** Where an instruction that returns to `address` was: inside the call, not behind it. */
export function callSite(address: number): number {
  return address - (address % 2) - 1;
}

/** pc, lr, then a conservative scan of the stack for addresses behind a call. */
export function backtrace(dump: Coredump, symbols?: SymbolTable): Backtrace {
  const registers = dump.arch.registers;
  if (registers === undefined) return { frames: [], sure: false, notes: [`registers of ${dump.header.target} are not decoded`] };
  const notes: string[] = [];
  const frames: Frame[] = [];
  const name = (address: number): Located | undefined => (symbols === undefined ? undefined : locate(symbols, address));
  const pc = registers["pc"] as number;
  const lr = registers["lr"] as number;
  const proved = dump.integrity !== "none" || dump.stackPointer.kind === "exception-frame";
  if (pc !== 0) {
    const at = pc - (pc % 2);
    const located = name(at);
    const inCode = symbols === undefined || located !== undefined;
    if (!inCode) notes.push(`pc 0x${pc.toString(16)} is in no function: a call through a bad pointer, or a different build`);
    frames.push({ address: at, from: "pc", function: located, certainty: proved && inCode ? "certain" : "likely" });
  } else notes.push("pc is 0: a call through NULL, or it was not recorded; lr tells the caller");
  if (lr !== 0 && !isExceptionReturn(lr)) frames.push({ address: callSite(lr), from: "lr", function: name(callSite(lr)), certainty: "likely" });
  if (pc === 0 && lr === 0) notes.push("neither pc nor lr is recorded: reason and thread are all there is");
  scanStack(dump, symbols, frames, notes);
  return { frames, sure: frames.length > 0 && frames.every((frame) => frame.certainty === "certain"), notes };
}

const isExceptionReturn = (address: number): boolean => address >= 0xffffff00;

function scanStack(dump: Coredump, symbols: SymbolTable | undefined, frames: Frame[], notes: string[]): void {
  if (dump.stackPointer.kind === "unknown") {
    notes.push(`no stack scan: ${dump.stackPointer.why}`);
    return;
  }
  if (symbols === undefined) {
    notes.push("no stack scan: without symbols nothing tells code from data");
    return;
  }
  const { sp } = dump.stackPointer;
  const stack = blockAt(dump.memory, sp, 4);
  if (stack === undefined) return;
  const seen = frames.at(-1)?.from === "lr" ? (frames.at(-1) as Frame).address : undefined;
  for (let at = sp; BigInt(at) + 4n <= stack.end && frames.length < FRAMES_MAX; at += 4) {
    const word = wordAt(dump.memory, at) as number;
    // A Thumb return address has bit 0 set.
    if (word % 2 === 0) continue;
    const site = callSite(word);
    const located = locate(symbols, site);
    if (located === undefined || isAfterCall(symbols, word - 1) === false) continue;
    if (site === seen && frames.at(-1)?.from === "lr") continue;
    frames.push({ address: site, from: "stack", function: located, certainty: "guess" });
  }
  notes.push("frames from the stack are guesses: addresses of earlier calls may lie there too");
}

/**
 * What makes two crashes one issue (R56): reason, function of pc, function of lr; addresses only where no symbol is known.
 *
 * With neither register the thread stands in.
 */
export function signature(dump: Coredump, symbols?: SymbolTable): string {
  const registers = dump.arch.registers ?? {};
  const say = (address: number | undefined, site: (address: number) => number): string | undefined => {
    if (address === undefined || address === 0 || isExceptionReturn(address)) return undefined;
    const at = site(address);
    return (symbols === undefined ? undefined : locate(symbols, at))?.name ?? `0x${at.toString(16)}`;
  };
  const places = [say(registers["pc"], (pc) => pc - (pc % 2)), say(registers["lr"], callSite)].filter((place) => place !== undefined);
  if (places.length > 0) return [dump.header.reasonName, ...places].join(" / ");
  return `${dump.header.reasonName} / thread ${dump.thread?.name ?? "unknown"}`;
}
