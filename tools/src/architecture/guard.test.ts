// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { findingLine } from "./finding.ts";
import { guard, repositoryRoot } from "./guard.ts";
import { code, manifest, PlantedRepository } from "./planted.ts";

function linesOf(files: Record<string, string>): string[] {
  using repository = new PlantedRepository(files);
  return guard(repository.root).findings.map(findingLine);
}

test("a clean repository breaks no rule, and every file was read", () => {
  using repository = new PlantedRepository();
  expect(guard(repository.root)).toEqual({ findings: [], files: 5 });
});

test("the guard finds this repository's packages", () => {
  expect(guard(repositoryRoot()).files).toBeGreaterThan(20);
});

test("a pure package that imports the shell breaks its layer, declared or not", () => {
  const files = {
    "packages/mcuboot/package.json": manifest({ name: "@coalmine/mcuboot", layer: "pure", dependencies: ["@coalmine/core", "@coalmine/orchestrator"] }),
    "packages/mcuboot/src/index.ts": code(`import { read } from "@coalmine/orchestrator";\nread();`),
  };
  expect(linesOf(files)).toEqual([
    "packages/mcuboot/package.json [layer] depends on orchestrator; pure mcuboot may use core",
    "packages/mcuboot/src/index.ts:2 [layer] imports orchestrator; pure mcuboot may use core",
  ]);
});

test("core that imports another package, or a library, breaks its layer", () => {
  expect(linesOf({ "packages/core/src/index.ts": code(`import type { one } from "@coalmine/mcuboot";\nimport { z } from "zod";\nz as one;`) })).toEqual([
    "packages/core/src/index.ts:2 [layer] imports mcuboot; core core may use nothing",
    "packages/core/src/index.ts:2 [declared] imports @coalmine/mcuboot, which packages/core/package.json does not declare as a dependency",
    "packages/core/src/index.ts:3 [layer] imports zod; core uses nothing",
    "packages/core/src/index.ts:3 [declared] imports zod, which packages/core/package.json does not declare as a dependency",
  ]);
});

test("device may use mcuboot, as the table says, and not the orchestrator", () => {
  const device = (dependencies: string[]) => ({
    "simulator/device/package.json": manifest({ name: "@coalmine/device", layer: "pure", dependencies }),
    "simulator/device/src/index.ts": code(dependencies.map((name) => `import "${name}";`).join("\n")),
  });
  expect(linesOf(device(["@coalmine/core", "@coalmine/mcuboot"]))).toEqual([]);
  expect(linesOf(device(["@coalmine/orchestrator"]))).toHaveLength(2);
});

test.each([
  `import { read } from "@coalmine/orchestrator/deep";\nread();`,
  `export * from "@coalmine/orchestrator";`,
  `export const read = await import("@coalmine/orchestrator");`,
  "export const read = await import(`@coalmine/orchestrator`);",
  `export type Read = import("@coalmine/orchestrator").Read;`,
  `import type { Read } from "@coalmine/orchestrator";\nexport const read: Read = 1;`,
])("an import in any form counts: %s", (text) => {
  expect(linesOf({ "packages/mcuboot/src/index.ts": code(text) })).toContain(
    "packages/mcuboot/src/index.ts:2 [layer] imports orchestrator; pure mcuboot may use core",
  );
});

test("imports in comments and strings do not count", () => {
  const text = `// import "@coalmine/orchestrator"\n/* import("zod") */\nexport const text = 'import "zod"; Date.now()';`;
  expect(linesOf({ "packages/mcuboot/src/index.ts": code(text) })).toEqual([]);
});

test("an undeclared library is found, in tests too", () => {
  const files = {
    "packages/orchestrator/src/index.ts": code(`import { parse } from "yaml";\nparse("");`),
    "packages/orchestrator/src/run.test.ts": code(`import { z } from "zod/v4";\nimport fc from "fast-check";\nfc; z;`),
  };
  expect(linesOf(files)).toEqual([
    "packages/orchestrator/src/index.ts:2 [declared] imports yaml, which packages/orchestrator/package.json does not declare as a dependency",
    "packages/orchestrator/src/run.test.ts:2 [declared] imports zod, which packages/orchestrator/package.json does not declare",
  ]);
});

test("shipped code does not live on devDependencies", () => {
  const files = {
    "packages/orchestrator/package.json": manifest({ name: "@coalmine/orchestrator", layer: "shell", devDependencies: ["yaml", "@coalmine/testkit"] }),
    "packages/orchestrator/src/index.ts": code(`import { parse } from "yaml";\nparse("");`),
  };
  expect(linesOf(files)).toEqual([
    "packages/orchestrator/src/index.ts:2 [declared] imports yaml, which packages/orchestrator/package.json does not declare as a dependency",
  ]);
});

