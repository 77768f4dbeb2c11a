// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { mergeCells, planCells, QUICK, runCells } from "./cells.ts";
import { Stream } from "./random.ts";
import { EventQueue } from "./queue.ts";
import { benchRows, quantile } from "./report.ts";

describe("draws", () => {
  const moments = (draw: (s: Stream) => number): readonly [number, number] => {
    const stream = new Stream("moments");
    const n = 200_000;
    let sum = 0;
    let squares = 0;
    for (let i = 0; i < n; i++) {
      const x = draw(stream);
      sum += x;
      squares += x * x;
    }
    return [sum / n, squares / n - (sum / n) ** 2];
  };

  test("uniform, exponential, normal and gamma have their mean and variance", () => {
    for (const [draw, mean, variance] of [
      [(s: Stream) => s.uniform(), 0.5, 1 / 12],
      [(s: Stream) => s.exponential(), 1, 1],
      [(s: Stream) => s.normal(), 0, 1],
      [(s: Stream) => s.gammaMean1(0.3), 1, 1 / 0.3],
    ] as const) {
      const [m, v] = moments(draw);
      expect(Math.abs(m - mean)).toBeLessThan(5 * Math.sqrt(variance / 200_000));
      expect(v / variance).toBeCloseTo(1, 1);
    }
  });

  test("streams of different names are different, of one name the same", () => {
    expect(new Stream("a").uniform()).toBe(new Stream("a").uniform());
    expect(new Stream("a").uniform()).not.toBe(new Stream("b").uniform());
  });

  test("the queue sorts by time, then code", () => {
    const queue = new EventQueue();
    const stream = new Stream("queue");
    const entries = Array.from({ length: 3000 }, (_, code) => [Math.floor(100 * stream.uniform()), code] as const);
    for (const [time, code] of entries) queue.push(time, code);
    const sorted = [...entries].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    for (const [time, code] of sorted) {
      expect(queue.nextTime).toBe(time);
      expect(queue.pop()).toBe(code);
    }
    expect(queue.nextTime).toBe(Infinity);
  });
});

describe("cells", () => {
  test("results do not depend on how replications are split over workers", () => {
    const whole = runCells({ seed: 3, cells: [{ scenario: "boot20", from: 0, to: 4 }] });
    const split = mergeCells([
      runCells({ seed: 3, cells: [{ scenario: "boot20", from: 0, to: 1 }] }),
      runCells({ seed: 3, cells: [{ scenario: "boot20", from: 1, to: 4 }] }),
    ]);
    expect(split).toEqual(mergeCells([whole]));
  });

  test("a 20 % boot failure is halted within the canary by ours and never by a 10 % group threshold on reverts", () => {
    const rows = benchRows(mergeCells([runCells({ seed: 1, cells: [{ scenario: "boot20", from: 0, to: 12 }] })]));
    const ours = rows.find((row) => row.method === "anytime-halt");
    expect(ours?.halted.rate).toBe(1);
    expect(ours?.p90Devices).toBeLessThanOrEqual(100);
    expect(rows.length).toBe(10);
  });

  test("a good release mostly completes under ours and mostly halts under repeated p values", () => {
    const rows = benchRows(mergeCells([runCells({ seed: 1, cells: [{ scenario: "good", from: 0, to: 20 }] })]));
    expect(rows.find((row) => row.method === "anytime-halt")?.halted.count).toBeLessThanOrEqual(3);
    expect(rows.find((row) => row.method === "naive-repeated-p05")?.halted.count).toBeGreaterThanOrEqual(8);
  });

  test("a quick run's tasks cover every scenario once", () => {
    const cells = planCells(QUICK, 7);
    const good = cells.filter((cell) => cell.scenario === "good");
    expect(good.reduce((sum, cell) => sum + cell.to - cell.from, 0)).toBe(QUICK.good);
    expect(good.map((cell) => cell.from)).toEqual([...new Set(good.map((cell) => cell.from))]);
  });

  test("quantiles interpolate and the median averages the middle pair", () => {
    expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
    expect(quantile([5], 0.9)).toBe(5);
  });
});
