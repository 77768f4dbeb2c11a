// SPDX-License-Identifier: Apache-2.0
// Builders for tests: defaults everywhere, so that what a test sets is what it is about.
import type { Assignment } from "../assignment.ts";
import type { Decision, Member } from "../decision.ts";
import type { DeviceId, ReleaseId, RolloutId } from "../ids.ts";
import { checkPlan, type Plan, type StageSpec } from "../plan.ts";
import { Hours, type Instant, instant, Minutes, Seconds } from "../time.ts";
import type { Judge, Judgement } from "../verdict.ts";

export const start: Instant = instant(Date.UTC(2026, 0, 1));

export function aPlan(change: Partial<Plan> = {}): Plan {
  const stages: StageSpec[] = [
    { name: "canary", size: { kind: "count", count: 2 } },
    { name: "50%", size: { kind: "percent", percent: 50 } },
    { name: "100%", size: { kind: "percent", percent: 100 } },
  ];
  return checkPlan({
    version: 1,
    name: "test",
    stages,
    partial: false,
    strata: ["hardware"],
    representativeness: "warn",
    strataCoverMin: 0.1,
    offers: { perMinute: 6_000, jitter: Seconds(0) },
    soak: { min: Hours(1), max: Hours(6), deviceHoursMin: 0, dutyCycles: 3 },
    updateDeadline: Hours(2),
    confirm: { minUptime: Seconds(60), deadline: Minutes(15), serverContact: true },
    silence: { floor: Minutes(15), intervals: 3 },
    resolvedMin: 0.95,
    gates: [{ metric: "boot-confirmation", min: 0.9, minSample: 1, missingData: "fail", critical: false, dryRun: false, weight: 1 }],
    alpha: 0.05,
    harmBudget: 0.05,
    minDevices: 1,
    ...change,
  });
}

export function members(sizes: readonly number[]): Member[] {
  const list: Member[] = [];
  for (const [stage, size] of sizes.entries()) {
    for (let i = 0; i < size; i += 1) {
      list.push({ device: `d${list.length}` as DeviceId, stage, stratum: "all", hardware: "revA", connectivity: "wifi", control: null, heardAt: start, interval: Minutes(5) });
    }
  }
  return list;
}

export function started(plan: Plan, sizes: readonly number[], change: { readonly offerBase?: number } = {}): Extract<Decision, { type: "rollout-started" }> {
  return {
    type: "rollout-started",
    rollout: "r1" as RolloutId,
    release: "1.1.0" as ReleaseId,
    plan,
    seed: 7,
    offerBase: change.offerBase ?? 100,
    members: members(sizes),
    representative: "yes",
    authority: { by: "test", reason: "test" },
  };
}

interface Answer {
  verdict: Judgement["verdict"];
}

/** A judge that says what the test tells it to. */
export function toldJudge(first: Judgement["verdict"]): Judge<{ seen: string[] }> & Answer {
  return {
    verdict: first,
    init: () => ({ seen: [] }),
    observe(state: { seen: string[] }, member: Assignment, observation) {
      state.seen.push(`${member.device} ${observation.kind}`);
    },
    judge() {
      return { verdict: this.verdict, gates: [] };
    },
  };
}
