// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { backtrace } from "./backtrace.ts";
import { buildDump, buildElf, buildLog, buildPartition, FRAME, REGISTERS, STACK, stackData, THREAD, threadStructure } from "./testing/index.ts";
import { type Coredump, crc32, decodeCoredump, isAfterCall, locate, readSymbols, reasonName, signature, type SymbolTable, symbolTable } from "./index.ts";

function decoded(bytes: Uint8Array): Coredump {
  const dump = decodeCoredump(bytes);
  if (dump.kind === "broken") throw new Error(`${dump.block} at ${dump.offset}: ${dump.detail}`);
  return dump;
}

function broken(bytes: Uint8Array) {
  const dump = decodeCoredump(bytes);
  if (dump.kind !== "broken") throw new Error("decoded, though it is broken");
  return dump;
}

const symbols = symbolTable([
  { name: "crash", start: 0x1100, size: 0x100, kind: "function" },
  { name: "caller", start: 0x1200, size: 0x80, kind: "function" },
  { name: "main", start: 0x1300, size: 0x80, kind: "function" },
  { name: "divide_deep", start: 0x2000, size: 12, kind: "function" },
  { name: "buffer", start: 0x1000, size: 0x1000, kind: "object" },
]);

describe("decoding", () => {
  test("a minimal dump gives header, registers, thread and stack", () => {
    const dump = decoded(buildDump());
    expect(dump.header).toMatchObject({ version: 1, target: "cortex-m", reason: 25, reasonName: "precise bus fault" });
    expect(dump.arch.registers).toMatchObject({ r0: 0x2000a7d0, lr: 0x1153, pc: 0x2006, xpsr: 0x61000000, r11: 11 });
    expect(dump.memory.map((m) => [m.start, m.end])).toEqual([[BigInt(THREAD), BigInt(THREAD + 96)], [BigInt(STACK), BigInt(STACK + 256)]]);
    expect(dump.thread).toEqual({ address: BigInt(THREAD), name: "main", stack: { start: BigInt(STACK), end: BigInt(STACK + 256) }, stackSure: true });
  });

  test("sp of an older Zephyr is found to be the exception frame, with the alignment word counted", () => {
    expect(decoded(buildDump()).stackPointer).toEqual({ kind: "exception-frame", dumped: FRAME, sp: FRAME + 32 });
    const aligned = REGISTERS.with(7, 0x61000200);
    expect(decoded(buildDump({ registers: aligned })).stackPointer).toEqual({ kind: "exception-frame", dumped: FRAME, sp: FRAME + 36 });
  });

  test("sp of a newer Zephyr is believed; 0 and addresses outside the stack are not", () => {
    const memory = [{ start: THREAD, data: threadStructure() }, { start: STACK, data: stackData() }];
    expect(decoded(buildDump({ registers: REGISTERS.with(8, FRAME + 32), memory })).stackPointer).toEqual({ kind: "as-dumped", dumped: FRAME + 32, sp: FRAME + 32 });
    for (const sp of [0, 0x1000, STACK - 4, FRAME + 33]) expect(decoded(buildDump({ registers: REGISTERS.with(8, sp), memory })).stackPointer.kind).toBe("unknown");
  });

  test("the newer blocks and register payloads are read", () => {
    const dump = decoded(
      buildDump({ version: 2, flag: 1, archVersion: 3, registers: [...REGISTERS, 1, 40], kernelState: [1, 2, 3], fpu: { cpu: 1, thread: THREAD, data: [9, 9] }, crc: true }),
    );
    expect(dump.arch.registers).toMatchObject({ calleeSavedValid: 1, calleeSavedOffset: 40 });
    expect(dump.kernelState?.bytes).toEqual(Uint8Array.of(1, 2, 3));
    expect(dump.fpu[0]).toMatchObject({ cpu: 1, thread: BigInt(THREAD) });
    expect(dump.integrity).toBe("crc");
    expect(decoded(buildDump({ archVersion: 1, registers: REGISTERS.slice(0, 9) })).arch.registers?.["r4"]).toBeUndefined();
  });

  test("the CRC is that of IEEE 802.3", () => {
    expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
  });

  test("partition, padded partition and coloured log give the same dump as the raw bytes", () => {
    const raw = buildDump();
    for (const input of [buildPartition(raw), buildPartition(raw, { header: 64 }), new TextEncoder().encode(buildLog(raw))]) {
      expect(decoded(input).bytes).toEqual(raw);
    }
    expect(decoded(buildPartition(raw, { header: 64 })).partition?.dataOffset).toBe(64);
  });

  test("reasons have names, unknown ones keep their number", () => {
    expect(reasonName(4, "cortex-m")).toBe("kernel panic");
    expect([25, 34, 35, 36].map((r) => reasonName(r, "cortex-m"))).toEqual(["precise bus fault", "illegal EXC_RETURN", "illegal EPSR", "undefined instruction"]);
    expect(reasonName(99, "risc-v")).toBe("architecture reason 99");
  });
});

