// SPDX-License-Identifier: Apache-2.0
// Virtual time: the whole site (devices, network, conductor, log) against an empty loop over a heap with as many events
// pending, whole updates with the bootloader's memo against the same byte by byte, and a rollout as `rehearse` lives it.
import { Hours, instant, Minutes, Seconds, TimeHeap } from "@coalmine/core";
import { createDevice, createShared, step } from "@coalmine/device";
import { assembleFleet, buildRelease, deviceDescription, labKey } from "@coalmine/fleet";
import { boot, BootMemo, type BootResult, Flash, SectorPool, setConfirmed, setPending } from "@coalmine/mcuboot";
import { parsePlan, planJudge } from "@coalmine/orchestrator";
import { scenarioStart, VirtualSite } from "@coalmine/site";
import { memoryArtifactStore, memoryEventLog } from "@coalmine/store";
import { draw, World } from "@coalmine/world";
import { demoScenario } from "../demo-scenario.ts";
import { rehearse, twinOf } from "../rehearse-run.ts";
import { simulate } from "../sim-engine.ts";
import { arm, type BenchOptions, type BenchResult, compare, type Measurement } from "./bench-result.ts";

/** Processor time of this process: other work on the machine does not count. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Events per CPU second of a heap from which each event plans its successor: what virtual time costs at least. */
function emptyLoop(pending: number, events: number): number {
  const heap = new TimeHeap<number>();
  for (let i = 0; i < pending; i += 1) {
    heap.push(draw(1, i) * 1_000, i);
  }
  const before = cpuSeconds();
  for (let i = 0; i < events; i += 1) {
    const at = heap.first;
    const item = heap.pop() as number;
    heap.push(at + 1_000, item);
  }
  return events / (cpuSeconds() - before);
}

/** The same over our own queue of timers. */
function ownLoop(pending: number, events: number): number {
  const world = new World<never>({ start: instant(0), timers: pending });
  const handler = {
    timer: (timer: number, now: number): void => world.setTimer(timer, instant(now + 1_000)),
    item: (): void => undefined,
  };
  for (let i = 0; i < pending; i += 1) {
    world.setTimer(i, instant(draw(1, i) * 1_000));
  }
  const before = cpuSeconds();
  for (let i = 0; i < events; i += 1) {
    world.step(handler);
  }
  return events / (cpuSeconds() - before);
}

/** Events per CPU second of a fleet that only reports: device, network, conductor, log. */
function heartbeats(devices: number, seed: number): number {
  const fleet = assembleFleet({ ...demoScenario().fleet, seed, devices }, labKey(seed));
  const shared = createShared(draw);
  const site = new VirtualSite({
    descriptions: Array.from({ length: devices }, (_, index) => deviceDescription(fleet, index)),
    boards: { make: (description) => createDevice(description, seed, shared), step },
    seed,
    judge: planJudge,
    log: memoryEventLog({ keep: false }),
    artifacts: memoryArtifactStore(),
    start: scenarioStart,
    tick: Seconds(30),
  });
  site.run(instant(scenarioStart + Minutes(30)));
  const events = site.world.events;
  const before = cpuSeconds();
  site.run(instant(scenarioStart + Minutes(90)));
  return (site.world.events - events) / (cpuSeconds() - before);
}

const rehearsalPlan = "stages: [{ name: canary, percent: 10 }, 30%, 100%]\nsoak: { min: 24h, max: 7d }\ngates: default\n";
const rehearsals = 3;

