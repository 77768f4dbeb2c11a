// SPDX-License-Identifier: Apache-2.0
// Prints every broken rule of the architecture; exit 1 when there is one.
import { findingLine } from "./finding.ts";
import { guard, repositoryRoot } from "./guard.ts";

const { findings, files } = guard(repositoryRoot());
for (const finding of findings) {
  process.stdout.write(`${findingLine(finding)}\n`);
}
process.stdout.write(`${files} files read, ${findings.length} rules broken\n`);
process.exitCode = findings.length === 0 ? 0 : 1;
