// SPDX-License-Identifier: Apache-2.0
// The way back of a fleet (R33-R37): which devices of a rollout hold its release, how each gets the earlier one, and what its
// bootloader will say to that. Synchronous; changes nothing.
import {
  type Assignment,
  type Authority,
  CoalmineError,
  type Decision,
  type DeviceId,
  type Instant,
  isActive,
  memberOf,
  overdueAt,
  type Plan,
  type ReleaseId,
  type Rollout,
  type RolloutId,
  stageCounts,
  updateDueAt,
} from "@coalmine/core";
import { hashOrder } from "@coalmine/evidence";
import type { ReleaseArtifact } from "./entry.ts";
import type { DeviceRecord } from "./inventory.ts";
import { artifactFor, type Membership, place, refusalOf, type ReleaseRecord } from "./membership.ts";
import { fitting, rollbackPlan } from "./rollback-plan.ts";
import { canSwapBack, downgradeVerdict } from "./slots.ts";

/** What becomes of a device in a rollback, as far as it can be told before. Each device of the rollout that is left is in one class. */
export const backClasses = [
  /** Holds the release, and slot 1 holds the earlier image: an order brings it back. */
  "swap-back",
  "download",
  /** Its trial is not over, or its cancel is on the way: it may yet go back by itself. */
  "undecided",
  /** Silent for longer than its duty cycle allows: it goes back when it is heard again. */
  "unreachable",
  /** Its bootloader would refuse the earlier image and erase slot 1 (R37): left out. */
  "refused",
  /** The earlier release cannot read the data it stores (R34): left out. */
  "schema",
  /** The earlier release does not fit it, by hardware, room or quarantine: left out. */
  "unfit",
  /** Another rollout that is under way has it: left out. */
  "elsewhere",
  /** Runs something else already: the bootloader reverted it, or somebody brought it back. */
  "back",
] as const;

export type BackClass = (typeof backClasses)[number];

/** Classes that take part in the rollback. */
const takingPart: ReadonlySet<BackClass> = new Set(["swap-back", "download", "undecided", "unreachable"]);

export interface BackDevice {
  readonly device: DeviceId;
  readonly class: BackClass;
  /** Version it runs. */
  readonly from: string;
  /** What the release did to it, for the order: the worst hit go back first. */
  readonly hit: "crashed" | "failed" | "none";
  readonly crashes: number;
  readonly reason: string;
  /** It takes part, and yet its bootloader may refuse: it has not said how it was built. */
  readonly mayBeRefused: boolean;
}

export interface RollbackInput {
  /** The rollout that is rolled back. */
  readonly rollout: string;
  /** The release to go back to; without it the one that most of these devices ran before. */
  readonly to?: string | undefined;
  readonly plan?: Plan | undefined;
  readonly emergency?: boolean | undefined;
  /** Also offers to devices whose bootloader is predicted to refuse: they lose the image in slot 1. */
  readonly includeRefused?: boolean | undefined;
  readonly seed?: number | undefined;
}

/** What a rollback would do, before anything starts. */
export interface RollbackPlan {
  readonly of: RolloutId;
  readonly from: ReleaseId;
  readonly to: ReleaseId;
  readonly version: string;
  readonly emergency: boolean;
  readonly seed: number;
  readonly plan: Plan;
  /** Devices by class; they sum to `devices`. */
  readonly counts: Readonly<Record<BackClass, number>>;
  readonly mayBeRefused: number;
  /** Members of the rollout that its release reached or may have, worst hit first. */
  readonly devices: readonly BackDevice[];
  readonly membership: Membership;
  /** What would bring devices back that a bootloader refuses; null when none is. */
  readonly offer: string | null;
}

/** What planning looks at. */
export interface FleetView {
  readonly devices: ReadonlyMap<DeviceId, DeviceRecord>;
  readonly releases: ReadonlyMap<ReleaseId, ReleaseRecord>;
  readonly rollouts: ReadonlyMap<RolloutId, Rollout>;
  readonly active: ReadonlyMap<DeviceId, RolloutId>;
}

/** A device that runs an image which its bootloader would still undo: it must not be touched before it confirms or reverts. */
export function isOnTrial(device: Pick<DeviceRecord, "running" | "attempt">): boolean {
  const { running, attempt } = device;
  return running !== null && !running.confirmed && (attempt?.outcome === "applying" || attempt?.outcome === "testing");
}

/** True while the device runs the release for good: there is something to bring back. */
export function holds(device: DeviceRecord, left: ReleaseArtifact | undefined): boolean {
  return left !== undefined && device.running?.imageHash === left.imageHash && !isOnTrial(device);
}

