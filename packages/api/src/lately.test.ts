// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { lately } from "./lately.ts";

beforeEach(() => vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => vi.useRealTimers());

/** When the answer was made, of those who ask after so many ms. */
function made(cost: number, standsFor: { readonly min: number; readonly max?: number }, asks: readonly number[]): number[] {
  const began = performance.now();
  const ask = lately(() => {
    const at = performance.now() - began;
    vi.advanceTimersByTime(cost);
    return at;
  }, standsFor);
  return asks.map((at) => {
    vi.advanceTimersByTime(Math.max(0, began + at - performance.now()));
    return ask();
  });
}

test("an answer that costs nothing stands for the shortest time, and is made again after it", () => {
  expect(made(0, { min: 500 }, [0, 1, 500, 501, 1_001, 1_002])).toEqual([0, 0, 0, 501, 501, 1_002]);
});

test("an answer that takes its time stands ten times as long, but no longer than it may", () => {
  expect(made(80, { min: 500 }, [0, 800, 801])).toEqual([0, 0, 801]);
  expect(made(200, { min: 500, max: 900 }, [0, 900, 901])).toEqual([0, 0, 901]);
});
