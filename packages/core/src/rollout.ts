// SPDX-License-Identifier: Apache-2.0
// The rollout machine. Numbered invariants; tests cite them.
//
// R2.  Membership is frozen when the rollout starts.
// R5.  A device keeps its stage; a wider stage contains the narrower one.
// R8.  No device outside the open stages is ever offered the release (I3: the stage is recorded open before the first offer).
// R10. Offers are paced.
// R23. An inconclusive verdict never promotes.
// R25. A failing verdict halts at once, whatever the soak.
// R29. A stage opens only after a pass or a named override.
// R30. A halted rollout offers nothing; what can be taken back is taken back.
// R38. The states of the members always sum to the membership.
import { type Assignment, type AssignmentState, assignmentStates, cancellable, settled, started, underway } from "./assignment.ts";
import type { Decision, Member, Signal } from "./decision.ts";
import { invariant, unreachable } from "./error.ts";
import { TimeHeap } from "./heap.ts";
import type { DeviceId, ReleaseId, RolloutId } from "./ids.ts";
import { newPace, type Pace } from "./pace.ts";
import type { Plan } from "./plan.ts";
import { type Instant, type Millis, after } from "./time.ts";
import type { Judge, Observation, Verdict } from "./verdict.ts";

export type RolloutStatus = "running" | "held" | "halted" | "aborted" | "complete";

export interface StageState {
  readonly name: string;
  readonly size: number;
  openedAt: Instant | null;
  closedAt: Instant | null;
  verdict: Verdict;
  counts: Record<AssignmentState, number>;
}

/** One rollout: plain data but for `index`, which is derived and rebuilt on demand. */
export interface Rollout {
  readonly id: RolloutId;
  readonly release: ReleaseId;
  readonly plan: Plan;
  readonly seed: number;
  readonly offerBase: number;
  readonly representative: "yes" | "warn" | "no";
  readonly startedAt: Instant;
  status: RolloutStatus;
  endedAt: Instant | null;
  verdict: Verdict;
  /** Index of the newest open stage; -1 before the first. */
  stage: number;
  readonly stages: StageState[];
  readonly members: Assignment[];
  /** The soak after R21: at least the plan's, and enough duty cycles of the slowest member. */
  soakMin: Millis;
  soakMax: Millis;
  pace: Pace;
  offered: number;
  haltedBy: { readonly gate: string; readonly metric: string; readonly reason: string } | null;
  /** Counts the decisions about the rollout as a whole: who orders something names the revision that was looked at. */
  revision: number;
  /** Gates that an operator overrode when resuming a halted rollout (R32). */
  overrides: readonly string[];
  /** When nobody listened, oldest first: what was not heard then is not silence, and no time of soak. */
  absences: readonly Absence[];
  /** The judge's state; plain data. */
  readonly evidence: unknown;
  index: Index | undefined;
}

/** The orchestrator did not run: the last thing it heard, and when it listened again. */
export interface Absence {
  readonly from: Instant;
  readonly until: Instant;
}

/** Look-ups that follow from the members. */
export interface Index {
  readonly byDevice: Map<DeviceId, number>;
  /** Member indexes that wait for their offer, and were heard lately; sorted before they are read. */
  readonly ready: number[];
  readonly queued: Set<number>;
  /** `ready` is sorted. */
  inOrder: boolean;
  /** (deadline, member) pairs; an entry may be early, never late. Only the one that `scheduled` names counts. */
  readonly deadlines: TimeHeap<number>;
  readonly scheduled: number[];
  /** Evidence against the release came in since the last verdict. */
  dirty: boolean;
}

export const noVerdict: Verdict = { kind: "inconclusive", missing: [] };

function emptyCounts(): Record<AssignmentState, number> {
  return Object.fromEntries(assignmentStates.map((state) => [state, 0])) as Record<AssignmentState, number>;
}

