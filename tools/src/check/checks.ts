// SPDX-License-Identifier: Apache-2.0
// The checks of `npm run check`, each a program of its own with an exit code.
import { join } from "node:path";

/** One check: a JavaScript or TypeScript file and its arguments, run by the Node that runs us. */
export type Check = { readonly name: string; readonly what: string; readonly args: readonly string[] };

/** Every check of the repository, quick ones first. Installed tools are named by path: nothing is ever fetched. */
export function checksOf(root: string): Check[] {
  const installed = (path: string) => join(root, "node_modules", path);
  const own = (name: string) => ["--conditions=source", join(root, "tools/src", name, "main.ts")];
  return [
    { name: "lockfile", what: "package-lock.json is complete and names no host", args: own("lockfile") },
    { name: "architecture", what: "layers, declared imports, purity, licence lines", args: own("architecture") },
    { name: "types", what: "tsc", args: [installed("typescript/bin/tsc"), "--noEmit", "-p", "tsconfig.json"] },
    { name: "page", what: "tsc of the dashboard, against the browser's types", args: [installed("typescript/bin/tsc"), "--noEmit", "-p", "apps/dashboard/tsconfig.json"] },
    {
      name: "lint",
      what: "oxlint, type-aware",
      args: [installed("oxlint/bin/oxlint"), "--type-aware", "--deny-warnings", "--format=unix"],
    },
    { name: "unused", what: "knip: unused files, exports, dependencies", args: [installed("knip/bin/knip.js"), "--no-progress", "--no-config-hints"] },
  ];
}
