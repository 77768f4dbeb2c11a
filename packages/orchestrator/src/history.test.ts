// SPDX-License-Identifier: Apache-2.0
import { after, Hours, type Instant, Minutes } from "@coalmine/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Conductor } from "./conductor.ts";
import { planJudge } from "./gates.ts";
import { baselineOf, type DeviceHistory, newHistory, noteReport, samplesOf, usualOf } from "./history.ts";
import { startRollout } from "./operations.ts";
import { planFromData } from "./plan-file.ts";
import { readSnapshot, writeSnapshot } from "./snapshot.ts";
import { aRelease, hashOf, operator, Speaker, start } from "./testing/build.ts";

const hearing = { from: 0, until: 0 };
const interval = Minutes(60);

/** Reports at these hours, the given ones of them crashes. */
function lived(hours: readonly number[], crashes: readonly number[] = [], deaf = hearing): DeviceHistory {
  const history = newHistory();
  for (const [index, hour] of hours.slice(1).entries()) {
    noteReport(history, { lastSeen: after(start, Hours(hours[index] as number)), at: after(start, Hours(hour)), interval, deaf, crash: crashes.includes(hour) });
  }
  return history;
}

describe("what a device did before", () => {
  test("a day with crashes counts once, however many there were (R28)", () => {
    const hours = Array.from({ length: 73 }, (_, hour) => hour);
    expect(lived(hours, hours.slice(1, 20)).crashDays).toBe(1);
    expect(lived(hours, [1, 30, 31, 60]).crashDays).toBe(3);
    expect(lived(hours).watched).toBe(Hours(72));
  });

  test("silence is a gap beyond three intervals, and is not time in which it was watched", () => {
    const history = lived([0, 1, 2, 12, 13]);
    expect(history.silences).toBe(1);
    expect(history.watched).toBe(Hours(1 + 1 + 3 + 1));
    expect(lived([0, 3, 6]).silences).toBe(0);
  });

  test("time in which the host did not listen is nobody's silence", () => {
    const deaf = { from: after(start, Hours(2)), until: after(start, Hours(11)) };
    const history = lived([0, 1, 2, 12, 13], [], deaf);
    expect(history.silences).toBe(0);
    expect(history.watched).toBe(Hours(4));
  });

  test("rates need a hundred device-days, and none seen counts as one", () => {
    const quiet = { ...newHistory(), watched: Hours(24 * 10) };
    expect(baselineOf(Array.from({ length: 9 }, () => quiet))).toBeUndefined();
    expect(baselineOf(Array.from({ length: 20 }, () => quiet))).toEqual({ deviceDays: 200, crash: 1 / 200, silence: 1 / 200 });
  });
});

describe("what is usual", () => {
  const beat = (metrics: Record<string, number>, battery: number | null = null) => ({ kind: "heartbeat" as const, imageHash: hashOf("x"), confirmed: true, battery, linkUptime: 1, metrics });

  test("is near the mean of the last days, and forgets what was long before", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -100, max: 100, noNaN: true }), { minLength: 3, maxLength: 40 }), (values) => {
        const history = newHistory();
        let at: Instant = start;
        for (const value of values) {
          at = after(at, Hours(1));
          samplesOf(history, beat({ temp: value }), { at, gap: Hours(1), interval });
        }
        const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
        // Forty hours lose a third of their weight at most.
        expect(Math.abs((usualOf(history, "temp", at) as number) - mean)).toBeLessThanOrEqual(0.3 * (Math.max(...values) - Math.min(...values)) + 1e-9);
        for (let day = 0; day < 60; day += 1) {
          at = after(at, Hours(24));
          samplesOf(history, beat({ temp: 7 }), { at, gap: Hours(24), interval });
        }
        expect(usualOf(history, "temp", at)).toBeCloseTo(7, 4);
      }),
    );
  });

  test("a device cannot fill the memory with names, nor poison it with what is no number", () => {
    const history = newHistory();
    for (let i = 0; i < 1_000; i += 1) {
      samplesOf(history, beat({ [`m${i}`]: i, __proto__: 3, constructor: Number.NaN, temp: Number.POSITIVE_INFINITY }), { at: after(start, Hours(i)), gap: Hours(1), interval });
    }
    expect(Object.keys(history.usual).length).toBeLessThanOrEqual(20);
    expect(usualOf(history, "toString", start)).toBeUndefined();
    expect(Object.values(history.usual).every(([mean]) => Number.isFinite(mean))).toBe(true);
  });

  test("battery drain is per day and starts again after a charge; a late check-in is a share of those expected", () => {
    const history = newHistory();
    const say = (hour: number, battery: number, gap = 1) => samplesOf(history, beat({}, battery), { at: after(start, Hours(hour)), gap: Hours(gap), interval });
    expect(say(0, 90)["battery-drain"]).toBeUndefined();
    expect(say(2, 89)["battery-drain"]).toBeUndefined();
    expect(say(12, 88)["battery-drain"]).toBeCloseTo(4, 10);
    expect(say(13, 99)["battery-drain"]).toBeUndefined();
    expect(say(19, 98)["battery-drain"]).toBeCloseTo(4, 10);
    expect(say(20, 98)["check-in-punctuality"]).toBe(1);
    expect(say(25, 98, 5)["check-in-punctuality"]).toBe(0.25);
  });
});

