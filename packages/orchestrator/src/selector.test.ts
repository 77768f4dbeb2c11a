// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import type { Selectable } from "./inventory.ts";
import { matches } from "./selector.ts";

const told: Selectable = { id: "a", tags: ["lab", "wet"], hardware: { board: "thingy", revision: "B" }, running: { version: "1.0.0" }, attributes: { site: "field" } };
const silent: Selectable = { id: "b", tags: [], hardware: null, running: null, attributes: {} };

test("every part that is named must fit, and what a device has not said is unknown", () => {
  expect(matches({}, silent)).toBe(true);
  expect(matches({ ids: ["a"], tags: ["wet"], attributes: { site: "field", hardware: "B", board: "thingy", firmware: "1.0.0" } }, told)).toBe(true);
  for (const selector of [{ ids: ["b"] }, { tags: ["lab", "dry"] }, { attributes: { hardware: "thingy" } }, { attributes: { site: "unknown" } }]) {
    expect(matches(selector, told)).toBe(false);
  }
  expect(matches({ attributes: { hardware: "B" } }, { ...told, hardware: { board: "thingy", revision: "" } })).toBe(false);
  expect(matches({ attributes: { hardware: "unknown", board: "unknown", firmware: "unknown", site: "unknown" } }, silent)).toBe(true);
  expect(matches({ attributes: { firmware: "unknown" } }, { ...told, running: { version: "" } })).toBe(true);
});
