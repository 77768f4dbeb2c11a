// SPDX-License-Identifier: Apache-2.0
//
// Mutates valid messages and gives each mutant to every decoder. Usage: cbor.ts [--count 500000] [--seed 1]
//
// A decoder must not throw, must not take longer than 50 ms, and whatever it accepts must encode to the same bytes again.
// Every finding is printed with its number, so `mutant(seed, number)` brings it back. Exits 1 when there is one.
import { parseArgs } from "node:util";
import { codecs, mutant, oversized, type MessageType } from "@coalmine/protocol/testing";

const { values } = parseArgs({
  options: { count: { type: "string", default: "500000" }, seed: { type: "string", default: "1" } },
});
const count = Number(values.count);
const seed = Number(values.seed);
if (!Number.isSafeInteger(count) || count < 0 || !Number.isSafeInteger(seed)) {
  console.error("--count and --seed need whole numbers");
  process.exit(2);
}
const SLOW_MS = 50;
const types = Object.keys(codecs) as MessageType[];
const accepted = new Map<string, number>();
const reasons = new Map<string, number>();
let findings = 0;
let slowest = 0;

function find(what: string, bytes: Uint8Array, problem: string): void {
  findings += 1;
  console.log(`${what}: ${problem}: ${Buffer.from(bytes).toString("hex").slice(0, 400)}`);
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function tryAll(what: string, bytes: Uint8Array): void {
  for (const type of types) {
    const start = performance.now();
    let took = 0;
    try {
      const decoded = codecs[type].decode(bytes);
      took = performance.now() - start;
      if (decoded.kind === "ok") {
        accepted.set(type, (accepted.get(type) ?? 0) + 1);
        if (!same(codecs[type].encode(decoded.value), bytes)) {
          find(`${what} as ${type}`, bytes, "accepted, but encodes to other bytes");
        }
      } else {
        reasons.set(decoded.reason, (reasons.get(decoded.reason) ?? 0) + 1);
      }
    } catch (error) {
      find(`${what} as ${type}`, bytes, `threw ${String(error)}`);
    }
    // A stall of the machine is not the decoder's: what is slow because of its bytes is slow every time.
    for (let again = 0; took > SLOW_MS && again < 5; again += 1) {
      const restart = performance.now();
      codecs[type].decode(bytes);
      took = Math.min(took, performance.now() - restart);
    }
    slowest = Math.max(slowest, took);
    if (took > SLOW_MS) {
      find(`${what} as ${type}`, bytes, `took ${took.toFixed(1)} ms`);
    }
  }
}

const before = process.cpuUsage();
oversized.forEach((bytes, i) => tryAll(`oversized ${i}`, bytes));
for (let n = 0; n < count; n += 1) {
  tryAll(`mutant ${n} of seed ${seed}`, mutant(seed, n));
}
const used = process.cpuUsage(before);
console.log(`seed ${seed}: ${count} mutants and ${oversized.length} oversized inputs through ${types.length} decoders`);
console.log(`accepted: ${[...accepted].map(([type, times]) => `${type} ${times}`).join(", ")}`);
console.log(`refused for ${reasons.size} different reasons`);
console.log(`slowest ${slowest.toFixed(2)} ms, ${((used.user + used.system) / 1e6).toFixed(1)} s of CPU`);
console.log(`${findings} findings`);
process.exitCode = findings === 0 ? 0 : 1;
