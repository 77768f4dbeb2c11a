// SPDX-License-Identifier: Apache-2.0
// The gates of a plan over the statistics of packages/evidence: what the rollout machine observes becomes evidence, and the
// evidence becomes its verdict.
import type { Assignment, Criterion, GateReading, Instant, Judge, JudgeContext, Judgement, Observation, Plan, Verdict } from "@coalmine/core";
import {
  type GateReading as EvidenceReading,
  crashFree,
  type CrashFree,
  type GatesJudgement,
  type GateSpec,
  type GatesState,
  harmBudgetMargins,
  judge as judgeEvidence,
  observe,
  openGates,
  type Placement,
  ratioMargins,
  smallestMargin,
  type Tripwire,
} from "@coalmine/evidence";
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
  /** Numbers of a heartbeat that some gate weighs, by the heartbeat's own names. */
  readonly heard: readonly string[];
  /** Battery level and when it was read, the anchor of the next drain. */
  readonly battery: Record<string, readonly [at: number, level: number]>;
}

/** Fraction of devices with an event in a soak day that a fleet without history is taken to have, and the least that counts. */
const baseline = { "crash-rate": { fraction: 0.02, floor: 0.002 }, silence: { fraction: 0.002, floor: 0.002 } } as const;

/** A drain is a level difference over at least this long: shorter ones are noise of the gauge. */
const drainWindowMs = 3 * 3_600_000;

const bounded = new Set(["crash-free-devices"]);

