// SPDX-License-Identifier: Apache-2.0
// What a plan can and cannot see, said before it starts (R24, evidence.md 3.7): what its canary detects, how long a good
// release takes, what the harm budget implies, and what its author should think again about.
import { type Baseline, formatDuration, type Millis, type Plan } from "@coalmine/core";
import { bootStagePass, devicesToPass, type GateSpec, marginAt, passNeeds, type PowerLine, powerStatement, shareAt } from "@coalmine/evidence";
import { alphaPass, gateSpecs, stageMargins, weighedCriteria } from "./gate-specs.ts";
import { baselineOf } from "./history.ts";
import type { DeviceRecord } from "./inventory.ts";
import type { Membership } from "./membership.ts";

/** What the fleet does without any update. Per device-day; what is unknown is taken from evidence.md 3.7. */
export interface FleetRates {
  readonly crashes: number;
  readonly silences: number;
  /** Share of a good release's updates that fail. */
  readonly updateFailures: number;
  /** Share of the devices that report a battery. */
  readonly battery: number;
  /** Standard deviation of the logarithm of battery drain between devices. */
  readonly drainSpread: number;
  /** Fractions of devices with an event in a day, as a rollout would freeze them; undefined with too little history. */
  readonly baseline: Baseline | undefined;
}

export const assumedRates: FleetRates = { baseline: undefined, crashes: 0.02, silences: 0.002, updateFailures: 0.002, battery: 1, drainSpread: 0.25 };

/** One stage, before it starts. */
export interface StageForecast {
  readonly stage: string;
  /** Devices on the release by its end, and controls drawn for it. */
  readonly devices: number;
  readonly controls: number;
  /** Share of failures the stage excludes before the next one opens, and the devices that would be harmed there at worst. */
  readonly margin: number;
  readonly harmedAtWorst: number;
  /** Hours until a good release passes, as a rule; null when it cannot. */
  readonly hours: number | null;
}

