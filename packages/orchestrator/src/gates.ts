// SPDX-License-Identifier: Apache-2.0
// The gates of a plan over the statistics of packages/evidence: what the rollout machine observes becomes evidence, and the
// evidence becomes its verdict.
import type { Assignment, Criterion, GateReading, Instant, Judge, JudgeContext, Judgement, Observation, Plan, RolloutStart, Verdict } from "@coalmine/core";
import {
  type GateReading as EvidenceReading,
  crashFree,
  type CrashFree,
  type GatesJudgement,
  type GatesState,
  judge as judgeEvidence,
  observe,
  observeSamples,
  openGates,
  type Placement,
} from "@coalmine/evidence";
import { alphaPass, boundedCriteria, comparedMetrics, gateSpecs, tripwires, weighedCriteria } from "./gate-specs.ts";
import { boundJudge, type Tallies } from "./judge.ts";

/** Plain data: it goes into snapshots. */
export interface PlanEvidence {
  /** Criteria with a fixed bound; null when the plan has none. */
  readonly bounds: Tallies | null;
  /** Criteria that weigh evidence; null when the plan has none. */
  readonly gates: GatesState | null;
  /** Controls that wait for their sham start, by stage and place; the canaries that are still to confirm there. */
  readonly controls: Record<string, { readonly waiting: string[]; canaries: number }>;
  /** Placement of each control. */
  readonly places: Record<string, Placement>;
  /** Controls that cannot tell of a crash. */
  readonly mute?: Record<string, true>;
  /** Metrics of a heartbeat that some gate weighs. */
  readonly heard: readonly string[];
  /** Boot number of each exposed device and when it was heard, while a gate looks for boot loops; null when none does. */
  readonly boots: Record<string, readonly [at: number, boot: number]> | null;
}

/** So many restarts within an hour are a boot loop. */
const loopBoots = 3;
const loopMs = 3_600_000;

export const planJudge: Judge<PlanEvidence> = {
  init(plan, members, start): PlanEvidence {
    const bounds = boundedCriteria(plan);
    const weighed = weighedCriteria(plan);
    const controls: PlanEvidence["controls"] = {};
    const places: PlanEvidence["places"] = {};
    const mute: Record<string, true> = {};
    for (const member of members) {
      if (member.control !== null) {
        const place = { stage: member.control, hardware: member.hardware, connectivity: member.connectivity };
        places[member.device] = place;
        if (member.mute === true) {
          mute[member.device] = true;
        }
        (controls[key(place)] ??= { waiting: [], canaries: 0 }).waiting.push(member.device);
      }
    }
    for (const member of members) {
      const here = controls[key(placeOf(member))];
      if (here !== undefined) {
        here.canaries += 1;
      }
    }
    const gates = weighed.every((gate) => gate.dryRun) ? null : openGates(specOf(plan, weighed, members, start));
    if (gates !== null) {
      for (const { device, usual = {} } of start.usual ?? []) {
        for (const [name, value] of Object.entries(usual)) {
          observe(gates, { kind: "baseline", device, at: start.at, name, value });
        }
      }
    }
    return {
      bounds: bounds.length === 0 ? null : boundJudge.init({ ...plan, gates: bounds }, members, start),
      gates,
      controls,
      places,
      mute,
      heard: comparedMetrics(plan),
      boots: weighed.some((gate) => gate.metric === "boot-loop-rate") ? {} : null,
    };
  },

  observe(state, member, observation, at): void {
    if (state.bounds !== null) {
      boundJudge.observe(state.bounds, member, observation, at);
    }
    if (state.gates !== null) {
      observeGates(state, state.gates, member, observation, at);
    }
  },

  judge(state, context): Judgement {
    const parts: Judgement[] = [];
    if (state.gates !== null) {
      parts.push(judgeGates(state.gates, context));
    }
    if (state.bounds !== null) {
      parts.push(boundJudge.judge(state.bounds, context));
    }
    return {
      verdict: verdictOf(parts),
      // Readings are for people: a look every few seconds does not need them.
      get gates() {
        return parts.flatMap((part) => part.gates);
      },
    };
  },
};