/** Builds the rollout that a `rollout-started` decision describes. */
export function beginRollout(decision: Extract<Decision, { type: "rollout-started" }>, at: Instant, judge: Judge): Rollout {
  const { plan } = decision;
  const stages: StageState[] = plan.stages.map((stage, index) => ({
    name: stage.name,
    size: decision.members.filter((member) => member.stage === index).length,
    openedAt: null,
    closedAt: null,
    verdict: noVerdict,
    counts: emptyCounts(),
  }));
  const members = decision.members.map((member) => newAssignment(member, at));
  for (const member of members) {
    const stage = stages[member.stage];
    invariant(stage !== undefined, "R2: a member names a stage of the plan");
    stage.counts.planned += 1;
  }
  for (const stage of stages) {
    invariant(stage.size > 0, "R7: no stage is empty");
  }
  const slowest = members.reduce((longest, member) => Math.max(longest, member.interval), 0);
  const soakMin = Math.max(plan.soak.min, plan.soak.dutyCycles * slowest) as Millis;
  return {
    id: decision.rollout,
    release: decision.release,
    plan,
    seed: decision.seed,
    offerBase: decision.offerBase,
    representative: decision.representative,
    startedAt: at,
    status: "running",
    endedAt: null,
    verdict: noVerdict,
    stage: -1,
    stages,
    members,
    soakMin,
    soakMax: Math.max(plan.soak.max, soakMin * 2, soakMin + plan.updateDeadline + plan.silence.intervals * slowest) as Millis,
    pace: newPace(plan.offers.perMinute, at),
    offered: 0,
    haltedBy: null,
    revision: 1,
    overrides: [],
    absences: [],
    evidence: judge.init(plan, members, { at, seed: `${decision.release}:${decision.seed}` }),
    index: undefined,
  };
}

function newAssignment(member: Member, at: Instant): Assignment {
  return {
    device: member.device,
    stage: member.stage,
    stratum: member.stratum,
    hardware: member.hardware,
    connectivity: member.connectivity,
    control: member.control,
    state: "planned",
    since: at,
    offer: 0,
    offeredAt: null,
    startedAt: null,
    confirmedAt: null,
    heardAt: member.heardAt,
    interval: member.interval,
    crashes: 0,
    silent: false,
    reason: "",
  };
}

/** When `delay` of listening has passed since `from`: time in which nobody listened comes on top. */
function listenedAt(rollout: Rollout, from: Instant, delay: Millis): Instant {
  let at = after(from, delay);
  if (rollout.absences.length > 0 && (rollout.absences.at(-1) as Absence).until > from) {
    for (const absence of rollout.absences) {
      const began = Math.max(absence.from, from);
      if (absence.until > began && began < at) {
        at = after(at, (absence.until - began) as Millis);
      }
    }
  }
  return at;
}

/** `from`, later by the time in which nobody listened since: what `now` is to be measured from. */
export function listenedSince(rollout: Rollout, from: Instant): Instant {
  const deaf = rollout.absences.reduce((sum, absence) => sum + Math.max(0, absence.until - Math.max(absence.from, from)), 0);
  return after(from, deaf as Millis);
}

/** Notes that nobody listened from `from` to `until`. */
export function noteAbsence(rollout: Rollout, absence: Absence): void {
  rollout.absences = [...rollout.absences, absence];
}

/** When a silent member becomes overdue (R26; evidence.md 3.4). */
export function overdueAt(rollout: Rollout, member: Assignment): Instant {
  const { floor, intervals } = rollout.plan.silence;
  return listenedAt(rollout, member.heardAt, Math.max(floor, intervals * member.interval) as Millis);
}

/** When an update that began with the offer must have confirmed. */
export function updateDueAt(rollout: Rollout, member: Assignment, from: Instant): Instant {
  return listenedAt(rollout, from, (rollout.plan.updateDeadline + rollout.plan.silence.intervals * member.interval) as Millis);
}

/** A member's own soak: the plan's minimum, and enough of its own duty cycles (R21). */
export function ownSoak(rollout: Rollout, member: Assignment): Millis {
  return Math.max(rollout.plan.soak.min, rollout.plan.soak.dutyCycles * member.interval) as Millis;
}

