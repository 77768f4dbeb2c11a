// SPDX-License-Identifier: Apache-2.0
import type { Backtrace, Coredump, Frame, ThreadEntry } from "@coalmine/coredump";
import type { Command } from "commander";
import process from "node:process";
import { badUsage, exitCodes } from "../output/exit.ts";
import { output } from "../output/output.ts";
import { facts, table } from "../output/table.ts";
import type { SourceLine, unwind } from "../unwind.ts";
import { whole } from "./arguments.ts";
import { example } from "./example.ts";

export function register(program: Command): void {
  const coredump = program.command("coredump").description("Zephyr coredumps");
  example(
    coredump
      .command("decode")
      .description("registers, thread and backtrace of a dump: raw, from a flash partition, or captured from a log; ends with 1 for a damaged one")
      .argument("<file>")
      .option("--elf <file>", "ELF of exactly that build: function names, threads and, with addr2line and gdb installed, lines and callers")
      .option("--dump <n>", "of a log with several dumps, the n-th; the last without it", whole(1))
      .option("--json", "one JSON document on stdout")
      .action(decode),
    "coalmine coredump decode dump.bin --elf zephyr.elf",
  );
}

interface DecodeFlags {
  readonly elf?: string;
  readonly dump?: number;
  readonly json?: true;
}

async function decode(file: string, flags: DecodeFlags): Promise<void> {
  const { readBytes } = await import("../files.ts");
  const { backtrace, decodeCoredumps, listThreads, readSymbols, signature } = await import("@coalmine/coredump");
  const dumps = decodeCoredumps(readBytes(file, { what: "coredump" }));
  const number = flags.dump ?? dumps.length;
  const dump = dumps[number - 1];
  if (dump === undefined) {
    throw badUsage(`${file} holds ${dumps.length} ${dumps.length === 1 ? "dump" : "dumps"}; there is no dump ${number}`);
  }
  const symbols = flags.elf === undefined ? undefined : readSymbols(readBytes(flags.elf, { what: "ELF" }));
  if (symbols !== undefined && symbols.kind === "broken") {
    throw badUsage(`${flags.elf}: ${symbols.detail}`);
  }
  const out = output(flags);
  const dumpsThere = { dumps: dumps.length, dump: number };
  if (dumps.length > 1) {
    out.note(`dump ${number} of ${dumps.length} in this log; --dump N shows another`);
  }
  if (dump.kind === "broken") {
    out.result({ ...dump, ...dumpsThere }, () => `damaged in ${dump.block} at ${dump.offset}: ${dump.detail}`);
    process.exitCode = exitCodes.failed;
    return;
  }
  const trace = backtrace(dump, symbols);
  const shown: Shown = {
    dump,
    trace,
    signature: signature(dump, symbols),
    threads: symbols === undefined ? undefined : listThreads(dump, symbols),
    ...(flags.elf === undefined ? { lines: undefined, unwound: undefined } : await fromTools(dump, trace, flags.elf)),
  };
  out.result({ ...plain(shown), ...dumpsThere }, () => describe(shown));
}

/** Lines and callers, as far as the toolchain is installed. */
async function fromTools(dump: Coredump, trace: Backtrace, elf: string) {
  const { sourceLines, unwind } = await import("../unwind.ts");
  return { lines: sourceLines(elf, trace.frames.map((frame) => frame.address)), unwound: await unwind(dump, elf) };
}

interface Shown {
  readonly dump: Coredump;
  readonly trace: Backtrace;
  readonly signature: string;
  readonly threads: readonly ThreadEntry[] | undefined;
  readonly lines: ReadonlyMap<number, readonly SourceLine[]> | undefined;
  readonly unwound: Awaited<ReturnType<typeof unwind>>;
}

/** Where a frame's code was written: the innermost inlined function first. */
function lineOf(shown: Shown, frame: Frame): string | null {
  return shown.lines?.get(frame.address)?.[0]?.line ?? null;
}

