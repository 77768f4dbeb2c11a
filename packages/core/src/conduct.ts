// SPDX-License-Identifier: Apache-2.0
// The deciding half of the rollout machine: `step` decides and applies, `apply` only folds what was decided before.
import { isUnheard, listenedSince } from "./absence.ts";
import { deadlineOf, indexOf, isWatchedControl, overdueAt, positionOf, sortReady, watch } from "./agenda.ts";
import { type Assignment, holding, settled } from "./assignment.ts";
import type { Authority, Decision, RolloutCommand } from "./decision.ts";
import { CoalmineError, invariant, unreachable } from "./error.ts";
import type { Judge, Judgement, Verdict } from "./verdict.ts";
import { move, takeBack } from "./move.ts";
import { isActive, type Rollout, type StageState } from "./rollout.ts";
import { take } from "./pace.ts";
import { type Instant, formatDuration, since } from "./time.ts";

/** The machine's own authority in the audit. */
export const itself = (reason: string): Authority => ({ by: "coalmine", reason });

/** Folds one decision. The log is read with this alone: nothing is decided again after a restart. */
export function apply(rollout: Rollout, judge: Judge, decision: Decision, at: Instant): void {
  const index = indexOf(rollout);
  // What concerns one device alone outdates nobody's view of the whole.
  if (!("device" in decision)) {
    rollout.revision += 1;
  }
  switch (decision.type) {
    case "rollout-started":
      throw new Error("rollout-started begins a rollout; see beginRollout");
    case "stage-opened": {
      invariant(decision.stage === rollout.stage + 1, "R29: stages open one after the other");
      const stage = rollout.stages[decision.stage] as StageState;
      stage.openedAt = at;
      rollout.stage = decision.stage;
      rollout.pace = { ...rollout.pace, at };
      for (const [position, member] of rollout.members.entries()) {
        if (member.stage === decision.stage) {
          watch(rollout, index, position);
        }
      }
      break;
    }
    case "offered": {
      const position = positionOf(index, decision.device);
      invariant(position !== undefined, "R2: an offer goes to a member");
      const member = rollout.members[position] as Assignment;
      invariant(member.stage <= rollout.stage, "R8: an offer goes to an open stage");
      invariant(rollout.status === "running" || rollout.status === "held", "R30: a halted rollout offers nothing");
      invariant(take(rollout.pace, at), "R10: offers keep the pace");
      if (member.offer === 0) {
        rollout.offered += 1;
      }
      member.offer = decision.offer;
      member.offeredAt = at;
      member.way = decision.way ?? "download";
      index.queued.delete(position);
      move(rollout, judge, member, "offered", at, "");
      break;
    }
    case "moved": {
      const position = positionOf(index, decision.device);
      invariant(position !== undefined, "R2: only members move");
      move(rollout, judge, rollout.members[position] as Assignment, decision.state, at, decision.reason);
      break;
    }
    case "silent": {
      const position = positionOf(index, decision.device);
      invariant(position !== undefined, "R2: only members are watched");
      const member = rollout.members[position] as Assignment;
      member.silent = true;
      judge.observe(rollout.evidence, member, { kind: "missing" }, at);
      watch(rollout, index, position);
      break;
    }
    case "stage-closed": {
      const stage = rollout.stages[decision.stage] as StageState;
      stage.closedAt = at;
      stage.verdict = decision.verdict;
      break;
    }
    case "promoted": {
      const stage = rollout.stages[decision.stage] as StageState;
      stage.closedAt = at;
      rollout.status = "running";
      break;
    }
    case "held":
      rollout.status = "held";
      rollout.verdict = decision.verdict;
      break;
    case "halted":
      rollout.status = "halted";
      rollout.verdict = { kind: "fail", gate: decision.gate, metric: decision.metric, reason: decision.authority.reason };
      rollout.haltedBy = { gate: decision.gate, metric: decision.metric, reason: decision.authority.reason };
      for (const stage of rollout.stages.slice(Math.max(0, rollout.stage), Math.max(0, rollout.stage) + 1)) {
        stage.verdict = rollout.verdict;
      }
      rollout.endedAt = at;
      takeBack(rollout, judge, at, "halted");
      index.ready.length = 0;
      index.queued.clear();
      break;
    case "rollback-declined":
      rollout.wayBack = null;
      break;
    case "resumed":
      if (rollout.haltedBy !== null) {
        rollout.overrides = [...rollout.overrides, rollout.haltedBy.gate];
      }
      rollout.status = "running";
      rollout.haltedBy = null;
      rollout.endedAt = null;
      rollout.verdict = { kind: "inconclusive", missing: [`resumed by ${decision.authority.by}`] };
      for (const position of rollout.members.keys()) {
        watch(rollout, index, position);
      }
      break;
    case "aborted":
      takeBack(rollout, judge, at, "aborted");
      rollout.status = "aborted";
      rollout.endedAt = at;
      break;
    case "completed":
      rollout.status = "complete";
      rollout.verdict = decision.verdict;
      rollout.endedAt = at;
      break;
    default:
      unreachable(decision);
  }
}

