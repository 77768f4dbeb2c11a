#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Starts the command from TypeScript sources: no build while developing.
// The shebang may find the system's Node; the pinned one is the first on PATH under npm and npx.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const major = Number(process.versions.node.split(".")[0]);
const here = fileURLToPath(new URL(".", import.meta.url));

if (major < 26) {
  const { spawnPinned } = await import("./pinned.js");
  await spawnPinned(here);
} else {
  const { enableCompileCache, registerHooks } = await import("node:module");
  enableCompileCache?.();
  const main = existsSync(`${here}../dist/main.js`) ? "../dist/main.js" : "../src/main.ts";
  if (main.endsWith(".ts")) {
    registerHooks({
      resolve: (specifier, context, next) =>
        next(specifier, { ...context, conditions: ["source", ...context.conditions] }),
    });
  }
  await import(main).catch((error) => {
    if (error?.code !== "ERR_MODULE_NOT_FOUND") {
      throw error;
    }
    process.stderr.write(`error: ${error.message}\nrun "npm ci" in the repository, then try again\n`);
    process.exitCode = 4;
  });
}
