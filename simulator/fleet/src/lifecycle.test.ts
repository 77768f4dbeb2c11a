// SPDX-License-Identifier: Apache-2.0
// Whole lives of simulated boards against a tiny host: the device machine from outside.
import { expect, test } from "vitest";
import { Bench, hex, hour, minute, policy } from "./testing/bench.ts";

/** Runs until the board reboots into what it was offered. */
function untilReboot(bench: Bench): void {
  while (!bench.progress().some((entry) => entry.state === "applying")) {
    bench.run(100);
  }
}

test("a board boots its factory image, says hello, and beats by its duty cycle", () => {
  const bench = new Bench().start().run(hour);
  const [hello] = bench.hellos();
  expect(hello).toMatchObject({
    hardware: { board: "pump-board", revision: "revA", mode: "swap-move", slotSize: 65_536 },
    running: { version: "1.0.0", confirmed: true },
    slot1: null,
    resetCause: "power-on",
    attempt: null,
    interval_s: 300,
    attributes: { connectivity: "wifi", power: "mains", site: "field", history: "1.0.0" },
  });
  expect(bench.heartbeats().length).toBeGreaterThanOrEqual(11);
  expect(bench.heartbeats().length).toBeLessThanOrEqual(13);
  expect(bench.heartbeats()[0]).toMatchObject({ confirmed: true, battery: null });
  expect(bench.heard[0]?.report).toMatchObject({ boot: 1, sequence: 0 });
});

test("a good release is downloaded, tried, confirmed after its self-tests, and keeps the old image in slot 1", () => {
  const bench = new Bench().start().run(minute);
  const release = bench.build("1.1.0");
  const offeredAt = bench.world.now;
  bench.command(0, bench.offerOf(release));
  bench.run(hour);
  expect(bench.running()).toBe("1.1.0");
  expect(bench.results().map((result) => result.attempt.outcome)).toEqual(["confirmed"]);
  expect(bench.progress().map((entry) => entry.state).filter((state, i, all) => state !== all[i - 1])).toEqual([
    "accepted", "downloading", "downloaded", "applying", "testing",
  ]);
  const [first, trial] = bench.hellos();
  expect(trial).toMatchObject({ running: { version: "1.1.0", confirmed: false }, slot1: { version: "1.0.0" }, resetCause: "software", attempt: { outcome: "testing", ran: true, offer: 1 } });
  expect(hex(trial?.slot1?.imageHash ?? new Uint8Array(0))).toBe(hex(first?.running.imageHash ?? new Uint8Array(0)));
  expect(bench.heartbeats().at(-1)?.confirmed).toBe(true);
  const result = bench.heard.find((entry) => entry.report.body.kind === "result");
  expect(result?.report.uptime_s).toBeGreaterThanOrEqual(policy.minUptime_s);
  expect((result?.at ?? 0) - offeredAt).toBeLessThan(3 * minute);
});

test("I2: the same offer again is no second update, on the same boot, after the reboot, and after the end", () => {
  const bench = new Bench().start().run(minute);
  const release = bench.build("1.1.0");
  for (let time = 0; time < 40; time++) {
    bench.command(0, bench.offerOf(release));
    bench.run(15_000);
  }
  bench.input(0, { kind: "power-on", cause: "pin" });
  bench.run(minute);
  bench.command(0, bench.offerOf(release));
  bench.run(hour);
  expect(bench.hellos()).toHaveLength(3);
  expect(bench.results()).toHaveLength(1);
  expect(bench.blocks).toBe(Math.ceil(bench.offerOf(release).size / 4096));
});

test("R17: without contact to the server the trial ends at its deadline, and the old image reports the revert", () => {
  const bench = new Bench().start().run(minute);
  bench.command(0, bench.offerOf(bench.build("1.1.0")));
  untilReboot(bench);
  bench.hears = false;
  bench.run(20 * minute);
  bench.hears = true;
  bench.run(hour);
  expect(bench.running()).toBe("1.0.0");
  expect(bench.results()).toHaveLength(1);
  expect(bench.results()[0]?.attempt).toMatchObject({ outcome: "reverted", ran: true, resetCause: "watchdog", offer: 1 });
});

