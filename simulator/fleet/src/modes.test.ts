// SPDX-License-Identifier: Apache-2.0
// What each mode of the bootloader means for the end of an update, as a rollout hears of it.
import type { Device } from "@coalmine/device";
import { describe, expect, test } from "vitest";
import { Bench, hour, minute, policy } from "./testing/bench.ts";

const neverConfirms = [{ kind: "never-confirms" }] as const;
const modes = ["swap-move", "swap-offset", "swap-scratch", "overwrite", "direct-xip"] as const;

function bench(hardware: object, fleet: object = {}): Bench {
  const scratch = "mode" in hardware && hardware.mode === "swap-scratch" ? { scratchSize: "4KiB" } : {};
  return new Bench({ hardware: { ...scratch, ...hardware }, fleet }).start().run(minute);
}

const ends = (site: Bench): string[] => site.results().map((result) => `${result.attempt.offer} ${result.attempt.outcome} ${result.reason}`.trim());

test.each(modes)("%s: no byte is written to the other slot while an image is on trial", (mode) => {
  const site = bench({ mode });
  site.command(0, site.offerOf(site.build("1.1.0"), 0, 1, { confirm: { ...policy, minUptime_s: 500 }, jitter_s: 0 }));
  site.run(minute);
  const device = site.devices[0] as Device;
  expect([site.running(), device.trial !== null]).toEqual(["1.1.0", true]);
  const before = device.flash;
  const blocks = site.blocks;
  site.command(0, site.offerOf(site.build("1.2.0"), 0, 2, { jitter_s: 0 }));
  site.run(5 * minute);
  expect(site.bodies("deferred").map((body) => `${body.offer} ${body.reason}`)).toEqual(["2 busy"]);
  expect([device.flash === before, site.blocks]).toEqual([true, blocks]);
  site.run(hour);
  expect([site.running(), ends(site)]).toEqual(["1.2.0", ["1 confirmed", "2 confirmed"]]);
});

describe("an image that runs unconfirmed for ever", () => {
  test.each([
    ["overwrite", {}],
    ["direct-xip", { xipRevert: false }],
  ])("%s cannot undo it: failed, told as unconfirmed ever after, and not taken again", (mode, bootloader) => {
    const site = bench({ mode, bootloader });
    const release = site.build("1.1.0", neverConfirms);
    site.command(0, site.offerOf(release));
    site.run(3 * hour);
    expect([site.running(), ends(site)]).toEqual(["1.1.0", ["1 failed runs unconfirmed: the bootloader does not revert it"]]);
    site.input(0, { kind: "power-on", cause: "pin" });
    site.run(hour);
    expect(new Set(site.heartbeats().slice(-10).map((beat) => beat.confirmed))).toEqual(new Set([false]));
    expect(site.hellos().at(-1)?.running).toMatchObject({ version: "1.1.0", confirmed: false });
    site.command(0, site.offerOf(release, 0, 2));
    site.run(hour);
    expect(ends(site).at(-1)).toBe("2 failed this board tried that image before and gave it up");
    // The way out is another release.
    site.command(0, site.offerOf(site.build("1.2.0"), 0, 3));
    site.run(hour);
    expect([site.running(), ends(site).at(-1), site.hellos().at(-1)?.running.version, site.heartbeats().at(-1)?.confirmed]).toEqual(["1.2.0", "3 confirmed", "1.2.0", true]);
  });

  // Old image at least two sectors larger than the new one: docs/mcuboot-modes.md, S1.
  const lost = (profile: string): string[] => {
    const fates: string[] = [];
    for (let operation = 1; operation <= 60; operation++) {
      const site = bench({ mode: "swap-offset", slotSize: "32KiB", bootloader: { profile } });
      site.input(0, { kind: "power-cut", cut: { operation, when: "applying" } });
      site.command(0, site.offerOf(site.build("1.1.0", neverConfirms, 3 * 1024), 0, 1, { jitter_s: 0 }));
      site.run(3 * hour);
      const fate = `${site.running()} ${ends(site).join()} ${site.heartbeats().at(-1)?.confirmed}`;
      if (!/^1\.0\.0 1 reverted .* true$/.test(fate)) {
        fates.push(`cut ${operation}: ${fate}`);
      }
    }
    return fates;
  };

  test("swap-offset, exact: some cuts of the swap lose the later revert, and that is a failure, never a revert and never a confirmation", () => {
    const fates = lost("exact");
    expect(fates.length).toBeGreaterThan(0);
    expect(new Set(fates.map((fate) => fate.replace(/^cut \d+: /, "")))).toEqual(new Set(["1.1.0 1 failed runs unconfirmed: the bootloader does not revert it false"]));
  });

  test("swap-offset, safe: no cut loses the revert", () => {
    expect(lost("safe")).toEqual([]);
  });
});

test("swap-offset with images of one sector: exactly one cut bricks in the exact profile, none in the safe one", () => {
  const bricked = (profile: string): number[] => {
    const operations: number[] = [];
    for (let operation = 1; operation <= 80; operation++) {
      const site = bench({ mode: "swap-offset", slotSize: "128KiB", sectorSize: "32KiB", align: 8, bootloader: { profile } }, { imageSize: "8KiB" });
      site.input(0, { kind: "power-cut", cut: { operation, when: "applying" } });
      site.command(0, site.offerOf(site.build("1.1.0", [], 8 * 1024), 0, 1, { jitter_s: 0 }));
      site.run(20 * minute);
      const device = site.devices[0] as Device;
      expect(device.cuts[0]?.outcome).toBe(operation <= 75 ? "cut" : "passed");
      if (device.phase === "stopped") {
        operations.push(operation);
      }
    }
    return operations;
  };
  expect([bricked("exact"), bricked("safe")]).toEqual([[42], []]);
});

test("a second cut meets the boot that resumes, and the board still ends on one image with one report", () => {
  for (const mode of ["swap-move", "swap-scratch"]) {
    for (let operation = 1; operation <= 12; operation++) {
      const site = bench({ mode, slotSize: "32KiB" });
      site.input(0, { kind: "power-cut", cut: { operation: 20, when: "applying" } });
      site.input(0, { kind: "power-cut", cut: { operation, when: "applying" } });
      site.command(0, site.offerOf(site.build("1.1.0"), 0, 1, { jitter_s: 0 }));
      site.run(hour);
      expect([site.running(), ends(site)], `${mode}, second cut before ${operation}`).toEqual(["1.1.0", ["1 confirmed"]]);
      expect((site.devices[0] as Device).cuts.map((cut) => cut.outcome)).toEqual(["cut", "cut"]);
    }
  }
});

test("an image that was given up for want of a server, and is ordered back and passes, is confirmed like any other", () => {
  const site = bench({ mode: "swap-move" });
  site.acknowledges = false;
  site.command(0, site.offerOf(site.build("1.1.0"), 0, 1, { jitter_s: 0 }));
  site.run(15 * minute);
  site.acknowledges = true;
  site.run(hour);
  expect([site.running(), ends(site)[0]]).toEqual(["1.0.0", expect.stringMatching(/^1 reverted/)]);
  const kept = site.hellos().at(-1)?.slot1?.imageHash as Uint8Array;
  site.command(0, { kind: "swap-back", offer: 2, imageHash: kept });
  site.run(hour);
  expect([site.running(), ends(site).at(-1), site.heartbeats().at(-1)?.confirmed]).toEqual(["1.1.0", "2 confirmed", true]);
});
