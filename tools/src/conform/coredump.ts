// SPDX-License-Identifier: Apache-2.0
// Runs a folder of real coredumps with facts.json against packages/coredump.

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { backtrace, type Coredump, decodeCoredump, locate, type SymbolTable, symbolTable } from "@coalmine/coredump";

interface Facts {
  readonly symbols?: readonly { readonly name: string; readonly start: string; readonly bytes: number }[];
  readonly kThread?: { readonly bytes: number; readonly address: string };
  readonly dumps: readonly DumpFacts[];
  readonly flashPartition?: PartitionFacts | readonly PartitionFacts[];
}

interface DumpFacts {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly header: { readonly version: number; readonly target: number; readonly ptrSizeLog2: number; readonly flag: number; readonly reason: number };
  readonly arch: { readonly version: number; readonly bytes: number; readonly regs: Readonly<Record<string, string>> };
  readonly memory: readonly { readonly version: number; readonly start: string; readonly end: string; readonly dataOffset: number }[];
  readonly spNote?: string;
  readonly gdbAsIs?: readonly string[];
  readonly gdbWithSpPlus32?: readonly string[];
  readonly pcLine?: string;
  readonly lrLine?: string;
}

interface PartitionFacts {
  readonly file: string;
  readonly version: number;
  readonly size: number;
  readonly flags: number;
  readonly checksum: number;
  readonly error: number;
  readonly dataOffset: number;
  readonly dataEquals?: string;
}

/** Result of `conform -- coredump DIR`. */
export interface CoredumpConformance {
  readonly categories: Record<string, { total: number; agree: number }>;
  readonly failures: { readonly id: string; readonly level: string; readonly detail: string }[];
}

const hex = (value: number | bigint): string => `0x${value.toString(16).padStart(8, "0")}`;

/** Compares every dump that `facts.json` describes, and that every log capture of the folder decodes. */
export function conformCoredump(dir: string): CoredumpConformance {
  const result: CoredumpConformance = { categories: {}, failures: [] };
  const check = (category: string, id: string, run: () => string | undefined): void => {
    const count = (result.categories[category] ??= { total: 0, agree: 0 });
    count.total += 1;
    let detail: string | undefined;
    try {
      detail = run();
    } catch (error) {
      detail = `threw ${String(error)}`;
    }
    if (detail === undefined) count.agree += 1;
    else result.failures.push({ id, level: category, detail });
  };
  const facts = JSON.parse(readFileSync(join(dir, "facts.json"), "utf8")) as Facts;
  const symbols = symbolTable(
    (facts.symbols ?? []).map((s) => ({
      name: s.name.replace(/ \(data\)$/, ""), start: Number(s.start), size: s.bytes, kind: s.name.endsWith("(data)") ? ("object" as const) : ("function" as const),
    })),
  );
  const read = (file: string): Uint8Array => new Uint8Array(readFileSync(join(dir, file)));
  for (const expected of facts.dumps) {
    const bytes = read(expected.file);
    const dump = decodeCoredump(bytes);
    check("bytes", expected.file, () => same([bytes.length, createHash("sha256").update(bytes).digest("hex")], [expected.bytes, expected.sha256]));
    if (dump.kind === "broken") {
      check("decode", expected.file, () => `${dump.block} at ${dump.offset}: ${dump.detail}`);
      continue;
    }
    check("decode", expected.file, () => undefined);
    checkDump(check, expected, dump, symbols, facts);
  }
  for (const expected of [facts.flashPartition ?? []].flat()) {
    check("flash-partition", expected.file, () => partitionDifference(expected, read));
  }
  for (const file of readdirSync(dir).filter((name) => /\.(?:log|txt)$/.test(name)).sort()) {
    check("log-capture", file, () => {
      const dump = decodeCoredump(read(file));
      if (dump.kind === "broken") return `${dump.block} at ${dump.offset}: ${dump.detail}`;
      if (dump.form !== "log-capture") return `read as ${dump.form}`;
      // A capture is of a run of its own; it shares reason and shape with the dump of the same name.
      const twin = facts.dumps.find((d) => d.file === file.replace(/\.log\.txt$|\.(?:log|txt)$/, ".bin"));
      return twin === undefined ? undefined : same([dump.header.reason, dump.arch.bytes.length, dump.memory.length, dump.bytes.length], [twin.header.reason, twin.arch.bytes, twin.memory.length, twin.bytes]);
    });
  }
  return result;
}

