// SPDX-License-Identifier: Apache-2.0
// `npm test [-- --seed N] [vitest's filters and options]`: one run of every unit test, in one Vitest. `npm run test:e2e` is the same
// for the tests of whole processes, boards in QEMU and the browser.
import { parseCLI, startVitest } from "vitest/node";
import { TallyReporter } from "./reporter.ts";
import { failures, skipLines, summaryLine } from "./summary.ts";
import { seedFrom, takeSeed } from "./seed.ts";

const exitUsage = 3;

async function main(argv: readonly string[]): Promise<number> {
  const isWhole = argv[0] === "--e2e";
  process.env["COALMINE_E2E"] = isWhole ? "1" : "0";
  const asked = takeSeed(isWhole ? argv.slice(1) : argv);
  const seed = seedFrom(asked.seed ?? process.env["COALMINE_SEED"]);
  if (seed === undefined) {
    process.stderr.write(`--seed must be a whole number from 0 to 4294967295 or "random"\n`);
    return exitUsage;
  }
  process.env["COALMINE_SEED"] = String(seed);
  process.stdout.write(`seed ${seed} (again: npm ${isWhole ? "run test:e2e" : "test"} -- --seed ${seed})\n`);

  const { filter, options } = parseCLI(["vitest", "run", ...asked.rest]);
  const counter = new TallyReporter();
  const reporters = options.reporters ?? ["default"];
  const vitest = await startVitest("test", filter, {
    ...options,
    watch: false,
    run: true,
    reporters: [...[reporters].flat(), counter] as never,
  });
  await vitest.close();

  const tally = counter.tally;
  if (tally === undefined) {
    process.stderr.write("Vitest ended without running the tests\n");
    return 1;
  }
  for (const line of skipLines(tally.skips)) {
    process.stdout.write(`${line}\n`);
  }
  for (const { where, message } of tally.troubles) {
    process.stdout.write(`failed: ${where}: ${message}\n`);
  }
  if (failures(tally) > 0) {
    process.stdout.write(`the seed was ${seed}\n`);
  }
  process.stdout.write(`${summaryLine(tally)}\n`);
  // No test at all is a filter that matches nothing or a broken set-up, and neither is a pass.
  return failures(tally) > 0 || tally.passed === 0 || process.exitCode === 1 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
