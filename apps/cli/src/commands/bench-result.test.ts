// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { arm, compare, median } from "./bench-result.ts";

test("the median is the middle, or the mean of the two middles, in any order", () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

test("a bound on the ratio and one on the figure itself must both hold", () => {
  const rate = { name: "rate", unit: "1/s", better: "more" as const };
  expect(compare(rate, arm("ours", [60, 70, 50]), arm("bare", [100]), { ratioLeast: 0.5 })).toMatchObject({ ratio: 0.6, ok: true, bound: "at least 0.5 of bare" });
  expect(compare(rate, arm("ours", [40]), arm("bare", [100]), { ratioLeast: 0.5 })).toMatchObject({ ok: false });
  const size = { name: "size", unit: "bytes", better: "less" as const };
  expect(compare(size, arm("ours", [90]), arm("bare", [30]), { atMost: 100, ratioMost: 2 })).toMatchObject({ ratio: 3, ok: false });
  expect(compare(size, arm("ours", [90]), null, { atMost: 100 })).toMatchObject({ ratio: null, ok: true });
  expect(compare(size, arm("ours", [90]), arm("bare", [30]))).toMatchObject({ bound: null, ok: null });
});

test("runs made in pairs are compared pair by pair: what slowed down one pair does not count", () => {
  const cost = { name: "cost", unit: "us", better: "less" as const };
  expect(compare(cost, arm("ours", [20, 90, 30]), arm("bare", [10, 45, 10]), { ratioMost: 2, pairs: true })).toMatchObject({ ratio: 2, ok: true });
});
