// SPDX-License-Identifier: Apache-2.0
import {
  type Baseline,
  CoalmineError,
  type DeviceId,
  type Digest,
  fits,
  type Instant,
  isActive,
  type Member,
  memberOf,
  type Plan,
  type Rollout,
  stageCounts,
} from "@coalmine/core";
import { allocate, drawStratified, hashOrder, type Representativeness, representativeness } from "@coalmine/evidence";
import type { Hardware } from "@coalmine/protocol";
import { abilitiesOf, type DoorEvidence, evidenceByDoor, tellingWarnings } from "./abilities.ts";
import { mayComeFrom, rangesText, readsSchema, schemaText, type StorageSchema, type VersionRange } from "./declaration.ts";
import type { ReleaseArtifact, Selector } from "./entry.ts";
import type { MatrixResult } from "./matrix.ts";
import { comparedMetrics } from "./gate-specs.ts";
import { baselineOf, usualOf } from "./history.ts";
import { type DeviceRecord, dimension, isLab, reports } from "./inventory.ts";
import { resolve } from "./selector.ts";
import { downgradeVerdict, roomMax } from "./slots.ts";
import { orderOf } from "./versions.ts";

export interface ReleaseRecord {
  readonly id: string;
  readonly version: string;
  readonly artifacts: readonly ReleaseArtifact[];
  readonly notes: string;
  /** Stored data it reads and writes; null when it has not said. */
  readonly storage: StorageSchema | null;
  /** It changes the data layout. */
  readonly migration: boolean;
  /** Versions it may be installed over; empty means any. */
  readonly from: readonly VersionRange[];
  /** Version that devices outside `from` go through first. */
  readonly hop: string | null;
  /** ELF files by build id, as artifacts: names for the addresses of crashes. */
  readonly symbols: Record<string, { readonly digest: Digest; readonly size: number; readonly imageHashes?: readonly string[] | undefined }>;
  /** What its migration was tested with, and by whom; null without. */
  matrix: (MatrixResult & { readonly by: string }) | null;
  /** Why it is barred; null when it may be offered. */
  barred: string | null;
  /** When its files went into the archive; null while they are in the artifact store. */
  archived: { readonly at: Instant; readonly files: number; readonly bytes: number } | null;
  /** Grows with every entry of the log that changes it: what an order was given on (ETag). */
  revision: number;
}

export interface Excluded {
  readonly device: DeviceId;
  readonly reason: string;
}

/** What starting a rollout would do, before it does. */
export interface Membership {
  readonly members: readonly Member[];
  readonly excluded: readonly Excluded[];
  readonly stages: readonly { readonly name: string; readonly size: number }[];
  readonly representativeness: Representativeness;
  /** What the population did before; undefined when it has too little history. */
  readonly baseline: Baseline | undefined;
  /** What devices of each door can tell: of all, and of the canary. */
  readonly evidence: { readonly all: readonly DoorEvidence[]; readonly canary: readonly DoorEvidence[] };
  readonly warnings: readonly string[];
}

/** The artifact of a release that fits a device, or undefined: unknown hardware never fits (I6). */
export function artifactFor(release: ReleaseRecord, device: DeviceRecord): ReleaseArtifact | undefined {
  const { hardware } = device;
  return hardware === null ? undefined : release.artifacts.find((artifact) => fits(artifact.variant, hardware));
}

/** The device's cell of the declared dimensions. */
export function stratumOf(plan: Plan, device: DeviceRecord): string {
  return plan.strata.map((name) => dimension(device, name)).join("|") || "all";
}

/**
 * Freezes who takes part and in which stage (R2, R4, R5). Same inventory, release and seed: same answer.
 * Throws `rollout/...` for an overlap (R3), an empty population (R7) or a canary that represents nobody (R6).
 */