/** States that end an attempt with the device on what it ran before. */
const cameBack: ReadonlySet<Assignment["state"]> = new Set(["reverted", "refused", "rolled_back"]);

/** True when this member's own report of its attempt says that the release is off the device again. */
export function hasReturned(member: Assignment): boolean {
  return cameBack.has(member.state) || (member.state === "failed" && member.startedAt === null);
}

/**
 * Plans a rollback of a rollout. Throws `rollback/...` when there is no release to go back to, or nobody to bring back; then
 * the message counts who is left out and why.
 */
export function planRollback(view: FleetView, input: RollbackInput, now: Instant): RollbackPlan {
  const of = view.rollouts.get(input.rollout as RolloutId);
  if (of === undefined) {
    throw new CoalmineError("rollout/unknown", `there is no rollout ${input.rollout}; known: ${[...view.rollouts.keys()].slice(-5).join(", ") || "none"}`);
  }
  const left = releaseIn(view, of.release);
  const target = input.to === undefined ? previousRelease(view, of) : releaseIn(view, input.to as ReleaseId);
  if (target.id === left.id) {
    throw new CoalmineError("rollback/same-release", `rollout ${of.id} is of release ${left.id} itself: name an earlier release`);
  }
  const known = artifactsByHash(view.releases.values());
  const devices: BackDevice[] = [];
  for (const member of of.members) {
    const device = view.devices.get(member.device);
    if (device !== undefined && (member.startedAt !== null || member.offer !== 0)) {
      const found = classOf(view, { of, left, target, known }, member, device, now);
      if (found !== undefined) {
        devices.push(found);
      }
    }
  }
  const seed = input.seed ?? of.seed;
  const ordered = worstFirst(devices, `${target.id}:${seed}`);
  const counts = Object.fromEntries(backClasses.map((name) => [name, ordered.filter((one) => one.class === name).length])) as Record<BackClass, number>;
  const takesPart = (one: BackDevice): boolean => takingPart.has(one.class) || (one.class === "refused" && input.includeRefused === true);
  const going = ordered.filter(takesPart).map((one) => view.devices.get(one.device) as DeviceRecord);
  if (going.length === 0) {
    throw new CoalmineError("rollback/nobody", `no device can be brought back from ${left.id} to ${target.id}: ${countText(counts)}`);
  }
  const emergency = input.emergency === true;
  const { onFail: _onFail, rollbackShareMin: _shareMin, ...plan } = input.plan === undefined ? rollbackPlan(of.plan, { emergency, population: going.length }) : fitting(input.plan, going.length);
  const sizes = stageCounts(plan, going.length);
  const placed = place(plan, canaryFirst(plan, going, sizes[0] as number), sizes, now);
  const membership: Membership = {
    ...placed,
    members: placed.members.map((member) => {
      const device = view.devices.get(member.device) as DeviceRecord;
      return { ...member, swapBack: canSwapBack(device, artifactFor(target, device)?.imageHash ?? ""), ready: holds(device, artifactFor(left, device)) };
    }),
    excluded: ordered.filter((one) => !takesPart(one)).map(({ device, reason }) => ({ device, reason })),
  };
  return {
    of: of.id,
    from: of.release,
    to: target.id as ReleaseId,
    version: target.version,
    emergency,
    seed,
    plan,
    counts,
    mayBeRefused: ordered.filter((one) => one.mayBeRefused).length,
    devices: ordered,
    membership,
    offer: counts.refused === 0 ? null : reversionOffer(left, target, counts.refused),
  };
}

/** What the start of a planned rollback puts into the log. */
export function rollbackStarted(
  planned: RollbackPlan,
  start: { readonly rollout: RolloutId; readonly offerBase: number; readonly authority: Authority },
): Extract<Decision, { type: "rollout-started" }> {
  return {
    type: "rollout-started",
    rollout: start.rollout,
    release: planned.to,
    plan: planned.plan,
    seed: planned.seed,
    offerBase: start.offerBase,
    members: planned.membership.members,
    ...(planned.membership.excluded.length === 0 ? {} : { excluded: planned.membership.excluded }),
    representative: planned.membership.representativeness.verdict,
    ...(planned.membership.baseline === undefined ? {} : { baseline: planned.membership.baseline }),
    rollback: { of: planned.of, from: planned.from, emergency: planned.emergency, predicted: planned.counts },
    authority: start.authority,
  };
}

/**
 * The release that a plan's `onFail` goes back to. Throws `rollback/no-way-back` when there is none: a plan that promises a way
 * back must have one before it starts.
 */