/** CPU seconds of one virtual rollout of a good release, the fleet's own life around it included. */
async function rehearsedRollout(devices: number, seed: number): Promise<number> {
  const fleet = twinOf({ ...demoScenario().fleet, seed, devices }, Hours(6));
  const task = { plan: parsePlan(rehearsalPlan, "the rehearsal's plan"), fleet, defects: [], baseline: undefined };
  await rehearse({ ...task, seeds: [seed] }); // builds the images, and lets the functions be compiled
  const before = cpuSeconds();
  await rehearse({ ...task, seeds: Array.from({ length: rehearsals }, (_, index) => seed + 1 + index) });
  return (cpuSeconds() - before) / rehearsals;
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const devices = options.devices ?? 10_000;
  const pending = devices;
  const empty: number[] = [];
  const own: number[] = [];
  const site: number[] = [];
  const rollout: number[] = [];
  const rehearsed: number[] = [];
  const twins = Math.min(devices, 2_000);
  for (let turn = 0; turn < options.runs; turn += 1) {
    options.progress(`turn ${turn + 1} of ${options.runs}: loops with ${pending} events pending`);
    empty.push(emptyLoop(pending, 2_000_000));
    own.push(ownLoop(pending, 2_000_000));
    options.progress(`turn ${turn + 1} of ${options.runs}: ${devices} devices that report`);
    site.push(heartbeats(devices, options.seed));
    options.progress(`turn ${turn + 1} of ${options.runs}: the demo's two rollouts with ${devices} devices`);
    const before = cpuSeconds();
    const result = await simulate({ scenario: demoScenario(), transport: "virtual", devices, seed: options.seed });
    const updates = result.rollouts.reduce((sum, one) => sum + one.exposed, 0);
    rollout.push(updates / (cpuSeconds() - before));
    options.progress(`turn ${turn + 1} of ${options.runs}: rehearsed rollouts with ${twins} devices`);
    rehearsed.push(await rehearsedRollout(twins, options.seed));
  }
  const baseline = arm("empty heap loop", empty);
  const measurements: Measurement[] = [
    compare({ name: "timer queue", unit: "events per CPU second", better: "more" }, arm("coalmine's timers", own), baseline),
    compare({ name: "reporting fleet", unit: "events per CPU second", better: "more" }, arm("whole site", site), baseline),
    compare({ name: "rollouts", unit: "device updates per CPU second", better: "more" }, arm("demo scenario", rollout), null),
    compare({ name: "rehearsed rollout", unit: `CPU seconds per rollout of ${twins} devices`, better: "less" }, arm("days in virtual time", rehearsed), null),
    ...bootloader(options),
  ];
  return {
    bench: "virtual",
    seed: options.seed,
    environment: { node: process.versions.node, devices },
    measurements,
    notes: ["an event of the site is a message, a timer or a tick with everything that follows from it; an event of the empty loop is a pop and a push"],
  };
}

/** Whole updates in the bootloader alone: request, swap, confirmation and one more start, looked up or byte by byte. */
function bootloader(options: BenchOptions): Measurement[] {
  const fleet = assembleFleet({ ...demoScenario().fleet, seed: options.seed }, labKey(options.seed));
  const kind = fleet.hardware[0];
  const old = fleet.factory[0]?.[0];
  if (kind === undefined || old === undefined) {
    throw new Error("the demo's fleet has no hardware");
  }
  const release = buildRelease({ version: "1.1.0", size: 48 * 1024 }, [kind], fleet.signingKey).artifacts[0]?.bytes as Uint8Array;
  const pool = new SectorPool();
  const memo = new BootMemo();
  const start = Flash.create(kind.geometry, { pool });
  start.install("primary", old.image);
  start.install("secondary", release);
  const update = (bootOnce: (flash: Flash) => BootResult): void => {
    const flash = start.clone();
    setPending(kind.bootloader, flash, { permanent: false });
    const trial = bootOnce(flash);
    setConfirmed(kind.bootloader, flash, {});
    const after = bootOnce(flash);
    if (trial.outcome !== "boot" || after.outcome !== "boot" || flash.identity() === start.identity()) {
      throw new Error(`bench: the update ended in ${trial.outcome}, ${after.outcome}`);
    }
  };
  const rate = (count: number, bootOnce: (flash: Flash) => BootResult): number => {
    const before = cpuSeconds();
    for (let i = 0; i < count; i += 1) {
      update(bootOnce);
    }
    return count / (cpuSeconds() - before);
  };
  const fast: number[] = [];
  const bytes: number[] = [];
  for (let turn = 0; turn < options.runs; turn += 1) {
    options.progress(`turn ${turn + 1} of ${options.runs}: updates in the bootloader`);
    fast.push(rate(10_000, (flash) => memo.boot(kind.bootloader, flash)));
    bytes.push(rate(100, (flash) => boot(kind.bootloader, flash)));
  }
  return [
    compare({ name: "bootloader", unit: "device updates per CPU second", better: "more" }, arm("looked up", fast), arm("byte by byte", bytes), { ratioLeast: 1 }),
  ];
}
