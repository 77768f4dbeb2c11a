// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { draw, drawExponential, drawGamma, drawNormal, drawWeighted } from "./draw.ts";

const many = 40_000;
const sample = (make: (n: number) => number): number[] => Array.from({ length: many }, (_, n) => make(n));
const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const variance = (values: number[]): number => {
  const m = mean(values);
  return mean(values.map((value) => (value - m) ** 2));
};

test("a draw depends on the seed and the names alone", () => {
  expect(draw(7, "pump-1", "jitter", 3)).toBe(draw(7, "pump-1", "jitter", 3));
  // Pinned: a change of the hash changes every recorded run.
  expect([draw(0), draw(7, "pump-0001", "jitter", 1), draw(2 ** 40 + 1, "é", 0.5)]).toMatchInlineSnapshot(`
    [
      0.17835497293494607,
      0.022327837463559597,
      0.12024157826350657,
    ]
  `);
});

test("names are told apart by text, order, split and type", () => {
  const values = [
    draw(1, "a", "b"),
    draw(1, "b", "a"),
    draw(1, "ab"),
    draw(1, "a", "b", ""),
    draw(1, "ab", ""),
    draw(1, "1"),
    draw(1, 1),
    draw(1, 1.5),
    draw(1, -1),
    draw(1, 2 ** 32 + 1),
    draw(1 + 2 ** 32, 1),
    draw(2, "a", "b"),
    draw(1),
  ];
  expect(new Set(values).size).toBe(values.length);
  expect(values.every((value) => value >= 0 && value < 1)).toBe(true);
});

test.each([
  ["consecutive devices", (n: number) => draw(7, `device-${n}`, "share")],
  ["consecutive numbers", (n: number) => draw(7, "device", n)],
  ["consecutive seeds", (n: number) => draw(n, "device", "share")],
])("draws of %s are uniform (chi-square, 100 cells) and uncorrelated with their neighbours", (_name, make) => {
  const values = sample(make);
  const cells = new Array<number>(100).fill(0);
  for (const value of values) {
    cells[Math.floor(value * 100)] = (cells[Math.floor(value * 100)] as number) + 1;
  }
  const expected = many / 100;
  const chiSquare = cells.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  // 99 degrees of freedom: 0.0001 to 0.9999 lies within 56 and 157.
  expect(chiSquare).toBeGreaterThan(56);
  expect(chiSquare).toBeLessThan(157);
  const serial = mean(values.slice(1).map((value, n) => (value - 0.5) * ((values[n] as number) - 0.5))) * 12;
  expect(Math.abs(serial)).toBeLessThan(0.025);
});

test("one changed bit of a name changes half the bits of the draw", () => {
  const low = (value: number): number => Math.floor(value * 2 ** 32);
  let changed = 0;
  let pairs = 0;
  for (let n = 0; n < 2_000; n++) {
    const before = low(draw(3, "x", n));
    for (let bit = 0; bit < 20; bit++) {
      let difference = (before ^ low(draw(3, "x", n ^ (1 << bit)))) >>> 0;
      pairs += 32;
      for (; difference !== 0; difference &= difference - 1) {
        changed++;
      }
    }
  }
  expect(changed / pairs).toBeCloseTo(0.5, 2);
});

test("the low bits are as good as the high ones", () => {
  const odd = sample((n) => (draw(11, "d", n) * 2 ** 53) % 2);
  expect(mean(odd)).toBeGreaterThan(0.485);
  expect(mean(odd)).toBeLessThan(0.515);
});

test("exponential, normal and gamma have the moments they promise", () => {
  const waits = sample((n) => drawExponential(40, 5, "wait", n));
  expect(mean(waits) / 40).toBeCloseTo(1, 1);
  expect(Math.sqrt(variance(waits)) / 40).toBeCloseTo(1, 1);
  const normals = sample((n) => drawNormal(5, "normal", n));
  expect(mean(normals)).toBeCloseTo(0, 1);
  expect(variance(normals)).toBeCloseTo(1, 1);
  for (const shape of [0.3, 1, 4]) {
    const frailty = sample((n) => drawGamma(shape, 5, "frailty", n));
    expect(Math.min(...frailty)).toBeGreaterThanOrEqual(0);
    expect(Math.abs(mean(frailty) - 1), `shape ${shape}`).toBeLessThan(0.05);
    expect(Math.abs(variance(frailty) * shape - 1), `shape ${shape}`).toBeLessThan(0.12);
  }
});

test("weights decide how often an index is drawn, and a weight of 0 never is", () => {
  const counts = [0, 0, 0, 0];
  for (let n = 0; n < many; n++) {
    const index = drawWeighted([1, 0, 3, 0], 9, "kind", n);
    counts[index] = (counts[index] as number) + 1;
  }
  expect(counts[1]).toBe(0);
  expect(counts[3]).toBe(0);
  expect((counts[2] as number) / many).toBeCloseTo(0.75, 1);
  expect(() => drawWeighted([0, 0], 9, "kind")).toThrow(RangeError);
  expect(() => drawGamma(0, 9, "kind")).toThrow(RangeError);
});
