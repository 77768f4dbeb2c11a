// SPDX-License-Identifier: Apache-2.0
import { after, Hours } from "@coalmine/core";
import { createDevice, createShared, step } from "@coalmine/device";
import { assembleFleet, deviceDescription, fleetFromData, labKey } from "@coalmine/fleet";
import { type DeviceRecord, planJudge } from "@coalmine/orchestrator";
import { scenarioStart, VirtualSite } from "@coalmine/site";
import { memoryArtifactStore } from "@coalmine/store";
import { draw } from "@coalmine/world";
import { describe, expect, test } from "vitest";
import { type TwinDevice, twinOfInventory } from "./inventory-twin.ts";
import { forgetfulLog } from "./rehearse-run.ts";

const original = fleetFromData({
  seed: 3,
  devices: 300,
  hardware: [
    { name: "revA", share: 70, board: "nrf52840dk", revision: "revA" },
    { name: "revB", share: 30, board: "nrf52840dk", revision: "revB", mode: "overwrite" },
  ],
  connectivity: [
    { name: "wifi", share: 60, interval: "30m" },
    { name: "nb-iot", share: 40, interval: "2h", linkUptime: "90%" },
  ],
  firmware: [{ version: "1.0.0", share: 80 }, { version: "0.9.0", share: 20 }],
  power: [{ name: "mains", share: 50 }, { name: "battery", share: 50, battery: { drainPerDay: 3, spread: 0.2 } }],
  site: [{ name: "field", share: 90 }, { name: "lab", share: 10 }],
  noise: { crashesPerDay: 0.2, frailtyShape: 0.5 },
});

function lived(hours: number): TwinDevice[] {
  const fleet = assembleFleet(original, labKey(original.seed));
  const shared = createShared(draw);
  const site = new VirtualSite({
    descriptions: Array.from({ length: original.devices }, (_, index) => deviceDescription(fleet, index)),
    boards: { make: (description) => createDevice(description, original.seed, shared), step },
    seed: original.seed,
    judge: planJudge,
    log: forgetfulLog(),
    artifacts: memoryArtifactStore(),
    start: scenarioStart,
  });
  site.run(after(scenarioStart, Hours(hours)));
  return [...site.conductor.state.devices.values()].map(asSeen);
}

const asSeen = (device: DeviceRecord): TwinDevice => ({
  id: device.id,
  hardware: device.hardware,
  running: device.running,
  interval_s: device.interval / 1_000,
  battery: device.battery,
  attributes: device.attributes,
  tags: device.tags,
  history: {
    watchedDays: device.history.watched / 86_400_000,
    crashDays: device.history.crashDays,
    silences: device.history.silences,
    usual: Object.fromEntries(Object.entries(device.history.usual).map(([name, [mean]]) => [name, mean])),
  },
});

describe("a twin of the inventory", () => {
  const { fleet, baseline, notes } = twinOfInventory(lived(96), 7);
  const share = (kinds: readonly { readonly share: number; readonly name?: string; readonly version?: string }[], name: string): number =>
    (kinds.find((kind) => kind.name === name || kind.version === name)?.share ?? 0) / kinds.reduce((sum, kind) => sum + kind.share, 0);

  test("has the kinds and shares of the fleet that reports", () => {
    expect(fleet.devices).toBe(300);
    for (const [kinds, name, expected] of [
      [fleet.hardware, "revA", 0.7], [fleet.connectivity, "wifi", 0.6], [fleet.firmware, "1.0.0", 0.8], [fleet.power, "battery", 0.5], [fleet.site, "lab", 0.1],
    ] as const) {
      expect(Math.abs(share(kinds, name) - expected)).toBeLessThan(0.08);
    }
    expect(fleet.hardware.find((kind) => kind.name === "revB")).toMatchObject({ board: "nrf52840dk", mode: "overwrite", slotSize: original.hardware[1]?.slotSize });
    expect(fleet.connectivity.map((kind) => [kind.name, kind.interval])).toEqual([["wifi", Hours(0.5)], ["nb-iot", Hours(2)]]);
    expect(notes).toEqual([]);
  });

  test("has its measured rates: crashes, who has most of them, battery drain, links", () => {
    expect(fleet.noise.crashesPerDay).toBeGreaterThan(0.1);
    expect(fleet.noise.crashesPerDay).toBeLessThan(0.25);
    expect(fleet.noise.frailtyShape).toBeGreaterThan(0.15);
    expect(fleet.noise.frailtyShape).toBeLessThan(3);
    const battery = fleet.power.find((kind) => kind.name === "battery")?.battery;
    expect(battery?.drainPerDay).toBeGreaterThan(2.5);
    expect(battery?.drainPerDay).toBeLessThan(3.5);
    expect(battery?.spread).toBeGreaterThan(0.1);
    expect(fleet.connectivity[1]?.linkUptime).toBeCloseTo(0.9, 1);
    expect(baseline?.crash).toBeCloseTo(fleet.noise.crashesPerDay, 6);
    expect(baseline?.deviceDays).toBeGreaterThan(1_000);
  });

  test("says what it had to assume, and that an empty inventory has no twin", () => {
    const young = twinOfInventory(lived(2), 1);
    expect(young.baseline).toBeUndefined();
    expect(young.notes.join()).toMatch(/device-days of history: crashes are assumed.*too few devices with a known battery drain/);
    expect(() => twinOfInventory([], 1)).toThrow(/knows 0 devices.*give --fleet/);
    const odd: TwinDevice = { ...(lived(1)[0] as TwinDevice), hardware: { board: "b d", revision: "", partitionMap: "", mode: "swap-scratch", slotSize: 999_424 }, running: { version: "v1.2-dirty" }, attributes: { connectivity: "LTE (M)", site: "…" }, tags: ["x:y"] };
    expect(twinOfInventory([odd, { ...odd, hardware: null }], 1).notes[0]).toMatch(/1 devices have not said/);
    expect(twinOfInventory([odd], 1).fleet).toMatchObject({ connectivity: [{ name: expect.stringMatching(/^LTE/) }], firmware: [{ version: "0.0.0" }] });
  });
});
