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
    const stages = plan.stages.map(() => ({ started: 0, confirmed: 0, crashFree: 0, bad: 0, crashed: 0 }));
    void members;
    return { gates: plan.gates, stages, bad: {}, crashed: {} };
  },
  observe(state: Tallies, member: Assignment, observation: Observation): void {
    const tally = state.stages[member.stage];
    if (tally === undefined) {
      return;
    }
    switch (observation.kind) {
      case "started":
        tally.started += 1;
        break;
      case "confirmed":
        tally.confirmed += 1;
        if (state.crashed[member.device] === undefined) {
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
            tally.started += 1;
          }
        }
        break;
      case "returned":
        if (state.bad[member.device] !== undefined) {
          delete state.bad[member.device];
          tally.bad -= 1;
          if (member.startedAt === null) {
            tally.started -= 1;
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

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

function readGate(gate: Criterion, state: Tallies, context: JudgeContext): GateReading {
  const min = gate.min ?? 0;
  // The newest stage must pass on its own; any stage so far may fail the release (R27).
  let failing: { readonly stage: number; readonly share: number; readonly of: number; readonly events: number } | undefined;
  const count = (tally: StageTally): number => (gate.metric === "boot-confirmation" ? tally.bad : tally.crashed);
  for (let stage = 0; stage <= context.stage; stage += 1) {
    const tally = state.stages[stage] as StageTally;
    const events = count(tally);
    const share = tally.started === 0 ? 1 : 1 - events / tally.started;
    // One bad device among the first few proves little; critical gates stop at the first.
    if (events >= (gate.critical ? 1 : 2) && share < min) {
      failing = { stage, share, of: tally.started, events };
      break;
    }
  }
  const tally = state.stages[context.stage] as StageTally;
  const events = count(tally);
  const answered = gate.metric === "boot-confirmation" ? tally.confirmed : tally.crashFree;
  const estimate = tally.started === 0 ? null : Math.max(0, 1 - events / tally.started);
  const reading = {
    gate: gate.metric,
    metric: gate.metric,
    canary: { devices: tally.started, events, exposure_h: 0, estimate },
    control: null,
    bound: `at least ${percent(min)}`,
  };
  if (failing !== undefined) {
    const what = gate.metric === "boot-confirmation" ? "reverted, failed or fell silent" : "crashed";
    return {
      ...reading,
      verdict: "fail",
      reason: `${failing.events} of ${failing.of} devices ${what} in stage ${failing.stage + 1}: ${percent(failing.share)} is below ${percent(min)}`,
    };
  }
  const needed = Math.min(gate.minSample, context.size);
  if (tally.started < needed) {
    return { ...reading, verdict: "inconclusive", reason: `${tally.started} of at least ${needed} devices have started` };
  }
  const share = answered / Math.max(1, context.size);
  if (share < min) {
    return { ...reading, verdict: "inconclusive", reason: `${answered} of ${context.size} devices have shown it, ${percent(min)} are needed` };
  }
  return { ...reading, verdict: "pass", reason: `${percent(share)} of ${context.size}` };
}
