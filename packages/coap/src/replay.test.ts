// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { ReplayWindow, windowSize } from "./replay.ts";

test("a sequence number is accepted once, in any order within the window, and never below it", () => {
  const window = new ReplayWindow(100);
  expect(window.accept(100)).toBe(false);
  expect([103, 101, 102].map((n) => window.accept(n))).toEqual([true, true, true]);
  expect([101, 102, 103].map((n) => window.accept(n))).toEqual([false, false, false]);
  expect(window.accept(1_000_000)).toBe(true);
  expect(window.accept(1_000_000 - windowSize)).toBe(false);
  expect(window.accept(1_000_000 - windowSize + 1)).toBe(true);
  expect(window.accept(1_000_000 - windowSize + 1)).toBe(false);
});

test("agrees with a set of all numbers seen, whatever the order", () => {
  const window = new ReplayWindow(0);
  const seen = new Set([0]);
  let highest = 0;
  let state = 17;
  for (let n = 0; n < 20_000; n += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    const sequence = Math.max(0, highest - 40 + ((state >>> 16) % 45));
    const expected = !seen.has(sequence) && highest - sequence < windowSize;
    expect({ n, accepted: window.accept(sequence) }).toEqual({ n, accepted: expected });
    seen.add(sequence);
    highest = Math.max(highest, sequence);
  }
});
