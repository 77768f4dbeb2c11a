// SPDX-License-Identifier: Apache-2.0
// R18, I7: power lost at any flash operation of application or bootloader, in the middle of an update.
import { cutApplication, type Device } from "@coalmine/device";
import { draw } from "@coalmine/world";
import { expect, test } from "vitest";
import { Bench, hour, minute } from "./testing/bench.ts";

const bad = [{ kind: "never-confirms" }] as const;

interface Fate {
  readonly running: string;
  /** Distinct ends told for the offer. */
  readonly ends: readonly string[];
  readonly confirmed: boolean | undefined;
}

/** One update with a fault planned by `arm`, long enough for everything to settle. */
function update(mode: string, defects: readonly { readonly kind: "never-confirms" }[], arm: (device: Device, bench: Bench) => void): Fate {
  const scratch = mode === "swap-scratch" ? { scratchSize: "4KiB" } : {};
  const bench = new Bench({ hardware: { mode, slotSize: "32KiB", ...scratch } }).start().run(minute);
  const device = bench.devices[0] as Device;
  const offer = bench.offerOf(bench.build("1.1.0", defects), 0, 1, { jitter_s: 0 });
  arm(device, bench);
  bench.command(0, offer);
  bench.run(3 * hour);
  const ends = new Set(bench.results().map((result) => `${result.attempt.offer} ${result.attempt.outcome}`));
  return { running: bench.running(), ends: [...ends], confirmed: bench.heartbeats().at(-1)?.confirmed };
}

test.each(["swap-move", "swap-offset", "swap-scratch"])("%s: power cut before every flash operation of the application ends in one image and one report", (mode) => {
  for (const defects of [[], bad]) {
    let reached = true;
    let cuts = 0;
    for (let operation = 0; reached; operation++) {
      const fate = update(mode, defects, (device) => cutApplication(device, operation));
      reached = operation < 25;
      cuts++;
      expect(fate, `${mode}, ${defects.length === 0 ? "good" : "bad"} image, cut before operation ${operation}`).toEqual(
        defects.length === 0
          ? { running: fate.running, ends: [fate.running === "1.1.0" ? "1 confirmed" : "1 reverted"], confirmed: true }
          : { running: "1.0.0", ends: ["1 reverted"], confirmed: true },
      );
    }
    expect(cuts).toBeGreaterThan(20);
  }
});

test.each(["swap-move", "swap-scratch"])("%s: power cut before every flash operation of the swap ends in one image and one report", (mode) => {
  const fates = new Map<string, number>();
  for (let operation = 1; operation <= 60; operation++) {
    const fate = update(mode, [], (device, bench) => bench.input(bench.devices.indexOf(device), { kind: "power-cut", cut: { operation } }));
    const name = `${fate.running} ${fate.ends.join()} ${fate.confirmed}`;
    fates.set(name, (fates.get(name) ?? 0) + 1);
    expect(fate.ends, `cut before operation ${operation}`).toHaveLength(1);
  }
  // The one cut before copy_done is recorded ends in a revert without the new image ever having run.
  expect([...fates.keys()].sort()).toEqual(expect.arrayContaining(["1.1.0 1 confirmed true"]));
  expect([...fates.keys()].every((name) => ["1.1.0 1 confirmed true", "1.0.0 1 reverted true"].includes(name))).toBe(true);
});

test("power cut at random operations, again and again, leaves the board bootable with exactly one end (40 seeds)", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const defects = seed % 2 === 0 ? bad : [];
    const bench = new Bench({ hardware: { slotSize: "32KiB" }, connectivity: { blockSize: 1024, latency: "20ms" } }).start().run(minute);
    const device = bench.devices[0] as Device;
    const offer = bench.offerOf(bench.build("1.1.0", defects), 0, 1, { jitter_s: 0 });
    bench.command(0, offer);
    for (let cut = 0; cut < 12; cut++) {
      const where = Math.floor(draw(seed, "where", cut) * 70);
      if (draw(seed, "which", cut) < 0.5) {
        cutApplication(device, where % 12);
      } else {
        bench.input(0, { kind: "power-cut", cut: { operation: 1 + where } });
      }
      bench.run(Math.floor(draw(seed, "when", cut) * 40_000));
    }
    cutApplication(device, Number.POSITIVE_INFINITY);
    device.cuts = [];
    bench.run(3 * hour);
    bench.input(0, { kind: "power-on", cause: "pin" });
    bench.run(hour);
    const ends = new Set(bench.results().map((result) => `${result.attempt.offer} ${result.attempt.outcome}`));
    expect(ends.size, `seed ${seed}: ${[...ends].join()}`).toBe(1);
    expect(["1 confirmed", "1 reverted"], `seed ${seed}`).toContain([...ends][0]);
    expect(bench.running(), `seed ${seed}`).toBe([...ends][0] === "1 confirmed" ? "1.1.0" : "1.0.0");
  }
});
