// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Site } from "./testing/site.ts";

test("/metrics speaks Prometheus: help for every metric, states that sum to the population (R38)", async () => {
  const site = await new Site().rollout();
  const { status, text, headers } = await site.call("GET", "/metrics");
  expect(status).toBe(200);
  expect(headers["content-type"]).toContain("text/plain; version=0.0.4");
  const names = new Set([...text.matchAll(/^# TYPE (coalmine_\w+)/gm)].map((match) => match[1]));
  for (const name of names) {
    expect(text).toMatch(new RegExp(`^# HELP ${name} \\S`, "m"));
  }
  expect([...names]).toEqual(expect.arrayContaining(["coalmine_reports_total", "coalmine_rollout_devices", "coalmine_gate_verdict", "coalmine_devices", "coalmine_log_entries_total"]));
  const states = [...text.matchAll(/^coalmine_rollout_devices\{rollout="r1".*\} (\d+)$/gm)].reduce((sum, match) => sum + Number(match[1]), 0);
  expect(states).toBe(10);
  expect(text).toMatch(/^coalmine_devices\{door="virtual"\} 10$/m);
  expect((await site.call("GET", "/metrics")).text).toContain("coalmine_reports_total 10");
});

test("a door whose link is down is a metric to alert on, and says when it is back", async () => {
  const site = await new Site().fleet(1);
  const { conductor } = site.host;
  const at = conductor.state.devices.get("d0" as never)?.lastSeen as never;
  const told = async (): Promise<string[]> => [...(await site.call("GET", "/metrics")).text.matchAll(/^coalmine_link_down.*$/gm)].map(([line]) => line);
  expect(await told()).toEqual([]);
  conductor.listen(new Set(["mqtt"]), at, at);
  expect(await told()).toEqual(['coalmine_link_down{door="mqtt"} 1']);
  conductor.listen(new Set(), at, at);
  expect(await told()).toEqual(['coalmine_link_down{door="mqtt"} 0']);
});