export function freeze(options: {
  readonly devices: ReadonlyMap<DeviceId, DeviceRecord>;
  readonly selector: Selector;
  readonly release: ReleaseRecord;
  readonly plan: Plan;
  readonly seed: number;
  readonly rollouts: Iterable<Rollout>;
  /** Why a device cannot take the release; a caller that knows other releases may name the one to go through first. */
  readonly refusal?: ((device: DeviceRecord) => Refusal | undefined) | undefined;
  /** Measured elsewhere; else from the histories of the population. */
  readonly baseline?: Baseline | undefined;
  /** What is usual for a device is what it did until then. */
  readonly at: Instant;
}): Membership {
  const { devices, plan, release } = options;
  const { refusal: refuse = (device) => refusalOf(release, device) } = options;
  const chosen = resolve(options.selector, devices.values());
  const excluded: Excluded[] = [];
  const population: DeviceRecord[] = [];
  for (const id of chosen) {
    const device = devices.get(id) as DeviceRecord;
    const refusal = refuse(device);
    if (refusal === undefined) {
      population.push(device);
    } else {
      excluded.push({ device: id, reason: refusal.reason });
    }
  }
  refuseOverlap(population, options.rollouts);
  if (population.length === 0) {
    const why = excluded[0] === undefined ? "the selector matches no device" : `${excluded.length} devices excluded, the first because ${excluded[0].reason}`;
    throw new CoalmineError("rollout/empty", `no device can take release ${release.id}: ${why}`);
  }
  const counts = stageCounts(plan, population.length);
  const seed = `${release.id}:${options.seed}`;
  const stratum = new Map(population.map((device) => [device.id as string, stratumOf(plan, device)]));
  const canary = chooseCanary(plan, population, stratum, counts[0] as number, seed);
  const canarySet = new Set<string>(canary);
  const rest = hashOrder(seed, population.map((device) => device.id).filter((id) => !canarySet.has(id)));
  const order = [...canary, ...rest] as DeviceId[];
  const placed = place(plan, order.map((id) => devices.get(id) as DeviceRecord), counts, options.at);
  return { ...placed, baseline: options.baseline ?? placed.baseline, excluded };
}

/** Puts devices into the stages of a plan in the order given: those of the first stage come first. `counts`: devices per stage. */
export function place(plan: Plan, order: readonly DeviceRecord[], counts: readonly number[], at: Instant): Omit<Membership, "excluded"> {
  const stratum = new Map(order.map((device) => [device.id as string, stratumOf(plan, device)]));
  const controls = drawControls(order.map((device) => device.id), counts, stratum);
  const members: Member[] = [];
  const compared = comparedMetrics(plan).filter((name) => haveHistory(order, name, at));
  for (const [stage, count] of counts.entries()) {
    for (const device of order.slice(members.length, members.length + count)) {
      members.push({
        device: device.id,
        stage,
        stratum: stratum.get(device.id) as string,
        hardware: dimension(device, "hardware"),
        connectivity: dimension(device, "connectivity"),
        control: controls.get(device.id) ?? null,
        heardAt: device.lastSeen,
        interval: device.interval,
        ...usualFor(device, compared, at),
        ...(abilitiesOf(device).crashes ? {} : { mute: true as const }),
      });
    }
  }
  const canary = order.slice(0, counts[0] ?? 0);
  const strata = (of: readonly DeviceRecord[]): Record<string, number> => countBy(of.map((device) => stratum.get(device.id) as string));
  const report = representativeness(strata(order), strata(canary));
  return {
    members,
    stages: plan.stages.map((stage, index) => ({ name: stage.name, size: counts[index] as number })),
    representativeness: report,
    baseline: baselineOf(order.map((device) => device.history)),
    evidence: { all: evidenceByDoor(order), canary: evidenceByDoor(canary) },
    warnings: [...cover(plan, report, canary, order), ...tellingWarnings(plan, canary)],
  };
}

/** Share of the devices that report a metric that must have a history of it, or all are compared without. */
const historyShareMin = 0.8;

