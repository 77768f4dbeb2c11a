// SPDX-License-Identifier: Apache-2.0
// What the boards themselves show at the end of a scenario, whatever they have reported.
import { type Device, otherSlot } from "@coalmine/device";
import type { Fault } from "@coalmine/fleet";
import { cutName } from "./faults.ts";

/** Which versions run and which lie in the other slot, on how many nothing runs, and how many have lost what they speak with. A board that reboots just then counts as running. */
export function lookAtBoards(boards: readonly Device[]): { readonly runs: Readonly<Record<string, number>>; readonly keeps: Readonly<Record<string, number>>; readonly stopped: number; readonly mute: number } {
  const runs: Record<string, number> = {};
  let mute = 0;
  const keeps: Record<string, number> = {};
  let stopped = 0;
  for (const board of boards) {
    const version = board.running?.version;
    mute += board.identityLost ? 1 : 0;
    const other = version === undefined ? undefined : board.flash.image(otherSlot(board.slot))?.version;
    if (other !== undefined) {
      keeps[other] = (keeps[other] ?? 0) + 1;
    }
    if (board.phase === "stopped") {
      stopped++;
    } else if (version !== undefined) {
      runs[version] = (runs[version] ?? 0) + 1;
    }
  }
  return { runs, keeps, stopped, mute };
}

/** Losses of power inside the bootloaders of one kind of hardware, planned by one fault. */
export interface CutTally {
  readonly fault: number;
  readonly hardware: string;
  readonly each: boolean;
  readonly planned: number;
  /** Power was lost before the planned operation. */
  readonly cut: number;
  /** The boot had fewer operations. */
  readonly passed: number;
  /** The boot it was meant for never came. */
  readonly armed: number;
  /** The last operation at which power was lost. */
  readonly last: number;
  /** Every operation of the boot was cut: all from the first to the last, and a device with a later one passed. */
  readonly complete: boolean;
}

export function cutsMet(faults: readonly Fault[], boards: readonly Device[]): CutTally[] {
  const tallies: CutTally[] = [];
  for (const [index, fault] of faults.entries()) {
    if (fault.kind !== "power-cut" || fault.operation === undefined) {
      continue;
    }
    const name = cutName(index);
    const byKind = Map.groupBy(
      boards.flatMap((board) => board.cuts.filter((cut) => cut.name === name).map((cut) => ({ cut, hardware: board.description.hardware.name }))),
      (entry) => entry.hardware,
    );
    for (const [hardware, entries] of byKind) {
      const having = (outcome: string): number[] => entries.filter(({ cut }) => cut.outcome === outcome).map(({ cut }) => cut.operation);
      const [cut, passed] = [new Set(having("cut")), having("passed")];
      const last = Math.max(0, ...cut);
      tallies.push({
        fault: index,
        hardware,
        each: fault.operation === "each",
        planned: entries.length,
        cut: having("cut").length,
        passed: passed.length,
        armed: having("armed").length,
        last,
        complete: last > 0 && cut.size === last && passed.includes(last + 1),
      });
    }
  }
  return tallies;
}
