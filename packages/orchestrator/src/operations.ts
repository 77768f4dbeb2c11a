// SPDX-License-Identifier: Apache-2.0
// What operators do, checked against the state and turned into records. Synchronous: the driver makes them durable.
import {
  type Authority,
  type Baseline,
  CoalmineError,
  type Decision,
  deviceId,
  type Instant,
  type Plan,
  type ReleaseId,
  releaseId,
  type RolloutId,
  rolloutId,
  type Variant,
  variantKey,
} from "@coalmine/core";
import type { PublicKey } from "@coalmine/mcuboot";
import { type Conductor, nextRolloutId, type Outcome } from "./conductor.ts";
import { checkDeclaration, type Declaration, declared } from "./declaration.ts";
import type { ReleaseArtifact, Selector } from "./entry.ts";
import { Hops } from "./hops.ts";
import { inspectArtifact, refuseForFleet } from "./inspection.ts";
import { layoutChanges, markMigration } from "./layout.ts";
import { checkMatrix, matrixGap, type MatrixResult } from "./matrix.ts";
import { planRollback, type RollbackInput, type RollbackPlan, rollbackStarted, wayBackOf } from "./rollback.ts";
import { lastWayBackWarning } from "./way-back.ts";
import { freeze, type Membership, type ReleaseRecord } from "./membership.ts";

/** A file offered for one variant. */
export interface ArtifactInput {
  readonly variant: Variant;
  readonly bytes: Uint8Array;
  /** An MCUboot image, whose signature is checked here; or, when the operator says so, a SWUpdate archive, which its client checks. */
  readonly format?: "mcuboot" | "swu" | undefined;
}

/** Throws `audit/...` unless it says who asks, in a reasonable length. */
export function checkAuthority(authority: Authority, what: string): void {
  if (authority.by.trim() === "" || authority.by.length > 64) {
    throw new CoalmineError("audit/who", `${what} needs the name of the person or job that asks for it (1 to 64 characters)`);
  }
  if (authority.reason.length > 500) {
    throw new CoalmineError("audit/why", `${what}: the reason is longer than 500 characters`);
  }
}

const label = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,31}$/;

export function tagDevice(conductor: Conductor, input: { device: string; add: readonly string[]; remove: readonly string[]; authority: Authority }, at: Instant): Outcome {
  checkAuthority(input.authority, "tagging a device");
  const device = deviceId(input.device);
  const known = conductor.state.devices.get(device);
  if (known === undefined) {
    throw new CoalmineError("device/unknown", `no device ${device} has reported yet`);
  }
  for (const tag of [...input.add, ...input.remove]) {
    if (!label.test(tag)) {
      throw new CoalmineError("device/tag", `tag ${JSON.stringify(tag)} is not 1 to 32 of A-Z a-z 0-9 . _ : -`);
    }
  }
  if (new Set([...known.tags, ...input.add]).size > 32) {
    throw new CoalmineError("device/tags", `device ${device} would have more than 32 tags`);
  }
  return conductor.change({ type: "device-tagged", device, add: input.add, remove: input.remove, authority: input.authority }, at);
}

export function createCohort(conductor: Conductor, input: { name: string; selector: Selector; authority: Authority }, at: Instant): Outcome {
  checkAuthority(input.authority, "creating a cohort");
  if (!label.test(input.name)) {
    throw new CoalmineError("cohort/name", `cohort name ${JSON.stringify(input.name)} is not 1 to 32 of A-Z a-z 0-9 . _ : -`);
  }
  if (conductor.state.cohorts.has(input.name)) {
    throw new CoalmineError("cohort/exists", `cohort ${input.name} exists; cohorts do not change, choose another name`);
  }
  for (const id of input.selector.ids ?? []) {
    deviceId(id);
  }
  return conductor.change({ type: "cohort-created", name: input.name, selector: input.selector, authority: input.authority }, at);
}

export interface ReleaseInput extends Declaration {
  readonly id: string;
  readonly artifacts: readonly ArtifactInput[];
  readonly notes?: string | undefined;
  /** Allows a migration that changes more than one thing at once (R42); the reason is recorded. */
  readonly override?: boolean | undefined;
  readonly authority: Authority;
}