function verdictOf(parts: readonly Judgement[]): Verdict {
  const fail = parts.find((part) => part.verdict.kind === "fail");
  if (fail !== undefined) {
    return fail.verdict;
  }
  const open = parts.flatMap((part) => (part.verdict.kind === "inconclusive" ? [part.verdict] : []));
  return open.length > 0 ? { kind: "inconclusive", missing: open.flatMap((verdict) => verdict.missing) } : { kind: "pass" };
}

const key = (place: Placement): string => `${place.stage}|${place.hardware}|${place.connectivity}`;

function placeOf(member: Assignment): Placement {
  return { stage: member.stage, hardware: member.hardware, connectivity: member.connectivity };
}

function specOf(plan: Plan, gates: readonly Criterion[], members: readonly Assignment[], start: RolloutStart): GatesState["spec"] {
  const stages = plan.stages.map((_, stage) => ({
    devices: members.filter((member) => member.stage === stage).length,
    controls: members.filter((member) => member.control === stage).length,
  }));
  return {
    alpha: plan.alpha,
    alphaPass,
    origin: start.at,
    seed: start.seed,
    stages,
    gates: gateSpecs(plan, gates, {
      sizes: stages.map((stage) => stage.devices),
      controls: stages.map((stage) => stage.controls),
      slowest: members.reduce((longest, member) => Math.max(longest, member.interval), 0),
      baseline: start.baseline,
      // A membership names the usual values of a metric for all who report it, or for none.
      usual: new Set((start.usual ?? []).flatMap(({ usual }) => Object.keys(usual ?? {}))),
    }),
    tripwires: tripwires(gates),
  };
}

/** Crash-free devices and hours of both arms; null when nothing weighs evidence. */
export function crashFreeArms(evidence: PlanEvidence, now: Instant): { readonly canary: CrashFree; readonly control: CrashFree } | null {
  const { gates } = evidence;
  return gates === null ? null : { canary: crashFree(gates, 1, now), control: crashFree(gates, 0, now) };
}

function observeGates(state: PlanEvidence, gates: GatesState, member: Assignment, observation: Observation, at: Instant): void {
  const { device } = member;
  switch (observation.kind) {
    case "offered":
      if (member.control !== null) {
        observe(gates, { kind: "controlCensored", device, at });
      }
      break;
    case "started":
      observe(gates, { kind: "updateStarted", device, at, placement: placeOf(member), mute: member.mute === true });
      break;
    case "confirmed":
      observe(gates, { kind: "confirmed", device, at });
      if (member.offeredAt !== null) {
        observe(gates, { kind: "metricSample", device, at, name: "update-duration", value: (at - member.offeredAt) / 60_000 });
      }
      startControls(state, gates, placeOf(member), at);
      break;
    case "reverted":
    case "refused":
    case "failed":
      // What never began is no evidence on the release: the device still runs its old image.
      if (member.startedAt !== null) {
        observe(gates, { kind: "reverted", device, at });
      }
      break;
    case "missing":
      if (member.startedAt !== null || member.control !== null) {
        observe(gates, { kind: "overdue", device, at });
      }
      break;
    case "crash":
      // What the old image still had to tell when the update had begun says nothing about the release (R19).
      if (observation.onRelease || member.startedAt === null) {
        observe(gates, { kind: "crash", device, at });
      }
      break;
    case "heard":
      observeSamples(gates, device, at, state.heard, observation.metrics);
      if (state.boots !== null && observation.onRelease && member.startedAt !== null) {
        watchBoots(state.boots, gates, device, observation.boot, at);
      }
      break;
    case "excused":
      observe(gates, { kind: "withdrawn", device, at });
      break;
    case "returned":
      observe(gates, { kind: "returned", device, at });
      break;
    case "healthy":
      break;
  }
}

/** Each confirmation starts its share of the controls of the same place: a sham start from the same ramp (evidence.md 3.2). */
function startControls(state: PlanEvidence, gates: GatesState, place: Placement, at: Instant): void {
  const here = state.controls[key(place)];
  if (here === undefined || here.canaries <= 0) {
    return;
  }
  const share = Math.ceil(here.waiting.length / here.canaries);
  here.canaries -= 1;
  for (const device of here.waiting.splice(0, share)) {
    if (isSilent(gates, device)) {
      continue; // no canary starts in silence either: it would be at risk of nothing
    }
    observe(gates, { kind: "controlStart", device, at, placement: state.places[device] as Placement, mute: state.mute?.[device] === true });
  }
}