function haveHistory(population: readonly DeviceRecord[], name: string, at: Instant): boolean {
  const reporting = population.filter((device) => reports(device, name));
  const known = reporting.filter((device) => usualOf(device.history, name, at) !== undefined).length;
  return known > 0 && known >= historyShareMin * reporting.length;
}

/** What is usual for a device of the metrics that a plan compares, if anything is known of it. */
function usualFor(device: DeviceRecord, metrics: readonly string[], at: Instant): Pick<Member, "usual"> {
  const known = metrics.flatMap((name): [string, number][] => {
    const value = usualOf(device.history, name, at);
    return value === undefined ? [] : [[name, value]];
  });
  return known.length === 0 ? {} : { usual: Object.fromEntries(known) };
}

/** Why a device cannot take a release: what about it, for programs, and in words. */
export interface Refusal {
  readonly code: "hardware" | "variant" | "partition-map" | "room" | "running" | "sample-key" | "bootloader" | "schema" | "from" | "quarantined";
  readonly reason: string;
}

/** Why a device cannot take a release, in words; undefined when it can. */
export function unfit(release: ReleaseRecord, device: DeviceRecord): string | undefined {
  return refusalOf(release, device)?.reason;
}

/** Why a device cannot take a release; undefined when it can. */
export function refusalOf(release: ReleaseRecord, device: DeviceRecord): Refusal | undefined {
  const artifact = artifactFor(release, device);
  const { hardware, running } = device;
  if (hardware === null) {
    return { code: "hardware", reason: "it has not said what hardware it is" };
  }
  if (artifact === undefined) {
    return noArtifact(release, hardware);
  }
  const { mode, slotSize } = hardware;
  const room = roomMax(hardware);
  if (artifact.size > room) {
    return { code: "room", reason: `the artifact of ${artifact.size} bytes leaves no room for the ${mode} trailer: its slot of ${slotSize} takes at most ${room}` };
  }
  if (artifact.format === "swu" && device.door !== "ddi") {
    return { code: "variant", reason: `its artifact is a SWUpdate archive, which only clients of the DDI door install, and it came by ${device.door}` };
  }
  if (running?.imageHash === artifact.imageHash || (running?.version === artifact.version && abilitiesOf(device).image === "version")) {
    return { code: "running", reason: `it already runs ${release.version}` };
  }
  if (artifact.sampleKey !== undefined && !isLab(device)) {
    return { code: "sample-key", reason: `it is no lab device, and release ${release.id} is signed with MCUboot's published sample key ${artifact.sampleKey}` };
  }
  // Counters are compared by preflight and rollback, who know that of the image that runs.
  const verdict = downgradeVerdict(device, artifact, undefined);
  if (verdict.kind === "refuses") {
    return { code: "bootloader", reason: verdict.reason };
  }
  if (device.quarantined.includes(release.id)) {
    return { code: "quarantined", reason: `release ${release.id} is quarantined for it: it reverted or refused it before` };
  }
  // A schema of 0: nothing is stored that anybody would have to read.
  if (release.storage !== null && device.storageSchema > 0 && !readsSchema(release.storage, device.storageSchema)) {
    return { code: "schema", reason: `it holds storage schema ${device.storageSchema}, and release ${release.id} reads ${schemaText(release.storage)}` };
  }
  // Where a release was tested from is about the way up. On the way down the storage schema decides.
  const version = running?.version || "an unknown version";
  if (!mayComeFrom(release.from, version) && orderOf(version, release.version) !== "newer") {
    return { code: "from", reason: `it runs ${version}, and release ${release.id} installs over ${rangesText(release.from)} only` };
  }
  return undefined;
}

