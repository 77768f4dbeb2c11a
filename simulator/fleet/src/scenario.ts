// SPDX-License-Identifier: Apache-2.0
// A scenario is an incident as data (R49): a fleet, releases with defects, rollouts, faults, and what must come of it.
import { CoalmineError, Days, Hours, Milliseconds, Seconds } from "@coalmine/core";
import { z } from "zod";
import { defect } from "./defect-file.ts";
import { bytes, checkShape, duration, label, readDocument, seedNumber, share, span, versionText } from "./document.ts";
import { type FleetSpec, fleetFromData } from "./fleet-file.ts";
import { storageDeclared, storageShape } from "./storage-file.ts";

/** Which devices a fault hits; every part given must match, nothing given means all. */
export const deviceSelector = z.strictObject({
  ids: z.array(z.string()).min(1).optional(),
  boards: z.array(z.string()).min(1).optional(),
  revisions: z.array(z.string()).min(1).optional(),
  hardware: z.array(z.string()).min(1).optional(),
  connectivity: z.array(z.string()).min(1).optional(),
  power: z.array(z.string()).min(1).optional(),
  site: z.array(z.string()).min(1).optional(),
  tags: z.array(z.string()).min(1).optional(),
  fromVersions: z.array(versionText).min(1).optional(),
  /** Share of those that match otherwise, drawn by name. */
  share: share.optional(),
  /** At most so many of those that match otherwise, in the order of a draw by name. */
  count: z.int().min(1).optional(),
});

const devices = z.union([z.literal("all"), deviceSelector], { error: 'must be "all" or a selector such as {connectivity: [lte]}' }).default("all");

/** When a fault begins: time since the start of the scenario, the warm-up included. */
const at = duration;

/** A loss of power at a time, or inside a run of the bootloader. */
const powerCut = z
  .strictObject({
    kind: z.literal("power-cut"),
    at: at.optional(),
    /** Instead of a time: the run of the bootloader that installs an image, or the one that undoes it. */
    when: z.enum(["applying", "reverting"], "must be applying or reverting").optional(),
    /** Version of the release whose swap or revert is meant; any when left out. */
    release: versionText.optional(),
    devices,
    off: duration.default(Seconds(10)),
    /** Before this flash operation; `each`: the k-th of these devices of its hardware kind before operation k. */
    operation: z.union([z.int().min(1), z.literal("random"), z.literal("each")], 'must be a number from 1, "random" or "each"').optional(),
  })
  .refine((cut) => (cut.at === undefined) !== (cut.when === undefined), { message: "needs either at (a time) or when (applying or reverting)", path: ["at"] })
  .refine((cut) => cut.when === undefined || cut.operation !== undefined, { message: "must say at which operation of that boot: a number, random or each", path: ["operation"] })
  .refine((cut) => cut.when !== undefined || cut.operation !== "each", { message: "each operation of which boot? say when: applying or when: reverting", path: ["operation"] })
  .refine((cut) => cut.when !== undefined || cut.release === undefined, { message: "a release goes with when: applying or when: reverting", path: ["release"] });

const fault = z.discriminatedUnion(
  "kind",
  [
    powerCut,
    z.strictObject({ kind: z.literal("partition"), at, for: span, devices, direction: z.enum(["both", "up", "down"]).default("both") }),
    /** Worse connections for a time. */
    z.strictObject({ kind: z.literal("link"), at, for: span, devices, loss: share.optional(), latency: duration.optional() }),
    z.strictObject({ kind: z.literal("duplicate"), at, for: span, devices, share }),
    z.strictObject({ kind: z.literal("late"), at, for: span, devices, share, by: span }),
    /** Each of these devices crashes once, whatever it runs, at moments drawn within `over`: a poisoned message, a bad day of the server. */
    z.strictObject({ kind: z.literal("crash"), at, devices, over: duration.default(Milliseconds(0)) }),
    /** The orchestrator is killed and comes back `off` later with nothing but its log. */
    z.strictObject({ kind: z.literal("orchestrator-kill"), at, off: duration.default(Milliseconds(0)) }),
  ],
  { error: "kind must be one of power-cut, partition, link, duplicate, late, crash, orchestrator-kill" },
);

