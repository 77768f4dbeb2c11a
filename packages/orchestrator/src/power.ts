// SPDX-License-Identifier: Apache-2.0
// What a plan can and cannot see, said before it starts (R24, evidence.md 3.7): what its canary detects, how long a good
// release takes, what the harm budget implies, and what its author should think again about.
import { type Baseline, formatDuration, type Millis, type Plan } from "@coalmine/core";
import { binomialCdf, bootStagePass, devicesToPass, type EventGateSpec, eventPassPower, type GateSpec, MARGIN_CAP, marginAt, type PowerLine, powerStatement, shareAt } from "@coalmine/evidence";
import { alphaPass, eventFraction, expectedEvents, gateSpecs, plausible, soakOf, stageMargins, weighedCriteria } from "./gate-specs.ts";
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
  /** Share of good releases that pass by the longest soak, as far as events decide; the others wait for a person. */
  readonly passes: number;
}

export interface PlanPower {
  /** Smallest regressions that the canary finds within its shortest soak. */
  readonly lines: readonly PowerLine[];
  readonly stages: readonly StageForecast[];
  /** Hours of a whole good rollout, as a rule; null when some stage cannot pass. */
  readonly hoursToComplete: number | null;
  /** Share of good releases that reach everybody without a person's help, by the same reckoning. */
  readonly completes: number;
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
  const gates = gateSpecs(plan, weighedCriteria(plan), { sizes: counts, controls: sizes.stages.map((stage) => stage.controls), slowest: sizes.slowest, baseline: rates.baseline });
  const soak = soakOf(plan, sizes.slowest);
  const margins = stageMargins(plan, counts);
  const warnings: string[] = [];
  const stages = sizes.stages.map((stage, index): StageForecast => {
    const devices = counts.slice(0, index + 1).reduce((sum, size) => sum + size, 0);
    const next = counts[index + 1] ?? 0;
    const last = index === counts.length - 1;
    const ask: StageAsk = { plan, sizes, devices, stage: index, soak, rates, name: stage.name, warnings };
    const { hours, chance } = last ? { hours: soak.min / hourMs, chance: 1 } : passing(gates, ask);
    const margin = last ? (margins[index] as number) : Math.max(margins[index] as number, ...gates.map((gate) => harmOf(gate, index, rates)));
    // Who learns of an offer at its next report begins then.
    const begin = stage.size / Math.max(1e-9, plan.offers.perMinute * 60) + sizes.slowest / hourMs;
    return { stage: stage.name, devices, controls: stage.controls, margin, harmedAtWorst: Math.ceil(margin * next), hours: hours === null ? null : hours + begin, passes: chance };
  });
  warnings.push(...soakWarnings(plan, sizes, soak.min), ...sizeWarnings(plan, sizes));
  if (rates.baseline === undefined && gates.some((gate) => gate.kind === "crash" || gate.kind === "silence")) {
    warnings.push("the fleet has less than 100 device-days of history: its crash and silence rates are assumed, not measured");
  }
  return {
    lines: canaryPower(plan, gates, sizes, soak.min, rates),
    stages,
    hoursToComplete: stages.every((stage) => stage.hours !== null) ? stages.reduce((sum, stage) => sum + (stage.hours ?? 0), 0) : null,
    completes: stages.reduce((product, stage) => product * stage.passes, 1),
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
  readonly plan: Plan;
  readonly sizes: PlanSizes;
  /** Devices on the release by the end of the stage. */
  readonly devices: number;
  readonly stage: number;
  readonly soak: { readonly min: Millis; readonly max: Millis };
  readonly rates: FleetRates;
  readonly name: string;
  readonly warnings: string[];
}

/** The largest share of the next stage's devices that a release which passes this gate may harm. */
function harmOf(gate: GateSpec, stage: number, rates: FleetRates): number {
  if (gate.dryRun === true || (gate.kind !== "crash" && gate.kind !== "silence")) {
    return 0;
  }
  return Math.min(MARGIN_CAP, Math.max((marginAt(gate, stage) - 1) * eventFraction(gate.kind, rates), shareAt(gate, stage) ?? 0));
}

/** Good releases of which more than this share must pass a stage by its longest soak, or the plan is warned of. */
const passChanceMin = 0.8;

/** Hours of soak until every gate of a good release has passed, for every second one (null when one never will), and the share that passes. */
function passing(gates: readonly GateSpec[], ask: StageAsk): { readonly hours: number | null; readonly chance: number } {
  const { plan, stage, soak, warnings } = ask;
  let hours: number | null = soak.min / hourMs;
  let least = 1;
  for (const gate of gates) {
    if (gate.dryRun === true || gate.kind === "metric" || gate.kind === "bound") {
      continue;
    }
    if (gate.kind === "boot" || gate.kind === "share") {
      const margin = marginAt(gate, stage);
      const failing = Math.min(gate.limit, ask.rates.updateFailures);
      least = Math.min(least, chanceOfShare({ share: margin, alpha: alphaPass }, ask.devices, failing));
      if (!bootStagePass(Math.round(ask.devices * failing), ask.devices, margin, alphaPass).pass) {
        warnings.push(
          `stage "${ask.name}": ${ask.devices} devices cannot exclude a ${gate.kind === "boot" ? "failure rate" : gate.name} of ${percent(margin)}, ${devicesToPass(margin, alphaPass)} without one failure would: ` +
            "expect a hold; enlarge the stage, shrink the next one, or allow a larger harmBudget",
        );
        hours = null;
      }
      continue;
    }
    const forecasts = plausible(gate.kind === "crash" ? ask.rates.crashes : ask.rates.silences, ask.rates.baseline).map((perDay) => eventForecast(gate, ask, perDay));
    const chance = Math.min(...forecasts.map((forecast) => forecast.chance));
    const median = Math.max(...forecasts.map((forecast) => forecast.median));
    if (chance < passChanceMin) {
      warnings.push(
        `stage "${ask.name}": ${chance < 0.05 ? "hardly a good release shows" : `about ${Math.max(1, Math.round(10 * chance))} of 10 good releases show`} by the longest soak of ${formatDuration(soak.max)} that ` +
          `${gate.name} is no more than ${ratio(marginAt(gate, stage))} that of the controls: expect a hold; raise soak.max, enlarge the stage, ` +
          `allow a larger ${plan.harmBudget > 0 ? "harmBudget" : "margin"}, or keep more devices back as controls`,
      );
    }
    least = Math.min(least, chance);
    hours = hours === null ? null : Math.max(hours, median);
  }
  return { hours, chance: hours === null ? 0 : least };
}

/** How an event gate fares with a release that changes nothing: the chance that it passes by the longest soak, and hours until half of them have. */
function eventForecast(gate: EventGateSpec, ask: StageAsk, perDay: number): { readonly chance: number; readonly median: number } {
  const { sizes, devices, stage, soak, rates } = ask;
  const arms = { sizes: sizes.stages.map((one) => one.size), controls: sizes.stages.map((one) => one.controls) };
  const byRatio = (hours: number): number => eventPassPower(marginAt(gate, stage), expectedEvents(arms, stage, { perDay, hours, earlier: soak.min / hourMs }), alphaPass);
  const window = ((gate.window ?? dayMs) + (gate.settle ?? 0)) / hourMs;
  const share = shareAt(gate, stage);
  const events = 1 - Math.exp((-perDay * (gate.window ?? dayMs)) / dayMs);
  const byShare = share === undefined ? 0 : chanceOfShare({ share, alpha: alphaPass / 2 }, devices, 1 - (1 - events) * (1 - rates.updateFailures));
  const long = soak.max / hourMs;
  let median = long;
  if (byShare >= 0.5) {
    median = Math.min(median, window);
  }
  if (byRatio(median) >= 0.5) {
    let [low, high] = [0, median];
    for (let turn = 0; turn < 20; turn += 1) {
      const middle = (low + high) / 2;
      [low, high] = byRatio(middle) >= 0.5 ? [low, middle] : [middle, high];
    }
    median = high;
  }
  return { chance: devices === 0 ? 0 : Math.max(byRatio(long), window <= long ? byShare : 0), median };
}

/** Chance that of `devices`, each in doubt with probability `doubt`, so few are that less than `share` is shown. */
function chanceOfShare({ share, alpha }: { readonly share: number; readonly alpha: number }, devices: number, doubt: number): number {
  let most = -1;
  while (most < devices && bootStagePass(most + 1, devices, share, alpha).pass) {
    most += 1;
  }
  return most < 0 ? 0 : binomialCdf(most, devices, doubt);
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

const ratio = (margin: number): string => `${Number(margin.toPrecision(2))} times`;
const percent = (share: number): string => `${Number((100 * share).toPrecision(3))} %`;

/** The statement in sentences. */
export function describePower(power: PlanPower): string[] {
  const lines = power.lines.map((line) => line.words);
  for (const stage of power.stages) {
    const harm = stage.harmedAtWorst > 0 ? `; a release that passes harms at most ${stage.harmedAtWorst} devices of the next stage (excludes ${percent(stage.margin)}, 95 %)` : "";
    lines.push(`stage "${stage.stage}": ${stage.devices} devices, ${stage.controls} controls; ${stage.hours === null ? "cannot pass" : `a good release takes about ${Math.ceil(stage.hours)} h`}${harm}`);
  }
  if (power.hoursToComplete !== null) {
    lines.push(`a good release reaches everybody after about ${Math.ceil(power.hoursToComplete)} h; about ${Math.round(10 * power.completes)} of 10 do so without a hold`);
  }
  return lines;
}
