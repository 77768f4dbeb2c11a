// SPDX-License-Identifier: Apache-2.0
// What makes two crashes one issue (R56): the reason, and the functions at pc and lr.
import { callSite, locate, type SymbolTable } from "@coalmine/coredump";
import { createHash } from "node:crypto";

/** Where a crash happened, as a crash report or the registers of a dump say it. */
export interface CrashSite {
  /** Lower-case hex of the build that crashed. */
  readonly buildId: string;
  readonly reason: string;
  /** Program counter and link register at the fault; 0 when not recorded. */
  readonly pc: number;
  readonly lr: number;
}

export interface Signature {
  /** The same text for the same issue. */
  readonly text: string;
  /** True when functions are named: then builds of one program share an issue. Addresses mean nothing in another build. */
  readonly symbolised: boolean;
}

const buildDigits = 8;
/** Cortex-M's EXC_RETURN values are no code. */
const exceptionReturnMin = 0xffff_ff00;

/** The signature of a crash. Without symbols it names addresses and the build they belong to. */
export function crashSignature(site: CrashSite, symbols?: SymbolTable): Signature {
  const places = [placeOf(site.pc, (pc) => pc - (pc % 2), symbols), placeOf(site.lr, callSite, symbols)].filter((place) => place !== undefined);
  const symbolised = places.some((place) => place.named);
  const words = [site.reason, ...places.map((place) => place.text)];
  return { text: symbolised ? words.join(" / ") : [...words, `build ${site.buildId.slice(0, buildDigits)}`].join(" / "), symbolised };
}

function placeOf(address: number, site: (address: number) => number, symbols: SymbolTable | undefined): { readonly text: string; readonly named: boolean } | undefined {
  if (address === 0 || address >= exceptionReturnMin) {
    return undefined;
  }
  const at = site(address);
  const name = symbols === undefined ? undefined : locate(symbols, at)?.name;
  return { text: name ?? `0x${at.toString(16)}`, named: name !== undefined };
}

/** A short, stable name of an issue: twelve hex digits of its signature's SHA-256. */
export function issueId(signature: string): string {
  return createHash("sha256").update(signature).digest("hex").slice(0, 12);
}