export interface DecideOptions {
  readonly tick: boolean;
  /** Why the canary stage may not be left although its evidence is good; asked when nothing else is missing. */
  readonly withheld?: (() => string | undefined) | undefined;
}

/**
 * Decides what follows at `now`: deadlines, verdict, stages, offers, in this order. Each decision is applied as it is
 * made; the caller records them before it acts on any. Cheap when nothing is due.
 */
export function decide(rollout: Rollout, judge: Judge, now: Instant, options: DecideOptions): Decision[] {
  const decisions: Decision[] = [];
  if (!isActive(rollout)) {
    return decisions;
  }
  const record = (decision: Decision): void => {
    apply(rollout, judge, decision, now);
    decisions.push(decision);
  };
  const index = indexOf(rollout);
  expire(rollout, now, record);
  if (rollout.status === "halted") {
    index.dirty = false;
    return decisions;
  }
  if (rollout.stage < 0) {
    record({ type: "stage-opened", rollout: rollout.id, stage: 0 });
  }
  if (index.dirty || options.tick) {
    index.dirty = false;
    judgeStage(rollout, judge, now, record, options.withheld);
  }
  if (rollout.status === "running" || rollout.status === "held") {
    offer(rollout, now, record);
  }
  return decisions;
}

function expire(rollout: Rollout, now: Instant, record: (decision: Decision) => void): void {
  const index = indexOf(rollout);
  const due: number[] = [];
  while (index.deadlines.first <= now) {
    const at = index.deadlines.first;
    const position = index.deadlines.pop() as number;
    if (index.scheduled[position] === at) { // else an older entry of a member that is watched anew
      index.scheduled[position] = Number.POSITIVE_INFINITY;
      due.push(position);
    }
  }
  // In the order of the members: look-ups that a restart built anew hold what is due in another one.
  for (const position of due.sort((a, b) => a - b)) {
    const member = rollout.members[position] as Assignment;
    if (deadlineOf(rollout, member) > now) {
      watch(rollout, index, position);
      continue;
    }
    const silent = overdueAt(rollout, member) <= now;
    if (isWatchedControl(member)) {
      record({ type: "silent", rollout: rollout.id, device: member.device });
      continue;
    }
    if (member.state === "planned" && !silent && !member.ready) {
      const reason = `never ran ${rollout.rollback?.from ?? "what is left"} for good: nothing to bring back`;
      record({ type: "moved", rollout: rollout.id, device: member.device, state: "excused", reason });
    } else if (silent || member.state === "planned") {
      const reason = `no report for ${formatDuration(since(now, member.heardAt))}`;
      record({ type: "moved", rollout: rollout.id, device: member.device, state: "missing", reason });
    } else {
      const reason = `no confirmation ${formatDuration(since(now, member.offeredAt ?? now))} after the offer, last seen ${member.state}`;
      record({ type: "moved", rollout: rollout.id, device: member.device, state: "failed", reason });
    }
  }
}

function settledOf(stage: StageState): number {
  return [...settled].reduce((sum, state) => sum + stage.counts[state], 0);
}

/** What the evidence says at `now` of the newest open stage and those before it. Changes nothing. */
export function judgementOf(rollout: Rollout, judge: Judge, now: Instant): Judgement {
  const stage = rollout.stages[Math.max(0, rollout.stage)] as StageState;
  return judge.judge(rollout.evidence, {
    now,
    stage: Math.max(0, rollout.stage),
    openedAt: stage.openedAt === null ? now : listenedSince(rollout, stage.openedAt, now),
    size: stage.size,
    settled: settledOf(stage),
    soakMin: rollout.soakMin,
    soakMax: rollout.soakMax,
    target: rollout.stages.slice(0, rollout.stage + 1).reduce((sum, open) => sum + open.size, 0),
    minDevices: rollout.plan.minDevices,
    representative: rollout.representative,
    overrides: rollout.overrides,
  });
}

/** What the newest open stage of a running rollout still waits for at `now`, in words; empty when nothing is missing, or it does not run. Changes nothing. */
export function waitsFor(rollout: Rollout, judge: Judge, now: Instant): string[] {
  const stage = rollout.stages[rollout.stage];
  if (rollout.status !== "running" || stage === undefined) {
    return [];
  }
  return openReasons(rollout, stage, judgementOf(rollout, judge, now), settledOf(stage), now);
}