test("testkit is for tests only", () => {
  const files = {
    "packages/orchestrator/package.json": manifest({ name: "@coalmine/orchestrator", layer: "shell", dependencies: ["@coalmine/testkit"] }),
    "packages/orchestrator/src/index.ts": code(`import { two } from "@coalmine/testkit";\ntwo;`),
  };
  expect(linesOf(files)).toEqual([
    "packages/orchestrator/package.json [layer] depends on testkit; testkit is a devDependency only",
    "packages/orchestrator/src/index.ts:2 [layer] imports testkit; only tests use testkit",
  ]);
});

test("what lies in testing/ may use devDependencies, and only tests use it", () => {
  const files = {
    "packages/core/src/testing/build.ts": code(`import fc from "fast-check";\nexport const any = fc.nat();`),
    "packages/core/src/index.test.ts": code(`import { any } from "./testing/build.ts";\nany;`),
    "packages/core/src/index.ts": code(`export { any } from "./testing/build.ts";`),
    "packages/mcuboot/src/index.ts": code(`export { any } from "@coalmine/core/testing";`),
  };
  expect(linesOf(files)).toEqual([
    'packages/core/src/index.ts:2 [layer] imports "./testing/build.ts"; testing/ is for tests',
    'packages/mcuboot/src/index.ts:2 [layer] imports "@coalmine/core/testing"; testing/ is for tests',
  ]);
});

test("a relative import cannot leave its package, and a package does not import itself by name", () => {
  expect(linesOf({ "packages/mcuboot/src/index.ts": code(`import "../../core/src/index.ts";\nimport "../package.json";\nimport "@coalmine/mcuboot";`) })).toEqual([
    'packages/mcuboot/src/index.ts:2 [relative] leaves its package with "../../core/src/index.ts"; import the package by name',
    "packages/mcuboot/src/index.ts:4 [relative] imports its own package by name; import the file",
  ]);
});

test("Node modules are named with node:", () => {
  expect(linesOf({ "packages/orchestrator/src/index.ts": code(`import { readFileSync } from "fs";\nreadFileSync;`) })).toEqual([
    'packages/orchestrator/src/index.ts:2 [declared] write "node:fs" for the Node module',
  ]);
});

test("core and pure code is pure, their tests need not be", () => {
  const impure = code(`export const at = Date.now();`);
  expect(linesOf({ "packages/core/src/clock.ts": impure, "packages/core/src/clock.test.ts": impure, "packages/mcuboot/src/clock.ts": impure })).toEqual([
    "packages/core/src/clock.ts:2 [pure] reads the clock with Date.now",
    "packages/mcuboot/src/clock.ts:2 [pure] reads the clock with Date.now",
  ]);
});

test.each([["layer:pure", "layer:core"], [], ["layer:kernel"]])("a package without exactly one known layer is refused: %s %s", (...tags) => {
  const text = JSON.stringify({ name: "@coalmine/mcuboot", license: "Apache-2.0", nx: { tags } });
  expect(linesOf({ "packages/mcuboot/package.json": text })).toEqual([expect.stringContaining('packages/mcuboot/package.json [package] needs exactly one nx tag "layer:…"')]);
});

test("every source file says its licence, C and shell as well", () => {
  const files = {
    "packages/core/src/index.ts": "export const one = 1;\n",
    "firmware/lib/boot.c": "int main(void) { return 0; }\n",
    "firmware/lib/report.c": "/* SPDX-License-Identifier: Apache-2.0 */\n",
    "tools/bin/run.js": "#!/usr/bin/env node\n// SPDX-License-Identifier: Apache-2.0\n",
    ".ci/run": "#!/usr/bin/env bash\n",
  };
  expect(linesOf(files)).toEqual(
    [".ci/run", "packages/core/src/index.ts", "firmware/lib/boot.c"].map(
      (file) => `${file}:1 [licence] has no "SPDX-License-Identifier: Apache-2.0" line`,
    ),
  );
});

test("the top level holds the folders of the map and configuration only", () => {
  const files = { "scripts/run.txt": "", "notes.txt": "", "vitest.config.ts": code(""), "docs/a.md": "", ".editorconfig": "", "node_modules/x/y.txt": "" };
  expect(linesOf(files).map((line) => line.split(" ", 2).join(" "))).toEqual(["notes.txt [top-level]", "scripts [top-level]"]);
});

test("a file that does not parse stops the guard instead of hiding from it", () => {
  expect(() => linesOf({ "packages/core/src/index.ts": code("export const = ;") })).toThrow("packages/core/src/index.ts does not parse");
});
