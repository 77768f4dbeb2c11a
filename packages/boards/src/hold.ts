// SPDX-License-Identifier: Apache-2.0
// A flash file belongs to one process: QEMU itself would let two run on it.

import { CoalmineError } from "@coalmine/core";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";

/** What stands in `FLASH.board` while a board runs. */
export interface Holder {
  /** The process that runs the board. */
  readonly pid: number;
  /** QEMU's own process; null while the board is off. */
  readonly machine: number | null;
  /** Socket on which others may speak QMP with it. */
  readonly qmp: string;
  readonly console: string;
}

function holdFile(flash: string): string {
  return `${flash}.board`;
}

/** Who runs the board now; nothing when nobody does, or the one who did is gone. */
export function holderOf(flash: string): Holder | undefined {
  const holder = readHolder(flash);
  return holder !== undefined && isAlive(holder.pid) ? holder : undefined;
}

/**
 * Takes the file. A QEMU whose runner was killed would go on writing: it is ended first.
 *
 * @throws CoalmineError `boards/in-use` naming the process that has it.
 */
export function hold(flash: string, holder: Holder): void {
  const other = readHolder(flash);
  if (other !== undefined) {
    if (isAlive(other.pid)) {
      throw new CoalmineError("boards/in-use", `${flash} is a running board (process ${other.pid}): one file, one process`);
    }
    endOrphan(flash, other);
  }
  noteHolder(flash, holder);
}

/** Notes the QEMU of a board that has its file already. @throws CoalmineError `boards/in-use`. */
export function noteHolder(flash: string, holder: Holder): void {
  try {
    writeFileSync(holdFile(flash), `${JSON.stringify(holder)}\n`);
  } catch (cause) {
    throw new CoalmineError("boards/in-use", `cannot take ${flash}: ${(cause as Error).message}`, { cause });
  }
}

export function release(flash: string): void {
  if (readHolder(flash)?.pid === process.pid) {
    rmSync(holdFile(flash), { force: true });
  }
}

function readHolder(flash: string): Holder | undefined {
  try {
    const holder = JSON.parse(readFileSync(holdFile(flash), "utf8")) as Holder;
    return Number.isSafeInteger(holder.pid) && holder.pid > 0 ? holder : undefined;
  } catch {
    return undefined;
  }
}

function endOrphan(flash: string, { machine }: Holder): void {
  if (machine === null || machine === undefined || !isAlive(machine)) {
    return;
  }
  let command: string;
  try {
    command = readFileSync(`/proc/${machine}/cmdline`, "latin1");
  } catch {
    throw new CoalmineError("boards/in-use", `${flash} may still be written by process ${machine}, whose runner is gone: end it first`);
  }
  // Numbers of processes are given again: only one that has this file is ours.
  if (command.includes(`mem-path=${flash.replaceAll(",", ",,")},`)) {
    process.kill(machine, "SIGKILL");
    const clock = new Int32Array(new SharedArrayBuffer(4));
    for (let looks = 0; isAlive(machine) && looks < 1000; looks++) {
      Atomics.wait(clock, 0, 0, 5);
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  try {
    // A zombie, which nobody has waited for yet, does nothing any more: the letter behind the name in brackets.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return true;
  }
}
