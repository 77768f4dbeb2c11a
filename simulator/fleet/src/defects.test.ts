// SPDX-License-Identifier: Apache-2.0
// R48: every defect of the catalogue can be seen from the reports alone, and only on the devices it is meant for.
import type { Defect } from "@coalmine/device";
import { describe, expect, test } from "vitest";
import { Bench, type BenchOptions, hex, hour, minute } from "./testing/bench.ts";

const day = 24 * hour;

/** Runs a fleet for a time, offers it a release with these defects, and runs on. */
function rollOut(defects: readonly Defect[], options: BenchOptions & { readonly length?: number; readonly devices?: number } = {}): Bench {
  const bench = new Bench(options).start().run(minute);
  const release = bench.build("1.1.0", defects);
  for (const index of bench.devices.keys()) {
    bench.command(index, bench.offerOf(release, index, index + 1));
  }
  return bench.run(options.length ?? 2 * hour);
}

const outcomes = (bench: Bench): (string | undefined)[] => bench.devices.map((_, index) => bench.results(index)[0]?.attempt.outcome);

describe("defects that the trial catches", () => {
  test("boot-loop: reverts after a fault, and the crash is reported by the old image with the new build id (R19)", () => {
    const bench = rollOut([{ kind: "boot-loop", after_s: 2, early: false }]);
    expect(bench.results()).toHaveLength(1);
    expect(bench.results()[0]?.attempt).toMatchObject({ outcome: "reverted", ran: true, resetCause: "fault" });
    const bad = bench.build("1.1.0", [{ kind: "boot-loop", after_s: 2, early: false }]).artifacts[0];
    const old = bench.hellos()[0]?.running.imageHash;
    expect(bench.crashes().map((crash) => hex(crash.buildId))).toEqual([bad?.buildId]);
    expect(hex(bench.crashes()[0]?.imageHash ?? new Uint8Array(0))).toBe(bad?.imageHash);
    expect(bench.hellos().at(-1)?.running.imageHash).toEqual(old);
  });

  test("boot-loop, early: reverts without a trace of ever having run", () => {
    const bench = rollOut([{ kind: "boot-loop", after_s: 1, early: true }]);
    expect(bench.results()[0]?.attempt).toMatchObject({ outcome: "reverted", ran: false });
    expect(bench.crashes()).toEqual([]);
  });

  test("hang-before-confirm: the watchdog ends it and it reverts", () => {
    const bench = rollOut([{ kind: "hang-before-confirm", after_s: 5, early: false }]);
    expect(bench.results()[0]?.attempt).toMatchObject({ outcome: "reverted", ran: true, resetCause: "watchdog" });
  });

  test("hang-before-confirm, early, on a board whose bootloader starts no watchdog: silent for ever", () => {
    const hangs: Defect[] = [{ kind: "hang-before-confirm", after_s: 0, early: true }];
    const watched = rollOut(hangs, { length: day });
    expect(outcomes(watched)).toEqual(["reverted"]);
    const unwatched = rollOut(hangs, { length: day, hardware: { watchdogFromBoot: false } });
    expect(unwatched.heard.every((entry) => entry.at < unwatched.world.now - 20 * hour)).toBe(true);
  });

  test("never-confirms: waits for its deadline, then reverts", () => {
    const bench = rollOut([{ kind: "never-confirms" }]);
    expect(bench.results()[0]?.attempt).toMatchObject({ outcome: "reverted", resetCause: "watchdog" });
    const trial = bench.heard.find((entry) => entry.report.body.kind === "hello" && entry.report.boot === 2);
    const back = bench.heard.find((entry) => entry.report.body.kind === "hello" && entry.report.boot === 3);
    expect((back?.at ?? 0) - (trial?.at ?? 0)).toBeGreaterThanOrEqual(600_000);
  });

  test("migration-loss: the device falls silent, and the old image cannot speak either", () => {
    const bench = rollOut([{ kind: "migration-loss" }], { length: day });
    expect(bench.running()).toBe("1.0.0");
    expect(bench.results()).toEqual([]);
    expect(Math.max(...bench.heard.map((entry) => entry.at))).toBeLessThan(bench.world.now - 23 * hour);
  });
});

