// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from "vite";

export default defineConfig({
  // Nothing inline: the page's policy allows no inline script, no inline style and no data: URL.
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false }, reportCompressedSize: false, emptyOutDir: true },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  // For work on the page itself: `npx vite apps/dashboard`, with an orchestrator beside it.
  server: { proxy: Object.fromEntries(["/fleet", "/devices", "/rollouts", "/releases", "/audit", "/events", "/crashes", "/cohorts", "/counters", "/session"].map((path) => [path, "http://127.0.0.1:8080"])) },
});
