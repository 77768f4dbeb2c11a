// SPDX-License-Identifier: Apache-2.0
import { beforeAll, describe, expect, test } from "vitest";
import { evidenceSeries, type EvidenceSample } from "./evidence-series.ts";
import { escapeHtml, exposureChart } from "./html-chart.ts";
import { reportHtml } from "./html-report.ts";
import type { EventLog, LogEntry } from "./ports.ts";
import { type RolloutReport, rolloutReport } from "./report.ts";
import { live, rollout } from "./testing/life.ts";

/** As much of a log as a report reads. */
function logOf(entries: readonly LogEntry[]): EventLog {
  return {
    length: entries.length,
    *read(after: number) {
      for (let index = after; index < entries.length; index += 1) {
        const { at, type, device, body } = entries[index] as LogEntry;
        yield { sequence: index + 1, at, type, device, body };
      }
    },
  } as Partial<EventLog> as EventLog;
}

const bad = live({ seed: 3, devices: 80, crashes: 0.01, crashesOnRelease: 0.15, hours: 40 });
const { plan } = bad.conductor.rollout(rollout);
let report: RolloutReport;
let series: EvidenceSample[];

beforeAll(async () => {
  const log = logOf(bad.entries);
  report = await rolloutReport(bad.conductor, log, rollout, bad.end);
  series = await evidenceSeries(bad.conductor, log, rollout, { end: bad.conductor.rollout(rollout).endedAt ?? bad.end, points: 30 });
});

const page = (change: Partial<RolloutReport> = {}): string => reportHtml({ report: { ...report, ...change }, plan, series, madeAt: "2026-01-03T00:00:00.000Z" });

describe("the series", () => {
  test("ends at the evidence that the rollout was halted on", () => {
    expect(bad.conductor.rollout(rollout).status).toBe("halted");
    const halted = report.gates.find((gate) => gate.gate === report.haltedBy?.gate);
    const last = series.at(-1)?.gates.find((gate) => gate.gate === report.haltedBy?.gate)?.evidence;
    expect(last?.lnEHalt).toBe(halted?.evidence?.lnEHalt);
    expect(last?.lnEHalt).toBeGreaterThanOrEqual(last?.haltAt ?? Number.POSITIVE_INFINITY);
  });

  test("stays below the threshold until then, from the start of the rollout on", () => {
    expect(series.length).toBeGreaterThan(4);
    for (const sample of series.slice(0, -1)) {
      for (const { evidence } of sample.gates) {
        expect(evidence?.lnEHalt ?? 0).toBeLessThan(evidence?.haltAt ?? 1);
      }
    }
  });
});

describe("the page", () => {
  test("stands by itself: no script, nothing loaded, every chart inline", () => {
    const html = page();
    expect(html).toMatch(/^<!doctype html>/);
    expect(html).not.toMatch(/<script|<link|<img|<iframe|\son\w+=|javascript:|https?:\/\/|url\(/i);
    expect(html.match(/<svg /g)).toHaveLength(2 + series.at(-1)!.gates.length);
    expect(html).toContain("prefers-color-scheme: dark");
    expect(html).toContain("@media print");
  });

  test("says which gate halted it, both arms with interval, and the first crash signature", () => {
    const html = page();
    expect(html).toContain("<strong>Halted by crash-rate</strong> in stage canary");
    expect(html).toContain("First crash signature of the release: <code>bus fault@1000</code>");
    const crash = report.gates.find((gate) => gate.gate === "crash-rate");
    expect(html).toContain(escapeHtml(crash?.reason ?? "?"));
    expect(html).toContain(`${crash?.canary.devices}</td>`);
    expect(html).toMatch(/<title>crash-rate: [\d.]+x, between [\d.]+x and ([\d.]+x|\?)<\/title>/);
  });

  test("names who overrode what, and why", () => {
    const line = { sequence: 9, at: "2026-01-01T09:00:00.000Z", type: "promoted", device: null, rollout: "r1", by: "ada", reason: "lab says fine", detail: {} };
    expect(page()).toContain("Nothing: every stage followed the plan.");
    expect(page({ history: [...report.history, line] })).toMatch(/What people overrode<\/h2>.*promoted.*ada.*lab says fine/s);
  });

  test("what devices and operators say stays text, wherever it stands", () => {
    const evil = `"><script>alert(1)</script>&<img src=x onerror=alert(1)>'\u202e\u0000`;
    const [device] = report.devices;
    const [crash] = report.crashes;
    const [gate] = report.gates;
    const html = page({
      haltedBy: { gate: evil, metric: evil, reason: evil, stage: evil, at: "2026-01-01T09:00:00.000Z" },
      devices: [{ ...device!, device: evil, reason: evil, stratum: evil, said: [evil], running: evil }],
      crashes: [{ ...crash!, signature: evil, buildId: evil, devices: [evil], first: { device: evil, at: "2026-01-01T09:00:00.000Z", uptime_s: 1 } }],
      gates: [{ ...gate!, gate: evil, reason: evil }],
      offeredOnly: [evil],
      rollout: { ...report.rollout, missing: [evil], states: { [evil]: 1 }, stages: [{ ...report.rollout.stages[0]!, name: evil }] },
      history: [{ ...report.history[0]!, by: evil, reason: evil, type: evil }],
    });
    expect(html).not.toMatch(/<script|<img|[\u0000\u202e]/);
    expect(html.match(/&#34;&#62;&#60;script&#62;/g)?.length).toBeGreaterThan(12);
  });
});

test("steps of exposure end at the number of devices, however close together they begin", () => {
  const times = [...Array.from({ length: 50 }, (_, index) => index), ...Array.from({ length: 50 }, (_, index) => 86_400_000 + index)];
  const chart = exposureChart({ started: times, confirmed: [], from: 0, to: 2 * 86_400_000, marks: [] });
  const path = /class="canary-line" d="([^"]+)"/.exec(chart)?.[1] ?? "";
  const levels = [...path.matchAll(/V([\d.]+)/g)].map((match) => Number(match[1]));
  // Base at 194, top at 22 for 106 devices: 50 and 100 of them.
  expect(levels.at(-1)).toBeCloseTo(22 + (1 - 100 / 106) * 172, 0);
  expect(levels.some((level) => Math.abs(level - (22 + (1 - 50 / 106) * 172)) < 0.2)).toBe(true);
});