/** The earliest moment at which silence alone changes this member; Infinity when it never does. */
export function deadlineOf(rollout: Rollout, member: Assignment): number {
  const opened = rollout.stages[member.stage]?.openedAt ?? null;
  if (opened === null) {
    const observed = member.control !== null && !member.silent && member.state === "planned" && isActive(rollout);
    return observed ? overdueAt(rollout, member) : Number.POSITIVE_INFINITY;
  }
  switch (member.state) {
    case "planned":
      return rollout.status === "running" || rollout.status === "held"
        ? Math.max(updateDueAt(rollout, member, opened), overdueAt(rollout, member))
        : Number.POSITIVE_INFINITY;
    case "offered":
    case "downloading":
    case "downloaded":
    case "applying":
    case "testing":
      return Math.min(overdueAt(rollout, member), updateDueAt(rollout, member, member.offeredAt ?? opened));
    case "deferred":
    case "confirmed":
    case "soaking":
    case "healthy":
      return overdueAt(rollout, member);
    default:
      return Number.POSITIVE_INFINITY;
  }
}

/** The derived look-ups, built when first needed. */
export function indexOf(rollout: Rollout): Index {
  if (rollout.index === undefined) {
    const index: Index = { byDevice: new Map(), ready: [], queued: new Set(), inOrder: true, deadlines: new TimeHeap(), scheduled: [], dirty: true };
    rollout.index = index;
    for (const [position, member] of rollout.members.entries()) {
      index.byDevice.set(member.device, position);
      watch(rollout, index, position);
    }
  }
  return rollout.index;
}

function enqueue(index: Index, position: number): void {
  index.queued.add(position);
  index.inOrder &&= position >= (index.ready.at(-1) ?? 0);
  index.ready.push(position);
}

/** Brings the queue into the order of the members: who comes first must not depend on when this process was started. */
export function sortReady(index: Index): void {
  if (!index.inOrder) {
    index.ready.sort((a, b) => a - b);
    index.inOrder = true;
  }
}

/** Puts a member where its state wants it: in the queue for an offer, under its deadline. */
export function watch(rollout: Rollout, index: Index, position: number): void {
  const member = rollout.members[position] as Assignment;
  if (member.state === "planned" && member.stage <= rollout.stage && !index.queued.has(position)) {
    enqueue(index, position);
  }
  const deadline = deadlineOf(rollout, member);
  if (deadline < (index.scheduled[position] ?? Number.POSITIVE_INFINITY)) {
    index.scheduled[position] = deadline;
    index.deadlines.push(deadline, position);
  }
}

/** The assignment of a device, or undefined when it is no member. */
export function memberOf(rollout: Rollout, device: DeviceId): Assignment | undefined {
  const position = indexOf(rollout).byDevice.get(device);
  return position === undefined ? undefined : rollout.members[position];
}

/** Takes part until it completed or was aborted: a halted rollout can resume. */
export function isActive(rollout: Rollout): boolean {
  return rollout.status !== "complete" && rollout.status !== "aborted";
}

/** Counts of the members by state, without zeros; they sum to the membership (R38). */
export function stateCounts(rollout: Rollout): Partial<Record<AssignmentState, number>> {
  const counts: Partial<Record<AssignmentState, number>> = {};
  for (const state of assignmentStates) {
    const total = rollout.stages.reduce((sum, stage) => sum + stage.counts[state], 0);
    if (total > 0) {
      counts[state] = total;
    }
  }
  return counts;
}

/** Devices whose update was seen to begin: they ran, or may have run, the release. */
export function exposedCount(rollout: Rollout): number {
  return rollout.members.reduce((sum, member) => sum + (member.startedAt === null ? 0 : 1), 0);
}

/** True when nothing of this rollout is on its way any more: every offered member ended. */
export function isQuiet(rollout: Rollout): boolean {
  return rollout.members.every(
    (member) => member.offer === 0 || member.state === "planned" || (settled.has(member.state) && !underway.has(member.state)),
  );
}