test("a rollout freezes what its members did before, and the canaries of its first stage are compared by it", () => {
  const conductor = new Conductor(planJudge);
  const speakers = Array.from({ length: 30 }, (_, index) => new Speaker(`d${index}`));
  const beat = (speaker: Speaker, hour: number) =>
    speaker.say({ kind: "heartbeat", imageHash: hashOf("1.0.0"), confirmed: true, battery: 100 - 0.1 * hour, linkUptime: 1, metrics: { temp: 20 + Number(speaker.id.slice(1)) } });
  const at = (hour: number) => after(start, Hours(hour));
  for (let hour = 0; hour <= 100; hour += 1) {
    for (const speaker of speakers) {
      speaker.interval_s = 3_600;
      const report = hour === 0 ? speaker.hello() : hour === 50 && speaker.id === "d3" ? speaker.say({ kind: "crash", buildId: hashOf("b").subarray(0, 20), imageHash: hashOf("1.0.0"), reason: "fault", pc: 1, lr: 2, uptime_s: 1 }) : beat(speaker, hour);
      conductor.report(speaker.id, "virtual", report, at(hour));
    }
  }
  conductor.change(aRelease("1.1.0"), at(100));
  const plan = planFromData({ stages: [5, "100%"], strata: ["hardware"], gates: { "boot-confirmation": null, "crash-rate": null, "battery-drain": null, "metric:temp": { worse: "higher", margin: 3 } } });
  const { outcome } = startRollout(conductor, { release: "1.1.0", plan, seed: 1, authority: operator }, at(100));
  const begun = JSON.parse(JSON.stringify(conductor.rollout("r1" as never))) as { evidence: { gates: { devices: Record<string, { usual?: Record<string, number> }>; spec: { gates: { name: string; usual?: boolean; margins?: number[] }[] } } } };
  expect(outcome.entries.length).toBeGreaterThan(0);
  const { devices, spec } = begun.evidence.gates;
  expect(devices["d7"]?.usual?.["temp"]).toBeCloseTo(27, 10);
  expect(devices["d7"]?.usual?.["battery-drain"]).toBeCloseTo(2.4, 6);
  expect(spec.gates.filter((gate) => gate.usual === true).map((gate) => gate.name)).toEqual(["battery-drain", "metric:temp"]);
  // 125 device-days with one day of a crash: rarer than the 2 % that are assumed, so a smaller ratio is a wide margin.
  const measured = conductor.state.devices.get("d3" as never)?.history.crashDays;
  expect(measured).toBe(1);
  const unknown = new Conductor(planJudge);
  for (const speaker of speakers.map(({ id }) => new Speaker(id))) {
    unknown.report(speaker.id, "virtual", speaker.hello(), at(100));
  }
  unknown.change(aRelease("1.1.0"), at(100));
  startRollout(unknown, { release: "1.1.0", plan, seed: 1, authority: operator }, at(100));
  const margin = (conductor_: Conductor): number => {
    const { evidence } = conductor_.rollout("r1" as never) as unknown as { evidence: typeof begun.evidence };
    return evidence.gates.spec.gates.find((gate) => gate.name === "crash-rate")?.margins?.[0] as number;
  };
  expect((margin(conductor) - 1) / (margin(unknown) - 1)).toBeCloseTo(0.02 / (1 / 125), 6);
  // All of it survives a restart.
  expect(writeSnapshot(readSnapshot(writeSnapshot(conductor.state)))).toEqual(writeSnapshot(conductor.state));
});
