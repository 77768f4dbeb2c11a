// SPDX-License-Identifier: Apache-2.0
// `board qemu make` and `board qemu run`.
import { armCut, type BoardCounts, type BoardEvent, composeFlash, QemuBoard } from "@coalmine/boards";
import { existsSync } from "node:fs";
import process from "node:process";
import { readBoardImage, readHostPort, requireQemu } from "./boards.ts";
import type { QemuRunFlags } from "./commands/board-qemu.ts";
import { readBytes } from "./files.ts";
import { badUsage, exitCodes } from "./output/exit.ts";
import { output } from "./output/output.ts";
import { printable } from "./output/text.ts";

type Contents = Pick<QemuRunFlags, "bootloader" | "image" | "second" | "pending" | "key" | "imageVersion" | "id" | "broker" | "coap" | "secret" | "smp" | "eraseUs" | "writeUs">;

const SMP_GUEST_PORT = 1337;

/** Composes a flash file as the flags say. */
export function make(flash: string, flags: Contents): void {
  if (flags.bootloader === undefined) {
    throw badUsage(`${flash} is to be composed: give --bootloader, and --image for what runs`);
  }
  const sign = { ...(flags.key === undefined ? {} : { key: flags.key }), ...(flags.imageVersion === undefined ? {} : { version: flags.imageVersion }) };
  composeFlash(flash, {
    bootloader: readBytes(flags.bootloader, { what: "bootloader", bytesMax: 16 * 1024 * 1024 }),
    image: flags.image === undefined ? undefined : readBoardImage(flags.image, sign),
    second: flags.second === undefined ? undefined : { image: readBoardImage(flags.second, sign), pending: flags.pending === true },
    identity: {
      device: flags.id,
      brokerPort: flags.broker === undefined ? 0 : readHostPort(flags.broker, "--broker"),
      coapPort: flags.coap === undefined ? 0 : readHostPort(flags.coap, "--coap"),
      smpPort: 0,
      secret: flags.secret,
    },
    laboratory: { eraseMicros: flags.eraseUs ?? 0, writeMicros: flags.writeUs ?? 0 },
  });
}

interface Ran {
  readonly id: string;
  readonly flash: string;
  readonly counts: BoardCounts;
  /** The line that `--until` waited for. */
  found: string | null;
}

/** Runs boards until Ctrl-C, SIGTERM, `--for` or `--until`. */
export async function run(flags: QemuRunFlags): Promise<void> {
  requireQemu();
  if (flags.count > 1 && flags.flash !== undefined) {
    throw badUsage("--flash names one file; with --count each board has ID-N.flash in the working folder");
  }
  if (flags.count > 1 && flags.secret !== undefined) {
    throw badUsage("--secret is one board's; make each board's file with `board qemu make`, then run it with --flash");
  }
  const ids = flags.count === 1 ? [flags.id] : Array.from({ length: flags.count }, (_, n) => `${flags.id}-${n + 1}`);
  const boards: { readonly ran: Ran; readonly board: QemuBoard }[] = [];
  const ended = new AbortController();
  const stop = (): void => ended.abort();
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  try {
    for (const [index, id] of ids.entries()) {
      boards.push(await start(id, index, flags, () => allFound(boards, flags) && ended.abort()));
      if (ended.signal.aborted) {
        break;
      }
    }
    if (allFound(boards, flags)) {
      ended.abort();
    }
    await over(ended.signal, flags.for);
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
    await Promise.all(boards.map(({ board }) => board.close()));
  }
  const shown = { boards: boards.map(({ ran }) => ran) };
  output(flags).result(shown, () => shown.boards.map(({ id, counts }) => `${id}: ${counts.starts} starts, ${counts.cuts} cuts, ${counts.lockups} lockups`).join("\n"));
  process.exitCode = flags.until === undefined || allFound(boards, flags) ? exitCodes.done : exitCodes.failed;
}

function allFound(boards: readonly { readonly ran: Ran }[], flags: QemuRunFlags): boolean {
  return flags.until !== undefined && boards.length === flags.count && boards.every(({ ran }) => ran.found !== null);
}

async function start(id: string, index: number, flags: QemuRunFlags, onFound: () => void): Promise<{ readonly ran: Ran; readonly board: QemuBoard }> {
  const flash = flags.flash ?? `${id}.flash`;
  if (flags.fresh === true || !existsSync(flash)) {
    make(flash, { ...flags, id });
  } else if (flags.bootloader !== undefined || flags.image !== undefined) {
    process.stderr.write(`${flash} is there and is used as it is; --fresh composes it anew\n`);
  }
  if (flags.cutAt !== undefined) {
    armCut(flash, flags.cutAt, flags.cutStyle);
  }
  let found: ((line: string) => void) | undefined;
  const onEvent = (event: BoardEvent): void => {
    show(id, event, flags);
    if (event.kind === "line" && flags.until?.test(event.line) === true) {
      found?.(event.line);
    }
  };
  let early: string | undefined;
  found = (line) => {
    early ??= line;
  };
  const board = await QemuBoard.start({
    flash,
    network: flags.network,
    restart: flags.restart,
    forward: flags.smp === undefined ? [] : [{ host: flags.smp + index, guest: SMP_GUEST_PORT }],
    onEvent,
  });
  const ran: Ran = { id, flash, counts: board.counts, found: early ?? null };
  found = (line) => {
    ran.found ??= line;
    onFound();
  };
  return { ran, board };
}

function show(id: string, event: BoardEvent, flags: QemuRunFlags): void {
  const stream = flags.json === true ? process.stderr : process.stdout;
  switch (event.kind) {
    case "line":
      stream.write(`${flags.count > 1 ? `${id}: ` : ""}${printable(event.line)}\n`);
      return;
    case "on":
      process.stderr.write(`${id}: power on, ${event.starts === 1 ? "first start" : `start ${event.starts}`}\n`);
      return;
    case "off":
      process.stderr.write(`${id}: power off, ${event.why}${event.detail === "" ? "" : `: ${printable(event.detail)}`}\n`);
  }
}

async function over(signal: AbortSignal, seconds: number | undefined): Promise<void> {
  if (signal.aborted) {
    return;
  }
  await new Promise<void>((done) => {
    // Without a limit this interval is what keeps the process from being idle when all boards are off.
    const timer = setInterval(() => seconds !== undefined && finish(), seconds === undefined ? 3_600_000 : seconds * 1_000);
    const finish = (): void => {
      clearInterval(timer);
      done();
    };
    signal.addEventListener("abort", finish, { once: true });
  });
}
