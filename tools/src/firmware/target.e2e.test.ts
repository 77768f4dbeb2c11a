// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { runTargetTests, whyNoTarget } from "./target.ts";

test("the C library passes its own tests on a Cortex-M3 in QEMU, too", (ctx) => {
  const missing = whyNoTarget();
  if (missing !== undefined) {
    ctx.skip(missing);
  }
  const run = runTargetTests();
  console.log(`firmware: ${run.passed} C tests passed on target, ${run.failed} failed`);
  if (run.failed > 0) {
    throw new Error(run.output);
  }
  expect(run.passed).toBeGreaterThanOrEqual(35);
}, 300_000);
