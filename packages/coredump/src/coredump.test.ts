// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { backtrace } from "./backtrace.ts";
import { buildDump, buildElf, buildLog, buildPartition, FRAME, REGISTERS, STACK, stackData, THREAD, threadStructure } from "./testing/index.ts";
import { type Coredump, crc32, decodeCoredump, decodeCoredumps, isAfterCall, listThreads, locate, readSymbols, reasonName, signature, type SymbolTable, symbolTable } from "./index.ts";

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
    expect(decoded(buildDump({ registers: REGISTERS.with(8, FRAME + 32), memory })).stackPointer).toEqual({ kind: "as-dumped", dumped: FRAME + 32, sp: FRAME + 32, proved: true });
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

  test("a log may hold several dumps: all are there in their order, whole or broken, and the last counts", () => {
    const encode = (...logs: readonly string[]): Uint8Array => new TextEncoder().encode(logs.join("\n"));
    const [oops, panic] = [buildLog(buildDump({ reason: 3 })), buildLog(buildDump({ reason: 4 }))];
    const kinds = (input: Uint8Array) => decodeCoredumps(input).map((one) => (one.kind === "broken" ? one.detail : one.header.reasonName));
    expect(kinds(encode(oops, panic))).toEqual(["kernel oops", "kernel panic"]);
    expect(decoded(encode(oops, panic)).header.reason).toBe(4);
    // The device died in its first dump, and again later.
    const cut = oops.split("\n").slice(0, 6).join("\n");
    expect(kinds(encode(cut, panic))).toEqual([expect.stringContaining("another begins"), "kernel panic"]);
    expect(kinds(encode(panic, cut))).toEqual(["kernel panic", expect.stringContaining("truncated")]);
    // Zephyr prints ERROR before the END of a dump that failed.
    const failed = oops.replace("#CD:END#", "#CD:ERROR CANNOT DUMP#\n#CD:END#");
    expect(kinds(encode(failed))).toEqual([expect.stringContaining("could not dump")]);
    expect(kinds(encode(panic, failed, oops))).toEqual(["kernel panic", expect.stringContaining("could not dump"), "kernel oops"]);
    expect(kinds(encode(oops.split("\n").slice(3).join("\n"), panic))).toEqual([expect.stringContaining("before #CD:BEGIN#"), "kernel panic"]);
  });

  test("lines of others, colours within a line, carriage returns and prompts do not disturb a capture; a line cut into does", () => {
    const escape = String.fromCharCode(27);
    const lines = buildLog(buildDump()).split("\n");
    const mixed = lines.flatMap((line, n) => [`\r${escape}[m${escape}[8D${escape}[J${line}${escape}[0m\r`, `[00:00:02.${n}] <inf> app: tick ${n}`, "uart:~$ "]);
    expect(decoded(new TextEncoder().encode(mixed.join("\n"))).bytes).toEqual(buildDump());
    const hit = lines.map((line, n) => (n === 5 ? line.replace(/#CD:(.{20})/, "#CD:$1<inf> app: tick ") : line)).join("\n");
    expect(broken(new TextEncoder().encode(hit))).toMatchObject({ block: "log capture", offset: 6 });
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
    // A build in which the compiler specialised the function for its caller.
    const cloned = symbolTable(symbols.symbols.map((symbol) => (symbol.name === "divide_deep" ? { ...symbol, name: "divide_deep.constprop.0.isra.0" } : symbol)));
    expect(signature(one, cloned)).toBe(signature(one, symbols));
  });
});

describe("what a dump says of itself", () => {
  test("an exception frame below sp vouches for pc, as one at sp does; a frame that differs in one word does not", () => {
    const memory = (words: readonly number[]) => [{ start: THREAD, data: threadStructure() }, { start: STACK, data: stackData(words) }];
    const fixed = REGISTERS.with(8, FRAME + 32);
    expect(backtrace(decoded(buildDump({ registers: fixed, memory: memory(REGISTERS) })), symbols).frames[0]).toMatchObject({ certainty: "certain" });
    expect(backtrace(decoded(buildDump({ registers: fixed, memory: memory(REGISTERS.with(6, 0x2004)) })), symbols).frames[0]).toMatchObject({ certainty: "likely" });
  });

  test("one flipped bit in the registers or in the frame on the stack is told by the other, without any checksum", () => {
    const warned = (bytes: Uint8Array): string => decoded(bytes).warnings.join();
    expect(warned(buildDump())).toBe("");
    const memory = [{ start: THREAD, data: threadStructure() }, { start: STACK, data: stackData() }];
    for (const [index, name] of ["r0", "r1", "r2", "r3", "r12", "lr", "pc", "xpsr"].entries()) {
      const registers = REGISTERS.with(index, ((REGISTERS[index] as number) ^ 0x40) >>> 0);
      expect(warned(buildDump({ registers, memory }))).toContain(`agree in all but ${name}`);
      expect(backtrace(decoded(buildDump({ registers, memory })), symbols).frames.every((frame) => frame.certainty !== "certain")).toBe(true);
    }
    expect(warned(buildDump({ registers: REGISTERS.with(8, FRAME + 0x80), memory }))).toContain("sp in block A says");
    expect(warned(buildDump({ registers: REGISTERS.with(8, FRAME + 32), memory }))).toBe("");
  });

  test("the room of floating-point registers counts when the F block shows them there", () => {
    const registers = Array.from({ length: 32 }, (_, n) => 0x3f800000 + n);
    const data = registers.flatMap((word) => [word & 0xff, (word >> 8) & 0xff, (word >> 16) & 0xff, word >>> 24]);
    const stack = stackData();
    stack.splice(64 + 32, 64, ...data.slice(0, 64));
    const dump = (fpu: readonly number[]) => decoded(buildDump({ version: 2, flag: 1, crc: true, memory: [{ start: THREAD, data: threadStructure() }, { start: STACK, data: stack }], fpu: { cpu: 0, thread: THREAD, data: fpu } }));
    expect(dump(data).stackPointer).toEqual({ kind: "exception-frame", dumped: FRAME, sp: FRAME + 104 });
    expect(dump(data.with(5, 1)).stackPointer).toEqual({ kind: "exception-frame", dumped: FRAME, sp: FRAME + 32 });
    expect(dump(data).warnings).toEqual([]);
  });

  test("a scan ends with the stack's own object, where a dump of all RAM goes on", () => {
    const stack = (size: number) => symbolTable([...symbols.symbols, { name: "z_main_stack", start: STACK, size, kind: "object" as const }, { name: "z_main_thread", start: THREAD, size: 96, kind: "object" as const }]);
    const scanned = (size: number) => backtrace(decoded(buildDump()), stack(size)).frames.filter((frame) => frame.from === "stack").map((frame) => frame.function?.name);
    expect(scanned(256)).toEqual(["caller", "main"]);
    expect(scanned(112)).toEqual(["caller"]);
  });

  test("a crash in an interrupt is told, because then the thread is only the one that was interrupted", () => {
    const notes = (xpsr: number) => backtrace(decoded(buildDump({ registers: REGISTERS.with(7, xpsr) })), symbols).notes.join();
    expect(notes(0x6100000f)).toContain("SysTick");
    expect(notes(0x61000013)).toContain("interrupt 3");
    expect(notes(0x61000000)).not.toContain("the CPU was in");
  });

  test("a dump that fills its partition, overlapping memory and foreign floating-point state are warned of", () => {
    const raw = buildDump();
    const exact = buildPartition(raw).subarray(0, 16 + raw.length);
    const filled = buildDump({ memory: [{ start: THREAD, data: threadStructure() }, { start: STACK, data: new Array<number>(1024 - raw.length - 16 + 256).fill(1) }] });
    expect(decoded(exact).warnings).toEqual([]);
    expect(decoded(buildPartition(filled).subarray(0, 1024)).warnings.join()).toContain("fills the partition");
    const overlapping = [{ start: THREAD, data: threadStructure() }, { start: STACK, data: stackData() }, { start: STACK + 16, data: [1, 2, 3, 4] }];
    expect(decoded(buildDump({ memory: overlapping })).warnings.join()).toContain("overlap");
    expect(decoded(buildDump({ version: 2, fpu: { cpu: 0, thread: 0x2000_1000, data: [1] } })).warnings.join()).toContain("another thread");
  });

  test("a dump of all threads names the one whose stack sp lies on, and nobody when that is the stack of interrupts", () => {
    const word = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24];
    const other = threadStructure();
    other.splice(40, 4, ...new TextEncoder().encode("idle"));
    other.splice(76, 8, ...word(STACK + 0x1000), ...word(256));
    const memory = [{ start: THREAD + 0x100, data: other }, { start: STACK + 0x1000, data: new Array<number>(256).fill(0) }, { start: THREAD, data: threadStructure() }, { start: STACK, data: stackData() }, { start: STACK + 0x2000, data: new Array<number>(512).fill(0) }];
    const thread = (sp: number) => decoded(buildDump({ version: 2, memory, registers: REGISTERS.with(8, sp), kernelState: [1, 2, 3, 4] })).thread;
    expect(thread(FRAME)).toMatchObject({ name: "main", address: BigInt(THREAD), stackSure: true });
    expect(thread(STACK + 0x1010)).toMatchObject({ name: "idle" });
    expect([thread(STACK + 0x2010), thread(0)]).toEqual([null, null]);
  });

  test("a fatal error without an exception leaves a dump without registers: it is read, warned of, and has no backtrace", () => {
    const whole = buildDump({ reason: 4 });
    const without = Uint8Array.of(...whole.subarray(0, 12), ...whole.subarray(12 + 5 + 68));
    const dump = decoded(without);
    expect(dump).toMatchObject({ thread: { name: "main" }, stackPointer: { kind: "unknown" }, warnings: [expect.stringContaining("(A)")] });
    expect(backtrace(dump, symbols)).toMatchObject({ frames: [], sure: false, notes: ["no registers were dumped"] });
    expect(signature(dump, symbols)).toBe("kernel panic / thread main");
    const late = Uint8Array.of(...without, ...whole.subarray(12, 12 + 5 + 68));
    expect(broken(late)).toMatchObject({ block: "A" });
  });

  test("an erased partition and one whose dump was given up say so", () => {
    expect(broken(new Uint8Array(4096).fill(0xff)).detail).toContain("erased");
    const wiped = buildPartition(buildDump());
    wiped.fill(0, 0, 16);
    expect(broken(wiped)).toMatchObject({ block: "partition header", detail: expect.stringContaining("wiped") as string });
  });

  test("names of threads are found at any offset, after an address as well", () => {
    const structure = new Array<number>(96).fill(0);
    // The top byte of an address in RAM is a space.
    structure.splice(41, 11, 0xf8, 0x1b, 0x00, 0x20, ...new TextEncoder().encode("idle"), 0, 0x7e, 0);
    expect(decoded(buildDump({ memory: [{ start: THREAD, data: structure }, { start: STACK, data: stackData() }] })).thread?.name).toBe("idle");
  });

  test("the ELF of another build is noticed when its objects are not where the thread lies, and nothing is certain then", () => {
    const table = (start: number) => symbolTable([...symbols.symbols, { name: "z_main_thread", start, size: 96, kind: "object" as const }]);
    const [own, other] = [THREAD, THREAD + 0x1000].map((start) => backtrace(decoded(buildDump()), table(start)));
    expect(own?.frames[0]?.certainty).toBe("certain");
    expect(other?.frames[0]?.certainty).toBe("likely");
    expect(other?.notes.join()).toContain("another build");
  });

  test("newer dumps cut at every byte or flipped in every bit are broken and name a block, whatever blocks they have", () => {
    const parts = { version: 2, flag: 1, archVersion: 3, registers: [...REGISTERS, 1, 40], kernelState: [1, 2, 3, 4], fpu: { cpu: 0, thread: THREAD, data: [1, 2, 3, 4] }, crc: true };
    const whole = buildDump(parts);
    for (let size = 0; size < whole.length; size++) {
      expect(broken(whole.subarray(0, size)).block, `cut at ${size}`).toMatch(/^(?:file header|A|M #\d|T|F #1|C)$/);
    }
    for (let bit = 0; bit < 8 * whole.length; bit++) {
      const flipped = whole.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(broken(flipped).block, `bit ${bit}`).toMatch(/^(?:file header|log capture|A|M #\d|T|F #1|C|block at \d+)$/);
    }
  });

  test("threads of a dump with the kernel's memory are listed by the ELF's tables, and a list that leads nowhere ends", () => {
    const u32 = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24];
    const [KERNEL, ONE, TWO, TABLE] = [0x2000_0100, 0x2000_0200, 0x2000_0240, 0x0800_1000];
    // version, current, threads, entry, next, state, options, priority, stack pointer, name
    const offsets = [1, 8, 16, 0xffff_ffff, 32, 5, 4, 6, 12, 36];
    const thread = (next: number, state: number, priority: number, name: string): number[] => {
      const bytes = new Array<number>(64).fill(0);
      bytes.splice(5, 2, state, priority);
      bytes.splice(12, 4, ...u32(0x2000_9010));
      bytes.splice(32, 4, ...u32(next));
      bytes.splice(36, name.length, ...new TextEncoder().encode(name));
      return bytes;
    };
    const kernel = new Array<number>(32).fill(0);
    kernel.splice(8, 4, ...u32(ONE));
    kernel.splice(16, 4, ...u32(ONE));
    const ram = new Array<number>(1024).fill(0);
    ram.splice(0x100, 64, ...thread(TWO, 0, 0xff, "main"));
    ram.splice(0x140, 64, ...thread(ONE, 2, 15, "idle"));
    const table = {
      ...symbolTable([{ name: "_kernel", start: KERNEL, size: 32, kind: "object" }, { name: "_kernel_thread_info_offsets", start: TABLE, size: 40, kind: "object" }]),
      data: [{ start: TABLE, bytes: Uint8Array.from(offsets.flatMap(u32)) }],
    };
    const listed = (memory: number[], kernelState?: number[]) => listThreads(decoded(buildDump({ version: 2, memory: [{ start: KERNEL, data: memory }], ...(kernelState === undefined ? {} : { kernelState }) })), table);
    const whole = [...kernel, ...ram.slice(32)];
    const expected = [
      { address: ONE, name: "main", state: "running", priority: -1, current: true, stackPointer: 0x2000_9010 },
      { address: TWO, name: "idle", state: "pending", priority: 15, current: false, stackPointer: 0x2000_9010 },
    ];
    expect(listed(whole)).toEqual(expected);
    // The kernel's state in a T block of its own, its memory elsewhere.
    expect(listThreads(decoded(buildDump({ version: 2, memory: [{ start: ONE, data: ram.slice(0x100).concat(new Array<number>(256).fill(0)) }], kernelState: kernel })), table)).toEqual(expected);
    expect(listThreads(decoded(buildDump()), table)).toBeUndefined();
    expect(listThreads(decoded(buildDump()), symbols)).toBeUndefined();
    const astray = [...kernel];
    astray.splice(16, 4, ...u32(0x3000_0000));
    expect(listed([...astray, ...ram.slice(32)])).toEqual([]);
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

  test("a build id is found among other constants, and what only looks like one is not", () => {
    const note = (size: number): number[] => [4, 0, 0, 0, size, 0, 0, 0, 3, 0, 0, 0, 0x47, 0x4e, 0x55, 0, ...Array.from({ length: size }, (_, at) => at + 1)];
    const of = (bytes: readonly number[]): string | null => read(buildElf([{ name: "main", value: 0x1001, size: 4, type: 2 }], { start: 0x1000, bytes })).buildId;
    const text = [...new TextEncoder().encode("a GNU")];
    expect(of([...text, 0, 0, 0, ...note(5), 0, 0, 0, ...note(20), 9])).toBe("0102030405060708090a0b0c0d0e0f1011121314");
    expect(of(note(20).slice(0, 30))).toBeNull();
    expect(of([0, 0, ...note(20)])).toBeNull();
    expect(of([0x47, 0x4e, 0x55, 0])).toBeNull();
  });

  test("a cut or stripped file is broken, whatever its length, and never throws", () => {
    for (let size = 0; size < elf.length; size++) expect(readSymbols(elf.subarray(0, size)).kind).toBe("broken");
    expect(readSymbols(buildElf([], { start: 0, bytes: [0] })).kind).toBe("broken");
  });
});