/** Checks the artifacts of a new release, by themselves and against the fleet (R13). The caller stores their bytes before it records the release. */
export function inspectRelease(conductor: Conductor, input: ReleaseInput, keys: readonly PublicKey[]): ReleaseArtifact[] {
  checkAuthority(input.authority, "creating a release");
  const id = releaseId(input.id);
  if (conductor.state.releases.has(id)) {
    throw new CoalmineError("release/exists", `release ${id} exists; releases do not change, choose another id`);
  }
  if (input.artifacts.length === 0) {
    throw new CoalmineError("release/empty", `release ${id} has no artifact`);
  }
  const artifacts = input.artifacts.map((artifact) => inspectArtifact(artifact, keys));
  const variants = new Set(artifacts.map((artifact) => variantKey(artifact.variant)));
  if (variants.size < artifacts.length) {
    throw new CoalmineError("release/variant-twice", `release ${id} has two artifacts for one variant`);
  }
  const versions = new Set(artifacts.map((artifact) => artifact.version));
  if (versions.size > 1) {
    throw new CoalmineError("release/versions", `release ${id} mixes versions ${[...versions].join(" and ")}`);
  }
  checkDeclaration(input, artifacts[0]?.version ?? "");
  for (const artifact of artifacts) {
    refuseForFleet(artifact, conductor.state.devices.values());
  }
  migrationOf(conductor, input, artifacts);
  return artifacts;
}

/** Whether it is a migration, by what it says and by what it changes. Throws `release/...` for one that must not be. */
function migrationOf(conductor: Conductor, input: ReleaseInput, artifacts: readonly ReleaseArtifact[]): boolean {
  if (input.override === true && input.authority.reason.trim() === "") {
    throw new CoalmineError("audit/why", "an override needs a reason: it goes into the audit log");
  }
  const subject = { id: input.id, version: artifacts[0]?.version ?? "", artifacts, storage: input.storage ?? null };
  return markMigration(subject, { devices: conductor.state.devices.values(), releases: conductor.state.releases.values() }, input);
}

export function createRelease(conductor: Conductor, input: ReleaseInput, artifacts: readonly ReleaseArtifact[], at: Instant): Outcome {
  const [first] = artifacts;
  if (first === undefined) {
    throw new CoalmineError("release/empty", `release ${input.id} has no artifact`);
  }
  return conductor.change(
    {
      type: "release-created",
      release: releaseId(input.id),
      version: first.version,
      artifacts,
      notes: input.notes ?? "",
      ...declared(migrationOf(conductor, input, artifacts) ? { ...input, migration: true } : input),
      authority: input.authority,
    },
    at,
  );
}

/** Records the result of a release's migration matrix. */
export function attestRelease(conductor: Conductor, input: { readonly release: string; readonly matrix: MatrixResult; readonly authority: Authority }, at: Instant): Outcome {
  checkAuthority(input.authority, "recording a migration matrix");
  const release = releaseOf(conductor, input.release);
  checkMatrix(release, input.matrix);
  return conductor.change({ type: "release-attested", release: release.id as ReleaseId, matrix: input.matrix, authority: input.authority }, at);
}

export interface RolloutInput {
  readonly id?: string | undefined;
  readonly release: string;
  /** A saved cohort, or a selector; neither means every device. */
  readonly cohort?: string | undefined;
  readonly selector?: Selector | undefined;
  readonly plan: Plan;
  readonly seed: number;
  /** What the fleet did before, measured elsewhere; else its own history is asked. A rehearsal's twin has none. */
  readonly baseline?: Baseline | undefined;
  /** A rollout that ends before this one starts: its devices are free. */
  readonly replaces?: RolloutId | undefined;
  /** Lifts a bar on the release, by name and reason. */
  readonly override?: boolean | undefined;
  readonly authority: Authority;
}

export function releaseOf(conductor: Conductor, id: string): ReleaseRecord {
  const release = conductor.state.releases.get(id as ReleaseId);
  if (release === undefined) {
    throw new CoalmineError("release/unknown", `there is no release ${id}; known: ${[...conductor.state.releases.keys()].join(", ") || "none"}`);
  }
  return release;
}

export function selectorOf(conductor: Conductor, input: Pick<RolloutInput, "cohort" | "selector">): Selector {
  if (input.cohort === undefined) {
    return input.selector ?? {};
  }
  const selector = conductor.state.cohorts.get(input.cohort);
  if (selector === undefined) {
    throw new CoalmineError("cohort/unknown", `there is no cohort ${input.cohort}; known: ${[...conductor.state.cohorts.keys()].join(", ") || "none"}`);
  }
  return selector;
}

/** Who would take part and in which stage: `rollout plan`. Changes nothing. */
export function planRollout(conductor: Conductor, input: RolloutInput, at: Instant): Membership {
  const release = releaseOf(conductor, input.release);
  const hops = new Hops(conductor.state.releases.values());
  const membership = freeze({
    devices: conductor.state.devices,
    selector: selectorOf(conductor, input),
    release,
    plan: input.plan,
    seed: input.seed,
    rollouts: [...conductor.state.rollouts.values()].filter((rollout) => rollout.id !== input.replaces),
    refusal: (device) => hops.refusal(release, device),
    baseline: input.baseline,
    at,
  });
  const devices = membership.members.flatMap((member) => conductor.state.devices.get(member.device) ?? []);
  return { ...membership, warnings: [...membership.warnings, ...lastWayBackWarning(devices, conductor.state.releases.values())] };
}