export const planJudge: Judge<PlanEvidence> = {
  init(plan, members, start): PlanEvidence {
    const bounds = plan.gates.filter((gate) => bounded.has(gate.metric));
    const weighed = plan.gates.filter((gate) => !bounded.has(gate.metric));
    const controls: PlanEvidence["controls"] = {};
    const places: PlanEvidence["places"] = {};
    for (const member of members) {
      if (member.control !== null) {
        const place = { stage: member.control, hardware: member.hardware, connectivity: member.connectivity };
        places[member.device] = place;
        (controls[key(place)] ??= { waiting: [], canaries: 0 }).waiting.push(member.device);
      }
    }
    for (const member of members) {
      const here = controls[key(placeOf(member))];
      if (here !== undefined) {
        here.canaries += 1;
      }
    }
    return {
      bounds: bounds.length === 0 ? null : boundJudge.init({ ...plan, gates: bounds }, members, start),
      gates: weighed.every((gate) => gate.dryRun) ? null : openGates(specOf(plan, weighed, members, start)),
      controls,
      places,
      heard: weighed.flatMap((gate) => heardName(gate.metric)),
      battery: {},
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
  const missing = parts.flatMap((part) => (part.verdict.kind === "inconclusive" ? part.verdict.missing : []));
  return missing.length > 0 ? { kind: "inconclusive", missing } : { kind: "pass" };
}

const key = (place: Placement): string => `${place.stage}|${place.hardware}|${place.connectivity}`;

function placeOf(member: Assignment): Placement {
  return { stage: member.stage, hardware: member.hardware, connectivity: member.connectivity };
}

function specOf(plan: Plan, gates: readonly Criterion[], members: readonly Assignment[], start: { readonly at: Instant; readonly seed: string }): GatesState["spec"] {
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
    gates: gateSpecs(plan, gates, { sizes: stages.map((stage) => stage.devices), slowest: members.reduce((longest, member) => Math.max(longest, member.interval), 0) }),
    tripwires: gates.filter((gate) => gate.critical).map(tripwire),
  };
}

/** The weighing gates of a plan for stages of these sizes, as the judge and the power statement see them. `slowest`: the longest check-in interval. */
export function gateSpecs(plan: Plan, gates: readonly Criterion[], fleet: { readonly sizes: readonly number[]; readonly slowest: number }): GateSpec[] {
  const margins = stageMargins(plan, fleet.sizes);
  return gates.map((gate) => gateSpec(plan, gate, margins, fleet.slowest));
}

/** Crash-free devices and hours of both arms; null when nothing weighs evidence. */
export function crashFreeArms(evidence: PlanEvidence, now: Instant): { readonly canary: CrashFree; readonly control: CrashFree } | null {
  const { gates } = evidence;
  return gates === null ? null : { canary: crashFree(gates, 1, now), control: crashFree(gates, 0, now) };
}

/** Criteria of a plan that weigh evidence; the others have a fixed bound. */
export function weighedCriteria(plan: Plan): Criterion[] {
  return plan.gates.filter((gate) => !bounded.has(gate.metric));
}

/** Share of failures that is still harmless: one less the confirmation rate the plan asks for. */
export function bootLimit(plan: Plan): number {
  return 1 - (plan.gates.find((gate) => gate.metric === "boot-confirmation")?.min ?? 0.995);
}

/**
 * Failure shares that each stage must exclude, from the harm budget (evidence.md 3.7). A plan that names no budget gets
 * half a per cent of the fleet, or as little as its own stages can exclude: a canary of ten devices says nothing about
 * one in a hundred, and a gate that no release can pass would hold every rollout.
 */
export function stageMargins(plan: Plan, sizes: readonly number[]): number[] {
  const cumulative: number[] = [];
  for (const size of sizes) {
    cumulative.push((cumulative.at(-1) ?? 0) + size);
  }
  const fleet = cumulative.at(-1) ?? 0;
  if (plan.harmBudget > 0) {
    return harmBudgetMargins(cumulative, Math.max(1, plan.harmBudget * fleet));
  }
  const margins = harmBudgetMargins(cumulative, Math.max(1, harmBudgetDefault * fleet)).map((margin, stage) =>
    Math.max(margin, smallestMargin(cumulative[stage] as number, bootLimit(plan), alphaPass)),
  );
  // The last stage keeps its predecessor's: nothing comes after it.
  return margins.map((margin, stage) => (stage > 0 && stage === margins.length - 1 ? (margins[stage - 1] as number) : margin));
}

const alphaPass = 0.05;
const harmBudgetDefault = 0.005;

/** Metric gates widen their margin for early, small stages (evidence.md 3.7: +30 %, +15 %, +10 %). */
const metricWidth = [3, 1.5, 1];

function gateSpec(plan: Plan, gate: Criterion, margins: readonly number[], slowest: number): GateSpec {
  const common = { name: gate.metric, weight: gate.weight, ...(gate.dryRun ? { dryRun: true } : {}) };
  switch (gate.metric) {
    case "boot-confirmation": {
      const limit = 1 - (gate.min ?? 0.995);
      return { ...common, kind: "boot", limit, margins: margins.map((margin) => gate.margin ?? Math.max(margin, 2 * limit)) };
    }
    case "crash-rate":
    case "silence":
      return {
        ...common,
        kind: gate.metric === "silence" ? "silence" : "crash",
        margins: gate.margin === undefined ? ratioMargins(margins, baseline[gate.metric]) : margins.map(() => 1 + (gate.margin as number)),
        shares: margins,
        window: Math.min(86_400_000, Math.max(60_000, plan.soak.min)),
        settle: Math.max(plan.silence.floor, plan.silence.intervals * slowest),
      };
    default: {
      const scale = gate.scale ?? "raw";
      const margin = gate.margin ?? 0.1;
      return {
        ...common,
        kind: "metric",
        metric: gate.metric.replace(/^metric:/, ""),
        worse: gate.worse ?? "higher",
        scale,
        tau: scale === "ln" ? Math.log1p(margin) : margin,
        margins: margins.map((_, stage) => {
          const wide = margin * (metricWidth[stage] ?? 1);
          return scale === "ln" ? Math.log1p(wide) : wide;
        }),
        missingData: gate.missingData === "ignore" ? "ignore" : "hold",
        devicesMin: gate.minSample,
        // Canaries of the first stage begin at once: there is nothing from before to compare with.
        baselineFromStage: 1,
      };
    }
  }
}

function tripwire(gate: Criterion): Tripwire {
  const event = gate.metric === "crash-rate" ? "crashed" : gate.metric === "silence" ? "overdue" : "failed";
  return { name: gate.metric, event, count: 1 };
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
      observe(gates, { kind: "updateStarted", device, at, placement: placeOf(member) });
      break;
    case "confirmed":
      observe(gates, { kind: "confirmed", device, at });
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
      observe(gates, { kind: "crash", device, at });
      break;
    case "heard":
      for (const name of state.heard) {
        const value = observation.metrics[name];
        if (value !== undefined) {
          heardMetric(state, gates, device, name, value, at);
        }
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
    observe(gates, { kind: "controlStart", device, at, placement: state.places[device] as Placement });
  }
}

/** What a heartbeat calls the number behind a metric; none for those that do not come from heartbeats. */
function heardName(metric: string): string[] {
  switch (metric) {
    case "boot-confirmation":
    case "crash-rate":
    case "silence":
      return [];
    case "battery-drain":
      return ["battery"];
    case "connectivity-uptime":
      return ["linkUptime"];
    default:
      return [metric.replace(/^metric:/, "")];
  }
}

function heardMetric(state: PlanEvidence, gates: GatesState, device: string, name: string, value: number, at: Instant): void {
  if (name === "battery") {
    const anchor = state.battery[device];
    if (anchor === undefined || value > anchor[1]) {
      state.battery[device] = [at, value]; // first reading, or charged
    } else if (at - anchor[0] >= drainWindowMs) {
      const perDay = ((anchor[1] - value) / (at - anchor[0])) * 86_400_000;
      state.battery[device] = [at, value];
      observe(gates, { kind: "metricSample", device, at, name: "battery-drain", value: Math.max(perDay, 0.01) });
    }
    return;
  }
  observe(gates, { kind: "metricSample", device, at, name: name === "linkUptime" ? "connectivity-uptime" : name, value });
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
    verdict = { kind: "fail", gate, metric: gate, reason: judgement.tripped.length > 0 || words === undefined ? judgement.reasons.join("; ") : unnamed(gate, words) };
  } else {
    verdict = { kind: "inconclusive", missing: judgement.reasons };
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
  return gates.every((gate) => gate.kind !== "boot" || verdict.gates?.includes(gate.name) !== true);
}

function reading(gate: EvidenceReading): GateReading {
  const arm = (from: EvidenceReading["canary"]) => ({
    devices: from.devices,
    events: from.events ?? 0,
    exposure_h: from.exposureHours ?? 0,
    estimate: from.estimate,
  });
  return {
    gate: gate.name,
    metric: gate.name,
    verdict: gate.enforced && gate.lnEHalt >= gate.threshold && !gate.withinMargin ? "fail" : gate.passed ? "pass" : "inconclusive",
    canary: arm(gate.canary),
    control: gate.control === null ? null : arm(gate.control),
    bound: `halts at evidence ${Math.exp(gate.threshold).toFixed(0)} of harm, passes at ${Math.exp(gate.passThreshold).toFixed(0)} against the margin`,
    reason: unnamed(gate.name, gate.words),
    evidence: {
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
