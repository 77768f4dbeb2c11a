// SPDX-License-Identifier: Apache-2.0
import type { BoardEntry } from "@coalmine/boards";
import { type Command, InvalidArgumentError } from "commander";
import process from "node:process";
import { Readable } from "node:stream";
import { badEnvironment, badUsage, exitCodes } from "../output/exit.ts";
import { output } from "../output/output.ts";
import { facts, table } from "../output/table.ts";
import { printable } from "../output/text.ts";
import { gather, whole } from "./arguments.ts";
import { example } from "./example.ts";

interface BoardsFlags {
  readonly boards?: string;
  readonly json?: true;
}

interface NamedFlags extends BoardsFlags {
  readonly board?: string;
}

interface ConsoleFlags extends NamedFlags {
  readonly serial?: string;
  readonly baud: number;
  readonly for?: number;
  readonly until?: RegExp;
  readonly send?: readonly string[];
}

/** Adds `list`, `flash`, `debug` and `console`: what needs the boards file, west or a console. */
export function registerInventory(board: Command): void {
  example(
    boardsOption(board.command("list").description("the boards of the boards file, and what can be said of them without touching them"))
      .option("--json", "one JSON document on stdout")
      .action(list),
    "coalmine board list --boards desk.yaml",
  );
  example(
    namedOptions(board.command("flash").description("write firmware to a board: by west, or into the flash file of an emulated one"))
      .option("--image <file>", "emulated boards: signed image instead of the one in the boards file")
      .action(flash),
    "coalmine board flash --board desk-1",
  );
  example(namedOptions(board.command("debug").description("start west's debugger on a board's build")).action(debug), "coalmine board debug --board desk-1");
  example(
    namedOptions(board.command("console").description("a board's console, line by line, until Ctrl-C; what is typed on a terminal is sent"))
      .option("--serial <device>", "a serial device, without a boards file")
      .option("--baud <n>", "its speed", whole(300, 12_000_000), 115_200)
      .option("--send <line>", "a line to send first (repeatable)", gather)
      .option("--for <seconds>", "end after so many seconds", whole(1))
      .option("--until <pattern>", "end with 0 once a line like this came; with --for, with 1 when the time is up", (text) => {
        try {
          return new RegExp(text);
        } catch {
          throw new InvalidArgumentError("Give a regular expression.");
        }
      })
      .action(watch),
    "coalmine board console --board desk-1",
    "coalmine board console --serial /dev/ttyACM0 --until 'confirmed=1' --for 60 --json",
  );
}

/** `--boards`, for every command that may take a board from a file. */
export function boardsOption(command: Command): Command {
  return command.option("--boards <file>", "boards file; COALMINE_BOARDS or boards.yaml without it");
}

function namedOptions(command: Command): Command {
  return boardsOption(command).option("--board <name>", "which board of the boards file; not needed when it has one").option("--json", "one JSON document on stdout");
}

async function list(flags: BoardsFlags): Promise<void> {
  const { findBoard, loadBoards, presence } = await import("../boards.ts");
  const { consolePort, smpAddress } = await import("@coalmine/boards");
  const boards = loadBoards(flags.boards);
  if (boards.length === 0) {
    findBoard(boards, undefined); // says what is missing
  }
  const shown = boards.map((one) => ({ name: one.name, kind: one.kind, state: presence(one), smp: smpAddress(one) ?? null, console: one.kind === "qemu" ? one.flash : (consolePort(one) ?? null), west: one.kind === "qemu" ? null : (one.west?.build ?? null) }));
  output(flags).result({ boards: shown }, () =>
    table(
      [{ title: "BOARD" }, { title: "KIND" }, { title: "STATE" }, { title: "SMP" }, { title: "CONSOLE", flexible: true }, { title: "WEST BUILD", flexible: true }],
      shown.map((one) => [one.name, one.kind, one.state, one.smp ?? "-", one.console ?? "-", one.west ?? "-"]),
    ),
  );
}

async function flash(flags: NamedFlags & { readonly image?: string }): Promise<void> {
  const { findBoard, loadBoards, runWest } = await import("../boards.ts");
  const board = findBoard(loadBoards(flags.boards), flags.board);
  if (board.kind === "qemu") {
    const { holderOf } = await import("@coalmine/boards");
    const { make } = await import("../board-qemu-run.ts");
    const holder = holderOf(board.flash);
    if (holder !== undefined) {
      throw badEnvironment(`board ${board.name} is running (process ${holder.pid}); stop it first`);
    }
    const image = flags.image ?? board.image;
    make(board.flash, {
      id: board.name,
      ...(board.bootloader === undefined ? {} : { bootloader: board.bootloader }),
      ...(image === undefined ? {} : { image }),
      ...(board.broker === undefined ? {} : { broker: String(board.broker) }),
    });
    done(flags, board, "composed");
    return;
  }
  if (flags.image !== undefined) {
    throw badUsage(`--image is for emulated boards: west flashes what its build folder holds. To update ${board.name} over its link: coalmine board update`);
  }
  const { westArguments } = await import("@coalmine/boards");
  const section = westOf(board);
  const code = await runWest(westArguments("flash", section), section.build);
  done(flags, board, code === 0 ? "flashed" : `west ended with ${code}`);
  process.exitCode = code === 0 ? exitCodes.done : exitCodes.environment;
}