export function wayBackOf(view: Pick<FleetView, "devices" | "releases">, plan: Plan, release: ReleaseRecord, members: Iterable<{ readonly device: DeviceId }>): ReleaseId | undefined {
  const { onFail } = plan;
  if (onFail === undefined) {
    return undefined;
  }
  if (onFail.rollback !== "previous") {
    const named = view.releases.get(onFail.rollback as ReleaseId);
    if (named === undefined || named.id === release.id) {
      throw new CoalmineError("rollback/no-way-back", `onFail.rollback: ${named === undefined ? `there is no release ${onFail.rollback}` : `${release.id} is the release itself`}; known: ${[...view.releases.keys()].join(", ")}`);
    }
    return named.id as ReleaseId;
  }
  const running = [...members].map((member) => view.devices.get(member.device)?.running?.imageHash);
  const found = mostFrequent(view, running, release);
  if (found === undefined) {
    throw new CoalmineError("rollback/no-way-back", `onFail: rollback: no release is known that these devices run now; create a release of their present image, or name one with onFail: {rollback: RELEASE}`);
  }
  return found.id as ReleaseId;
}

/** What most of the devices that a rollout reached ran before, by their slot 1. */
function previousRelease(view: FleetView, of: Rollout): ReleaseRecord {
  if (of.wayBack !== null) {
    return releaseIn(view, of.wayBack);
  }
  const left = releaseIn(view, of.release);
  const hashes = of.members.map((member) => {
    const device = view.devices.get(member.device);
    return device === undefined || member.offer === 0 ? undefined : device.running?.imageHash === artifactFor(left, device)?.imageHash ? device.slot1?.imageHash : device.running?.imageHash;
  });
  const found = mostFrequent(view, hashes, left);
  if (found === undefined) {
    throw new CoalmineError("rollback/no-target", `no release is known that the devices of rollout ${of.id} ran before; name one with --to, and create it first if it is not there`);
  }
  return found;
}

function mostFrequent(view: Pick<FleetView, "releases">, hashes: readonly (string | undefined)[], except: ReleaseRecord): ReleaseRecord | undefined {
  const counts = new Map<string, number>();
  for (const hash of hashes) {
    if (hash !== undefined) {
      counts.set(hash, (counts.get(hash) ?? 0) + 1);
    }
  }
  let best: { readonly release: ReleaseRecord; readonly devices: number } | undefined;
  for (const release of view.releases.values()) {
    const devices = [...new Set(release.artifacts.map((artifact) => artifact.imageHash))].reduce((sum, hash) => sum + (counts.get(hash) ?? 0), 0);
    if (release.id !== except.id && devices > (best?.devices ?? 0)) {
      best = { release, devices };
    }
  }
  return best?.release;
}

function releaseIn(view: Pick<FleetView, "releases">, id: ReleaseId): ReleaseRecord {
  const release = view.releases.get(id);
  if (release === undefined) {
    throw new CoalmineError("release/unknown", `there is no release ${id}; known: ${[...view.releases.keys()].join(", ") || "none"}`);
  }
  return release;
}

function artifactsByHash(releases: Iterable<ReleaseRecord>): ReadonlyMap<string, ReleaseArtifact> {
  return new Map([...releases].flatMap((release) => release.artifacts.map((artifact) => [artifact.imageHash, artifact] as const)));
}

interface Context {
  readonly of: Rollout;
  readonly left: ReleaseRecord;
  readonly target: ReleaseRecord;
  readonly known: ReadonlyMap<string, ReleaseArtifact>;
}

