// SPDX-License-Identifier: Apache-2.0
import { instant } from "@coalmine/core";
import { describe, expect, test } from "vitest";
import { AcceleratedClock } from "./clock.ts";

function aClock(options: { readonly pauseMax?: number } = {}) {
  const real = { now: 5_000 };
  return { real, clock: new AcceleratedClock({ epoch: instant(1_000_000), speed: 60, real: () => real.now, ...options }) };
}

describe("device time", () => {
  test("is the epoch and the real time passed, times the speed", () => {
    const { real, clock } = aClock();
    expect(clock.now()).toBe(1_000_000);
    real.now += 1_500;
    expect(clock.now()).toBe(1_090_000);
  });

  test("goes on from where it is when the speed changes", () => {
    const { real, clock } = aClock();
    real.now += 1_000;
    clock.setSpeed(1);
    real.now += 1_000;
    expect(clock.now()).toBe(1_061_000);
  });

  test("does not count a pause of the process beyond what it may", () => {
    const { real, clock } = aClock({ pauseMax: 100 });
    real.now += 80;
    expect(clock.now()).toBe(1_004_800);
    real.now += 3_000;
    expect(clock.now()).toBe(1_010_800);
  });

  test("waits at a limit, goes on from it without a jump, and never goes back", () => {
    const { real, clock } = aClock();
    let limit = 1_030_000;
    clock.limitBy(() => limit);
    real.now += 1_000;
    expect(clock.now()).toBe(1_030_000);
    limit = 900_000;
    expect(clock.now()).toBe(1_030_000);
    limit = Number.POSITIVE_INFINITY;
    real.now += 1_000;
    expect(clock.now()).toBe(1_090_000);
  });
});