/** Starts a rollout: membership is frozen, and the first stage opens. */
export function startRollout(conductor: Conductor, input: RolloutInput, at: Instant): { readonly id: RolloutId; readonly membership: Membership; readonly outcome: Outcome } {
  checkAuthority(input.authority, "starting a rollout");
  const release = releaseOf(conductor, input.release);
  refuseBarred(release, input.override);
  const id = newRolloutId(conductor, input.id);
  const membership = planRollout(conductor, input, at);
  refuseUnproven(conductor, release, input);
  const wayBack = wayBackOf(conductor.state, input.plan, release, membership.members);
  const decision: Extract<Decision, { type: "rollout-started" }> = {
    type: "rollout-started",
    rollout: id,
    release: release.id as ReleaseId,
    plan: input.plan,
    seed: input.seed,
    offerBase: conductor.state.nextOfferBase,
    members: membership.members,
    ...(membership.excluded.length === 0 ? {} : { excluded: membership.excluded }),
    representative: membership.representativeness.verdict,
    ...(membership.baseline === undefined ? {} : { baseline: membership.baseline }),
    ...(wayBack === undefined ? {} : { wayBack }),
    authority: input.authority,
  };
  return { id, membership, outcome: startUnbarred(conductor, release, decision, at) };
}

/** Lifts the bar that an override was given for, then starts. */
function startUnbarred(conductor: Conductor, release: ReleaseRecord, decision: Extract<Decision, { type: "rollout-started" }>, at: Instant): Outcome {
  const unbar =
    release.barred === null
      ? { entries: [], effects: [] }
      : conductor.change({ type: "release-unbarred", release: release.id as ReleaseId, authority: decision.authority }, at);
  const started = conductor.start(decision, at);
  return { entries: [...unbar.entries, ...started.entries], effects: started.effects };
}

export interface RollbackStart extends RollbackInput {
  readonly id?: string | undefined;
  /** Lifts a bar on the release that is gone back to, by name and reason. */
  readonly override?: boolean | undefined;
  readonly authority: Authority;
}

/** Starts a rollback: the rollout it leaves ends and its exposed members go over, in one entry of the log (R3, R33). */
export function startRollback(conductor: Conductor, input: RollbackStart, at: Instant): { readonly id: RolloutId; readonly planned: RollbackPlan; readonly outcome: Outcome } {
  checkAuthority(input.authority, "starting a rollback");
  const { state } = conductor;
  const id = newRolloutId(conductor, input.id);
  const planned = planRollback(state, input, at);
  const release = releaseOf(conductor, planned.to);
  refuseBarred(release, input.override);
  const decision = rollbackStarted(planned, { rollout: id, offerBase: state.nextOfferBase, authority: input.authority });
  return { id, planned, outcome: startUnbarred(conductor, release, decision, at) };
}

/** What a migration must not do: pass for none, or reach everybody in its only stage without a green matrix (R42). */
export function refuseUnproven(conductor: Conductor, release: ReleaseRecord, { plan, override }: RolloutInput): void {
  if (override === true) {
    return;
  }
  const { devices, releases } = conductor.state;
  const schema = release.migration ? undefined : layoutChanges(release, { devices: devices.values(), releases: releases.values() }).find(({ kind }) => kind === "storage-schema");
  if (schema !== undefined) {
    throw new CoalmineError("release/migration", `release ${release.id} was not registered as a migration, and ${schema.what} on this fleet: register it again with migration: true, or start with an override and a reason`);
  }
  const gap = plan.stages.length > 1 ? undefined : matrixGap(release, { members: [] }, devices);
  if (gap !== undefined) {
    throw new CoalmineError("release/unattested", `${gap}; or give the plan a canary stage before the others, or start with an override and a reason`);
  }
}

/** Throws `release/barred` or `release/archived`. */
export function refuseBarred(release: ReleaseRecord, override: boolean | undefined): void {
  if (release.archived !== null) {
    throw new CoalmineError("release/archived", `release ${release.id} is archived: its files are not at hand; restore it first (release restore ${release.id})`);
  }
  if (release.barred !== null && override !== true) {
    throw new CoalmineError("release/barred", `release ${release.id} is barred: ${release.barred}; start with an override and a reason to lift it`);
  }
}

function newRolloutId(conductor: Conductor, wanted: string | undefined): RolloutId {
  const id = rolloutId(wanted ?? nextRolloutId(conductor.state));
  if (conductor.state.rollouts.has(id)) {
    throw new CoalmineError("rollout/exists", `rollout ${id} exists; choose another id`);
  }
  return id;
}
