#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// `npx west` in this repository: Zephyr's west, never npm's package of that name.
if (Number(process.versions.node.split(".")[0]) < 26) {
  process.stderr.write(`this is Node ${process.versions.node}: run it as "npx west", after "npm ci"\n`);
  process.exit(4);
}
const { registerHooks } = await import("node:module");
registerHooks({ resolve: (specifier, context, next) => next(specifier, { ...context, conditions: ["source", ...context.conditions] }) });
const { main } = await import("../src/west/main.ts");
process.exitCode = await main(process.argv.slice(2));
