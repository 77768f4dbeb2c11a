// SPDX-License-Identifier: Apache-2.0
import { after, Hours, type Instant } from "@coalmine/core";
import { expect, test } from "vitest";
import { Conductor } from "./conductor.ts";
import { boundJudge } from "./judge.ts";
import { aRelease, operator, Speaker, start } from "./testing/build.ts";
import { wayBackInventory } from "./way-back.ts";
import { deviceWaysBack } from "./way-back-devices.ts";

/** One device of each kind; `quiet` says hello an hour and a half before the others. */
function fleet(): { readonly conductor: Conductor; readonly now: Instant } {
  const conductor = new Conductor(boundJudge);
  conductor.change(aRelease("1.0.0"), start);
  conductor.change({ ...aRelease("1.1.0"), storage: { minRead: 1, maxRead: 2, writes: 2 } }, start);
  conductor.change({ ...aRelease("1.0.5"), storage: { minRead: 1, maxRead: 1, writes: 1 } }, start);
  const now = after(start, Hours(2));
  const device = (id: string, equip: (speaker: Speaker) => void, at = now): void => {
    const speaker = new Speaker(id);
    speaker.running = "1.1.0";
    speaker.slot1 = "1.0.0";
    equip(speaker);
    conductor.report(speaker.id, "virtual", speaker.hello(), at);
  };
  device("a-order", (speaker) => (speaker.downgrade = "none"));
  device("b-download", (speaker) => {
    speaker.mode = "overwrite";
    speaker.downgrade = "none";
  });
  device("c-quiet", () => undefined, start);
  device("d-refused", (speaker) => (speaker.downgrade = "version"));
  device("e-none", (speaker) => {
    speaker.running = "1.0.0";
    speaker.slot1 = null;
  });
  device("f-doubt", () => undefined);
  device("g-foreign", (speaker) => (speaker.slot1 = "0.9.0"));
  device("i-reverted", (speaker) => {
    speaker.running = "1.0.0";
    speaker.slot1 = "1.1.0";
  });
  device("h-last", (speaker) => (speaker.confirmed = false));
  return { conductor, now };
}

test("each device has one way back, with the release it leads to and what stands against it", () => {
  const { conductor, now } = fleet();
  const found = deviceWaysBack(conductor.state, now);
  expect(found.map(({ device, way, to }) => [device, way, to])).toEqual([
    ["a-order", "swap-back", "1.0.0"],
    ["b-download", "download", "1.0.5"],
    ["c-quiet", "unreachable", "1.0.0"],
    ["d-refused", "refused", "1.0.0"],
    ["e-none", "none", null],
    ["f-doubt", "swap-back", "1.0.0"],
    ["g-foreign", "swap-back", "0.9.0"],
    ["h-last", "swap-back", "1.0.0"],
    ["i-reverted", "none", null],
  ]);
  const reasons = Object.fromEntries(found.map(({ device, reason }) => [device, reason]));
  expect(reasons["a-order"]).toBe("");
  expect(reasons["b-download"]).toMatch(/overwrite keeps no image/);
  expect(reasons["d-refused"]).toMatch(/its bootloader prevents downgrades: 1\.0\.0 is older than 1\.1\.0/);
  expect(reasons["e-none"]).toMatch(/no earlier release is known/);
  expect(reasons["f-doubt"]).toMatch(/has not said whether its bootloader prevents downgrades/);
  expect(found.filter(({ last }) => last !== null)).toMatchObject([{ device: "h-last", last: { why: "not confirmed", keeps: "1.0.0" } }]);
});

test("a device among others has the way back that it has alone", () => {
  const { conductor, now } = fleet();
  for (const [id, device] of conductor.state.devices) {
    const [alone] = deviceWaysBack({ devices: new Map([[id, device]]), releases: conductor.state.releases }, now);
    expect(deviceWaysBack(conductor.state, now).find((one) => one.device === id)).toEqual(alone);
  }
});

test("what is barred is no way back: the next older release is", () => {
  const { conductor, now } = fleet();
  conductor.change({ type: "release-barred", release: "1.0.0" as never, authority: operator }, now);
  const [order] = deviceWaysBack(conductor.state, now);
  expect(order).toMatchObject({ way: "download", to: "1.0.5" });
  conductor.change({ type: "release-barred", release: "1.0.5" as never, authority: operator }, now);
  expect(deviceWaysBack(conductor.state, now)[0]).toMatchObject({ way: "none", to: null });
});

test("an older release that cannot read what the device stores is no way back", () => {
  const { conductor, now } = fleet();
  conductor.change({ type: "release-barred", release: "1.0.0" as never, authority: operator }, now);
  const device = conductor.state.devices.get("b-download" as never);
  if (device !== undefined) {
    device.storageSchema = 2;
  }
  expect(deviceWaysBack(conductor.state, now).find((one) => one.device === "b-download")).toMatchObject({ way: "schema", to: "1.0.5", reason: expect.stringMatching(/holds storage schema 2, and release 1\.0\.5 reads/) });
});

test("who can go back by an order is counted as the inventory counts, when all are heard and read what they store", () => {
  const { conductor } = fleet();
  const found = deviceWaysBack(conductor.state, start);
  expect(found.filter(({ way }) => way === "swap-back")).toHaveLength(wayBackInventory(conductor.state).able);
});
