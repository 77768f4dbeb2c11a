// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { newIngestMeter } from "./metrics.ts";
import { Site } from "./testing/site.ts";

test("the example Grafana dashboard asks for metrics that /metrics has", async () => {
  const site = await new Site({ ingest: newIngestMeter() }).rollout();
  const { text } = await site.call("GET", "/metrics");
  // Counted by a catalogue of crashes, which this site has none of.
  const elsewhere = new Set(["coalmine_crashes_total", "coalmine_crash_issues"]);
  const dashboard = readFileSync(new URL("../../../docs/grafana-dashboard.json", import.meta.url), "utf8");
  const asked = new Set(dashboard.match(/coalmine_[a-z_]+/g));
  expect(asked.size).toBeGreaterThan(8);
  for (const name of asked) {
    expect([name, elsewhere.has(name) || new RegExp(`^${name}(?:\\{| )`, "m").test(text) || text.includes(`# TYPE ${name} `)]).toEqual([name, true]);
  }
});
