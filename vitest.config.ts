import { defineConfig } from "vitest/config";

export default defineConfig({
  ssr: { resolve: { conditions: ["source", "module", "node"] } },
  test: {
    include: ["{apps,packages,simulator}/**/src/**/*.test.ts", "tools/src/**/*.test.ts"],
    execArgv: ["--conditions=source"],
    testTimeout: 30_000,
  },
});
