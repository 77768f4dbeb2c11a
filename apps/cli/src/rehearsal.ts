// SPDX-License-Identifier: Apache-2.0
// A rehearsal: a good release and some bad ones, many virtual rollouts each, over all processor cores (R51).
import { Hours, instant, type Millis, type Plan } from "@coalmine/core";
import { type DeviceDescription, type HardwareKind } from "@coalmine/device";
import { assembleFleet, deviceDescription, type FleetSpec, labKey, parseFleet } from "@coalmine/fleet";
import { assumedRates, describePower, type FleetRates, freeze, newDevice, parsePlan, planPower, sizesOf } from "@coalmine/orchestrator";
import { readFile } from "node:fs/promises";
import type { InventoryTwin } from "./inventory-twin.ts";
import { badUsage } from "./output/exit.ts";
import { type Hypothesis, parseDefect } from "./rehearse-defect.ts";
import { defectResult, goodResult, type RehearsalResult } from "./rehearse-result.ts";
import { type Rehearsed, type RehearsalTask, twinOf } from "./rehearse-run.ts";
import { inWorkers } from "./worker-pool.ts";

export interface RehearsalOptions {
  readonly planFile: string;
  /** A fleet file, or the description of the fleet that reports to an orchestrator. */
  readonly fleet: { readonly file: string } | InventoryTwin;
  readonly defects: readonly string[];
  readonly runs: number;
  readonly seed: number;
  readonly devices?: number | undefined;
  readonly checkIn?: Millis | undefined;
  readonly workers?: number | undefined;
  readonly progress: (done: number, total: number, text: string) => void;
}

/** Runs that one worker does between two looks at the progress: a task costs little beside a run, and no core waits long for the last one. */
const chunk = 1;

export async function rehearsal(options: RehearsalOptions): Promise<RehearsalResult> {
  const began = performance.now();
  if (options.runs < 1) {
    throw badUsage("--runs must be at least 1");
  }
  const plan = parsePlan(await read(options.planFile, "plan"), options.planFile);
  const described = "file" in options.fleet ? parseFleet(await read(options.fleet.file, "fleet"), options.fleet.file) : options.fleet.fleet;
  const checkIn = options.checkIn ?? (Math.min(Hours(6), Math.max(60_000, plan.soak.min / 4)) as Millis);
  const fleet = twinOf({ ...described, seed: options.seed, devices: options.devices ?? described.devices }, checkIn);
  const hypotheses = options.defects.map((text) => parseDefect(text, fleet));
  // Refuses what a real start would refuse, before anything long begins.
  const membership = memberships(plan, fleet);
  const baseline = "file" in options.fleet ? undefined : options.fleet.baseline;
  const power = planPower(plan, sizesOf(membership), { ...ratesOf(fleet), baseline, ...(baseline === undefined ? {} : { silences: baseline.silence }) });
  const releases: readonly (Hypothesis | undefined)[] = [undefined, ...hypotheses];
  const tasks = releases.flatMap((hypothesis, release) => tasksOf({ plan, fleet, baseline }, hypothesis, options, release));
  const total = releases.length * options.runs;
  let done = 0;
  const halted = releases.map(() => 0);
  const results = await inWorkers<RehearsalTask, Rehearsed[]>({
    module: new URL("./rehearse-worker", import.meta.url),
    tasks: tasks.map(({ task }) => task),
    workers: options.workers,
    done: (runs) => {
      done += runs.length;
      halted[0] = (halted[0] ?? 0) + runs.filter((run) => run.outcome === "halted").length;
      options.progress(done, total, `${halted[0]} halted`);
    },
  });
  const runsOf = (release: number): Rehearsed[] => results.filter((_, index) => tasks[index]?.release === release).flat();
  return {
    seed: options.seed,
    runs: options.runs,
    devices: fleet.devices,
    checkInHours: checkIn / 3_600_000,
    wallSeconds: (performance.now() - began) / 1_000,
    deviceDays: (results.flat().reduce((sum, run) => sum + run.virtualHours, 0) / 24) * fleet.devices,
    defects: hypotheses.map(({ name, value }, index) => defectResult(name, value, runsOf(index + 1))),
    good: goodResult(runsOf(0)),
    power: power.lines,
    stages: power.stages,
    statement: describePower(power),
    warnings: [...("file" in options.fleet ? [] : options.fleet.notes), ...membership.warnings, ...power.warnings],
  };
}

async function read(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw badUsage(`cannot read the ${what} ${path}: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`, cause);
  }
}

/** Run i has the same seed whatever else is rehearsed, so that releases are compared on the same fleets. */
function tasksOf(twin: Pick<RehearsalTask, "plan" | "fleet" | "baseline">, hypothesis: Hypothesis | undefined, options: RehearsalOptions, release: number): { readonly task: RehearsalTask; readonly release: number }[] {
  const seeds = Array.from({ length: options.runs }, (_, index) => options.seed * 1_000_003 + index);
  const tasks = [];
  for (let from = 0; from < seeds.length; from += chunk) {
    tasks.push({ release, task: { ...twin, defects: hypothesis?.defects ?? [], seeds: seeds.slice(from, from + chunk) } });
  }
  return tasks;
}

function ratesOf(fleet: FleetSpec): FleetRates {
  const shares = fleet.power.reduce((sum, kind) => sum + kind.share, 0);
  const batteries = fleet.power.filter((kind) => kind.battery !== null);
  const share = batteries.reduce((sum, kind) => sum + kind.share, 0) / shares;
  return {
    ...assumedRates,
    baseline: undefined,
    crashes: fleet.noise.crashesPerDay,
    updateFailures: fleet.noise.bootFailure,
    battery: share,
    drainSpread: Math.max(0.05, ...batteries.map((kind) => kind.battery?.spread ?? 0)),
  };
}

/** Who would take part, from the fleet's description alone. */
function memberships(plan: Plan, spec: FleetSpec): ReturnType<typeof freeze> {
  const fleet = assembleFleet(spec, labKey(spec.seed));
  const at = instant(0);
  const devices = new Map(
    Array.from({ length: spec.devices }, (_, index) => {
      const device = inventoried(deviceDescription(fleet, index));
      return [device.id, device] as const;
    }),
  );
  const artifacts = fleet.hardware.map((kind: HardwareKind) => ({
    variant: { board: kind.board, revision: kind.revision, partitionMap: kind.partitionMap },
    digest: "" as never,
    imageHash: "",
    buildId: "",
    size: 0,
    version: "",
  }));
  return freeze({ devices, selector: {}, release: { id: "rehearsal", version: "", artifacts, notes: "", storage: null, migration: false, from: [], hop: null, matrix: null, symbols: {}, barred: null, archived: null, revision: 1 }, plan, seed: spec.seed, rollouts: [], at });

  function inventoried(description: DeviceDescription) {
    const record = newDevice(description.id, "virtual", at);
    const { board, revision, partitionMap, slotSize } = description.hardware;
    record.hardware = { board, revision, partitionMap, mode: "swap-move", slotSize };
    record.running = { imageHash: "-", version: description.firmware.version, buildId: "", confirmed: true };
    record.interval = description.connectivity.interval;
    record.attributes = { connectivity: description.connectivity.name, power: description.power.name, site: description.site };
    return record;
  }
}

