// SPDX-License-Identifier: Apache-2.0
import { after, CoalmineError, type DeviceId, type Instant, instant, isActive, isQuiet, type Judge, memberOf, Minutes, type RolloutId, type Rollout } from "@coalmine/core";
import type { Device, DeviceDescription } from "@coalmine/device";
import { assembleFleet, type BuiltRelease, buildRelease, declarationOf, deviceDescription, type Fleet, labBuilds, labKey, matrixResult, migrationMatrix, type ReleaseSpec, reversionRelease, type RolloutSpec, type Scenario } from "@coalmine/fleet";
import {
  type ArtifactStore,
  attestRelease,
  type Conductor,
  createRelease,
  type EventLog,
  inspectRelease,
  type Outcome,
  planFromData,
  type RolloutSummary,
  startRollback,
  startRollout,
  summarise,
} from "@coalmine/orchestrator";
import { type Checked, checkExpectations, type Findings, whichOf } from "./expectations.ts";
import { cutsMet, type CutTally, lookAtBoards } from "./boards.ts";
import { planFaults } from "./faults.ts";
import { type Boards, VirtualSite } from "./site.ts";

/** Virtual time begins here; any fixed moment would do. */
export const scenarioStart: Instant = instant(Date.UTC(2026, 0, 1));

export interface ScenarioRun {
  readonly scenario: Scenario;
  readonly judge: Judge;
  readonly log: EventLog;
  readonly artifacts: ArtifactStore;
  readonly boards: (seed: number) => Boards;
  /** Instead of the scenario's own numbers. */
  readonly devices?: number | undefined;
  readonly seed?: number | undefined;
  /** Called about once per virtual hour. */
  readonly progress?: (site: VirtualSite, rollouts: readonly RolloutSummary[]) => void;
}

export interface ScenarioResult {
  readonly seed: number;
  readonly devices: number;
  readonly virtualSeconds: number;
  readonly deviceDays: number;
  readonly events: number;
  readonly rollouts: readonly RolloutSummary[];
  readonly log: { readonly events: number; readonly sha256: string };
  readonly expectations: readonly Checked[];
  /** What became of the planned losses of power inside bootloaders, by fault and kind of hardware. */
  readonly cuts: readonly CutTally[];
  /** State of each device in the last rollout that it was a member of, by id. */
  readonly finalStates: ReadonlyMap<DeviceId, string>;
  /** Offers that left, by device and rollout: more than one number for a pair would break I2. */
  readonly site: VirtualSite;
}

/** The fleet and the releases of a scenario, built and signed with the lab key of its seed. */
export function prepare(scenario: Scenario, change: { readonly devices?: number | undefined; readonly seed?: number | undefined }): { fleet: Fleet; releases: ReadonlyMap<string, BuiltRelease> } {
  const seed = change.seed ?? scenario.seed;
  const spec = { ...scenario.fleet, seed, ...(change.devices === undefined ? {} : { devices: change.devices }) };
  const fleet = assembleFleet(spec, labKey(seed));
  const releases = new Map<string, BuiltRelease>();
  for (const release of scenario.releases) {
    const source = release.reversionOf === undefined ? undefined : releases.get(release.reversionOf);
    releases.set(release.version, source === undefined ? build(fleet, release) : reversionRelease(source, release.version, fleet.hardware, fleet.signingKey));
  }
  return { fleet, releases };
}

function build(fleet: Fleet, release: ReleaseSpec): BuiltRelease {
  const kinds = release.hardware === undefined ? fleet.hardware : fleet.hardware.filter((kind) => release.hardware?.includes(kind.name));
  return buildRelease(release, kinds, fleet.signingKey);
}

/** Runs a scenario in virtual time with the real conductor and the real devices. Same seed, same log. */
export async function runScenario(run: ScenarioRun): Promise<ScenarioResult> {
  const { scenario, log, artifacts } = run;
  const { fleet, releases } = prepare(scenario, run);
  const { seed, devices } = fleet.spec;
  const descriptions: DeviceDescription[] = Array.from({ length: devices }, (_, index) => deviceDescription(fleet, index));
  const site = new VirtualSite({ descriptions, boards: run.boards(seed), seed, judge: run.judge, log, artifacts, start: scenarioStart });
  planFaults(site, fleet, { faults: scenario.faults, releases }, scenarioStart);
  const limit = after(scenarioStart, scenario.timeLimit);
  site.run(after(scenarioStart, scenario.warmUp));
  for (const release of releases.values()) {
    for (const artifact of release.artifacts) {
      await artifacts.put(artifact.bytes);
    }
  }
  const ids: RolloutId[] = [];
  const ended = new Map<RolloutId, RolloutSummary>();
  const refusals = new Map<string, string>();
  for (const wanted of scenario.rollouts) {
    site.run(after(site.now, wanted.after));
    registerAll(site, scenario, { fleet, releases });
    const begun = new Set(site.conductor.state.rollouts.keys());
    try {
      const { outcome } = "rollback" in wanted ? goBack(site, scenario, wanted) : begin(site, scenario, wanted, { seed, ids, ended });
      site.carryOut(outcome);
    } catch (error) {
      const version = "rollback" in wanted ? wanted.rollback : wanted.release;
      if (!(error instanceof CoalmineError) || !scenario.expect.some((expected) => expected.rollout === version && (expected.rollback !== undefined) === ("rollback" in wanted) && expected.refused !== undefined)) {
        throw error;
      }
      refusals.set(nameOf(version, "rollback" in wanted), error.message);
      continue;
    }
    // A rollout may bring a rollback with it, which is waited for like itself.
    const fresh = (): RolloutId[] => [...site.conductor.state.rollouts.keys()].filter((id) => !begun.has(id));
    while (site.now < limit && !fresh().every((id) => isOver(site.conductor.rollout(id)))) {
      site.run(after(site.now, Minutes(10)));
      run.progress?.(site, [...ids, ...fresh()].map((known) => summarise(site.conductor.rollout(known))));
    }
    ids.push(...fresh());
  }
  const rollouts = ids.map((id) => ended.get(id) ?? summarise(site.conductor.rollout(id)));
  const virtualSeconds = (site.now - scenarioStart) / 1_000;
  return {
    seed,
    devices,
    virtualSeconds,
    deviceDays: (virtualSeconds / 86_400) * devices,
    events: site.world.events,
    rollouts,
    log: log.digest(),
    cuts: cutsMet(scenario.faults, site.boards),
    expectations: checkExpectations(scenario.expect, rollouts, { ...findings(scenario, site, ids.map((id) => site.conductor.rollout(id))), refusal: (release, rollback) => refusals.get(nameOf(release, rollback !== undefined)) }),
    finalStates: finalStates(descriptions, ids.map((id) => site.conductor.rollout(id))),
    site,
  };
}

