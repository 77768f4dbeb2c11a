// SPDX-License-Identifier: Apache-2.0
import { type DeviceId, deviceId, instant, Milliseconds, Minutes, Seconds } from "@coalmine/core";
import { expect, test } from "vitest";
import { type LinkConditions, Network } from "./network.ts";

const now = instant(1_000_000);
const pump = deviceId("pump-1");
const network = (conditions: Partial<LinkConditions> = {}, seed = 7): Network =>
  new Network({ seed, conditions: () => ({ latency: Milliseconds(100), loss: 0, ...conditions }), retryAfter: Seconds(5) });
const count = 4_000;
const numbers = Array.from({ length: count }, (_, n) => n);

test("without loss every message arrives once, after the latency on average", () => {
  const arrivals = numbers.flatMap((n) => network().arrivals(pump, "report", n, now));
  expect(arrivals).toHaveLength(count);
  expect(Math.min(...arrivals)).toBeGreaterThanOrEqual(50);
  const mean = arrivals.reduce((sum, delay) => sum + delay, 0) / count;
  expect(mean).toBeGreaterThan(95);
  expect(mean).toBeLessThan(105);
});

test("arrivals depend on the names, not on the order of asking", () => {
  const lossy = { loss: 0.3, duplicate: 0.2, late: 0.2 };
  const forward = numbers.map((n) => network(lossy).arrivals(pump, "report", n, now));
  const backward = numbers.toReversed().map((n) => network(lossy).arrivals(pump, "report", n, now)).toReversed();
  expect(backward).toEqual(forward);
  expect(network(lossy, 8).arrivals(pump, "report", 0, now)).not.toEqual(forward[0]);
});

test("N1: a lossy link delivers every report at least once, later, and sometimes twice", () => {
  const lossy = network({ loss: 0.3 });
  const all = numbers.map((n) => lossy.arrivals(pump, "report", n, now));
  expect(all.every((arrivals) => arrivals.length >= 1)).toBe(true);
  const retried = all.filter((arrivals) => (arrivals[0] as number) >= 5_000).length / count;
  expect(retried).toBeCloseTo(0.3, 1);
  // The acknowledgement of the arrived one is lost with the same chance.
  expect(all.filter((arrivals) => arrivals.length > 1).length / count).toBeCloseTo(0.3, 1);
});

test("N2: a block answer is lost for good with the chance of a loss", () => {
  const lossy = network({ loss: 0.3 });
  const lost = numbers.filter((n) => lossy.arrivals(pump, "block", n, now).length === 0).length;
  expect(lost / count).toBeCloseTo(0.3, 1);
});

test("duplicates and late messages come without any loss, and overtaking happens", () => {
  const disturbed = network({ duplicate: 0.25, late: 0.1, lateBy: Minutes(10) });
  const all = numbers.map((n) => disturbed.arrivals(pump, "report", n, now));
  expect(all.filter((arrivals) => arrivals.length === 2).length / count).toBeCloseTo(0.25, 1);
  expect(all.filter((arrivals) => (arrivals[0] as number) > 2_000).length / count).toBeCloseTo(0.1, 1);
});

test("N3: nothing crosses a partition, and what waited arrives after it heals", () => {
  const cut = network();
  const heals = instant(now + 60_000);
  cut.cut({ from: now, until: heals, devices: new Set<DeviceId>([pump]), direction: "up" });
  expect(cut.isCut(pump, "up", now)).toBe(true);
  expect(cut.isCut(pump, "down", now)).toBe(false);
  expect(cut.isCut(pump, "up", heals)).toBe(false);
  const [arrival] = cut.arrivals(pump, "report", 1, now);
  expect(arrival).toBeGreaterThanOrEqual(60_000);
  expect(arrival).toBeLessThan(67_000);
  expect(cut.arrivals(pump, "request", 1, now)).toEqual([]);
  expect(cut.arrivals(pump, "command", 1, now)[0]).toBeLessThan(2_000);
  expect(cut.arrivals(deviceId("pump-2"), "report", 1, now)[0]).toBeLessThan(2_000);
});

test("a partition that never heals loses everything; two that overlap add up", () => {
  const forever = network();
  forever.cut({ from: now, until: instant(Number.POSITIVE_INFINITY), devices: "all", direction: "both" });
  expect(forever.arrivals(pump, "report", 1, now)).toEqual([]);
  const two = network();
  two.cut({ from: now, until: instant(now + 10_000), devices: "all", direction: "both" });
  two.cut({ from: instant(now + 5_000), until: instant(now + 30_000), devices: "all", direction: "both" });
  expect(two.arrivals(pump, "report", 1, now)[0]).toBeGreaterThanOrEqual(30_000);
});

test("a disturbance lasts as long as it says and concerns whom it says", () => {
  const calm = network();
  calm.disturb({ from: now, until: instant(now + 1_000), devices: new Set([pump]), conditions: { duplicate: 1 } });
  expect(calm.arrivals(pump, "report", 1, now)).toHaveLength(2);
  expect(calm.arrivals(pump, "report", 1, instant(now + 1_000))).toHaveLength(1);
  expect(calm.arrivals(deviceId("pump-2"), "report", 1, now)).toHaveLength(1);
});