test("R17: a slow network just inside the deadline still confirms", () => {
  const bench = new Bench().start().run(minute);
  bench.command(0, bench.offerOf(bench.build("1.1.0")));
  untilReboot(bench);
  bench.acknowledges = false;
  bench.run(9 * minute);
  expect(bench.running()).toBe("1.1.0");
  expect(bench.results()).toEqual([]);
  bench.acknowledges = true;
  bench.run(hour);
  expect(bench.running()).toBe("1.1.0");
  expect(bench.results().map((result) => result.attempt.outcome)).toEqual(["confirmed"]);
});

test("the end of an attempt is reported until it is acknowledged, over resets, and then never again", () => {
  const bench = new Bench().start().run(minute);
  bench.command(0, bench.offerOf(bench.build("1.1.0", [{ kind: "never-confirms" }])));
  bench.run(5 * minute);
  bench.acknowledges = false;
  bench.run(hour);
  const before = bench.results().length;
  expect(before).toBeGreaterThan(1);
  bench.input(0, { kind: "power-on", cause: "pin" });
  bench.run(minute);
  expect(bench.results().length).toBe(before + 1);
  bench.acknowledges = true;
  bench.run(hour);
  const after = bench.results().length;
  bench.input(0, { kind: "power-on", cause: "pin" });
  bench.run(hour);
  expect(bench.results().length).toBe(after);
  expect(new Set(bench.results().map((result) => `${result.attempt.offer} ${result.attempt.outcome}`))).toEqual(new Set(["1 reverted"]));
  expect(bench.hellos().at(-1)?.attempt).toMatchObject({ outcome: "reverted", offer: 1 });
});

test("R36: an image that this board reverted is refused when another offer brings it again", () => {
  const bench = new Bench().start().run(minute);
  const bad = bench.build("1.1.0", [{ kind: "never-confirms" }]);
  bench.command(0, bench.offerOf(bad));
  bench.run(hour);
  const blocks = bench.blocks;
  bench.command(0, bench.offerOf(bad, 0, 2));
  bench.run(hour);
  expect(bench.results().at(-1)).toMatchObject({ attempt: { outcome: "failed", offer: 2, ran: false }, reason: "this board tried that image before and gave it up" });
  expect(bench.blocks).toBe(blocks);
});

test.each([
  ["another revision", { variant: { board: "pump-board", revision: "revB", partitionMap: "x" } }, /another board/],
  ["more bytes than slot 1", { size: 70_000 }, /do not fit/],
  ["no bytes", { size: 0 }, /do not fit/],
])("I6: an offer with %s is refused before a block is asked for", (_name, changes, reason) => {
  const bench = new Bench().start().run(minute);
  bench.command(0, bench.offerOf(bench.build("1.1.0"), 0, 1, changes));
  bench.run(minute);
  expect(bench.blocks).toBe(0);
  expect(bench.results()[0]?.attempt.outcome).toBe("failed");
  expect(bench.results()[0]?.reason).toMatch(reason);
});

test("R12: a download goes on after lost blocks for no more than the missing ones", () => {
  const bench = new Bench({ connectivity: { blockSize: 256, interval: "5m", latency: "20ms" } }).start().run(minute);
  bench.blockLoss = 0.3;
  const release = bench.build("1.1.0");
  bench.command(0, bench.offerOf(release));
  bench.run(hour);
  expect(bench.running()).toBe("1.1.0");
  const needed = Math.ceil(bench.offerOf(release).size / 256);
  expect(bench.blocks).toBeGreaterThan(needed);
  expect(bench.blocks).toBeLessThan(needed * 1.8);
});

