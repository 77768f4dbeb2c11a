// SPDX-License-Identifier: Apache-2.0
import type { Assignment, Criterion, GateReading, Judge, JudgeContext, Judgement, Observation, Plan, Verdict } from "@coalmine/core";

/** Counts of one arm of one stage. */
interface StageTally {
  started: number;
  confirmed: number;
  /** Confirmed members that have not crashed on the release. */
  crashFree: number;
  /** Members that began and ended badly, or fell silent. */
  bad: number;
  crashed: number;
  /** Members that have no way to tell of a crash, and those of them that started. */
  mute?: number;
  muteStarted?: number;
}

export interface Tallies {
  readonly gates: readonly Criterion[];
  readonly stages: StageTally[];
  /** Members counted as bad, crashed: one device counts once (R28). */
  readonly bad: Record<string, true>;
  readonly crashed: Record<string, true>;
}

/**
 * A simple judge with fixed bounds: boot confirmation and crash-free devices.
 *
 * For stopping, a device that has not answered yet counts as healthy; for passing, as failed. Silence past the
 * deadline counts against the release in both (R26). One device counts once however often it crashes (R28).
 */
export const boundJudge: Judge<Tallies> = {
  init(plan: Plan, members: readonly Assignment[]): Tallies {
    const stages = plan.stages.map((_, stage) => ({
      started: 0,
      confirmed: 0,
      crashFree: 0,
      bad: 0,
      crashed: 0,
      mute: members.filter((member) => member.stage === stage && member.mute === true).length,
      muteStarted: 0,
    }));
    return { gates: plan.gates, stages, bad: {}, crashed: {} };
  },
  observe(state: Tallies, member: Assignment, observation: Observation): void {
    const tally = state.stages[member.stage];
    if (tally === undefined) {
      return;
    }
    switch (observation.kind) {
      case "started":
        count(tally, member, 1);
        break;
      case "confirmed":
        tally.confirmed += 1;
        if (member.mute !== true && state.crashed[member.device] === undefined) {
          tally.crashFree += 1;
        }
        break;
      case "reverted":
      case "refused":
      case "failed":
      case "missing":
        if (member.offer !== 0 && state.bad[member.device] === undefined) {
          state.bad[member.device] = true;
          tally.bad += 1;
          if (member.startedAt === null) {
            count(tally, member, 1);
          }
        }
        break;
      case "returned":
        if (state.bad[member.device] !== undefined) {
          delete state.bad[member.device];
          tally.bad -= 1;
          if (member.startedAt === null) {
            count(tally, member, -1);
          }
        }
        break;
      case "crash":
        if (observation.onRelease && state.crashed[member.device] === undefined) {
          state.crashed[member.device] = true;
          tally.crashed += 1;
          // A crash on trial takes nothing away: that device has not confirmed.
          if (member.confirmedAt !== null) {
            tally.crashFree -= 1;
          }
        }
        break;
      default:
        break;
    }
  },
  judge(state: Tallies, context: JudgeContext): Judgement {
    const gates = state.gates.map((gate) => readGate(gate, state, context));
    let verdict: Verdict = { kind: "pass" };
    const missing: string[] = [];
    for (const [index, reading] of gates.entries()) {
      const gate = state.gates[index] as Criterion;
      if (gate.dryRun) {
        continue;
      }
      if (reading.verdict === "fail" && !context.overrides.includes(reading.gate)) {
        verdict = { kind: "fail", gate: reading.gate, metric: reading.metric, reason: reading.reason };
        return { verdict, gates };
      }
      if (reading.verdict === "inconclusive") {
        missing.push(`${reading.gate}: ${reading.reason}`);
      }
    }
    return { verdict: missing.length > 0 ? { kind: "inconclusive", missing } : verdict, gates };
  },
};

function count(tally: StageTally, member: Assignment, change: 1 | -1): void {
  tally.started += change;
  tally.muteStarted = (tally.muteStarted ?? 0) + (member.mute === true ? change : 0);
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

function readGate(gate: Criterion, state: Tallies, context: JudgeContext): GateReading {
  const min = gate.min ?? 0;
  // The newest stage must pass on its own; any stage so far may fail the release (R27).
  let failing: { readonly stage: number; readonly share: number; readonly of: number; readonly events: number } | undefined;
  const boots = gate.metric === "boot-confirmation";
  const eventsOf = (tally: StageTally): number => (boots ? tally.bad : tally.crashed);
  // Who cannot tell of a crash is neither crash-free nor crashed.
  const startedOf = (tally: StageTally): number => tally.started - (boots ? 0 : (tally.muteStarted ?? 0));
  for (let stage = 0; stage <= context.stage; stage += 1) {
    const tally = state.stages[stage] as StageTally;
    const events = eventsOf(tally);
    const share = startedOf(tally) === 0 ? 1 : 1 - events / startedOf(tally);
    // One bad device among the first few proves little; critical gates stop at the first.
    if (events >= (gate.critical ? 1 : 2) && share < min) {
      failing = { stage, share, of: startedOf(tally), events };
      break;
    }
  }
  const tally = state.stages[context.stage] as StageTally;
  const events = eventsOf(tally);
  const started = startedOf(tally);
  const size = context.size - (boots ? 0 : (tally.mute ?? 0));
  const answered = boots ? tally.confirmed : tally.crashFree;
  const estimate = started === 0 ? null : Math.max(0, 1 - events / started);
  const reading = {
    gate: gate.metric,
    metric: gate.metric,
    canary: { devices: started, events, exposure_h: 0, estimate },
    control: null,
    bound: `at least ${percent(min)}`,
  };
  if (failing !== undefined) {
    const what = boots ? "reverted, failed or fell silent" : "crashed";
    return {
      ...reading,
      verdict: "fail",
      reason: `${failing.events} of ${failing.of} devices ${what} in stage ${failing.stage + 1}: ${percent(failing.share)} is below ${percent(min)}`,
    };
  }
  if (size === 0) {
    const earlier = state.stages.slice(0, context.stage).reduce((sum, one) => sum + startedOf(one), 0);
    return earlier > 0
      ? { ...reading, verdict: "pass", reason: `no device of this stage can tell of crashes; ${earlier} of earlier stages can` }
      : { ...reading, verdict: "inconclusive", reason: "no device can tell of crashes: leave this gate out of the plan, or put devices that can into the canary" };
  }
  const needed = Math.min(gate.minSample, size);
  if (started < needed) {
    return { ...reading, verdict: "inconclusive", reason: `${started} of at least ${needed} devices have started` };
  }
  const share = answered / size;
  if (share < min) {
    return { ...reading, verdict: "inconclusive", reason: `${answered} of ${size} devices have shown it, ${percent(min)} are needed` };
  }
  return { ...reading, verdict: "pass", reason: `${percent(share)} of ${size}` };
}
