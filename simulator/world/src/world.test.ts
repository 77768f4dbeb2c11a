// SPDX-License-Identifier: Apache-2.0
import { type Instant, instant, TimeHeap } from "@coalmine/core";
import { expect, test } from "vitest";
import { draw } from "./draw.ts";
import { World } from "./world.ts";

interface Happening {
  readonly what: string;
  readonly at: number;
}

const recorder = (log: Happening[]) => ({
  timer: (timer: number, now: Instant) => void log.push({ what: `timer ${timer}`, at: now }),
  item: (item: string, now: Instant) => void log.push({ what: item, at: now }),
});

test("W1: equal times happen in the order in which they were planned, timers and items alike", () => {
  const world = new World<string>({ start: instant(0) });
  const log: Happening[] = [];
  world.post(instant(5), "a");
  world.setTimer(3, instant(5));
  world.post(instant(5), "b");
  world.post(instant(1), "first");
  world.setTimer(9, instant(5));
  while (world.step(recorder(log)));
  expect(log).toEqual([
    { what: "first", at: 1 },
    { what: "a", at: 5 },
    { what: "timer 3", at: 5 },
    { what: "b", at: 5 },
    { what: "timer 9", at: 5 },
  ]);
  expect(world.events).toBe(5);
  expect(world.nextAt).toBe(Number.POSITIVE_INFINITY);
});

test("W2: what is planned in the past happens now, after everything planned for now", () => {
  const world = new World<string>({ start: instant(100) });
  const log: Happening[] = [];
  world.post(instant(200), "a");
  world.post(instant(200), "b");
  world.runUntil(
    {
      timer: () => undefined,
      item: (item, now) => {
        log.push({ what: item, at: now });
        if (item === "a") {
          world.post(instant(50), "late");
        }
      },
    },
    instant(300),
  );
  expect(log.map((entry) => `${entry.what}@${entry.at}`)).toEqual(["a@200", "b@200", "late@200"]);
  expect(world.now).toBe(300);
});

test("W3: a timer planned again keeps only its latest plan; a cleared one never fires", () => {
  const world = new World<string>({ start: instant(0) });
  const log: Happening[] = [];
  for (let timer = 0; timer < 200; timer++) {
    world.setTimer(timer, instant(1_000 + timer));
  }
  world.setTimer(7, instant(3));
  world.setTimer(7, instant(9_000));
  world.setTimer(8, instant(2));
  world.clearTimer(9);
  world.clearTimer(9);
  world.clearTimer(5_000);
  expect(world.pending).toBe(199);
  expect(world.timerAt(7)).toBe(9_000);
  expect(world.timerAt(9)).toBe(Number.POSITIVE_INFINITY);
  while (world.step(recorder(log)));
  expect(log).toHaveLength(199);
  expect(log[0]).toEqual({ what: "timer 8", at: 2 });
  expect(log.at(-1)).toEqual({ what: "timer 7", at: 9_000 });
});

test.each([1, 2, 3, 4, 5])("W1-W3 hold against a plain list under random planning (seed %i)", (seed) => {
  const world = new World<string>({ start: instant(0), timers: 4 });
  /** The model: an unsorted list of plans. */
  let plans: { at: number; order: number; what: string }[] = [];
  let order = 0;
  let now = 0;
  let n = 0;
  const random = (limit: number): number => Math.floor(draw(seed, "op", n++) * limit);
  const plan = (at: number, what: string): void => void plans.push({ at: Math.max(at, now), order: order++, what });
  const act = (): void => {
    for (let left = random(4); left > 0; left--) {
      const at = now + random(50) - 5;
      const timer = random(60);
      switch (random(5)) {
        case 0:
          world.clearTimer(timer);
          plans = plans.filter((entry) => entry.what !== `timer ${timer}`);
          break;
        case 1:
          world.post(instant(at), `item ${n}`);
          plan(at, `item ${n}`);
          break;
        default:
          world.setTimer(timer, instant(at));
          plans = plans.filter((entry) => entry.what !== `timer ${timer}`);
          plan(at, `timer ${timer}`);
      }
    }
  };
  const expectNext = (what: string, at: Instant): void => {
    const next = plans.reduce((best, entry) => (entry.at < best.at || (entry.at === best.at && entry.order < best.order) ? entry : best));
    expect({ what, at }).toEqual({ what: next.what, at: next.at });
    plans = plans.filter((entry) => entry !== next);
    now = at;
    act();
    expect(world.pending).toBe(plans.length);
  };
  for (let round = 0; round < 3_000; round++) {
    if (!world.step({ timer: (timer, at) => expectNext(`timer ${timer}`, at), item: expectNext })) {
      expect(plans).toEqual([]);
      act();
    }
  }
  expect(world.events).toBeGreaterThan(1_000);
});

test("10,000 heartbeating timers fire as a plain heap with as many pending would have it", () => {
  const devices = 10_000;
  const events = 200_000;
  const interval = (timer: number): number => 50_000 + ((timer * 7_919) % 20_000);
  const world = new World<never>({ start: instant(0), timers: devices });
  const heap = new TimeHeap<number>();
  for (let timer = 0; timer < devices; timer++) {
    world.setTimer(timer, instant(timer));
    heap.push(timer, timer);
  }
  let wrong = 0;
  const handler = {
    timer: (timer: number, now: Instant) => {
      wrong += now === heap.first ? 0 : 1;
      heap.pop();
      heap.push(now + interval(timer), timer);
      world.setTimer(timer, instant(now + interval(timer)));
    },
    item: () => undefined,
  };
  while (world.events < events) {
    world.step(handler);
  }
  expect(wrong).toBe(0);
  expect(world.pending).toBe(devices);
});