const nameOf = (release: string, rollback: boolean): string => (rollback ? `rollback of ${release}` : release);

type Started = { readonly outcome: Outcome };
type Wanted = Extract<RolloutSpec, { readonly release: string }>;
type WantedBack = Extract<RolloutSpec, { readonly rollback: string }>;

/** Makes the scenario's releases known, once. */
function registerAll(site: VirtualSite, scenario: Scenario, made: { readonly fleet: Fleet; readonly releases: ReadonlyMap<string, BuiltRelease> }): void {
  for (const [id, release] of made.releases) {
    if (!site.conductor.state.releases.has(id as never)) {
      const input = { id, artifacts: release.artifacts, ...declarationOf(scenario.releases, id), authority: { by: "scenario", reason: scenario.name } };
      site.carryOut(createRelease(site.conductor, input, inspectRelease(site.conductor, input, [made.fleet.publicKey]), site.now));
      if (scenario.releases.some((one) => one.version === id && one.matrix)) {
        const { target, earlier } = labBuilds(made.fleet, scenario.releases, id);
        const matrix = matrixResult(migrationMatrix({ fleet: made.fleet, target, from: earlier, seed: made.fleet.spec.seed }), target.release);
        site.carryOut(attestRelease(site.conductor, { release: id, matrix, authority: input.authority }, site.now));
      }
    }
  }
}

function begin(site: VirtualSite, scenario: Scenario, wanted: Wanted, run: { readonly seed: number; readonly ids: readonly RolloutId[]; readonly ended: Map<RolloutId, RolloutSummary> }): Started {
  const plan = planFromData(wanted.plan ?? scenario.plan, scenario.name);
  freeMembers(site, run.ids, run.ended);
  return startRollout(site.conductor, { release: wanted.release, plan, seed: run.seed, authority: { by: "scenario", reason: scenario.name } }, site.now);
}

/** Brings back what the last rollout of a release reached. */
function goBack(site: VirtualSite, scenario: Scenario, wanted: WantedBack): Started {
  const of = [...site.conductor.state.rollouts.values()].findLast((rollout) => rollout.release === wanted.rollback && rollout.rollback === null);
  const { to, emergency, includeRefused } = wanted;
  const plan = wanted.plan === undefined ? undefined : planFromData(wanted.plan, scenario.name);
  return startRollback(site.conductor, { rollout: of?.id ?? "none", to, plan, emergency, includeRefused, authority: { by: "scenario", reason: scenario.name } }, site.now);
}

/** What expectations can ask for beyond the rollouts' own numbers; `rollouts` in the order in which they began. */
export function findings(scenario: Pick<Scenario, "faults">, site: { readonly conductor: Conductor; readonly boards: readonly Device[] }, rollouts: readonly Rollout[]): Findings {
  return {
    ...lookAtBoards(site.boards),
    cuts: cutsMet(scenario.faults, site.boards),
    matrix: (release) => site.conductor.state.releases.get(release as never)?.matrix?.ok,
    reasons: (release, rollback) => whichOf(rollouts, release, rollback)?.members.map((member) => member.reason) ?? [],
    ways: (release, rollback) => whichOf(rollouts, release, rollback)?.members.flatMap((member) => (member.offer === 0 ? [] : [member.way])) ?? [],
  };
}

/** Nothing more will come of it by itself: ended, or on hold, and every exposed device has answered one way or the other. */
export function isOver(rollout: Rollout): boolean {
  return rollout.status === "held" || rollout.status === "complete" || ((rollout.status === "halted" || rollout.status === "aborted") && isQuiet(rollout));
}

/** A stopped rollout keeps its members until somebody ends it; the next rollout of a scenario needs them. */
function freeMembers(site: VirtualSite, ids: readonly RolloutId[], ended: Map<RolloutId, RolloutSummary>): void {
  for (const id of ids) {
    const rollout = site.conductor.rollout(id);
    if (isActive(rollout)) {
      ended.set(id, summarise(rollout));
      site.carryOut(site.conductor.order(id, { kind: "abort", authority: { by: "scenario", reason: "the next rollout begins" } }, site.now));
    }
  }
}

/** The state of each device in the last of these rollouts that had it as a member. */
export function finalStates(descriptions: readonly Pick<DeviceDescription, "id">[], rollouts: readonly Rollout[]): Map<DeviceId, string> {
  const states = new Map<DeviceId, string>();
  for (const { id } of descriptions) {
    const last = rollouts.findLast((rollout) => memberOf(rollout, id) !== undefined);
    const member = last === undefined ? undefined : memberOf(last, id);
    states.set(id, last === undefined || member === undefined ? "no member" : `${last.release} ${member.state}`);
  }
  return states;
}