/** R45: what is built for another partition map is never offered. */
function noArtifact(release: ReleaseRecord, { board, revision, partitionMap }: Hardware): Refusal {
  const maps = release.artifacts.filter(({ variant }) => variant.board === board && variant.revision === revision).map(({ variant }) => variant.partitionMap);
  return maps.length === 0
    ? { code: "variant", reason: `release ${release.id} has no artifact for ${board} ${revision} (${partitionMap})` }
    : { code: "partition-map", reason: `its partition map is ${partitionMap}, and release ${release.id} has ${board} ${revision} for ${maps.sort().join(", ")}` };
}

function refuseOverlap(population: readonly DeviceRecord[], rollouts: Iterable<Rollout>): void {
  for (const rollout of rollouts) {
    if (!isActive(rollout)) {
      continue;
    }
    const shared = population.filter((device) => memberOf(rollout, device.id) !== undefined).map((device) => device.id);
    if (shared.length > 0) {
      const shown = shared.slice(0, 10).join(", ");
      throw new CoalmineError(
        "rollout/overlap",
        `${shared.length} devices are in rollout ${rollout.id}, which is ${rollout.status}: ${shown}${shared.length > 10 ? ", ..." : ""}; ` +
          "abort it first, or choose other devices",
      );
    }
  }
}

function chooseCanary(
  plan: Plan,
  population: readonly DeviceRecord[],
  stratum: ReadonlyMap<string, string>,
  count: number,
  seed: string,
): string[] {
  const first = plan.stages[0]?.size;
  if (first?.kind === "devices") {
    const known = new Set<string>(population.map((device) => device.id));
    const absent = first.ids.filter((id) => !known.has(id));
    if (absent.length > 0) {
      throw new CoalmineError("rollout/canary", `the canary names devices that cannot take part: ${absent.slice(0, 10).join(", ")}`);
    }
    return [...first.ids];
  }
  const cells = population.map((device) => ({ id: device.id, stratum: stratum.get(device.id) as string }));
  const fleet = countBy(cells.map((cell) => cell.stratum));
  // One device of every stratum, where a canary that small can afford it; else in proportion, which leaves out the rarest.
  const draws = [1, 0].map((minPerStratum) => drawStratified(cells, { seed, canaries: count, controls: 0, minPerStratum }).canary);
  const byVerdict = (drawn: readonly string[]): number => verdictRank[representativeness(fleet, countBy(drawn.map((id) => stratum.get(id) as string))).verdict];
  const [covering = [], proportional = []] = draws;
  return [...(byVerdict(proportional) < byVerdict(covering) ? proportional : covering)];
}

const verdictRank = { yes: 0, warn: 1, no: 2 } as const;

/** The smallest canary that represents a fleet of these strata; undefined when not even half of it does. */
function smallestCanary(fleet: Readonly<Record<string, number>>): number | undefined {
  const total = Object.values(fleet).reduce((sum, size) => sum + size, 0);
  const represents = (n: number): boolean => [1, 0].some((minPerStratum) => representativeness(fleet, allocate(fleet, { n, minPerStratum })).verdict !== "no");
  for (let n = 1; n <= total / 2; n = Math.max(n + 1, Math.ceil(n * 1.1))) {
    if (represents(n)) {
      return n;
    }
  }
  return undefined;
}

/** Each canary has five controls where possible (evidence.md 3.2), short of half of all; more than ten hardly say more. */
const controlsPerCanary = { min: 5, max: 10 };

/**
 * Controls of each stage but the last, taken from the last, which is updated last: as many for each stage as the square root of
 * its own size asks for. What a comparison says grows with the harmonic mean of its arms, so a small canary needs few to say all it
 * can, and a large stage must not find them taken.
 */
