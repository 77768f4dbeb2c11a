// SPDX-License-Identifier: Apache-2.0
// `npm run -s conform -- mcuboot|stats|coredump DIR [--json]`: reference data in a folder against our implementation.

import { existsSync } from "node:fs";
import { conformCoredump, hasCoredumpFacts } from "./coredump.ts";
import { mcubootMain } from "./mcuboot-main.ts";
import { conformStats } from "./stats.ts";

const [what, dir] = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
const json = process.argv.includes("--json");

function usage(problem: string): never {
  console.error(`${problem}\nusage: conform mcuboot|stats|coredump DIR [--json]\nexample: npm run -s conform -- stats vectors/stats --json`);
  process.exit(3);
}

interface Counted {
  readonly categories: Readonly<Record<string, { readonly total: number; readonly agree: number }>>;
  readonly failures: readonly { readonly id: string; readonly detail: string }[];
  readonly notes?: readonly string[];
}

function finish(result: Counted): never {
  if (json) console.log(JSON.stringify(result));
  else {
    for (const [name, { total, agree }] of Object.entries(result.categories)) {
      console.log(`${agree === total ? "ok  " : "FAIL"} ${name} ${agree}/${total}`);
    }
    for (const failure of result.failures) console.log(`  ${failure.id}: ${failure.detail}`);
    for (const note of result.notes ?? []) console.log(`note ${note}`);
  }
  process.exit(result.failures.length === 0 ? 0 : 1);
}

if (what === "mcuboot") process.exit(await mcubootMain(process.argv.slice(3)));
if (dir === undefined) usage("a folder is missing");
if (!existsSync(dir)) usage(`no such folder: ${dir}`);
switch (what) {
  case "stats":
    finish(conformStats(dir));
    break;
  case "coredump":
    if (!hasCoredumpFacts(dir)) usage(`${dir} has no facts.json`);
    finish(conformCoredump(dir));
    break;
  default:
    usage(`unknown reference data: ${String(what)}`);
}
