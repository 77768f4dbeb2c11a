// SPDX-License-Identifier: Apache-2.0
// `npm run check [-- NAME...]`: every check, or the named ones. Exit 1 when one fails, after all have run.
import { repositoryRoot } from "../architecture/guard.ts";
import { checksOf } from "./checks.ts";
import { outcomeText, runCheck } from "./run.ts";

const root = repositoryRoot();
const all = checksOf(root);
const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !all.some((check) => check.name === name));
if (unknown.length > 0) {
  process.stderr.write(`no check called ${unknown.join(", ")}; there are ${all.map(({ name }) => name).join(", ")}\n`);
  process.exit(3);
}
const chosen = asked.length === 0 ? all : all.filter(({ name }) => asked.includes(name));
let failed = 0;
for (const check of chosen) {
  const outcome = await runCheck(check, root);
  failed += outcome.passed ? 0 : 1;
  process.stdout.write(outcomeText(outcome, check.what));
}
process.stdout.write(`${chosen.length - failed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