function controlsWanted(counts: readonly number[]): number[] {
  const wanted = counts.map(() => 0);
  const last = counts.at(-1) ?? 0;
  const size = (stage: number): number => counts[stage] as number;
  let left = last;
  let open = [...counts.keys()].slice(0, -1);
  const fair = (stage: number): number => Math.floor((left * Math.sqrt(size(stage))) / open.reduce((sum, other) => sum + Math.sqrt(size(other)), 0));
  const settle = (stage: number, controls: number): void => {
    wanted[stage] = controls;
    left -= controls;
    open = open.filter((other) => other !== stage);
  };
  const least = Math.min(controlsPerCanary.min * (counts[0] ?? 0), Math.floor(last / 2));
  if (open.length > 1 && fair(0) < least) {
    settle(0, least);
  }
  // What a stage has too much of goes to the others, the smallest first.
  for (const stage of [...open].sort((a, b) => size(a) - size(b) || a - b)) {
    settle(stage, Math.min(fair(stage), controlsPerCanary.max * size(stage)));
  }
  return wanted;
}

/**
 * Matched controls: for each stage but the last, devices of later stages drawn by the same strata as the stage itself.
 * A device is a control of one stage only, and of the earliest that wants it.
 */
function drawControls(order: readonly string[], counts: readonly number[], stratum: ReadonlyMap<string, string>): Map<string, number> {
  const controls = new Map<string, number>();
  let begin = 0;
  for (const [stage, total] of controlsWanted(counts).slice(0, -1).entries()) {
    const end = begin + (counts[stage] as number);
    const wanted = apportion(countBy(order.slice(begin, end).map((id) => stratum.get(id) as string)), total);
    for (const id of order.slice(end).reverse()) {
      const key = stratum.get(id) as string;
      const left = wanted.get(key) ?? 0;
      if (left > 0 && !controls.has(id)) {
        wanted.set(key, left - 1);
        controls.set(id, stage);
      }
    }
    begin = end;
  }
  return controls;
}

/** `total` divided over strata in proportion to their sizes, by largest remainder; equal ones in the order of their keys. */
function apportion(sizes: Readonly<Record<string, number>>, total: number): Map<string, number> {
  const all = Object.values(sizes).reduce((sum, size) => sum + size, 0);
  const shares = Object.entries(sizes)
    .map(([key, size]) => ({ key, whole: Math.floor((total * size) / all), rest: (total * size) % all }))
    .sort((a, b) => b.rest - a.rest || (a.key < b.key ? -1 : 1));
  const left = total - shares.reduce((sum, share) => sum + share.whole, 0);
  return new Map(shares.map(({ key, whole }, index) => [key, whole + (index < left ? 1 : 0)]));
}

function countBy(keys: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const key of keys) {
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

/** R6: strata without a canary, and canaries that all sit in the laboratory. */
function cover(plan: Plan, report: Representativeness, canaries: readonly DeviceRecord[], population: readonly DeviceRecord[]): string[] {
  const problems: string[] = [];
  for (const cell of report.strata) {
    if (cell.canary === 0 && cell.fleet / population.length >= plan.strataCoverMin) {
      problems.push(`stratum ${cell.stratum} holds ${cell.fleet} of ${population.length} devices and has no canary`);
    }
  }
  if (canaries.every(isLab) && !population.every(isLab)) {
    problems.push("all canaries are lab devices, and the fleet is not");
  }
  if (problems.length > 0 && plan.representativeness === "require") {
    throw new CoalmineError(
      "rollout/not-representative",
      `the canary does not represent the fleet: ${problems.join("; ")}; enlarge the canary, declare fewer strata, or set "representativeness: warn"`,
    );
  }
  if (report.verdict === "no") {
    const enough = smallestCanary(Object.fromEntries(report.strata.map((cell) => [cell.stratum, cell.fleet])));
    problems.push(
      `the canary represents the fleet badly (total variation ${report.tv.toFixed(2)}, ${(100 * report.uncovered).toFixed(1)} % of the fleet uncovered): no stage will pass without a person; ` +
        (enough === undefined ? "declare fewer strata" : `a canary of ${enough} devices would do, or declare fewer strata`),
    );
  }
  return problems;
}
