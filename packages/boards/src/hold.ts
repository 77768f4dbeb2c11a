// SPDX-License-Identifier: Apache-2.0
// A flash file belongs to one process: QEMU itself would let two run on it.

import { CoalmineError } from "@coalmine/core";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";

/** What stands in `FLASH.board` while a board runs. */
export interface Holder {
  /** The process that runs the board. */
  readonly pid: number;
  /** Socket on which others may speak QMP with it. */
  readonly qmp: string;
  readonly console: string;
}

function holdFile(flash: string): string {
  return `${flash}.board`;
}

/** Who runs the board now; nothing when nobody does, or the one who did is gone. */
export function holderOf(flash: string): Holder | undefined {
  let holder: Holder;
  try {
    holder = JSON.parse(readFileSync(holdFile(flash), "utf8")) as Holder;
  } catch {
    return undefined;
  }
  return Number.isSafeInteger(holder.pid) && holder.pid > 0 && isAlive(holder.pid) ? holder : undefined;
}

/** Takes the file. @throws CoalmineError `boards/in-use` naming the process that has it. */
export function hold(flash: string, holder: Holder): void {
  const other = holderOf(flash);
  if (other !== undefined) {
    throw new CoalmineError("boards/in-use", `${flash} is a running board (process ${other.pid}): one file, one process`);
  }
  try {
    rmSync(holdFile(flash), { force: true });
    writeFileSync(holdFile(flash), `${JSON.stringify(holder)}\n`, { flag: "wx" });
  } catch (cause) {
    throw new CoalmineError("boards/in-use", `cannot take ${flash}: ${(cause as Error).message}`, { cause });
  }
}

export function release(flash: string): void {
  if (holderOf(flash)?.pid === process.pid) {
    rmSync(holdFile(flash), { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
