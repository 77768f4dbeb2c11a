// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { countBounds, shareBounds } from "./arm-bounds.ts";

describe("the interval of one arm", () => {
  test("of a count is Garwood's: the published values for 0, 1, 5 and 100 events", () => {
    expect(countBounds(0)).toEqual({ lower: 0, upper: expect.closeTo(3.6889, 4) as number });
    expect(countBounds(1)).toEqual({ lower: expect.closeTo(0.0253, 4) as number, upper: expect.closeTo(5.5716, 4) as number });
    expect(countBounds(5)).toEqual({ lower: expect.closeTo(1.6235, 4) as number, upper: expect.closeTo(11.6683, 4) as number });
    expect(countBounds(100)).toEqual({ lower: expect.closeTo(81.3638, 3) as number, upper: expect.closeTo(121.6269, 3) as number });
  });

  test("of a share is Clopper and Pearson's, and covers everything before there is a device", () => {
    expect(shareBounds(1, 10)).toEqual({ lower: expect.closeTo(0.00253, 5) as number, upper: expect.closeTo(0.44502, 5) as number });
    expect(shareBounds(0, 12)).toEqual({ lower: expect.closeTo(0, 9) as number, upper: expect.closeTo(0.26465, 5) as number });
    expect(shareBounds(12, 12)).toEqual({ lower: expect.closeTo(0.73535, 5) as number, upper: 1 });
    expect(shareBounds(0, 0)).toEqual({ lower: 0, upper: 1 });
  });
});
