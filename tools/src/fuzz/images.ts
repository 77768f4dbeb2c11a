// SPDX-License-Identifier: Apache-2.0
//
// Mutates signed images and gives each mutant to the parser and the verifier. Usage: images.ts [--count 500000] [--seed 1]
//
// None may be accepted (unless its signed bytes are an original's), none may throw, none may take longer than 100 ms.
// Every finding is printed with its number. Exits 1 when there is one.
import { generateKeyPairSync } from "node:crypto";
import { parseArgs } from "node:util";
import { ED25519, ImageTrial, P256 } from "@coalmine/mcuboot/testing";

const { values } = parseArgs({
  options: { count: { type: "string", default: "500000" }, seed: { type: "string", default: "1" }, json: { type: "boolean", default: false } },
});
const count = Number(values.count);
const seed = Number(values.seed);
if (!Number.isSafeInteger(count) || count < 0 || !Number.isSafeInteger(seed)) {
  console.error("--count and --seed need whole numbers");
  process.exit(3);
}
const SLOW_MS = 100;
const keys = [ED25519, P256, ...[2048, 3072].map((modulusLength) => generateKeyPairSync("rsa", { modulusLength }).privateKey)];
const trial = new ImageTrial(keys);
let slowest = 0;
for (let number = 0; number < count; number++) {
  const begun = performance.now();
  trial.try(seed, number);
  let took = performance.now() - begun;
  // A stall of the machine is not the parser's: what is slow because of its bytes is slow every time.
  for (let again = 0; took > SLOW_MS && again < 5; again++) {
    const scratch = new ImageTrial(keys);
    const restart = performance.now();
    scratch.try(seed, number);
    took = Math.min(took, performance.now() - restart);
  }
  slowest = Math.max(slowest, took);
  if (took > SLOW_MS) {
    trial.report.findings.push(`mutant ${number} of seed ${seed} takes ${took.toFixed(1)} ms`);
  }
  if (number % 100_000 === 99_999) {
    console.error(`${number + 1} of ${count}`);
  }
}
const { mutants, accepted, sameContent, parsed, findings } = trial.report;
if (values.json) {
  console.log(JSON.stringify({ seed, mutants, accepted, sameContent, parsed, slowestMs: slowest, findings }));
} else {
  console.log(`${mutants} mutated images (seed ${seed}): ${accepted} accepted, ${sameContent} with an original's signed bytes, ${parsed} parsed`);
  console.log(`slowest ${slowest.toFixed(1)} ms; ${findings.length} findings`);
  for (const finding of findings.slice(0, 50)) {
    console.log(finding);
  }
}
process.exit(findings.length === 0 ? 0 : 1);