function judgeStage(rollout: Rollout, judge: Judge, now: Instant, record: (decision: Decision) => void, withheld: DecideOptions["withheld"]): void {
  const stage = rollout.stages[rollout.stage] as StageState;
  const openedAt = listenedSince(rollout, stage.openedAt as Instant, now);
  const settledCount = settledOf(stage);
  const judgement = judgementOf(rollout, judge, now);
  if (judgement.verdict.kind === "fail") {
    const { gate, metric, reason } = judgement.verdict;
    record({ type: "halted", rollout: rollout.id, gate, metric, gates: judgement.gates, authority: itself(reason) });
    return;
  }
  if (rollout.status !== "running") {
    return;
  }
  const missing = openReasons(rollout, stage, judgement, settledCount, now);
  if (missing.length === 0) {
    const why = rollout.stage === 0 && rollout.stages.length > 1 ? withheld?.() : undefined;
    if (why === undefined) {
      closeStage(rollout, judgement, record);
    } else {
      record({ type: "held", rollout: rollout.id, verdict: { kind: "inconclusive", missing: [why] }, authority: itself(why) });
    }
  } else if (now - openedAt >= rollout.soakMax) {
    const verdict: Verdict = { kind: "inconclusive", missing };
    record({
      type: "held",
      rollout: rollout.id,
      verdict,
      authority: itself(`stage "${stage.name}" reached its longest soak without a pass: ${missing.join("; ")}`),
    });
  }
}

/** Why the stage cannot close yet; empty when it passes. */
function openReasons(rollout: Rollout, stage: StageState, judgement: Judgement, settledCount: number, now: Instant): string[] {
  const missing: string[] = judgement.verdict.kind === "inconclusive" ? [...judgement.verdict.missing] : [];
  if (rollout.stage === rollout.stages.length - 1) {
    // Complete means everybody, also the stragglers that an earlier stage did not wait for (R38).
    const open = rollout.members.length - rollout.stages.reduce((sum, one) => sum + settledOf(one), 0);
    if (open > 0) {
      missing.push(`${open} of ${rollout.members.length} devices still under way`);
    }
  } else {
    const needed = Math.ceil(stage.size * rollout.plan.resolvedMin);
    if (settledCount < needed) {
      missing.push(`${needed - settledCount} of ${stage.size} devices still under way`);
    }
  }
  missing.push(...keepsTooLittle(rollout));
  const elapsed = since(now, listenedSince(rollout, stage.openedAt as Instant, now));
  if (elapsed < rollout.soakMin) {
    missing.push(`soak ${formatDuration(elapsed)} of ${formatDuration(rollout.soakMin)}`);
  }
  if (rollout.plan.soak.deviceHoursMin > 0 && missing.length === 0) {
    const hours = rollout.members.reduce(
      (sum, member) => sum + (member.confirmedAt === null ? 0 : (now - member.confirmedAt) / 3_600_000),
      0,
    );
    if (hours < rollout.plan.soak.deviceHoursMin) {
      missing.push(`${hours.toFixed(1)} of ${rollout.plan.soak.deviceHoursMin} device-hours`);
    }
  }
  if (missing.length === 0 && judgement.verdict.kind === "inconclusive") {
    missing.push("not enough evidence yet"); // R23, also for a judge that gives no reason
  }
  return missing;
}

/** Members of a rollout that hold its release for good, and how many of them keep an intact earlier image (R40). */
export function keepersOf(rollout: Rollout): { readonly devices: number; readonly able: number } {
  const holders = rollout.members.filter((member) => holding.has(member.state));
  return { devices: holders.length, able: holders.filter((member) => member.keeps).length };
}

/** R40: a rollout is not done while too few of its devices could go back. */
function keepsTooLittle(rollout: Rollout): string[] {
  const min = rollout.plan.rollbackShareMin ?? 0;
  if (min === 0 || rollout.stage !== rollout.stages.length - 1) {
    return [];
  }
  const { devices, able } = keepersOf(rollout);
  return able >= min * devices
    ? []
    : [`${able} of ${devices} devices on the release keep an intact earlier image, ${Math.round(min * 100)} % are needed (rollbackShareMin)`];
}

function closeStage(rollout: Rollout, judgement: Judgement, record: (decision: Decision) => void): void {
  const verdict: Verdict = { kind: "pass" };
  record({ type: "stage-closed", rollout: rollout.id, stage: rollout.stage, verdict, gates: judgement.gates });
  if (rollout.stage + 1 < rollout.stages.length) {
    record({ type: "stage-opened", rollout: rollout.id, stage: rollout.stage + 1 });
  } else {
    record({ type: "completed", rollout: rollout.id, verdict });
  }
  indexOf(rollout).dirty = true;
}

