// SPDX-License-Identifier: Apache-2.0
//
// Mutates coredumps in all their forms, and ELF files, and gives each mutant to the decoder. Usage: coredumps.ts [--count 300000] [--seed 1]
//
// None may throw or take longer than 50 ms; a broken one names its block; whatever is decoded, no frame may be called certain that is not the
// original's, and no backtrace sure. Every finding is printed with its number. Exits 1 when there is one.
import { backtrace, decodeCoredumps, listThreads, readSymbols, signature, type SymbolTable } from "@coalmine/coredump";
import { buildDump, buildElf, buildLog, buildPartition, REGISTERS } from "@coalmine/coredump/testing";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: { count: { type: "string", default: "300000" }, seed: { type: "string", default: "1" }, json: { type: "boolean", default: false } },
});
const [count, seed] = [Number(values.count), Number(values.seed)];
if (![count, seed].every((value) => Number.isSafeInteger(value) && value >= 0)) {
  console.error("--count and --seed need whole numbers");
  process.exit(3);
}

const SLOW_MS = 50;
const PC = 0x2006;
const plain = buildDump();
const newer = buildDump({ version: 2, flag: 1, archVersion: 3, registers: [...REGISTERS, 1, 40], kernelState: [1, 2, 3, 4], fpu: { cpu: 0, thread: 0x2000_0700, data: new Array<number>(128).fill(7) }, crc: true });
const unprotected = buildDump({ version: 2, kernelState: [9, 9], fpu: { cpu: 0, thread: 0x2000_0700, data: [1, 2, 3, 4] } });
const text = (log: string): Uint8Array => new TextEncoder().encode(log);
const elf = buildElf(
  [
    { name: "crash", value: 0x1101, size: 0x100, type: 2 },
    { name: "divide_deep", value: 0x2001, size: 12, type: 2 },
    { name: "_kernel", value: 0x2000_0100, size: 32, type: 1 },
    { name: "_kernel_thread_info_offsets", value: 0x1104, size: 40, type: 1 },
    { name: "z_main_thread", value: 0x2000_0700, size: 96, type: 1 },
  ],
  { start: 0x1100, bytes: new Array<number>(0x400).fill(0xbf) },
);
const corpus: readonly Uint8Array[] = [plain, newer, unprotected, buildPartition(plain), buildPartition(newer, { header: 64 }), text(buildLog(newer)), text(`${buildLog(plain)}\n${buildLog(newer)}`)];

/** Whole numbers below a bound, by seed and number: SplitMix32. */
function generator(n: number): (bound: number) => number {
  let state = (Math.imul(seed, 0x9e37_79b1) ^ Math.imul(n, 0x85eb_ca77)) >>> 0;
  return (bound) => {
    state = (state + 0x9e37_79b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0_aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a_2d97);
    return ((z ^ (z >>> 15)) >>> 0) % bound;
  };
}

/** One to eight changes: bits, bytes, cuts, insertions, repetitions, extreme values in a word. */
function mutate(original: Uint8Array, random: (bound: number) => number): Uint8Array {
  let bytes: Uint8Array = original.slice();
  for (let changes = 1 + random(8); changes > 0 && bytes.length > 0; changes--) {
    const at = random(bytes.length);
    switch (random(6)) {
      case 0:
        bytes[at] = (bytes[at] as number) ^ (1 << random(8));
        break;
      case 1:
        bytes[at] = random(256);
        break;
      case 2:
        bytes = bytes.slice(0, at);
        break;
      case 3:
        bytes = Uint8Array.of(...bytes.subarray(0, at), ...Array.from({ length: random(64) }, () => random(256)), ...bytes.subarray(at));
        break;
      case 4: {
        const size = random(200);
        bytes = Uint8Array.of(...bytes.subarray(0, at), ...bytes.subarray(at, at + size), ...bytes.subarray(at));
        break;
      }
      default:
        bytes.set([[0, 0, 0, 0], [255, 255, 255, 255], [255, 255, 255, 127], [0, 0, 0, 128]][random(4)]?.slice(0, bytes.length - at) ?? [], at);
    }
  }
  return bytes;
}

const findings: string[] = [];
let [decoded, broken, elves, slowest] = [0, 0, 0, 0];

function tryDump(bytes: Uint8Array, symbols: SymbolTable | undefined, find: (what: string) => void): void {
  const dumps = decodeCoredumps(bytes);
  if (dumps.length === 0) {
    find("nothing came back");
  }
  for (const dump of dumps) {
    if (dump.kind === "broken") {
      broken += 1;
      if (dump.block === "" || dump.detail === "") {
        find("broken without a block or a reason");
      }
      continue;
    }
    decoded += 1;
    const { frames, sure } = backtrace(dump, symbols);
    if (sure && frames.length > 1) {
      find("a backtrace is called sure");
    }
    for (const frame of frames) {
      if (frame.certainty === "certain" && frame.address !== PC) {
        find(`0x${frame.address.toString(16)} is called certain`);
      }
    }
    if (signature(dump, symbols) === "") {
      find("an empty signature");
    }
    if (symbols !== undefined) {
      listThreads(dump, symbols);
    }
  }
}

const good = readSymbols(elf);
for (let number = 0; number < count; number++) {
  const random = generator(number);
  const find = (what: string): void => void findings.push(`mutant ${number} of seed ${seed}: ${what}`);
  const begun = performance.now();
  try {
    if (random(5) === 0) {
      const table = readSymbols(mutate(elf, random));
      elves += table.kind === "symbols" ? 1 : 0;
      tryDump(plain, table.kind === "symbols" ? table : undefined, find);
    } else {
      tryDump(mutate(corpus[random(corpus.length)] as Uint8Array, random), random(2) === 0 && good.kind === "symbols" ? good : undefined, find);
    }
  } catch (error) {
    find(`threw ${String(error)}`);
  }
  const took = performance.now() - begun;
  slowest = Math.max(slowest, took);
  if (took > SLOW_MS) {
    // A stall of the machine is not the decoder's: what is slow because of its bytes is slow every time.
    const again = generator(number);
    const restart = performance.now();
    tryDump(mutate(again(5) === 0 ? plain : (corpus[again(corpus.length)] as Uint8Array), again), undefined, () => undefined);
    if (performance.now() - restart > SLOW_MS) {
      find(`takes ${took.toFixed(1)} ms`);
    }
  }
}
if (values.json) {
  console.log(JSON.stringify({ seed, mutants: count, decoded, broken, elves, slowestMs: slowest, findings }));
} else {
  console.log(`${count} mutants (seed ${seed}): ${decoded} dumps decoded, ${broken} broken; ${elves} damaged ELF files read all the same\nslowest ${slowest.toFixed(1)} ms; ${findings.length} findings`);
  for (const finding of findings.slice(0, 50)) {
    console.log(finding);
  }
}
process.exit(findings.length === 0 ? 0 : 1);
