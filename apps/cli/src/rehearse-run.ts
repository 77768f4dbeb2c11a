// SPDX-License-Identifier: Apache-2.0
// One plan against one twin of a fleet, in virtual time: the real conductor, the real gates, the real devices.
import { after, type Baseline, Hours, type Millis, type Plan } from "@coalmine/core";
import { createDevice, createShared, type Defect, step } from "@coalmine/device";
import { assembleFleet, type BuiltRelease, buildRelease, deviceDescription, type Fleet, type FleetSpec, labKey } from "@coalmine/fleet";
import { createRelease, type EventLog, inspectRelease, planJudge, startRollout } from "@coalmine/orchestrator";
import { scenarioStart, VirtualSite } from "@coalmine/site";
import { memoryArtifactStore } from "@coalmine/store";
import { draw } from "@coalmine/world";

/** Plain data: what a worker needs for some runs of one hypothetical release. */
export interface RehearsalTask {
  readonly plan: Plan;
  readonly fleet: FleetSpec;
  readonly defects: readonly Defect[];
  readonly seeds: readonly number[];
  /** What the real fleet did before; a twin begins without a past. */
  readonly baseline: Baseline | undefined;
}

/** How one virtual rollout ended. */
export interface Rehearsed {
  readonly seed: number;
  /** `unfinished`: it ran into the time limit. */
  readonly outcome: "complete" | "halted" | "held" | "unfinished";
  /** Devices whose update had begun when it ended. */
  readonly exposed: number;
  /** From its start to its end. */
  readonly hours: number;
  /** Name of the newest open stage at the end. */
  readonly stage: string;
  readonly haltedBy: string | null;
  /** Gates that had not passed when it was held; none when it waited for something else. */
  readonly heldBy: readonly string[];
  readonly virtualHours: number;
}

const version = "255.0.0";
/** The twin's images are as small as a simulated program can be: a rehearsal is about decisions, not about downloads. */
const imageBytes = 2 * 1024;
/** Every device has said hello by then. */
const warmUp = Hours(1);
/** No rollout lasts longer; who waits for half a year waits in vain. */
const timeLimit = Hours(24 * 180);

/** A fleet and a release, built once for many runs. */
interface Twin {
  readonly fleet: Fleet;
  readonly release: BuiltRelease;
  readonly shared: ReturnType<typeof createShared>;
  readonly artifacts: ReturnType<typeof memoryArtifactStore>;
}

/**
 * The fleet as a rehearsal lives it: devices check in at most every `checkIn`, so that a thousand rollouts fit into
 * minutes. Sparser reports notice silence later than the real fleet would, never earlier.
 */
export function twinOf(fleet: FleetSpec, checkIn: Millis): FleetSpec {
  return {
    ...fleet,
    imageSize: imageBytes,
    firmware: fleet.firmware.map(({ size: _size, ...entry }) => entry),
    dumps: 0,
    connectivity: fleet.connectivity.map((kind) => ({ ...kind, interval: Math.max(kind.interval, checkIn) as Millis, blockSize: 16_384 })),
  };
}

let known: { readonly key: string; readonly twin: Promise<Twin> } | undefined;

function twin(task: RehearsalTask): Promise<Twin> {
  const key = JSON.stringify([task.fleet, task.defects]);
  if (known?.key !== key) {
    known = { key, twin: build(task) };
  }
  return known.twin;
}

async function build({ fleet: spec, defects }: RehearsalTask): Promise<Twin> {
  const fleet = assembleFleet(spec, labKey(spec.seed));
  const release = buildRelease({ version, size: imageBytes, defects }, fleet.hardware, fleet.signingKey);
  const artifacts = memoryArtifactStore();
  for (const artifact of release.artifacts) {
    await artifacts.put(artifact.bytes);
  }
  return { fleet, release, artifacts, shared: createShared(draw) };
}

/** Runs every seed of a task. */
export async function rehearse(task: RehearsalTask): Promise<Rehearsed[]> {
  const built = await twin(task);
  return task.seeds.map((seed) => runOnce(built, task, seed));
}

function runOnce({ fleet, release, shared, artifacts }: Twin, { plan, baseline }: RehearsalTask, seed: number): Rehearsed {
  // The same kinds and shares, other devices: each run draws its fleet anew, frailties and all.
  const own = { ...fleet, spec: { ...fleet.spec, seed } };
  const site = new VirtualSite({
    descriptions: Array.from({ length: fleet.spec.devices }, (_, index) => deviceDescription(own, index)),
    boards: { make: (description) => createDevice(description, seed, shared), step },
    seed,
    judge: planJudge,
    log: forgetfulLog(),
    artifacts,
    start: scenarioStart,
    tick: tickOf(plan),
  });
  site.run(after(scenarioStart, warmUp));
  const authority = { by: "rehearsal", reason: "rehearsal" };
  const input = { id: version, artifacts: release.artifacts, authority };
  site.carryOut(createRelease(site.conductor, input, inspectRelease(site.conductor, input, [fleet.publicKey]), site.now));
  const { id, outcome } = startRollout(site.conductor, { release: version, plan, seed, baseline, authority }, site.now);
  site.carryOut(outcome);
  const rollout = site.conductor.rollout(id);
  const limit = after(site.now, timeLimit);
  while (rollout.status === "running" && site.now < limit) {
    site.run(after(site.now, Hours(1)));
  }
  const end = rollout.endedAt ?? site.now;
  return {
    seed,
    outcome: rollout.status === "complete" || rollout.status === "halted" || rollout.status === "held" ? rollout.status : "unfinished",
    exposed: rollout.members.reduce((sum, member) => sum + (member.startedAt !== null && member.startedAt <= end ? 1 : 0), 0),
    hours: (end - rollout.startedAt) / 3_600_000,
    stage: rollout.stages[Math.max(0, rollout.stage)]?.name ?? "",
    haltedBy: rollout.haltedBy?.gate ?? null,
    heldBy: rollout.status === "held" && rollout.verdict.kind === "inconclusive" ? gatesNamed(rollout.verdict.missing, plan) : [],
    virtualHours: (site.now - scenarioStart) / 3_600_000,
  };
}

/** The reasons of a hold begin with the gate that had not passed, where it was one. */
function gatesNamed(reasons: readonly string[], plan: Plan): string[] {
  return plan.gates.map(({ metric }) => metric).filter((metric) => reasons.some((reason) => reason.startsWith(`${metric}:`)));
}

/** The host looks at its clock at least two dozen times in a soak; bad news is judged at once anyway. */
function tickOf(plan: Plan): Millis {
  return Math.min(60 * 60_000, Math.max(30_000, Math.round(plan.soak.min / 24))) as Millis;
}

/** Nobody reads the log of a rehearsal. */
export function forgetfulLog(): EventLog {
  let length = 0;
  return {
    get length() {
      return length;
    },
    append: () => ++length,
    durable: () => Promise.resolve(),
    read: () => [],
    saveSnapshot: () => undefined,
    loadSnapshot: () => null,
    digest: () => ({ events: length, sha256: "" }),
    verify: () => ({ ok: true, entries: 0 }),
    close: () => Promise.resolve(),
  };
}
