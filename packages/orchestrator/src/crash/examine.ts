// SPDX-License-Identifier: Apache-2.0
// What a coredump says, as plain data for people and programs.
import { backtrace, decodeCoredump, type SymbolTable } from "@coalmine/coredump";

export interface ExaminedFrame {
  readonly address: string;
  /** `name+offset`; null where no symbol is known. */
  readonly function: string | null;
  readonly from: "pc" | "lr" | "stack";
  readonly certainty: "certain" | "likely" | "guess";
}

export type Examined =
  | {
      readonly kind: "coredump";
      readonly reason: string;
      readonly target: string;
      readonly pc: number;
      readonly lr: number;
      readonly thread: string | null;
      readonly integrity: string;
      readonly registers: Readonly<Record<string, string>>;
      readonly frames: readonly ExaminedFrame[];
      readonly notes: readonly string[];
      /** Names come from the ELF of exactly this build. */
      readonly symbolised: boolean;
    }
  /** Damaged, and where. */
  | { readonly kind: "broken"; readonly block: string; readonly offset: number; readonly detail: string };

const framesMax = 24;

/** Decodes a dump in any of its forms. Never throws for bytes that are no dump. */
export function examineDump(bytes: Uint8Array, symbols?: SymbolTable): Examined {
  const dump = decodeCoredump(bytes);
  if (dump.kind === "broken") {
    return { kind: "broken", block: dump.block, offset: dump.offset, detail: dump.detail };
  }
  const registers = dump.arch.registers ?? {};
  const trace = backtrace(dump, symbols);
  return {
    kind: "coredump",
    reason: dump.header.reasonName,
    target: dump.header.target,
    pc: registers["pc"] ?? 0,
    lr: registers["lr"] ?? 0,
    thread: dump.thread?.name ?? null,
    integrity: dump.integrity,
    registers: Object.fromEntries(Object.entries(registers).map(([name, value]) => [name, hex(value)])),
    frames: trace.frames.slice(0, framesMax).map((frame) => ({
      address: hex(frame.address),
      function: frame.function === undefined ? null : `${frame.function.name}+${frame.function.offset}`,
      from: frame.from,
      certainty: frame.certainty,
    })),
    notes: trace.notes,
    symbolised: symbols !== undefined,
  };
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}