test("R12: a download goes on after a reset in its middle", () => {
  const bench = new Bench({ connectivity: { blockSize: 256, interval: "5m", latency: "2s", window: 1 } }).start().run(minute);
  const release = bench.build("1.1.0");
  bench.command(0, bench.offerOf(release, 0, 1, { jitter_s: 0 }));
  bench.run(2 * minute);
  const before = bench.blocks;
  expect(before).toBeGreaterThan(10);
  bench.input(0, { kind: "power-cut" });
  bench.run(minute);
  bench.input(0, { kind: "power-on", cause: "power-on" });
  bench.run(hour);
  expect(bench.running()).toBe("1.1.0");
  const needed = Math.ceil(bench.offerOf(release).size / 256);
  expect(bench.blocks - needed).toBeLessThanOrEqual(2);
});

test("a damaged artifact is never applied", () => {
  const bench = new Bench().start().run(minute);
  const release = bench.build("1.1.0");
  const offer = bench.offerOf(release);
  for (const [digest, bytes] of bench.artifacts) {
    const damaged = bytes.slice();
    damaged[5_000] = (damaged[5_000] as number) ^ 1;
    bench.artifacts.set(digest, damaged);
  }
  bench.command(0, offer);
  bench.run(hour);
  expect(bench.running()).toBe("1.0.0");
  expect(bench.results()[0]).toMatchObject({ attempt: { outcome: "failed", ran: false } });
  expect(bench.results()[0]?.reason).toContain("SHA-256");
});

test("one board with damaged bytes does not harm another that downloads the same artifact", () => {
  const bench = new Bench({ devices: 2 }).start().run(minute);
  const release = bench.build("1.1.0");
  const [digest, good] = [...bench.artifacts].at(-1) as [string, Uint8Array];
  const damaged = good.slice();
  damaged[100] = (damaged[100] as number) ^ 1;
  bench.artifacts.set(digest, damaged);
  bench.command(0, bench.offerOf(release, 0, 1, { jitter_s: 0 }));
  bench.run(400);
  bench.artifacts.set(digest, good);
  bench.command(1, bench.offerOf(release, 1, 2, { jitter_s: 0 }));
  bench.run(hour);
  expect([bench.running(0), bench.running(1)]).toEqual(["1.0.0", "1.1.0"]);
});

test("R30: a cancel before the reboot stops and clears, and the same offer may come again", () => {
  const bench = new Bench({ connectivity: { blockSize: 256, latency: "1s", window: 1 } }).start().run(minute);
  const release = bench.build("1.1.0");
  bench.command(0, bench.offerOf(release, 0, 1, { jitter_s: 0 }));
  bench.run(20_000);
  bench.command(0, { kind: "cancel", offer: 1 });
  bench.run(10_000);
  const blocks = bench.blocks;
  bench.run(hour);
  expect(bench.blocks).toBe(blocks);
  expect(bench.running()).toBe("1.0.0");
  expect(bench.results()).toEqual([]);
  bench.command(0, bench.offerOf(release, 0, 1, { jitter_s: 0 }));
  bench.run(hour);
  expect(bench.running()).toBe("1.1.0");
});

test("a cancel that overtook its offer still stops it", () => {
  const bench = new Bench().start().run(minute);
  bench.input(0, { kind: "command", command: { kind: "cancel", offer: 1 } });
  bench.input(0, { kind: "command", command: bench.offerOf(bench.build("1.1.0")) });
  bench.run(hour);
  expect(bench.blocks).toBe(0);
});

test("R34: a swap-back brings the kept image back without a download, on trial like any other", () => {
  const bench = new Bench().start().run(minute);
  bench.command(0, bench.offerOf(bench.build("1.1.0")));
  bench.run(hour);
  const blocks = bench.blocks;
  const kept = bench.hellos().at(-1)?.slot1?.imageHash as Uint8Array;
  bench.command(0, { kind: "swap-back", offer: 2, imageHash: kept });
  bench.run(hour);
  expect(bench.running()).toBe("1.0.0");
  expect(bench.blocks).toBe(blocks);
  expect(bench.results().map((result) => `${result.attempt.offer} ${result.attempt.outcome}`)).toEqual(["1 confirmed", "2 confirmed"]);
});