const release = z.strictObject({
  version: versionText,
  /** Payload bytes. */
  size: bytes.refine((size) => size >= 1024, "must be at least 1KiB").default(48 * 1024),
  defects: z.array(defect).max(16).default([]),
  storageSchema: z.int().min(0).max(65_535).default(1),
  /** How it keeps its settings and takes over older ones; declared to the orchestrator when given. */
  storage: storageShape.optional(),
  /** Versions it may be installed over, and the one that others go through first. */
  from: z.array(z.strictObject({ min: versionText.optional(), max: versionText.optional() })).min(1).max(32).optional(),
  hop: versionText.optional(),
  /** False: it denies being a migration. True: it is one whatever it changes. */
  migration: z.boolean().optional(),
  /** Its migration matrix runs before the first rollout, and is recorded with it. */
  matrix: z.boolean().default(false),
  /** Hardware kinds it is built for; all when left out. */
  hardware: z.array(label).min(1).optional(),
  /** The payload of another release of the scenario, under this version and signed again (R34). */
  reversionOf: versionText.optional(),
});

const plan = z.record(z.string(), z.unknown());

/** Brings the devices that the last rollout of a release reached back. */
const rollback = z.strictObject({
  rollback: versionText,
  /** Version to go back to; without it the one that most of them ran before. */
  to: versionText.optional(),
  /** Instead of the one that the orchestrator makes of the rollout's own. */
  plan: plan.optional(),
  emergency: z.boolean().default(false),
  /** Also devices whose bootloader is predicted to refuse. */
  includeRefused: z.boolean().default(false),
  after: duration.default(Milliseconds(0)),
});

const rollout = z.strictObject({
  release: versionText,
  /** Instead of the scenario's plan. */
  plan: plan.optional(),
  /** Wait after the previous rollout ended, or after the start for the first. */
  after: duration.default(Milliseconds(0)),
});

const range = z.union(
  [
    z.int().min(0).transform((n) => ({ min: n, max: n })),
    z
      .strictObject({ min: z.int().min(0).default(0), max: z.int().min(0).default(Number.MAX_SAFE_INTEGER) })
      .refine((bounds) => bounds.min <= bounds.max, "min must not be above max"),
  ],
  { error: "must be a number of devices, or {min, max}" },
);

const states = [
  "planned", "offered", "downloading", "downloaded", "applying", "testing", "confirmed", "soaking", "healthy",
  "deferred", "failed", "reverted", "refused", "missing", "excused", "quarantined", "rolled_back",
] as const;

