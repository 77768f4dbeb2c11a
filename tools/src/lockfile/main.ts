// SPDX-License-Identifier: Apache-2.0
// Prints what is wrong with package-lock.json; exit 1 when anything is.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../architecture/guard.ts";
import { packagesOf } from "../architecture/workspace.ts";
import { type LockEntries, lockProblems, staleManifests } from "./lockfile.ts";

const root = repositoryRoot();
const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as { packages: LockEntries };
const unlocked = packagesOf(root)
  .filter(({ folder }) => !(folder in packages))
  .map(({ folder }) => `${folder} is not in the lock file: run npm install`);
const problems = [...lockProblems(packages), ...staleManifests(root, packages), ...unlocked];
for (const problem of problems) {
  process.stdout.write(`${problem}\n`);
}
process.stdout.write(`${Object.keys(packages).length} entries read, ${problems.length} problems\n`);
process.exitCode = problems.length === 0 ? 0 : 1;