function isSilent(gates: GatesState, device: string): boolean {
  const record = gates.devices[device];
  const overdue = record?.overdues.at(-1);
  return overdue !== undefined && overdue > (record?.returnedAt ?? Number.NEGATIVE_INFINITY);
}

function watchBoots(boots: NonNullable<PlanEvidence["boots"]>, gates: GatesState, device: string, boot: number, at: Instant): void {
  const from = boots[device];
  if (from === undefined || at - from[0] > loopMs) {
    boots[device] = [at, boot];
  } else if (boot - from[1] >= loopBoots) {
    observe(gates, { kind: "looped", device, at });
  }
}

function judgeGates(state: GatesState, context: JudgeContext): Judgement {
  const reached = state.spec.stages.slice(0, context.stage + 1).reduce((sum, stage) => sum + stage.devices, 0);
  const judgement = judgeEvidence(state, {
    stage: context.stage,
    now: context.now,
    openedAt: context.openedAt,
    minSoakHours: context.soakMin / 3_600_000,
    maxSoakHours: context.soakMax / 3_600_000,
    target: context.target,
    minDevices: Math.min(context.minDevices, reached),
    representative: context.representative,
    overrides: context.overrides,
  });
  let verdict: Verdict;
  if (judgement.outcome === "pass" || isLastWord(state, context, judgement)) {
    verdict = { kind: "pass" };
  } else if (judgement.verdict.kind === "halt") {
    const [gate = "gates"] = judgement.verdict.gates;
    const words = judgement.gates.find((one) => one.name === gate)?.words;
    verdict = { kind: "fail", gate, metric: gate.replace(/:(?:max|min)$/, ""), reason: judgement.tripped.length > 0 || words === undefined ? judgement.reasons.join("; ") : unnamed(gate, words) };
  } else {
    // What is left of the shortest soak, the rollout says itself.
    const soaking = judgement.verdict.kind === "wait" && judgement.verdict.reason === "min-soak";
    verdict = { kind: "inconclusive", missing: soaking ? [] : judgement.reasons };
  }
  return {
    verdict,
    get gates() {
      return judgement.gates.map(reading);
    },
  };
}

/**
 * The last stage opens nothing further, and has no controls left: what earlier stages showed of rates is all that there
 * will be. It passes when its updates have and no gate fails; comparisons that lack evidence do not hold it.
 */
function isLastWord(state: GatesState, context: JudgeContext, { verdict, gates }: GatesJudgement): boolean {
  const last = state.spec.stages.length - 1;
  if (context.stage !== last || last === 0 || (verdict.kind !== "wait" && verdict.kind !== "hold") || verdict.reason !== "insufficient-evidence") {
    return false;
  }
  return gates.every((gate) => (gate.kind !== "boot" && gate.kind !== "share" && gate.kind !== "bound") || verdict.gates?.includes(gate.name) !== true);
}

const effectKinds = { boot: "share", share: "share", crash: "ratio", silence: "ratio", metric: "difference", bound: "bound" } as const;

function reading(gate: EvidenceReading): GateReading {
  const arm = (from: EvidenceReading["canary"]) => ({
    devices: from.devices,
    events: from.events ?? 0,
    exposure_h: from.exposureHours ?? 0,
    estimate: from.estimate,
  });
  return {
    gate: gate.name,
    metric: gate.name.replace(/:(?:max|min)$/, ""),
    verdict: gate.enforced && gate.lnEHalt >= gate.threshold && !gate.withinMargin ? "fail" : gate.passed ? "pass" : "inconclusive",
    canary: arm(gate.canary),
    control: gate.control === null ? null : arm(gate.control),
    bound: `halts at evidence ${Math.exp(gate.threshold).toFixed(0)} of harm, passes at ${Math.exp(gate.passThreshold).toFixed(0)} against the margin`,
    reason: unnamed(gate.name, gate.words),
    evidence: {
      kind: effectKinds[gate.kind],
      lnEHalt: gate.lnEHalt,
      haltAt: gate.threshold,
      lnEPass: gate.lnEPass,
      passAt: gate.passThreshold,
      margin: gate.margin,
      effect: gate.effect,
    },
  };
}

/** The words of a gate without its name in front: whoever shows them has said it. */
function unnamed(gate: string, words: string): string {
  return words.startsWith(`${gate}: `) ? words.slice(gate.length + 2) : words;
}
