// SPDX-License-Identifier: Apache-2.0
//
// Cuts the power during random upgrades and reverts. Usage: powercuts.ts [--profile safe|exact] [--rounds 100] [--seed 1]
//
// Under `safe` every device must end bootable with the right image: exits 1 otherwise. Under `exact` the defects of the
// recorded bootloader show up, and are listed.
import { parseArgs } from "node:util";
import { cutTrial } from "@coalmine/mcuboot/testing";

const { values } = parseArgs({
  options: { profile: { type: "string", default: "safe" }, rounds: { type: "string", default: "100" }, seed: { type: "string", default: "1" } },
});
const { profile } = values;
const rounds = Number(values.rounds);
const seed = Number(values.seed);
if ((profile !== "safe" && profile !== "exact") || !Number.isSafeInteger(rounds) || rounds < 0 || !Number.isSafeInteger(seed)) {
  console.error("--profile needs safe or exact; --rounds and --seed need whole numbers");
  process.exit(3);
}
const totals = new Map<string, { cuts: number; unbootable: number; wrong: number }>();
let bad = 0;
for (let round = 0; round < rounds; round++) {
  const trial = cutTrial(profile, seed, round);
  if (trial === undefined) {
    continue;
  }
  const total = totals.get(trial.mode) ?? { cuts: 0, unbootable: 0, wrong: 0 };
  totals.set(trial.mode, total);
  total.cuts += trial.cuts;
  for (const { cut, kind } of trial.bad) {
    bad++;
    total[kind === "unbootable" ? "unbootable" : "wrong"]++;
    if (bad <= 50) {
      console.log(`seed ${seed} round ${round}: ${trial.setup}: cut ${cut}: ${kind}`);
    }
  }
}
for (const [mode, { cuts, unbootable, wrong }] of totals) {
  console.log(`${mode}: ${cuts} cuts, ${unbootable} unbootable, ${wrong} with the wrong image`);
}
process.exit(profile === "safe" && bad > 0 ? 1 : 0);
