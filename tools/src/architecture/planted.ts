// SPDX-License-Identifier: Apache-2.0
// A small repository in a temporary folder, for tests that plant a violation in a clean one.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

type Manifest = { readonly name: string; readonly layer: string; readonly dependencies?: readonly string[]; readonly devDependencies?: readonly string[] };

/** A package.json as this repository's packages have them. */
export function manifest({ name, layer, dependencies = [], devDependencies = [] }: Manifest): string {
  const versions = (names: readonly string[]) => Object.fromEntries(names.map((one) => [one, "0.1.0"]));
  return JSON.stringify({
    name,
    license: "Apache-2.0",
    nx: { tags: [`layer:${layer}`] },
    dependencies: versions(dependencies),
    devDependencies: versions(devDependencies),
  });
}

const spdx = "// SPDX-License-Identifier: Apache-2.0\n";

/** The clean repository: core, a pure package, a shell package and testkit, each with one file. */
const clean: Readonly<Record<string, string>> = {
  "package.json": JSON.stringify({ workspaces: ["packages/*", "simulator/*"] }),
  "nx.json": "{}",
  "README.md": "",
  "packages/core/package.json": manifest({ name: "@coalmine/core", layer: "core" }),
  "packages/core/src/index.ts": `${spdx}export const one = 1;\n`,
  "packages/mcuboot/package.json": manifest({ name: "@coalmine/mcuboot", layer: "pure", dependencies: ["@coalmine/core"] }),
  "packages/mcuboot/src/index.ts": `${spdx}export { one } from "@coalmine/core";\n`,
  "packages/orchestrator/package.json": manifest({
    name: "@coalmine/orchestrator",
    layer: "shell",
    dependencies: ["@coalmine/core"],
    devDependencies: ["@coalmine/testkit"],
  }),
  "packages/orchestrator/src/index.ts": `${spdx}import { readFileSync } from "node:fs";\nexport const read = () => [readFileSync, Date.now()];\n`,
  "packages/orchestrator/src/run.test.ts": `${spdx}import { expect } from "vitest";\nimport { two } from "@coalmine/testkit";\nexpect(two).toBe(2);\n`,
  "packages/testkit/package.json": manifest({ name: "@coalmine/testkit", layer: "testkit", dependencies: ["@coalmine/core"] }),
  "packages/testkit/src/index.ts": `${spdx}export const two = 2;\n`,
};

/** A clean repository with files added or replaced; the licence line is added to `.ts` files that lack it. Removed on disposal. */
export class PlantedRepository implements Disposable {
  readonly root: string;

  constructor(files: Readonly<Record<string, string>> = {}) {
    this.root = mkdtempSync(join(tmpdir(), "coalmine-guard-"));
    for (const [path, text] of Object.entries({ ...clean, ...files })) {
      mkdirSync(join(this.root, dirname(path)), { recursive: true });
      writeFileSync(join(this.root, path), text);
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Code with the licence line above it, so that its first line is line 2. */
export function code(text: string): string {
  return `${spdx}${text}\n`;
}