test.each([
  ["swap-offset", "keeps no image to go back to"],
  ["overwrite", "keeps no image to go back to"],
])("mode %s answers a swap-back with the reason why not", (mode, reason) => {
  const bench = new Bench({ hardware: { mode } }).start().run(minute);
  const old = bench.hellos()[0]?.running.imageHash as Uint8Array;
  bench.command(0, bench.offerOf(bench.build("1.1.0")));
  bench.run(hour);
  expect(bench.running()).toBe("1.1.0");
  bench.command(0, { kind: "swap-back", offer: 2, imageHash: old });
  bench.run(hour);
  expect(bench.running()).toBe("1.1.0");
  expect(bench.results().at(-1)?.reason).toContain(reason);
});

test.each(["swap-move", "swap-offset", "swap-scratch", "direct-xip"])("mode %s: a good release confirms and a bad one reverts", (mode) => {
  const scratch = mode === "swap-scratch" ? { scratchSize: "4KiB" } : {};
  for (const [defects, version, outcome] of [
    [[], "1.1.0", "confirmed"],
    [[{ kind: "never-confirms" }], "1.0.0", "reverted"],
  ] as const) {
    const bench = new Bench({ hardware: { mode, ...scratch } }).start().run(minute);
    bench.command(0, bench.offerOf(bench.build("1.1.0", defects)));
    bench.run(2 * hour);
    expect(bench.running(), `${mode} ${outcome}`).toBe(version);
    expect(bench.results().map((result) => result.attempt.outcome)).toEqual([outcome]);
  }
});

test("mode overwrite cannot revert: a release that never confirms is told as failed and runs on", () => {
  const bench = new Bench({ hardware: { mode: "overwrite" } }).start().run(minute);
  bench.command(0, bench.offerOf(bench.build("1.1.0", [{ kind: "never-confirms" }])));
  bench.run(3 * hour);
  expect(bench.running()).toBe("1.1.0");
  expect(bench.results().map((result) => `${result.attempt.outcome}: ${result.reason}`)).toEqual([
    "failed: runs unconfirmed: the bootloader does not revert it",
  ]);
});

test("R37: a downgrade that the bootloader refuses is told as refused, not as a revert", () => {
  const bench = new Bench({ hardware: { bootloader: { downgrade: "version" } } }).start().run(minute);
  bench.command(0, bench.offerOf(bench.build("0.9.0")));
  bench.run(hour);
  expect(bench.running()).toBe("1.0.0");
  expect(bench.hellos().at(-1)?.slot1).toBeNull();
  expect(bench.results().map((result) => result.attempt)).toEqual([expect.objectContaining({ outcome: "refused", ran: false })]);
});

test("an offer during a trial waits for its end instead of destroying the fallback", () => {
  const bench = new Bench().start().run(minute);
  bench.command(0, bench.offerOf(bench.build("1.1.0"), 0, 1, { confirm: { ...policy, minUptime_s: 300 }, jitter_s: 0 }));
  bench.run(minute);
  expect(bench.running()).toBe("1.1.0");
  const next = bench.build("1.2.0");
  bench.command(0, bench.offerOf(next, 0, 2, { jitter_s: 0 }));
  bench.run(10_000);
  expect(bench.bodies("deferred")).toEqual([expect.objectContaining({ offer: 2, reason: "busy" })]);
  const before = bench.blocks;
  bench.run(2 * minute);
  expect(bench.blocks).toBe(before);
  bench.run(hour);
  expect(bench.running()).toBe("1.2.0");
  expect(bench.results().map((result) => `${result.attempt.offer} ${result.attempt.outcome}`)).toEqual(["1 confirmed", "2 confirmed"]);
});

test("the confirm command changes the policy of a running trial", () => {
  const bench = new Bench().start().run(minute);
  bench.command(0, bench.offerOf(bench.build("1.1.0"), 0, 1, { confirm: { minUptime_s: 3_000, deadline_s: 6_000, serverContact: true }, jitter_s: 0 }));
  bench.run(5 * minute);
  expect(bench.heartbeats().at(-1)?.confirmed).toBe(false);
  bench.command(0, { kind: "confirm", offer: 1, policy: { minUptime_s: 60, deadline_s: 6_000, serverContact: true } });
  bench.run(minute);
  expect(bench.results().map((result) => result.attempt.outcome)).toEqual(["confirmed"]);
});