describe("defects that show after the confirmation", () => {
  test("crash-after-boot: crashes again and again, confirmed all the while", () => {
    const bench = rollOut([{ kind: "crash-after-boot", after_s: 1_800 }], { length: 12 * hour });
    expect(outcomes(bench)).toEqual(["confirmed"]);
    expect(bench.crashes().length).toBeGreaterThanOrEqual(20);
    expect(bench.crashes().length).toBeLessThanOrEqual(24);
    expect(bench.crashes()[0]).toMatchObject({ reason: "bus fault", uptime_s: 1_800 });
    expect(new Set(bench.crashes().map((crash) => crash.pc)).size).toBe(1);
  });

  test("late-crash: nothing before its onset, crashes after it", () => {
    const bench = rollOut([{ kind: "late-crash", onset_s: 6 * 3_600, mean_s: 1_800 }], { length: 24 * hour });
    const first = bench.heard.find((entry) => entry.report.body.kind === "crash");
    expect(first?.at ?? 0).toBeGreaterThan(bench.world.now - 18 * hour - minute);
    expect(bench.crashes().length).toBeGreaterThan(10);
  });

  test("leak: the metric falls until the crash says out of memory", () => {
    const bench = rollOut([{ kind: "leak", exhausted_s: 6 * 3_600 }], { length: day });
    expect(bench.crashes()[0]?.reason).toBe("out of memory");
    const crashedAt = bench.heard.find((entry) => entry.report.body.kind === "crash")?.at ?? 0;
    const before = bench.heard.filter((entry) => entry.report.boot === 2 && entry.at < crashedAt);
    const free = before.flatMap((entry) => (entry.report.body.kind === "heartbeat" ? [entry.report.body.metrics["memoryFree"] as number] : []));
    expect(free[0]).toBeGreaterThan(0.55);
    expect(free.at(-1)).toBeLessThan(0.05);
  });

  test("crash-rate: multiplies the baseline with each device's frailty", () => {
    const options = { devices: 200, length: 20 * day, record: true, connectivity: { interval: "12h" }, fleet: { noise: { crashesPerDay: 0.05 } } };
    const good = rollOut([], options).heard.filter((entry) => entry.report.body.kind === "crash");
    const bad = rollOut([{ kind: "crash-rate", multiplier: 5 }], options).heard.filter((entry) => entry.report.body.kind === "crash");
    expect(good.length).toBeGreaterThan(100);
    expect(good.length).toBeLessThan(320);
    expect(bad.length / good.length).toBeGreaterThan(3.5);
    expect(bad.length / good.length).toBeLessThan(6.5);
    // Frailty: the worst tenth of the devices has most of the crashes.
    const counts = new Map<number, number>();
    for (const entry of bad) {
      counts.set(entry.device, (counts.get(entry.device) ?? 0) + 1);
    }
    const worst = [...counts.values()].sort((a, b) => b - a).slice(0, 20).reduce((sum, count) => sum + count, 0);
    expect(worst / bad.length).toBeGreaterThan(0.4);
  });

  test("battery-drain: the level falls so many times as fast", () => {
    const fleet = { power: [{ name: "cell", battery: { drainPerDay: 2, spread: 0 } }] };
    const drained = (defects: readonly Defect[]): number => {
      const levels = rollOut(defects, { fleet, length: 5 * day }).heartbeats().map((beat) => beat.battery as number);
      return (levels[0] as number) - (levels.at(-1) as number);
    };
    expect(drained([])).toBeCloseTo(10, 0);
    expect(drained([{ kind: "battery-drain", multiplier: 3 }])).toBeCloseTo(30, 0);
  });

  test("link-loss: heartbeats are missing and the rest tell of less link", () => {
    const good = rollOut([], { length: day });
    const bad = rollOut([{ kind: "link-loss", share: 0.4 }], { length: day });
    expect(bad.heartbeats().length / good.heartbeats().length).toBeGreaterThan(0.5);
    expect(bad.heartbeats().length / good.heartbeats().length).toBeLessThan(0.7);
    expect(bad.heartbeats().at(-1)?.linkUptime).toBeLessThan(0.65);
    expect(good.heartbeats().at(-1)?.linkUptime).toBeGreaterThan(0.98);
  });

  test("slow-brick: dies for good, and a reset does not bring it back", () => {
    const bench = rollOut([{ kind: "slow-brick", after_s: 6 * 3_600, spread_s: 3_600 }], { length: day });
    const last = Math.max(...bench.heard.map((entry) => entry.at));
    expect(bench.world.now - last).toBeGreaterThan(16 * hour);
    expect(bench.world.now - last).toBeLessThan(18.5 * hour);
    bench.input(0, { kind: "power-on", cause: "pin" });
    bench.run(day);
    expect(Math.max(...bench.heard.map((entry) => entry.at))).toBe(last);
  });

  test("silent: runs on without a word", () => {
    const bench = rollOut([{ kind: "silent", after_s: 7_200 }], { length: day });
    expect(outcomes(bench)).toEqual(["confirmed"]);
    const silence = bench.world.now - Math.max(...bench.heard.map((entry) => entry.at));
    expect(silence).toBeGreaterThan(21 * hour);
    expect(bench.running()).toBe("1.1.0");
  });

  test("clock-skew: uptime and heartbeats run by the wrong clock", () => {
    const bench = rollOut([{ kind: "clock-skew", factor: 2, offset_s: 100 }], { length: day });
    const good = rollOut([], { length: day });
    expect(bench.heartbeats().length / good.heartbeats().length).toBeCloseTo(2, 0);
    expect(bench.heartbeats().at(-1)?.metrics["clockOffset_s"]).toBeGreaterThan(80_000);
  });
});

