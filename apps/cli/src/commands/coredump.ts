// SPDX-License-Identifier: Apache-2.0
import type { Backtrace, Coredump } from "@coalmine/coredump";
import type { Command } from "commander";
import process from "node:process";
import { badUsage, exitCodes } from "../output/exit.ts";
import { output } from "../output/output.ts";
import { facts, table } from "../output/table.ts";
import { example } from "./example.ts";

export function register(program: Command): void {
  const coredump = program.command("coredump").description("Zephyr coredumps");
  example(
    coredump
      .command("decode")
      .description("registers, thread and backtrace of a dump: raw, from a flash partition, or captured from a log; ends with 1 for a damaged one")
      .argument("<file>")
      .option("--elf <file>", "ELF of exactly that build, for function names and a stack scan")
      .option("--json", "one JSON document on stdout")
      .action(decode),
    "coalmine coredump decode dump.bin --elf zephyr.elf",
  );
}

async function decode(file: string, flags: { readonly elf?: string; readonly json?: true }): Promise<void> {
  const { readBytes } = await import("../files.ts");
  const { backtrace, decodeCoredump, readSymbols, signature } = await import("@coalmine/coredump");
  const dump = decodeCoredump(readBytes(file, { what: "coredump" }));
  const symbols = flags.elf === undefined ? undefined : readSymbols(readBytes(flags.elf, { what: "ELF" }));
  if (symbols !== undefined && symbols.kind === "broken") {
    throw badUsage(`${flags.elf}: ${symbols.detail}`);
  }
  const out = output(flags);
  if (dump.kind === "broken") {
    out.result(dump, () => `damaged in ${dump.block} at ${dump.offset}: ${dump.detail}`);
    process.exitCode = exitCodes.failed;
    return;
  }
  const trace = backtrace(dump, symbols);
  out.result(plain({ dump, trace, signature: signature(dump, symbols) }), () => describe(dump, trace, signature(dump, symbols)));
}

/** JSON holds neither bytes nor 64-bit integers: hex text for both; memory is told by place and size alone. */
function plain({ dump, trace, signature }: { dump: Coredump; trace: Backtrace; signature: string }) {
  const { header, arch, thread, stackPointer } = dump;
  return {
    kind: dump.kind,
    form: dump.form,
    integrity: dump.integrity,
    target: header.target,
    reason: header.reasonName,
    reasonCode: header.reason,
    header,
    registers: arch.registers === undefined ? null : Object.fromEntries(Object.entries(arch.registers).map(([name, value]) => [name, hex(value)])),
    thread: thread === null ? null : { address: hex(thread.address), name: thread.name, stack: thread.stack === null ? null : { start: hex(thread.stack.start), end: hex(thread.stack.end) } },
    stackPointer,
    memory: dump.memory.map((block) => ({ start: hex(block.start), end: hex(block.end), bytes: block.data.length })),
    backtrace: {
      sure: trace.sure,
      notes: trace.notes,
      frames: trace.frames.map((frame) => ({ address: hex(frame.address), from: frame.from, certainty: frame.certainty, function: frame.function?.name ?? null, offset: frame.function?.offset ?? null })),
    },
    signature,
  };
}

function describe(dump: Coredump, trace: Backtrace, signature: string): string {
  const parts = [
    facts([
      ["reason", dump.header.reasonName],
      ["target", dump.header.target],
      ["signature", signature],
      ["thread", dump.thread === null ? "unknown" : `${dump.thread.name ?? "unnamed"} at ${hex(dump.thread.address)}`],
      ["form", `${dump.form}, integrity: ${dump.integrity}`],
      ["memory", dump.memory.map((block) => `${hex(block.start)} to ${hex(block.end)}`).join(", ") || "none"],
    ]),
  ];
  if (dump.arch.registers !== undefined) {
    parts.push(table([{ title: "REGISTER" }, { title: "VALUE" }], Object.entries(dump.arch.registers).map(([name, value]) => [name, hex(value)])));
  }
  parts.push(
    table(
      [{ title: "FRAME", align: "right" }, { title: "ADDRESS" }, { title: "FUNCTION", flexible: true }, { title: "FROM" }, { title: "CERTAINTY" }],
      trace.frames.map((frame, index) => [index, hex(frame.address), frame.function === undefined ? "?" : `${frame.function.name}+${frame.function.offset}`, frame.from, frame.certainty]),
    ),
  );
  return [...parts, ...(trace.notes.length === 0 ? [] : [trace.notes.map((note) => `note: ${note}`).join("\n")])].join("\n\n");
}

function hex(value: number | bigint): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}