const expectation = z.strictObject({
  /** What is expected, in words; a line of the result table. */
  name: z.string().min(1).max(200).optional(),
  /** Version of the release whose rollout this is about. */
  rollout: versionText,
  /** It is about the rollback of that rollout: the last one, or the last one to this version. */
  rollback: z.union([z.literal(true), versionText], { error: "must be true, or the version that is gone back to" }).optional(),
  outcome: z.enum(["complete", "halted", "held", "rolled_back", "aborted"]).optional(),
  verdict: z.enum(["pass", "fail", "inconclusive"]).optional(),
  /** Devices that ever began the update, at most. */
  exposedMax: z.int().min(0).optional(),
  /** Devices that were ever offered it, at most. */
  offeredMax: z.int().min(0).optional(),
  /** Assignments by state at the end. */
  states: z.partialRecord(z.enum(states, `must be one of ${states.join(", ")}`), range).optional(),
  /** The metric that stopped it. */
  haltedBy: z.string().min(1).max(64).optional(),
  /** It ended within this time of its start. */
  within: span.optional(),
  /** It lasted at least this long. */
  notBefore: span.optional(),
  /** It never started: the orchestrator refused it, with a message that contains this text. */
  refused: z.string().min(1).max(200).optional(),
  /** Assignments whose reason contains the text. */
  reasons: z.record(z.string().min(1).max(200), range).optional(),
  /** What it still waits for, or holds for, contains this text. */
  missing: z.string().min(1).max(200).optional(),
  /** What the recorded migration matrix of the release says. */
  matrix: z.enum(["green", "red"]).optional(),
  /** Devices that can no longer speak at the end: their identity or their credentials are gone. */
  mute: range.optional(),
  /** Devices that run this version at the end of the scenario. */
  runs: z.record(versionText, range).optional(),
  /** Devices whose other slot holds this version at the end. */
  keeps: z.record(versionText, range).optional(),
  /** What a rollback predicted before its start: devices by class. */
  predicted: z.partialRecord(z.enum(["swap-back", "download", "undecided", "unreachable", "refused", "schema", "unfit", "elsewhere", "back"]), range).optional(),
  /** How a rollback's offers went out: devices by the way of the newest. */
  ways: z.partialRecord(z.enum(["swap-back", "download"]), range).optional(),
  /** Devices on which nothing runs at the end: the bootloader found nothing to start, or the board is dead. */
  stopped: range.optional(),
  /** Every `operation: each` of the scenario has met every flash operation of its boot, on every kind of hardware it is about. */
  everyOperationCut: z.literal(true).optional(),
});

/** The shape of a scenario document; `simulator/scenarios/README.md` describes it. */
const scenarioShape = z.strictObject({
  name: label,
  description: z.string().max(2_000).default(""),
  seed: seedNumber.default(1),
  /** A fleet, or the name of a fleet file next to the scenario. */
  fleet: z.union([z.string().min(1).max(256), z.record(z.string(), z.unknown())], { error: "must be a fleet, or the name of a fleet file" }),
  releases: z.array(release).min(1, "needs at least one release").max(16),
  plan: z.record(z.string(), z.unknown(), { error: "must be a plan; `gates: default` is the least it says" }),
  rollouts: z.array(z.union([rollout, rollback])).min(1).max(16).optional(),
  faults: z.array(fault).max(256).default([]),
  expect: z.array(expectation).min(1, "a scenario without expectations shows nothing").max(64),
  /** Virtual time after which the scenario is over, whatever has happened. */
  timeLimit: span.default(Days(14)),
  /** Devices run this long before the first rollout, so that the orchestrator knows them. */
  warmUp: duration.default(Hours(1)),
});

type Shape = z.output<typeof scenarioShape>;
export type DeviceSelector = z.output<typeof deviceSelector>;
export type Fault = Shape["faults"][number];
export type ReleaseSpec = Shape["releases"][number];
export type Expectation = Shape["expect"][number];
export type RolloutSpec = NonNullable<Shape["rollouts"]>[number];

/** A scenario with all defaults filled in. Plain data; the plans are left to the orchestrator's parser. */
export interface Scenario extends Omit<Shape, "fleet" | "rollouts"> {
  readonly fleet: FleetSpec;
  readonly rollouts: readonly RolloutSpec[];
}

export interface ScenarioOptions {
  readonly source?: string;
  /** Returns the text of a fleet file that the scenario names. */
  readonly readFleet?: (name: string) => string;
}

/** What a release of a scenario declares to the orchestrator. A payload under another version declares what it always did. */
export function declarationOf(releases: readonly ReleaseSpec[], version: string) {
  const spec = releases.find((one) => one.version === version);
  const { storage, storageSchema = 1, from, hop, migration } = releases.find((one) => one.version === spec?.reversionOf) ?? spec ?? {};
  return {
    ...(storage === undefined ? {} : { storage: storageDeclared(storage, storageSchema) }),
    ...(from === undefined ? {} : { from }),
    ...(hop === undefined ? {} : { hop }),
    ...(migration === undefined ? {} : { migration }),
  };
}