describe("damage", () => {
  test("a dump cut anywhere is broken and names the block that was cut", () => {
    const raw = buildDump();
    for (let size = 0; size < raw.length; size++) expect(broken(raw.subarray(0, size)).block, `cut at ${size}`).not.toBe("");
    expect(broken(raw.subarray(0, 5)).block).toBe("file header");
    expect(broken(raw.subarray(0, 40)).block).toBe("A");
    expect(broken(raw.subarray(0, 120)).block).toBe("M #1");
    expect(broken(raw.subarray(0, raw.length - 1)).block).toBe("M #2");
  });

  test("a partition too small for the dump is noticed though its checksum is right", () => {
    const cut = broken(buildPartition(buildDump(), { size: 300 }));
    expect(cut.block).toBe("M #2");
    expect(cut.detail).toContain("does not notice");
  });

  test("every flipped bit of a CRC-protected dump is found", () => {
    const whole = buildDump({ version: 2, flag: 1, kernelState: [1, 2], crc: true });
    for (let bit = 0; bit < 8 * whole.length; bit++) {
      const flipped = whole.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(decodeCoredump(flipped).kind, `bit ${bit}`).toBe("broken");
    }
  });

  test("every flipped bit of a partition is found, but for its flags, which nothing covers", () => {
    const raw = buildDump();
    const whole = buildPartition(raw);
    for (let bit = 0; bit < 8 * (16 + raw.length); bit++) {
      if (bit >> 3 === 8 || bit >> 3 === 9) continue;
      const flipped = whole.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(decodeCoredump(flipped).kind, `bit ${bit}`).toBe("broken");
    }
  });

  test("a flipped bit of an unprotected dump never yields a wrong frame that is called certain, nor a sure backtrace", () => {
    const raw = buildDump();
    for (let bit = 0; bit < 8 * raw.length; bit++) {
      const flipped = raw.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      const dump = decodeCoredump(flipped);
      if (dump.kind === "broken") continue;
      const trace = backtrace(dump, symbols);
      expect(trace.sure).toBe(false);
      for (const frame of trace.frames) if (frame.certainty === "certain") expect(frame.address, `bit ${bit}`).toBe(0x2006);
    }
  });

  test("a log with a missing end, an odd line, dropped messages or an error line is broken", () => {
    const log = buildLog(buildDump());
    const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
    const lines = log.split("\n");
    expect(broken(encode(lines.slice(0, -2).join("\n"))).detail).toContain("#CD:END#");
    expect(broken(encode(lines.slice(2).join("\n"))).detail).toContain("before #CD:BEGIN#");
    expect(broken(encode(log.replace("#CD:5a45", "#CD:5a4"))).block).toBe("log capture");
    expect(broken(encode([...lines.slice(0, 5), "--- 7 messages dropped ---", ...lines.slice(5)].join("\n"))).detail).toContain("dropped");
    expect(broken(encode([...lines, "<err> coredump: #CD:ERROR CANNOT DUMP#"].join("\n"))).detail).toContain("could not dump");
    expect(broken(encode([...lines.slice(0, 6), ...lines.slice(7)].join("\n"))).block).not.toBe("log capture");
  });

  test("of several dumps in a log the last whole one counts", () => {
    const first = buildLog(buildDump({ reason: 3 }));
    expect(decoded(new TextEncoder().encode(`${first}\n${buildLog(buildDump({ reason: 4 }))}`)).header.reason).toBe(4);
  });

  test("nonsense is refused with what was expected", () => {
    expect(broken(new Uint8Array(64)).detail).toContain('"ZE"');
    expect(broken(buildDump({ target: 9 })).detail).toContain("target 9");
    expect(broken(buildDump({ version: 3 })).detail).toContain("version 3");
    expect(broken(buildDump({ reason: 0x10000 })).detail).toContain("16 bits");
    expect(broken(buildDump({ memory: [] })).block).toBe("M #1");
    expect(broken(buildPartition(buildDump(), { error: -5 })).detail).toContain("error");
    expect(broken(buildDump({ version: 2, flag: 1 })).block).toBe("C");
  });
});