/** JSON holds neither bytes nor 64-bit integers: hex text for both; memory is told by place and size alone. */
function plain(shown: Shown) {
  const { dump, trace, signature, threads, lines, unwound } = shown;
  const { header, arch, thread, stackPointer } = dump;
  return {
    kind: dump.kind,
    form: dump.form,
    integrity: dump.integrity,
    warnings: dump.warnings,
    target: header.target,
    reason: header.reasonName,
    reasonCode: header.reason,
    header,
    registers: arch.registers === undefined ? null : Object.fromEntries(Object.entries(arch.registers).map(([name, value]) => [name, hex(value)])),
    thread: thread === null ? null : { address: hex(thread.address), name: thread.name, stack: thread.stack === null ? null : { start: hex(thread.stack.start), end: hex(thread.stack.end) } },
    threads: threads === undefined ? null : threads.map((one) => ({ ...one, address: hex(one.address), stackPointer: hex(one.stackPointer) })),
    stackPointer,
    memory: dump.memory.map((block) => ({ start: hex(block.start), end: hex(block.end), bytes: block.data.length })),
    kernelState: dump.kernelState === null ? null : { bytes: dump.kernelState.bytes.length },
    fpu: dump.fpu.map((block) => ({ cpu: block.cpu, thread: hex(block.thread), bytes: block.bytes.length })),
    backtrace: {
      sure: trace.sure,
      notes: trace.notes,
      frames: trace.frames.map((frame) => ({
        address: hex(frame.address),
        from: frame.from,
        certainty: frame.certainty,
        function: frame.function?.name ?? null,
        offset: frame.function?.offset ?? null,
        line: lineOf(shown, frame),
        inlinedInto: lines?.get(frame.address)?.slice(1) ?? [],
      })),
      /** What gdb makes of the dump and the ELF; null without gdb, an ELF or a stack pointer. Right only with the ELF of exactly that build. */
      unwound: unwound === undefined ? null : { frames: unwound.frames.map((frame) => ({ ...frame, address: frame.address === null ? null : hex(frame.address) })), notes: unwound.notes },
    },
    signature,
  };
}

function threadText({ dump, threads }: Shown): string {
  const current = threads?.find((one) => one.current);
  const thread = dump.thread ?? current;
  return thread === undefined ? "unknown" : `${thread.name ?? "unnamed"} at ${hex(thread.address)}`;
}

function describe(shown: Shown): string {
  const { dump, trace, signature, threads, unwound } = shown;
  const parts = [
    facts([
      ["reason", dump.header.reasonName],
      ["target", dump.header.target],
      ["signature", signature],
      ["thread", threadText(shown)],
      ["form", `${dump.form}, integrity: ${dump.integrity}`],
      ["memory", dump.memory.map((block) => `${hex(block.start)} to ${hex(block.end)}`).join(", ") || "none"],
    ]),
  ];
  if (dump.arch.registers !== undefined) {
    parts.push(table([{ title: "REGISTER" }, { title: "VALUE" }], Object.entries(dump.arch.registers).map(([name, value]) => [name, hex(value)])));
  }
  if (threads !== undefined) {
    parts.push(
      table(
        [{ title: "THREAD" }, { title: "NAME" }, { title: "STATE" }, { title: "PRIORITY", align: "right" }, { title: "STACK POINTER" }],
        threads.map((one) => [`${hex(one.address)}${one.current ? " *" : ""}`, one.name ?? "-", one.state, one.priority, hex(one.stackPointer)]),
      ),
    );
  }
  parts.push(
    table(
      [{ title: "FRAME", align: "right" }, { title: "ADDRESS" }, { title: "FUNCTION", flexible: true }, { title: "LINE", flexible: true }, { title: "FROM" }, { title: "CERTAINTY" }],
      trace.frames.map((frame, index) => [index, hex(frame.address), frame.function === undefined ? "?" : `${frame.function.name}+${frame.function.offset}`, lineOf(shown, frame) ?? "-", frame.from, frame.certainty]),
    ),
  );
  if (unwound !== undefined) {
    parts.push(
      table(
        [{ title: "UNWOUND BY GDB", align: "right" }, { title: "ADDRESS" }, { title: "FUNCTION", flexible: true }, { title: "LINE", flexible: true }],
        unwound.frames.map((frame, index) => [index, frame.address === null ? "" : hex(frame.address), frame.function, frame.line ?? "-"]),
      ),
    );
  }
  const notes = [...dump.warnings.map((warning) => `warning: ${warning}`), ...trace.notes.map((note) => `note: ${note}`), ...(unwound?.notes ?? []).map((note) => `note: ${note}`)];
  return [...parts, ...(notes.length === 0 ? [] : [notes.join("\n")])].join("\n\n");
}

function hex(value: number | bigint): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}