/** One release as a scenario writes it, from data that is already read. Throws `scenario/release`, naming the field. */
export function releaseFromData(data: unknown, source = "release"): ReleaseSpec {
  return checkShape(release as z.ZodType<ReleaseSpec>, data, { code: "scenario/release", source });
}

/** Reads a scenario. Throws `yaml/...`, `scenario/...` or `fleet/...`, naming the field and what is allowed. */
export function parseScenario(text: string, options: ScenarioOptions = {}): Scenario {
  const source = options.source ?? "scenario";
  const shape = checkShape(scenarioShape as z.ZodType<Shape>, readDocument(text, source), { code: "scenario/shape", source });
  const fail = (code: string, message: string): never => {
    throw new CoalmineError(`scenario/${code}`, `${source}: ${message}`);
  };
  const { fleet, seed } = shape;
  const fleetData = typeof fleet === "string" ? undefined : { seed, ...fleet };
  const spec =
    fleetData === undefined
      ? readFleetFile(fleet as string, source, options)
      : fleetFromData(fleetData, `${source}: fleet`);
  const versions = shape.releases.map((entry) => entry.version);
  const twice = versions.find((version, index) => versions.indexOf(version) !== index);
  if (twice !== undefined) {
    fail("release-twice", `releases: version ${twice} stands twice`);
  }
  const kinds = new Set(spec.hardware.map((kind) => kind.name));
  for (const [index, entry] of shape.releases.entries()) {
    const unknown = entry.hardware?.find((name) => !kinds.has(name));
    if (unknown !== undefined) {
      fail("hardware", `releases.${index}.hardware: the fleet has no kind ${JSON.stringify(unknown)}; it has ${[...kinds].join(", ")}`);
    }
  }
  for (const [index, { reversionOf }] of shape.releases.entries()) {
    if (reversionOf !== undefined && !versions.slice(0, index).includes(reversionOf)) {
      fail("release", `releases.${index}.reversionOf: there is no release ${reversionOf} before it; there are ${versions.slice(0, index).join(", ") || "none"}`);
    }
  }
  const rollouts: readonly RolloutSpec[] = shape.rollouts ?? versions.map((version) => ({ release: version, after: Milliseconds(0) }));
  for (const [index, entry] of rollouts.entries()) {
    const named = "rollback" in entry ? [["rollback", entry.rollback] as const, ["to", entry.to] as const] : [["release", entry.release] as const];
    for (const [field, version] of named) {
      if (version !== undefined && !versions.includes(version)) {
        fail("release", `rollouts.${index}.${field}: there is no release ${version}; there are ${versions.join(", ")}`);
      }
    }
    if ("rollback" in entry && !rollouts.slice(0, index).some((earlier) => "release" in earlier && earlier.release === entry.rollback)) {
      fail("rollback", `rollouts.${index}.rollback: no rollout of ${entry.rollback} comes before it`);
    }
  }
  for (const [index, entry] of shape.faults.entries()) {
    if (entry.kind === "power-cut" && entry.release !== undefined && !versions.includes(entry.release)) {
      fail("fault", `faults.${index}.release: there is no release ${entry.release}; there are ${versions.join(", ")}`);
    }
  }
  for (const [index, entry] of shape.expect.entries()) {
    const started = rollouts.flatMap((candidate) => ("release" in candidate ? [candidate.release] : []));
    if (!started.includes(entry.rollout)) {
      fail("expectation", `expect.${index}.rollout: no rollout of ${entry.rollout}; there are ${started.join(", ")}`);
    }
  }
  return { ...shape, fleet: spec, rollouts };
}

function readFleetFile(name: string, source: string, options: ScenarioOptions): FleetSpec {
  if (options.readFleet === undefined) {
    throw new CoalmineError("scenario/fleet-file", `${source}: fleet: this caller cannot read fleet file ${JSON.stringify(name)}; write the fleet into the scenario`);
  }
  return fleetFromData(readDocument(options.readFleet(name), name), name);
}