const badNews: ReadonlySet<AssignmentState> = new Set(["failed", "reverted", "refused", "missing", "excused"]);

/** Moves a member and tells the judge. The only place that changes a state. */
export function move(rollout: Rollout, judge: Judge, member: Assignment, state: AssignmentState, at: Instant, reason: string): void {
  const from = member.state;
  if (from === state) {
    return;
  }
  const stage = rollout.stages[member.stage] as StageState;
  stage.counts[from] -= 1;
  stage.counts[state] += 1;
  invariant(stage.counts[from] >= 0, "R38: counts never fall below zero");
  member.state = state;
  member.since = at;
  member.reason = reason;
  const index = indexOf(rollout);
  // Only bad news can halt, and a halt must not wait for the next tick; a pass can.
  index.dirty ||= badNews.has(state);
  const observe = (observation: Observation): void => judge.observe(rollout.evidence, member, observation, at);
  if (from === "missing" && state !== "excused") {
    observe({ kind: "returned" });
  }
  if (started.has(state) && member.startedAt === null) {
    member.startedAt = at;
    observe({ kind: "started" });
  }
  switch (state) {
    case "offered":
      observe({ kind: "offered" });
      break;
    case "confirmed":
    case "quarantined":
      if (member.confirmedAt === null) {
        member.confirmedAt = at;
        observe({ kind: "confirmed" });
      }
      break;
    case "healthy":
      observe({ kind: "healthy" });
      break;
    case "reverted":
    case "refused":
    case "failed":
      member.confirmedAt = null;
      observe({ kind: state, reason });
      break;
    case "missing":
      observe({ kind: "missing" });
      break;
    case "excused":
      observe({ kind: "excused" });
      break;
    case "planned":
    case "downloading":
    case "downloaded":
    case "applying":
    case "testing":
    case "soaking":
    case "deferred":
    case "rolled_back":
      break;
    default:
      unreachable(state);
  }
  watch(rollout, index, index.byDevice.get(member.device) as number);
}

/**
 * Takes in what a report says about a member. Order of reports is the device's own; the orchestrator has already
 * dropped duplicates and stale ones. Returns true when a verdict may have changed.
 */
export function signal(rollout: Rollout, judge: Judge, device: DeviceId, what: Signal, at: Instant): boolean {
  const index = indexOf(rollout);
  const position = index.byDevice.get(device);
  if (position === undefined || !isActive(rollout)) {
    return false;
  }
  const member = rollout.members[position] as Assignment;
  if (at > member.heardAt) {
    member.heardAt = at;
  }
  const barred = rollout.status === "halted";
  switch (what.kind) {
    case "heard": {
      const sooner = what.interval < member.interval;
      member.interval = what.interval;
      if (member.silent || sooner) {
        member.silent = false;
        watch(rollout, index, position);
      }
      judge.observe(rollout.evidence, member, { kind: "heard", onRelease: what.onRelease, metrics: what.metrics }, at);
      if (what.onRelease) {
        runsRelease(rollout, judge, member, what.confirmed, barred, at);
      } else {
        runsOther(rollout, judge, member, barred, at);
      }
      watchAgain(rollout, index, position);
      break;
    }
    case "progress":
      if (what.state === "testing") {
        runsRelease(rollout, judge, member, false, barred, at);
      } else if (member.offer !== 0 && (underway.has(member.state) || member.state === "deferred" || member.state === "missing" || member.state === "planned")) {
        // After a halt a device may have been past the point of return before its cancel arrived, but nothing begins anew.
        const takenBack = member.state === "planned" || (barred && member.state === "missing");
        if (rank(what.state) > rank(member.state) && (what.state === "applying" || !takenBack)) {
          move(rollout, judge, member, what.state, at, "");
        }
      }
      break;
    case "deferred":
      if (underway.has(member.state) || (member.state === "missing" && !barred)) {
        move(rollout, judge, member, "deferred", at, what.reason);
      }
      break;
    case "ended":
      if (member.offer !== 0 && member.state !== what.outcome && member.state !== "excused") {
        if (member.state === "planned" && what.outcome === "failed") {
          break; // the answer to a cancel
        }
        move(rollout, judge, member, what.outcome, at, what.reason);
      }
      break;
    case "crash":
      member.crashes += what.onRelease ? 1 : 0;
      judge.observe(rollout.evidence, member, { kind: "crash", onRelease: what.onRelease, signature: what.signature }, at);
      index.dirty = true;
      break;
    default:
      unreachable(what);
  }
  return index.dirty;
}