describe("filters", () => {
  const revisions = {
    devices: 60,
    fleet: {
      hardware: [
        { name: "a", board: "pump-board", revision: "revA", slotSize: "64KiB" },
        { name: "b", board: "pump-board", revision: "revB", slotSize: "64KiB" },
      ],
    },
  };

  test("a defect of one hardware revision hits that revision and no other", () => {
    const bench = rollOut([{ kind: "never-confirms", only: { revisions: ["revB"] } }], revisions);
    for (const [index, device] of bench.devices.entries()) {
      expect(bench.results(index)[0]?.attempt.outcome).toBe(device.description.hardware.revision === "revB" ? "reverted" : "confirmed");
    }
    expect(new Set(outcomes(bench)).size).toBe(2);
  });

  test("a defect of one from-version hits devices that come from it", () => {
    const fleet = { firmware: [{ version: "0.9.0" }, { version: "1.0.0" }] };
    const bench = rollOut([{ kind: "never-confirms", only: { fromVersions: ["0.9.0"] } }], { devices: 40, fleet });
    for (const [index, device] of bench.devices.entries()) {
      expect(bench.results(index)[0]?.attempt.outcome).toBe(device.description.firmware.version === "0.9.0" ? "reverted" : "confirmed");
    }
    expect(new Set(outcomes(bench)).size).toBe(2);
  });

  test("a share is drawn by name: the same devices again, and about as many", () => {
    const defects: Defect[] = [{ kind: "never-confirms", only: { share: 0.3 } }];
    const first = outcomes(rollOut(defects, { devices: 200, length: 30 * minute }));
    expect(outcomes(rollOut(defects, { devices: 200, length: 30 * minute }))).toEqual(first);
    const hit = first.filter((outcome) => outcome === "reverted").length;
    expect(hit).toBeGreaterThan(40);
    expect(hit).toBeLessThan(80);
  });

  test("baseline boot failures hit their share of good updates", () => {
    const bench = rollOut([], { devices: 200, length: hour, fleet: { noise: { crashesPerDay: 0, bootFailure: 0.1 } } });
    const failed = outcomes(bench).filter((outcome) => outcome === "reverted").length;
    expect(failed).toBeGreaterThan(8);
    expect(failed).toBeLessThan(35);
    expect(outcomes(bench).filter((outcome) => outcome === "confirmed")).toHaveLength(200 - failed);
  });
});