test("identify is answered by a hello", () => {
  const bench = new Bench().start().run(minute);
  bench.command(0, { kind: "identify" });
  bench.run(minute);
  expect(bench.hellos()).toHaveLength(2);
});

test("a board whose boot counter was lost goes on above the host's, says hello again, and keeps that over resets", () => {
  const bench = new Bench().start().run(minute);
  bench.command(0, { kind: "renumber", boot: 41 });
  bench.command(0, { kind: "renumber", boot: 41 }); // a late copy changes nothing
  bench.run(minute);
  const boots = (): number[] => bench.heard.filter(({ report }) => report.body.kind === "hello").map(({ report }) => report.boot);
  expect(boots()).toEqual([1, 42]);
  bench.input(0, { kind: "power-cut" });
  bench.input(0, { kind: "power-on", cause: "power-on" });
  bench.run(minute);
  expect(boots()).toEqual([1, 42, 43]);
});

test("a sleeping board takes commands at its next wake", () => {
  const bench = new Bench({ connectivity: { sleepy: true, interval: "1h" } }).start().run(10 * minute);
  bench.command(0, { kind: "identify" });
  bench.run(10 * minute);
  expect(bench.hellos()).toHaveLength(1);
  bench.run(hour);
  expect(bench.hellos()).toHaveLength(2);
  bench.command(0, bench.offerOf(bench.build("1.1.0")));
  bench.run(3 * hour);
  expect(bench.running()).toBe("1.1.0");
});

test("without a link heartbeats are lost, results are kept, and the time without link is told", () => {
  const bench = new Bench().start().run(minute);
  bench.command(0, bench.offerOf(bench.build("1.1.0", [{ kind: "never-confirms" }])));
  bench.run(2 * minute);
  bench.input(0, { kind: "link", up: false });
  bench.run(2 * hour);
  expect(bench.results()).toEqual([]);
  const beats = bench.heartbeats().length;
  bench.input(0, { kind: "link", up: true });
  bench.run(minute);
  expect(bench.heartbeats().length - beats).toBeLessThanOrEqual(1);
  expect(bench.results().map((result) => result.attempt.outcome)).toEqual(["reverted"]);
});

test("a battery too low for an update defers it and says so; an empty one falls silent until it is changed", () => {
  const fleet = { power: [{ name: "cell", battery: { drainPerDay: 30, updateMin: 40, spread: 0 } }] };
  const bench = new Bench({ fleet }).start().run(hour);
  const drained = (): number => bench.heartbeats().at(-1)?.battery ?? 100;
  while (drained() > 30) {
    bench.run(hour);
  }
  bench.command(0, bench.offerOf(bench.build("1.1.0")));
  bench.run(hour);
  expect(bench.bodies("deferred")[0]).toMatchObject({ reason: "battery", until_s: 6 * 3_600 });
  expect(bench.running()).toBe("1.0.0");
  bench.run(4 * 24 * hour);
  expect(bench.running()).toBe("1.1.0");
  const times = bench.heard.filter((entry) => entry.report.body.kind === "heartbeat").map((entry) => entry.at as number);
  expect(Math.max(...times.map((at, i) => at - (times[i - 1] ?? at)))).toBeGreaterThan(10 * hour);
});

test("D1: the same seed gives the same effects, another seed does not", () => {
  const run = (seed: number): string[] => {
    const bench = new Bench({ devices: 5, seed, fleet: { noise: { crashesPerDay: 5 } } }).start().run(minute);
    const release = bench.build("1.1.0", [{ kind: "crash-rate", multiplier: 3 }]);
    for (const index of bench.devices.keys()) {
      bench.command(index, bench.offerOf(release, index, index + 1));
    }
    return bench.run(12 * hour).effects;
  };
  const first = run(7);
  expect(run(7)).toEqual(first);
  expect(run(8)).not.toEqual(first);
  expect(first.length).toBeGreaterThan(500);
});
