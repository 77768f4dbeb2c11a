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
  if (registers === undefined) {
    const why = dump.arch.bytes.length === 0 ? "no registers were dumped" : `registers of ${dump.header.target} are not decoded`;
    return { frames: [], sure: false, notes: [why] };
  }
  const notes: string[] = [];
  const frames: Frame[] = [];
  const name = (address: number): Located | undefined => (symbols === undefined ? undefined : locate(symbols, address));
  const exception = interruptedBy(registers["xpsr"]);
  if (exception !== undefined) notes.push(`the CPU was in ${exception}: the thread is the one that was interrupted, and not the one that crashed`);
  const pc = registers["pc"] as number;
  const lr = registers["lr"] as number;
  const { stackPointer } = dump;
  const proved = dump.integrity !== "none" || stackPointer.kind === "exception-frame" || (stackPointer.kind === "as-dumped" && stackPointer.proved);
  const foreign = symbols !== undefined && isForeign(dump, symbols);
  if (foreign) notes.push("the crashed thread is no object of this ELF: it is probably the ELF of another build, and the names are wrong");
  if (pc !== 0) {
    const at = pc - (pc % 2);
    const located = name(at);
    const inCode = symbols === undefined || located !== undefined;
    if (!inCode) notes.push(`pc 0x${pc.toString(16)} is in no function: a call through a bad pointer, or a different build`);
    frames.push({ address: at, from: "pc", function: located, certainty: proved && inCode && !foreign ? "certain" : "likely" });
  } else notes.push("pc is 0: a call through NULL, or it was not recorded; lr tells the caller");
  if (lr !== 0 && !isExceptionReturn(lr)) frames.push({ address: callSite(lr), from: "lr", function: name(callSite(lr)), certainty: "likely" });
  if (pc === 0 && lr === 0) notes.push("neither pc nor lr is recorded: reason and thread are all there is");
  scanStack(dump, symbols, frames, notes);
  return { frames, sure: frames.length > 0 && frames.every((frame) => frame.certainty === "certain"), notes };
}

/** Bits of an address that tell RAM from code on a Cortex-M. */
const REGION = 29;

/** Whether a table with objects in RAM has none where the thread lies: threads are objects, or lie in one. */
function isForeign(dump: Coredump, symbols: SymbolTable): boolean {
  const { thread } = dump;
  if (thread === null) return false;
  const at = Number(thread.address);
  const objects = symbols.symbols.filter((symbol) => symbol.kind === "object" && symbol.size > 0 && symbol.start >>> REGION === at >>> REGION);
  return objects.length > 0 && !objects.some((symbol) => at >= symbol.start && at < symbol.start + symbol.size);
}

// Exception numbers of the xPSR's low 9 bits (Armv7-M Architecture Reference Manual, B1.5.2).
const EXCEPTIONS: Readonly<Record<number, string>> = {
  2: "the NMI handler", 3: "the hard fault handler", 4: "the memory fault handler", 5: "the bus fault handler", 6: "the usage fault handler",
  11: "a supervisor call", 12: "the debug monitor", 14: "PendSV", 15: "the SysTick interrupt",
};

/** What the code that crashed was called by, when it was no thread. */
function interruptedBy(xpsr: number | undefined): string | undefined {
  const number = (xpsr ?? 0) & 0x1ff;
  return number === 0 ? undefined : (EXCEPTIONS[number] ?? (number >= 16 ? `interrupt ${number - 16}` : `exception ${number}`));
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
  // A dump of the whole RAM goes on behind this stack: the object that it is ends the scan.
  const object = symbols.symbols.find((symbol) => symbol.kind === "object" && sp >= symbol.start && sp < symbol.start + symbol.size);
  const end = object === undefined ? stack.end : BigInt(Math.min(object.start + object.size, Number(stack.end)));
  const seen = frames.at(-1)?.from === "lr" ? (frames.at(-1) as Frame).address : undefined;
  for (let at = sp; BigInt(at) + 4n <= end && frames.length < FRAMES_MAX; at += 4) {
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

/** What GCC adds to the name of a function that it changed for some of its callers; another build may not. */
const CLONE = /(?:\.(?:constprop|isra|part|cold|lto_priv)(?:\.\d+)?)+$/;

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
    return (symbols === undefined ? undefined : locate(symbols, at))?.name.replace(CLONE, "") ?? `0x${at.toString(16)}`;
  };
  const places = [say(registers["pc"], (pc) => pc - (pc % 2)), say(registers["lr"], callSite)].filter((place) => place !== undefined);
  if (places.length > 0) return [dump.header.reasonName, ...places].join(" / ");
  return `${dump.header.reasonName} / thread ${dump.thread?.name ?? "unknown"}`;
}
