// SPDX-License-Identifier: Apache-2.0
// What a board costs, and ten thousand of them.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createDevice, createShared, type Device, step } from "@coalmine/device";
import { draw } from "@coalmine/world";
import { expect, test } from "vitest";
import { deviceDescription } from "./fleet.ts";
import { Bench, epoch, minute, testFleet } from "./testing/bench.ts";

// First in this file: what later tests leave behind would be counted.
test("an idle board costs at most 4 KiB of heap and buffers", () => {
  const devices = 3_000;
  const fleet = testFleet({ devices: devices + 1 });
  const shared = createShared(draw);
  const live = (index: number): Device => {
    const device = createDevice(deviceDescription(fleet, index), 7, shared);
    for (let time = 0, at = epoch; time < 60; time++) {
      for (const effect of step(device, time === 0 ? { kind: "power-on", cause: "power-on" } : { kind: "wake" }, at)) {
        if (effect.kind === "report") {
          step(device, { kind: "acknowledged", boot: effect.report.boot, sequence: effect.report.sequence }, at);
        }
      }
      at = (at + minute) as typeof at;
    }
    return device;
  };
  live(devices);
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  collect();
  const before = process.memoryUsage();
  const fleetInMemory = Array.from({ length: devices }, (_, index) => live(index));
  collect();
  collect();
  const after = process.memoryUsage();
  const each = (after.heapUsed - before.heapUsed + after.arrayBuffers - before.arrayBuffers) / devices;
  expect(fleetInMemory.every((device) => device.phase === "running" && device.outbox.length === 0)).toBe(true);
  // 1.5 KB were measured; 2.5 KB in a fleet that has lived a day and taken an update.
  expect(each).toBeGreaterThan(500);
  expect(each).toBeLessThan(4_096);
});

test("10,000 boards live a quarter of an hour and take an update", () => {
  const devices = 10_000;
  const bench = new Bench({ devices, record: false }).start().run(15 * minute);
  const release = bench.build("1.1.0");
  for (let index = 0; index < devices; index++) {
    bench.command(index, bench.offerOf(release, index, index + 1));
  }
  bench.run(20 * minute);
  expect(bench.devices.filter((device) => device.running?.version === "1.1.0" && device.attempt?.stage === "confirmed")).toHaveLength(devices);
});
