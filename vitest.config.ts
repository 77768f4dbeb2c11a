// SPDX-License-Identifier: Apache-2.0
import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

export default defineConfig({
  ssr: { resolve: { conditions: ["source", "module", "node"] } },
  test: {
    include: ["{apps,packages,simulator}/*/{src,bin}/**/*.test.ts", "tools/src/**/*.test.ts"],
    setupFiles: ["tools/src/tests/fast-check.setup.ts"],
    execArgv: ["--conditions=source"],
    // By default Vitest leaves one core free: on two cores, half the machine.
    maxWorkers: availableParallelism(),
    testTimeout: 30_000,
    // `nx run-many -t test` runs packages one by one, and one without tests yet is no failure; `npm test` counts.
    passWithNoTests: true,
  },
});