function offer(rollout: Rollout, now: Instant, record: (decision: Decision) => void): void {
  const index = indexOf(rollout);
  sortReady(index);
  const deaf = rollout.absences.some((absence) => absence.until === null);
  let kept = 0;
  for (let i = 0; i < index.ready.length; i += 1) {
    const position = index.ready[i] as number;
    const member = rollout.members[position] as Assignment;
    if (!index.queued.has(position)) {
      continue;
    }
    if (member.state !== "planned" || !member.ready || overdueAt(rollout, member) <= now) {
      index.queued.delete(position); // asked again when it is heard
      continue;
    }
    if (deaf && isUnheard(rollout, member)) {
      index.ready[kept] = position; // its door is shut: it waits for its turn, and holds up nobody
      kept += 1;
      continue;
    }
    const probe = { ...rollout.pace };
    if (!take(probe, now)) {
      for (; i < index.ready.length; i += 1) {
        index.ready[kept] = index.ready[i] as number;
        kept += 1;
      }
      break;
    }
    record(offerOf(rollout, position, member));
  }
  index.ready.length = kept;
}

function offerOf(rollout: Rollout, position: number, member: Assignment): Extract<Decision, { type: "offered" }> {
  const offer = rollout.offerBase + position + 1;
  const decision = { type: "offered", rollout: rollout.id, device: member.device } as const;
  if (rollout.rollback === null) {
    return { ...decision, offer };
  }
  return member.swapBack && !member.swapBackFailed
    ? { ...decision, offer, way: "swap-back" }
    : { ...decision, offer: member.swapBackFailed ? offer + rollout.members.length : offer, way: "download" };
}

/** Carries out an operator's order on a rollout. Throws `rollout/...` when it does not fit the status. */
export function command(rollout: Rollout, judge: Judge, order: RolloutCommand, now: Instant): Decision[] {
  const decisions: Decision[] = [];
  const record = (decision: Decision): void => {
    apply(rollout, judge, decision, now);
    decisions.push(decision);
  };
  const { authority } = order;
  if (authority.by.trim() === "" || authority.reason.trim() === "") {
    throw new CoalmineError("rollout/no-reason", `${order.kind} of ${rollout.id} needs a name and a reason: they go into the audit log`);
  }
  const refuse = (): never => {
    throw new CoalmineError("rollout/status", `${order.kind}: rollout ${rollout.id} is ${rollout.status}`);
  };
  if (!isActive(rollout)) {
    refuse();
  }
  switch (order.kind) {
    case "promote":
      if (rollout.status === "halted" || rollout.stage < 0) {
        refuse();
      }
      record({ type: "promoted", rollout: rollout.id, stage: rollout.stage, ...(order.despite === undefined ? {} : { despite: order.despite }), authority });
      if (rollout.stage + 1 < rollout.stages.length) {
        record({ type: "stage-opened", rollout: rollout.id, stage: rollout.stage + 1 });
      } else {
        for (const member of rollout.members) {
          if (!settled.has(member.state)) {
            record({ type: "moved", rollout: rollout.id, device: member.device, state: "excused", reason: `given up by ${authority.by}: ${authority.reason}` });
          }
        }
        record({ type: "completed", rollout: rollout.id, verdict: { kind: "inconclusive", missing: [`promoted by ${authority.by}: ${authority.reason}`] } });
      }
      break;
    case "hold":
      if (rollout.status !== "running") {
        refuse();
      }
      record({ type: "held", rollout: rollout.id, verdict: { kind: "inconclusive", missing: [authority.reason] }, authority });
      break;
    case "halt":
      if (rollout.status === "halted") {
        refuse();
      }
      record({ type: "halted", rollout: rollout.id, gate: "operator", metric: "operator", gates: [], authority });
      break;
    case "resume":
      if (rollout.status !== "halted" && rollout.status !== "held") {
        refuse();
      }
      record({ type: "resumed", rollout: rollout.id, authority });
      break;
    case "abort":
      record({ type: "aborted", rollout: rollout.id, authority });
      break;
    case "excuse": {
      const position = positionOf(indexOf(rollout), order.device);
      if (position === undefined) {
        throw new CoalmineError("rollout/not-a-member", `${order.device} is no member of rollout ${rollout.id}`);
      }
      record({ type: "moved", rollout: rollout.id, device: order.device, state: "excused", reason: authority.reason });
      break;
    }
    default:
      unreachable(order);
  }
  return decisions;
}

/** Notes that the rollback which the plan asks for cannot start, and why. */
export function declineRollback(rollout: Rollout, judge: Judge, why: string, at: Instant): Decision {
  const decision: Decision = { type: "rollback-declined", rollout: rollout.id, authority: itself(why) };
  apply(rollout, judge, decision, at);
  return decision;
}

/** When `decide` next has something to do by time alone; Infinity for an ended rollout. */
export function nextDue(rollout: Rollout): number {
  if (!isActive(rollout)) {
    return Number.POSITIVE_INFINITY;
  }
  return indexOf(rollout).deadlines.first;
}

