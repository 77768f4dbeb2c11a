// SPDX-License-Identifier: Apache-2.0
// Rules about files rather than imports: the licence line, and what may lie at the top.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Finding } from "./finding.ts";
import { filesBelow } from "./workspace.ts";

const folders = ["apps", "packages", "firmware", "simulator", "tools", "docs"];
const sourceEndings = new Set(["ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs", "c", "h", "py", "sh", "css"]);
const licence = "SPDX-License-Identifier: Apache-2.0";

/** Made by tools and ignored by git. */
const generated = /^(node_modules|coverage|dist|.*\.log)$/;
const configFiles =
  /^(package(-lock)?\.json|nx\.json|knip\.json|tsconfig(\..+)?\.json|.+\.config\.ts|LICENSE|NOTICE|(README|CONTRIBUTING|CHANGELOG|SECURITY|CODE_OF_CONDUCT)\.md)$/;

/** Every source file says its licence in its first three lines: after a shebang, before everything else. */
export function licenceFindings(root: string): Finding[] {
  const top = readdirSync(root).filter((name) => sourceEndings.has(name.slice(name.lastIndexOf(".") + 1)));
  const scripts = [".ci/run"].filter((path) => existsSync(join(root, path)));
  return [...top, ...scripts, ...folders.flatMap((folder) => filesBelow(root, folder, sourceEndings))]
    .filter((file) => !readFileSync(join(root, file), "utf8").split("\n", 3).join("\n").includes(licence))
    .map((file) => ({ rule: "licence", file, line: 1, message: `has no "${licence}" line` }));
}

/** The top level holds the folders of the map, configuration, and names that begin with a dot. */
export function topLevelFindings(root: string): Finding[] {
  return readdirSync(root, { withFileTypes: true })
    .filter(({ name }) => !name.startsWith(".") && !generated.test(name))
    .filter((entry) => (entry.isDirectory() ? !folders.includes(entry.name) : !configFiles.test(entry.name)))
    .map(({ name }) => ({
      rule: "top-level",
      file: name,
      message: `does not belong at the top: that holds ${folders.join(", ")} and configuration files`,
    }));
}