type Check = (category: string, id: string, run: () => string | undefined) => void;

function same(got: unknown, expected: unknown): string | undefined {
  const [a, b] = [JSON.stringify(got), JSON.stringify(expected)];
  return a === b ? undefined : `expected ${b}, got ${a}`;
}

function checkDump(check: Check, expected: DumpFacts, dump: Coredump, symbols: SymbolTable, facts: Facts): void {
  const id = expected.file;
  check("header", id, () => {
    const { version, targetCode: target, ptrSizeLog2, flag, reason } = dump.header;
    return same({ version, target, ptrSizeLog2, flag, reason }, expected.header);
  });
  check("registers", id, () => {
    const regs = Object.fromEntries(Object.keys(expected.arch.regs).map((name) => [name, hex(dump.arch.registers?.[name] ?? -1)]));
    return same({ version: dump.arch.version, bytes: dump.arch.bytes.length, regs }, expected.arch);
  });
  check("memory", id, () =>
    same(dump.memory.map((m) => ({ version: m.version, start: hex(m.start), end: hex(m.end), dataOffset: m.dataOffset })), expected.memory),
  );
  if (facts.kThread !== undefined) {
    const { address } = facts.kThread;
    check("thread", id, () => same(dump.thread === null ? null : hex(dump.thread.address), address));
  }
  const note = expected.spNote;
  const shift = note === undefined ? null : /True sp = sp\+(\d+)/.exec(note);
  if (shift !== null) {
    check("stack-pointer", id, () =>
      same(dump.stackPointer, { kind: "exception-frame", dumped: dump.arch.registers?.["sp"], sp: (dump.arch.registers?.["sp"] as number) + Number(shift[1]) }),
    );
  } else if (note?.startsWith("sp=0") === true) check("stack-pointer", id, () => same(dump.stackPointer.kind, "unknown"));
  const functions = new Set(symbols.symbols.filter((s) => s.kind === "function").map((s) => s.name));
  const named = (lines: readonly string[]): string[] => lines.map((line) => line.split(" ")[0] as string).filter((name) => functions.has(name));
  const frames = backtrace(dump, symbols).frames;
  const first = expected.pcLine ?? expected.gdbAsIs?.[0];
  if (first !== undefined && functions.has(first.split(" ")[0] as string)) {
    check("symbols", `${id} pc`, () => same(locate(symbols, dump.arch.registers?.["pc"] as number)?.name, first.split(" ")[0]));
  }
  if (expected.lrLine !== undefined && functions.has(expected.lrLine.split(" ")[0] as string)) {
    check("symbols", `${id} lr`, () => same(frames.find((f) => f.from === "lr")?.function?.name, expected.lrLine?.split(" ")[0]));
  }
  const chain = expected.gdbWithSpPlus32;
  if (chain !== undefined) {
    check("backtrace", id, () => {
      const ours = frames.map((frame) => frame.function?.name);
      let at = 0;
      for (const name of named(chain)) {
        const found = ours.indexOf(name, at);
        if (found < 0) return `gdb's frame ${name} is missing from ${ours.join(" < ")}`;
        at = found + 1;
      }
      return undefined;
    });
  }
}

function partitionDifference(expected: PartitionFacts, read: (file: string) => Uint8Array): string | undefined {
  const dump = decodeCoredump(read(expected.file));
  if (dump.kind === "broken") return `${dump.block} at ${dump.offset}: ${dump.detail}`;
  const { version, size, flags, checksum, error, dataOffset } = expected;
  const header = same(dump.partition, { version, size, flags, checksum, error, dataOffset });
  if (header !== undefined || expected.dataEquals === undefined) return header;
  const whole = read(expected.dataEquals);
  const equal = whole.length === dump.bytes.length && whole.every((byte, i) => byte === dump.bytes[i]);
  return equal ? undefined : `the data differ from ${expected.dataEquals}`;
}

/** Whether `dir` looks like a folder of coredump facts. */
export function hasCoredumpFacts(dir: string): boolean {
  return existsSync(join(dir, "facts.json"));
}