describe("backtraces", () => {
  test("pc is certain when the exception frame proves it, the rest says how much of a guess it is", () => {
    const { frames, sure } = backtrace(decoded(buildDump()), symbols);
    expect(frames.map((f) => [f.function?.name, f.from, f.certainty])).toEqual([
      ["divide_deep", "pc", "certain"], ["crash", "lr", "likely"], ["caller", "stack", "guess"], ["main", "stack", "guess"],
    ]);
    expect(sure).toBe(false);
  });

  test("a call through NULL is told by lr, a stack overflow by reason and thread", () => {
    const viaNull = decoded(buildDump({ reason: 35, registers: REGISTERS.with(6, 0).with(8, 0) }));
    expect(backtrace(viaNull, symbols).frames[0]).toMatchObject({ from: "lr", function: { name: "crash" } });
    expect(signature(viaNull, symbols)).toBe("illegal EPSR / crash");
    const overflow = decoded(buildDump({ reason: 2, registers: REGISTERS.with(5, 0).with(6, 0).with(8, STACK - 64) }));
    expect(backtrace(overflow, symbols).frames).toEqual([]);
    expect(signature(overflow, symbols)).toBe("stack overflow / thread main");
  });

  test("two crashes in the same functions share a signature whatever their addresses", () => {
    const one = decoded(buildDump());
    const two = decoded(buildDump({ registers: REGISTERS.with(6, 0x2002).with(5, 0x1181) }));
    expect(signature(one, symbols)).toBe("precise bus fault / divide_deep / crash");
    expect(signature(two, symbols)).toBe(signature(one, symbols));
    expect(signature(one)).not.toBe(signature(two));
  });
});

describe("ELF", () => {
  // 0x1224: bl (f000 f800), at 0x1230 - 4 a plain pair of instructions.
  const code = new Array<number>(0x400).fill(0xbf);
  code.splice(0x130 - 4 - 0, 4, 0x00, 0xf0, 0x00, 0xf8);
  code.splice(0x210 - 2, 2, 0x98, 0x47);
  const elf = buildElf(
    [
      { name: "crash", value: 0x1101, size: 0x100, type: 2 },
      { name: "caller", value: 0x1201, size: 0x80, type: 2 },
      { name: "main", value: 0x1301, size: 0x80, type: 2 },
      { name: "z_arm_reset", value: 0x1381, size: 0, type: 2 },
    ],
    { start: 0x1100, bytes: code },
  );
  const read = (bytes: Uint8Array): SymbolTable => {
    const table = readSymbols(bytes);
    if (table.kind === "broken") throw new Error(table.detail);
    return table;
  };

  test("symbols are found with their offset, the Thumb bit taken off, and sizeless ones reach to the next", () => {
    const table = read(elf);
    expect(locate(table, 0x1105)).toEqual({ name: "crash", offset: 5, size: 0x100 });
    expect(locate(table, 0x1400)?.name).toBe("z_arm_reset");
    expect(locate(table, 0x10ff)).toBeUndefined();
    expect(locate(table, 0x1290)).toBeUndefined();
  });

  test("code tells a return address from a look-alike", () => {
    const table = read(elf);
    expect(isAfterCall(table, 0x1230)).toBe(true);
    expect(isAfterCall(table, 0x1310)).toBe(true);
    expect(isAfterCall(table, 0x1240)).toBe(false);
    expect(isAfterCall(table, 0x9000)).toBeUndefined();
  });

  test("a cut or stripped file is broken, whatever its length, and never throws", () => {
    for (let size = 0; size < elf.length; size++) expect(readSymbols(elf.subarray(0, size)).kind).toBe("broken");
    expect(readSymbols(buildElf([], { start: 0, bytes: [0] })).kind).toBe("broken");
  });
});