export interface PlanPower {
  /** Smallest regressions that the canary finds within its shortest soak. */
  readonly lines: readonly PowerLine[];
  readonly stages: readonly StageForecast[];
  /** Hours of a whole good rollout, as a rule; null when some stage cannot pass. */
  readonly hoursToComplete: number | null;
  readonly warnings: readonly string[];
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** Sizes of a plan's arms, however they are known: from a membership, or from a fleet that does not exist yet. */
export interface PlanSizes {
  readonly stages: readonly {
    readonly name: string;
    readonly size: number;
    readonly controls: number;
    /** Of these, devices that cannot tell of crashes; none when left out. */
    readonly mute?: { readonly devices: number; readonly controls: number };
  }[];
  /** Longest expected time between reports of any member. */
  readonly slowest: Millis;
}

export function sizesOf(membership: Membership): PlanSizes {
  return {
    stages: membership.stages.map((stage, index) => ({
      ...stage,
      controls: membership.members.reduce((sum, member) => sum + (member.control === index ? 1 : 0), 0),
      mute: {
        devices: membership.members.reduce((sum, member) => sum + (member.stage === index && member.mute === true ? 1 : 0), 0),
        controls: membership.members.reduce((sum, member) => sum + (member.control === index && member.mute === true ? 1 : 0), 0),
      },
    })),
    slowest: membership.members.reduce((longest, member) => Math.max(longest, member.interval), 0) as Millis,
  };
}

/** Rates of the devices that take part, as far as their reports tell; undefined parts of them are assumed. */
export function measuredRates(devices: Iterable<Pick<DeviceRecord, "crashes" | "firstSeen" | "lastSeen" | "battery" | "history">>): FleetRates {
  const all = [...devices];
  const baseline = baselineOf(all.map((device) => device.history));
  const days = all.reduce((sum, device) => sum + (device.lastSeen - device.firstSeen) / dayMs, 0);
  const crashes = all.reduce((sum, device) => sum + device.crashes, 0);
  const drains = all.flatMap((device) => device.history.usual["battery-drain"]?.[0] ?? []);
  return {
    ...assumedRates,
    baseline,
    // One without any crash is known to be below its rule-of-three bound.
    crashes: baseline === undefined ? assumedRates.crashes : Math.max(crashes, 1) / days,
    silences: baseline?.silence ?? assumedRates.silences,
    battery: all.length === 0 ? assumedRates.battery : all.filter((device) => device.battery !== null).length / all.length,
    drainSpread: drains.length < 20 ? assumedRates.drainSpread : Math.max(0.05, spreadOf(drains.map(Math.log))),
  };
}

function spreadOf(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

/** The power statement of a plan for arms of these sizes. Pure: printed by `rollout plan` and `rehearse`. */
export function planPower(plan: Plan, sizes: PlanSizes, rates: FleetRates = assumedRates): PlanPower {
  const counts = sizes.stages.map((stage) => stage.size);
  const gates = gateSpecs(plan, weighedCriteria(plan), { sizes: counts, slowest: sizes.slowest, baseline: rates.baseline });
  const soakMin = Math.max(plan.soak.min, plan.soak.dutyCycles * sizes.slowest);
  const soakMax = Math.max(plan.soak.max, soakMin * 2);
  const margins = stageMargins(plan, counts);
  const warnings: string[] = [];
  const stages = sizes.stages.map((stage, index): StageForecast => {
    const devices = counts.slice(0, index + 1).reduce((sum, size) => sum + size, 0);
    const margin = margins[index] as number;
    const next = counts[index + 1] ?? 0;
    const hours = index === counts.length - 1 ? soakMin / hourMs : hoursToPass(gates, { devices, stage: index, soakMin, rates, name: stage.name, warnings });
    if (hours !== null && hours > soakMax / hourMs) {
      warnings.push(
        `stage "${stage.name}": a good release needs about ${Math.ceil(hours)} h to show that it is one, and the longest soak is ${formatDuration(soakMax as Millis)}: ` +
          `expect a hold; raise soak.max, enlarge the stage, or allow a larger harmBudget`,
      );
    }
    const ramp = stage.size / Math.max(1e-9, plan.offers.perMinute * 60);
    return { stage: stage.name, devices, controls: stage.controls, margin, harmedAtWorst: Math.ceil(margin * next), hours: hours === null ? null : hours + ramp };
  });
  warnings.push(...soakWarnings(plan, sizes, soakMin as Millis), ...sizeWarnings(plan, sizes));
  if (rates.baseline === undefined && gates.some((gate) => gate.kind === "crash" || gate.kind === "silence")) {
    warnings.push("the fleet has less than 100 device-days of history: its crash and silence rates are assumed, not measured");
  }
  return {
    lines: canaryPower(plan, gates, sizes, soakMin, rates),
    stages,
    hoursToComplete: stages.every((stage) => stage.hours !== null) ? stages.reduce((sum, stage) => sum + (stage.hours ?? 0), 0) : null,
    warnings,
  };
}

function canaryPower(plan: Plan, gates: readonly GateSpec[], sizes: PlanSizes, soakMin: number, rates: FleetRates): PowerLine[] {
  const [canary] = sizes.stages;
  const total = gates.reduce((sum, gate) => sum + (gate.dryRun === true ? 0 : gate.weight), 0);
  if (canary === undefined || total === 0) {
    return [];
  }
  return gates
    .filter((gate) => gate.dryRun !== true)
    .flatMap((gate) => {
      const share = gate.weight / total;
      const arms = { canaries: canary.size, controls: canary.controls, soakHours: Number((soakMin / hourMs).toPrecision(3)), alpha: plan.alpha };
      const telling = { canaries: canary.size - (canary.mute?.devices ?? 0), controls: canary.controls - (canary.mute?.controls ?? 0) };
      switch (gate.kind) {
        case "bound":
          return []; // how far the mean is from its bound is not known before
        case "boot":
        case "share":
          return powerStatement({ ...(gate.kind === "share" && gate.event === "looped" ? { ...arms, ...telling } : arms), gates: [{ kind: "boot", name: gate.name, share, limit: gate.limit, ...(gate.kind === "share" ? { metric: gate.name } : {}) }] });
        case "crash":
        case "silence":
          return powerStatement({ ...(gate.kind === "crash" ? { ...arms, ...telling } : arms), gates: [{ kind: gate.kind, name: gate.name, share, perDeviceDay: gate.kind === "crash" ? rates.crashes : rates.silences }] });
        case "metric": {
          const reporting = gate.metric === "battery-drain" ? rates.battery : 1;
          const residualSd = gate.scale === "ln" ? rates.drainSpread : gate.tau;
          return powerStatement({
            ...arms,
            canaries: Math.round(canary.size * reporting),
            controls: Math.round(canary.controls * reporting),
            gates: [{ kind: "metric", name: gate.name, metric: gate.metric, share, scale: gate.scale, tau: gate.tau, residualSd, strata: 1 }],
          });
        }
      }
    });
}

interface StageAsk {
  readonly devices: number;
  readonly stage: number;
  readonly soakMin: number;
  readonly rates: FleetRates;
  readonly name: string;
  readonly warnings: string[];
}

/** Hours of soak until every gate of a good release has passed; null when one never will. */
function hoursToPass(gates: readonly GateSpec[], ask: StageAsk): number | null {
  let hours: number | null = ask.soakMin / hourMs;
  for (const gate of gates) {
    if (gate.dryRun === true || gate.kind === "metric" || gate.kind === "bound") {
      continue;
    }
    const margin = marginAt(gate, ask.stage);
    if (gate.kind === "boot" || gate.kind === "share") {
      const failures = Math.round(ask.devices * Math.min(gate.limit, ask.rates.updateFailures));
      if (!bootStagePass(failures, ask.devices, margin, alphaPass).pass) {
        ask.warnings.push(
          `stage "${ask.name}": ${ask.devices} devices cannot exclude a ${gate.kind === "boot" ? "failure rate" : gate.name} of ${percent(margin)}, ${devicesToPass(margin, alphaPass)} without one failure would: ` +
            "expect a hold; enlarge the stage, shrink the next one, or allow a larger harmBudget",
        );
        hours = null;
      }
      continue;
    }
    const rate = gate.kind === "crash" ? ask.rates.crashes : ask.rates.silences;
    const byRatio = passNeeds({ margin: 0.5, ratioMargin: margin, devices: ask.devices, perDeviceDay: rate, alphaPass }).hours;
    const window = (gate.window ?? dayMs) / hourMs;
    const share = shareAt(gate, ask.stage);
    const spoilt = Math.round(ask.devices * (1 - Math.exp((-rate * window) / 24)));
    const byShare = share !== undefined && bootStagePass(spoilt, ask.devices, share, alphaPass / 2).pass ? window + (gate.settle ?? 0) / hourMs : Number.POSITIVE_INFINITY;
    hours = hours === null ? null : Math.max(hours, Math.min(byRatio, byShare));
  }
  return hours;
}

function soakWarnings(plan: Plan, sizes: PlanSizes, soakMin: Millis): string[] {
  const warnings: string[] = [];
  if (soakMin > plan.soak.min) {
    warnings.push(
      `soak.min of ${formatDuration(plan.soak.min)} is shorter than ${plan.soak.dutyCycles} duty cycles of the slowest devices, which report every ${formatDuration(sizes.slowest)}: ` +
        `every stage soaks for ${formatDuration(soakMin)} at least`,
    );
  }
  const { onset } = plan.soak;
  if (onset !== undefined && onset > soakMin) {
    warnings.push(
      `soak.onset: faults that begin ${formatDuration(onset)} after the update come after the shortest soak of ${formatDuration(soakMin)}: ` +
        `the next stage may open before they show; raise soak.min to ${formatDuration(onset)}`,
    );
  }
  return warnings;
}

function sizeWarnings(plan: Plan, sizes: PlanSizes): string[] {
  const [canary] = sizes.stages;
  const warnings: string[] = [];
  if (canary !== undefined && canary.size < plan.minDevices && sizes.stages.length > 1) {
    warnings.push(`the canary of ${canary.size} devices is smaller than minDevices (${plan.minDevices}): all of it must have started before it can pass`);
  }
  if (canary !== undefined && canary.controls < canary.size && sizes.stages.length > 1) {
    warnings.push(`only ${canary.controls} controls match the ${canary.size} canaries: comparisons will be weak; five for each canary are drawn where the fleet has them`);
  }
  return warnings;
}

const percent = (share: number): string => `${Number((100 * share).toPrecision(3))} %`;

/** The statement in sentences. */
export function describePower(power: PlanPower): string[] {
  const lines = power.lines.map((line) => line.words);
  for (const stage of power.stages) {
    const harm = stage.harmedAtWorst > 0 ? `; a release that passes harms at most ${stage.harmedAtWorst} devices of the next stage (excludes ${percent(stage.margin)}, 95 %)` : "";
    lines.push(`stage "${stage.stage}": ${stage.devices} devices, ${stage.controls} controls; ${stage.hours === null ? "cannot pass" : `a good release takes about ${Math.ceil(stage.hours)} h`}${harm}`);
  }
  if (power.hoursToComplete !== null) {
    lines.push(`a good release reaches everybody after about ${Math.ceil(power.hoursToComplete)} h`);
  }
  return lines;
}