/** The class of one member; undefined when the release never reached it. */
function classOf(view: FleetView, context: Context, member: Assignment, device: DeviceRecord, now: Instant): BackDevice | undefined {
  const { of, left, target, known } = context;
  const artifact = artifactFor(left, device);
  const runsIt = artifact !== undefined && device.running?.imageHash === artifact.imageHash;
  const hit = member.crashes > 0 ? "crashed" : member.state === "failed" || member.state === "missing" ? "failed" : "none";
  const base = { device: device.id, from: device.running?.version || "unknown", hit, crashes: member.crashes, mayBeRefused: false } as const;
  const make = (name: BackClass, reason: string, mayBeRefused = false): BackDevice => ({ ...base, class: name, reason, mayBeRefused });
  if (!runsIt) {
    if (member.startedAt === null && (hasReturned(member) || now >= updateDueAt(of, member, member.offeredAt ?? of.startedAt))) {
      return undefined; // its offer was taken back before it began, or it gave up before the reboot
    }
    if (hasReturned(member) || member.state === "excused" || member.confirmedAt !== null) {
      return make("back", member.reason || `runs ${base.from}`);
    }
  }
  const other = view.active.get(device.id);
  const rival = other === undefined || other === of.id ? undefined : view.rollouts.get(other);
  if (rival !== undefined && isActive(rival) && memberOf(rival, device.id) !== undefined) {
    return make("elsewhere", `it is in rollout ${rival.id}, which is ${rival.status}`);
  }
  const offered = artifactFor(target, device);
  const refusal = refusalOf(target, device);
  if (refusal !== undefined && refusal.code !== "running" && refusal.code !== "bootloader") {
    return make(refusal.code === "schema" ? "schema" : "unfit", refusal.reason);
  }
  // What will run when it goes back is the release that is left, whether its swap is behind it or ahead.
  const from = runsIt ? device : { ...device, running: device.running === null ? null : { ...device.running, version: artifact?.version ?? "" } };
  const verdict = offered === undefined ? undefined : downgradeVerdict(from, offered, artifact ?? known.get(device.running?.imageHash ?? ""));
  if (verdict?.kind === "refuses") {
    return make("refused", verdict.reason);
  }
  const mayBeRefused = verdict !== undefined && verdict.kind !== "accepts";
  const doubt = mayBeRefused ? verdict.reason : "";
  if (!holds(device, artifact)) {
    return make("undecided", doubt || (runsIt ? "it is on trial" : "its update is under way"), mayBeRefused);
  }
  if (overdueAt(of, { ...member, heardAt: device.lastSeen }) <= now) {
    return make("unreachable", doubt || `no report since ${new Date(device.lastSeen).toISOString()}`, mayBeRefused);
  }
  return make(canSwapBack(device, offered?.imageHash ?? "") ? "swap-back" : "download", doubt, mayBeRefused);
}

const hitRank = { crashed: 0, failed: 1, none: 2 } as const;
/** Who can be brought back now comes before who must be waited for. */
const classRank: Readonly<Record<BackClass, number>> = { "swap-back": 0, download: 0, undecided: 1, unreachable: 2, refused: 3, schema: 3, unfit: 3, elsewhere: 3, back: 4 };

/** Worst hit first: crashed most, then failed; what is left in the order of a hash, so that no kind of device is favoured. */
function worstFirst(devices: readonly BackDevice[], seed: string): BackDevice[] {
  const place = new Map(hashOrder(seed, devices.map((one) => one.device)).map((id, index) => [id, index]));
  return [...devices].sort(
    (a, b) =>
      classRank[a.class] - classRank[b.class] ||
      hitRank[a.hit] - hitRank[b.hit] ||
      b.crashes - a.crashes ||
      (place.get(a.device) as number) - (place.get(b.device) as number),
  );
}

/** The first stage takes the worst hit device of every kind of hardware, then the worst hit of all: a rollback can brick one kind too. */
function canaryFirst(plan: Plan, order: readonly DeviceRecord[], canaries: number): DeviceRecord[] {
  const first = plan.stages[0]?.size;
  const seen = new Set<string>();
  const chosen =
    first?.kind === "devices"
      ? order.filter((device) => first.ids.includes(device.id))
      : order.filter((device) => {
          const kind = JSON.stringify(device.hardware);
          return seen.has(kind) ? false : seen.add(kind);
        });
  const canary = new Set([...chosen, ...order].slice(0, chosen.length + order.length));
  const head = [...canary].slice(0, canaries);
  return [...head, ...order.filter((device) => !head.includes(device))];
}

/** Counts in words, without zeros. */
export function countText(counts: Readonly<Record<BackClass, number>>): string {
  return backClasses.flatMap((name) => (counts[name] === 0 ? [] : [`${counts[name]} ${name}`])).join(", ") || "the release reached nobody";
}

/** R34: the same payload under a higher version passes where an older version does not. */
function reversionOffer(left: ReleaseRecord, target: ReleaseRecord, refused: number): string {
  return (
    `${refused} devices would refuse ${target.version} over ${left.version} and lose the image in slot 1, so they are left out. A re-versioned build brings them back: ` +
    `coalmine artifact reversion FILE --version ${nextVersion(left.version)} --key KEY.pem --out FILE, for each artifact of ${target.id}; make a release of them and roll back to that`
  );
}

function nextVersion(version: string): string {
  const match = /^(\d+)\.(\d+)\.(\d+)/.exec(version);
  return match === null ? "HIGHER" : `${match[1]}.${match[2]}.${Number(match[3]) + 1}`;
}