function runsRelease(rollout: Rollout, judge: Judge, member: Assignment, confirmed: boolean, barred: boolean, at: Instant): void {
  if (member.state === "excused" || member.state === "rolled_back") {
    return;
  }
  if (!confirmed) {
    // "Reverted" stays: a late hello of the trial must not undo a known end. So does the failure of an image that began:
    // it runs on unconfirmed because its bootloader did not undo it. Missing, and failed before the reboot, are revised.
    const failedEarly = member.state === "failed" && member.startedAt === null;
    if (rank(member.state) < rank("testing") || member.state === "missing" || failedEarly || member.state === "deferred") {
      move(rollout, judge, member, "testing", at, "");
    }
    return;
  }
  if (barred) {
    // The device holds a release that was stopped: not success, and waiting for a rollback.
    move(rollout, judge, member, "quarantined", at, "confirmed a release that was halted");
    return;
  }
  if (member.state === "confirmed") {
    move(rollout, judge, member, "soaking", at, "");
  } else if (member.state === "soaking" || member.state === "healthy" || member.state === "quarantined") {
    const confirmedAt = member.confirmedAt ?? at;
    if (member.state !== "healthy" && at - confirmedAt >= ownSoak(rollout, member)) {
      move(rollout, judge, member, "healthy", at, "");
    } else if (member.state === "quarantined") {
      move(rollout, judge, member, "soaking", at, "");
    }
  } else {
    move(rollout, judge, member, "confirmed", at, "");
  }
}

function runsOther(rollout: Rollout, judge: Judge, member: Assignment, barred: boolean, at: Instant): void {
  switch (member.state) {
    case "testing":
    case "confirmed":
    case "soaking":
    case "healthy":
    case "quarantined":
      move(rollout, judge, member, "reverted", at, "runs another image again");
      break;
    case "missing":
      if (member.startedAt === null) {
        // It never began: back to where it can be offered, or is still underway. A halt takes its offer back (R30).
        move(rollout, judge, member, member.offer === 0 || barred ? "planned" : "offered", at, barred ? "halted" : "");
      } else if (member.confirmedAt === null) {
        move(rollout, judge, member, "applying", at, "");
      } else {
        move(rollout, judge, member, "reverted", at, "runs another image again");
      }
      break;
    default:
      break;
  }
}

/** A later report pushes a deadline out; the heap keeps the early entry, which is checked when it comes up. */
function watchAgain(rollout: Rollout, index: Index, position: number): void {
  const member = rollout.members[position] as Assignment;
  if (member.state === "planned" && member.stage <= rollout.stage && !index.queued.has(position)) {
    enqueue(index, position);
  }
}

const ranks: Partial<Record<AssignmentState, number>> = Object.fromEntries(assignmentStates.slice(0, 9).map((state, index) => [state, index]));

function rank(state: AssignmentState): number {
  return ranks[state] ?? (state === "deferred" || state === "missing" ? 1 : 9);
}

/**
 * Takes back what can be taken back when a rollout halts or is aborted (R30). A halt also says of the devices that hold
 * the release that they hold a bad one; an abort says nothing of the release.
 */
export function takeBack(rollout: Rollout, judge: Judge, at: Instant, why: "halted" | "aborted"): void {
  for (const member of rollout.members) {
    if (cancellable.has(member.state)) {
      move(rollout, judge, member, "planned", at, why);
    } else if (why === "aborted") {
      continue;
    } else if (member.state === "confirmed" || member.state === "soaking" || member.state === "healthy") {
      move(rollout, judge, member, "quarantined", at, why);
    }
  }
}
