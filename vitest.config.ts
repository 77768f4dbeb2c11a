// SPDX-License-Identifier: Apache-2.0
import { availableParallelism } from "node:os";
import process from "node:process";
import { configDefaults, defineConfig } from "vitest/config";

/** Tests of whole processes, boards in QEMU and the browser have a run of their own: `npm run test:e2e`. */
const whole = "**/*.e2e.test.ts";
const isWhole = process.env["COALMINE_E2E"] === "1";

export default defineConfig({
  ssr: { resolve: { conditions: ["source", "module", "node"] } },
  test: {
    include: ["{apps,packages,simulator}/*/{src,bin}/**/*.test.ts", "tools/src/**/*.test.ts"].map((pattern) => (isWhole ? pattern.replace("*.test.ts", "*.e2e.test.ts") : pattern)),
    exclude: [...configDefaults.exclude, ...(isWhole ? [] : [whole])],
    setupFiles: ["tools/src/tests/fast-check.setup.ts"],
    execArgv: ["--conditions=source"],
    // By default Vitest leaves one core free: on two cores, half the machine.
    maxWorkers: availableParallelism(),
    // Only what hangs runs into these: a busy machine is no failure.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000, interval: 10 } },
    // `nx run-many -t test` runs packages one by one, and one without tests yet is no failure; `npm test` counts.
    passWithNoTests: true,
  },
});
