// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Reach } from "./reach.ts";

test("without a route, and with nothing heard for seconds, nobody is to be reached; the first datagram ends that", () => {
  const reach = new Reach();
  reach.failed("ENETUNREACH", 100);
  expect([reach.isDown(100), reach.isDown(104)]).toEqual([false, false]);
  reach.failed("ENETUNREACH", 104);
  expect(reach.isDown(105)).toBe(true);
  reach.heard();
  expect(reach.isDown(200)).toBe(false);
});

test("an address that cannot be sent to is nobody's outage while others are heard, and neither is a peer that is gone", () => {
  const reach = new Reach();
  reach.failed("ENETUNREACH", 100);
  reach.heard();
  expect(reach.isDown(110)).toBe(false);
  for (const code of ["ECONNREFUSED", "EINVAL", "EMSGSIZE", undefined]) {
    reach.failed(code, 120);
  }
  expect(reach.isDown(200)).toBe(false);
});