async function debug(flags: NamedFlags): Promise<void> {
  const { findBoard, loadBoards, runWest } = await import("../boards.ts");
  const { westArguments } = await import("@coalmine/boards");
  const board = findBoard(loadBoards(flags.boards), flags.board);
  const section = westOf(board);
  const code = await runWest(westArguments("debug", section), section.build);
  done(flags, board, code === 0 ? "ended" : `west ended with ${code}`);
  process.exitCode = code === 0 ? exitCodes.done : exitCodes.environment;
}

function westOf(board: BoardEntry) {
  const section = board.kind === "qemu" ? undefined : board.west;
  if (section === undefined) {
    throw badUsage(`board ${board.name} (${board.kind}) has no west section: add \`west: {build: FOLDER}\` to it`);
  }
  return section;
}

function done(flags: NamedFlags, board: BoardEntry, outcome: string): void {
  output(flags).result({ board: board.name, kind: board.kind, outcome }, () => facts([["board", board.name], ["outcome", outcome]]));
}

async function watch(flags: ConsoleFlags): Promise<void> {
  const { name, stream, type } = await openConsole(flags);
  const { LineReader } = await import("@coalmine/boards");
  const out = output(flags);
  let lines = 0;
  let found: string | null = null;
  const ended = new AbortController();
  const stop = (): void => ended.abort();
  const reader = new LineReader((line) => {
    lines += 1;
    (flags.json === true ? process.stderr : process.stdout).write(`${printable(line)}\n`);
    if (found === null && flags.until?.test(line) === true) {
      found = line;
      stop();
    }
  });
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  const timer = flags.for === undefined ? undefined : setTimeout(stop, flags.for * 1_000);
  const lost = await new Promise<Error | undefined>((resolve) => {
    stream.on("data", (bytes: Uint8Array) => reader.push(bytes));
    stream.once("error", resolve);
    stream.once("close", () => resolve(new Error("the console was closed")));
    ended.signal.addEventListener("abort", () => resolve(undefined));
    for (const line of flags.send ?? []) {
      type?.(`${line}\n`);
    }
    if (process.stdin.isTTY && type !== undefined) {
      process.stdin.on("data", (text: Uint8Array) => type(new TextDecoder().decode(text)));
    }
  });
  clearTimeout(timer);
  process.off("SIGINT", stop);
  process.off("SIGTERM", stop);
  process.stdin.pause();
  reader.end();
  stream.destroy();
  if (lost !== undefined && found === null) {
    throw badEnvironment(`the console of ${name} is gone: ${lost.message}`, lost);
  }
  if (flags.json === true) {
    out.result({ board: name, lines, found }, () => "");
  }
  process.exitCode = flags.until !== undefined && found === null ? exitCodes.failed : exitCodes.done;
}

async function openConsole(flags: ConsoleFlags): Promise<{ readonly name: string; readonly stream: Readable; readonly type: ((text: string) => void) | undefined }> {
  const { consolePort, holderOf } = await import("@coalmine/boards");
  const { followFile } = await import("../follow-file.ts");
  if (flags.serial !== undefined) {
    return serialConsole(flags.serial, flags.serial, flags.baud);
  }
  const { findBoard, loadBoards } = await import("../boards.ts");
  const board = findBoard(loadBoards(flags.boards), flags.board);
  if (board.kind === "qemu") {
    const holder = holderOf(board.flash);
    if (holder === undefined) {
      throw badEnvironment(`board ${board.name} is off: start it with \`coalmine board qemu run --flash ${board.flash} --id ${board.name}\``);
    }
    if ((flags.send ?? []).length > 0) {
      throw badUsage("the console of an emulated board that another command runs can be read, not written");
    }
    return { name: board.name, stream: Readable.from(followFile(holder.console), { objectMode: false }), type: undefined };
  }
  const port = consolePort(board);
  if (port === undefined) {
    throw badUsage(`board ${board.name} (${board.kind}) has no console: add \`console: /dev/...\` to it`);
  }
  return serialConsole(board.name, port, board.baud ?? flags.baud);
}

async function serialConsole(name: string, path: string, baud: number) {
  const { openSerialStream } = await import("@coalmine/smp");
  const stream = await openSerialStream({ path, baud });
  return { name, stream, type: (text: string): void => void stream.write(text) };
}
