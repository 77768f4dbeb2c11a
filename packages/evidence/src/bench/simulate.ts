// SPDX-License-Identifier: Apache-2.0
// One replication of a staged rollout (evidence.md 4.4) in the eyes of several halting rules at once.

import { lnBootEvidence } from "../boot.ts";
import { binomialCdf, binomialUpper, studentTUpper } from "../distributions.ts";
import type { AncovaFit } from "../ancova.ts";
import { lnHalfT } from "../half-t.ts";
import { haltThreshold, lnGateMixture } from "../mixture.ts";
import { type BatteryLook, SimulatedBattery } from "./battery.ts";
import {
  BATTERY_TICK, CONFIRM_AFTER, CONTROLS, drawFleet, FLEET, type Fleet, HOLD_AFTER, QUIET, RAMP, REVERT_AFTER, type Scenario,
  SILENT_FAILURE_AFTER, STAGE_HOURS, stageOf, STAGES,
} from "./model.ts";
import { EventQueue } from "./queue.ts";
import { Stream } from "./random.ts";
import { SimulatedRisk } from "./risk.ts";

/** Rules under which stages follow the clock. */
const CLOCK_METHODS = [
  "anytime-halt", "naive-repeated-p05", "naive-repeated-p0125", "naive-stage-end-p05", "tuned-thresholds", "ratio-1pct-min100",
  "ratio-5pct-min100", "group-error-1pct", "group-error-10pct",
] as const;
/** Ours with stages that advance on evidence. */
const GATED_METHOD = "anytime-halt+pass";
export const METHODS = [...CLOCK_METHODS, GATED_METHOD] as const;
export type Method = (typeof METHODS)[number];

/** How one rollout ended under one rule. */
export interface Ending {
  readonly outcome: "halted" | "held" | "complete";
  /** Updates started before the end. */
  readonly devices: number;
  readonly hours: number;
}

const THRESHOLD = haltThreshold(0.05, 0.25);
const LN_20 = Math.log(20);
const LIMIT = 0.005;
const BOOT_MARGINS = [0.0556, 0.0125, 0.01];
const CRASH_MARGINS = [3.8, 1.63, 1.5];
const SILENCE_MARGINS = [28.8, 7.25, 6];
const BATTERY_MARGINS = [Math.log(1.3), Math.log(1.15), Math.log(1.1)];
const TAU = Math.log(1.1);
const SILENCE_PER_HOUR = 0.002 / 24;
const NU_MIN = 4;

// Event kinds, in the upper bits of a queue code; the device in the lower 14.
const START = 0;
const CONFIRM = 1;
const FAIL = 2;
const SHAM = 3;
// Crash and silence of a control, then of a canary.
const CRASH = 4;
const SILENCE = 6;
/** A crash of a burst: no base crash follows from it. */
const EXTRA = 8;

/** A device in one arm; index arm * FLEET + device. */
interface Subjects {
  readonly inside: Uint8Array;
  readonly counted: Uint8Array;
  readonly cell: Uint8Array;
  readonly episodes: Int32Array;
  readonly last: Float64Array;
}

/** Simulates replication `seed` of a scenario, with stages driven by the clock or by our PASS rule, and ends once every rule has ended. */
export function simulate(seed: string, scenario: Scenario, drive: "clock" | "gated"): Map<Method, Ending> {
  return new Rollout(seed, scenario, drive).run();
}

class Rollout {
  readonly #fleet: Fleet;
  readonly #scenario: Scenario;
  readonly #gated: boolean;
  readonly #crashStream: Stream;
  readonly #silenceStream: Stream;
  readonly #queue = new EventQueue();
  readonly #endings = new Map<Method, Ending>();
  readonly #methods: readonly Method[];
  readonly #subjects: Subjects = {
    inside: new Uint8Array(2 * FLEET), counted: new Uint8Array(2 * FLEET), cell: new Uint8Array(2 * FLEET),
    episodes: new Int32Array(2 * FLEET), last: new Float64Array(2 * FLEET).fill(-Infinity),
  };
  readonly #crash = new SimulatedRisk(CRASH_MARGINS);
  readonly #silence = new SimulatedRisk(SILENCE_MARGINS);
  readonly #battery: SimulatedBattery;
  readonly #resting: { readonly subject: number; readonly last: number }[] = [];
  #restingFrom = 0;
  #now = 0;
  #stage = -1;
  #stageOpened = 0;
  readonly #openings: number[] = [];
  readonly #started = [0, 0, 0];
  readonly #failed = [0, 0, 0];
  #confirmed = 0;
  readonly #reverted = [0, 0, 0, 0];
  // By arm: raw crashes, silences, exposure in device-hours and devices inside.
  readonly #crashes = [0, 0];
  readonly #silences = [0, 0];
  readonly #exposure = [0, 0];
  readonly #inside = [0, 0];
  #exposureTo = 0;
  #lastBattery: BatteryLook | undefined;
  #crashStreak = 0;
  #drainStreak = 0;

  constructor(seed: string, scenario: Scenario, drive: "clock" | "gated") {
    this.#scenario = scenario;
    this.#gated = drive === "gated";
    this.#methods = this.#gated ? [GATED_METHOD] : CLOCK_METHODS;
    this.#fleet = drawFleet(seed, scenario);
    this.#crashStream = new Stream(`${seed}/crash`);
    this.#silenceStream = new Stream(`${seed}/silence`);
    this.#battery = new SimulatedBattery(seed, this.#fleet, scenario.bat ?? 1);
  }

  run(): Map<Method, Ending> {
    this.#open(0);
    for (let hour = 1; this.#endings.size < this.#methods.length; hour++) {
      while (this.#queue.nextTime <= hour && this.#endings.size < this.#methods.length) {
        this.#now = this.#queue.nextTime;
        this.#handle(this.#queue.pop());
      }
      this.#now = hour;
      this.#tick(hour);
    }
    return this.#endings;
  }

  get #startedAll(): number {
    return (this.#started[0] as number) + (this.#started[1] as number) + (this.#started[2] as number);
  }

  get #failedAll(): number {
    return (this.#failed[0] as number) + (this.#failed[1] as number) + (this.#failed[2] as number);
  }

  #end(method: Method, outcome: Ending["outcome"]): void {
    if (!this.#methods.includes(method) || this.#endings.has(method)) return;
    this.#endings.set(method, { outcome, devices: this.#startedAll, hours: this.#now });
  }

  #open(stage: number): void {
    this.#stage = stage;
    this.#stageOpened = this.#now;
    this.#openings.push(this.#now);
    const { ramp, shamRamp } = this.#fleet;
    for (let device = STAGES[stage - 1] ?? 0; device < (STAGES[stage] as number); device++) {
      this.#queue.push(this.#now + (ramp[device] as number), START * 16_384 + device);
    }
    const controls = CONTROLS[stage];
    if (controls === undefined) return;
    const first = (STAGES[2] as number) + CONTROLS.slice(0, stage).reduce((a, b) => a + b, 0);
    for (let device = first; device < first + controls; device++) {
      this.#queue.push(this.#now + (shamRamp[device] as number), SHAM * 16_384 + device);
    }
  }

  #handle(code: number): void {
    const kind = code >> 14;
    const device = code & 16_383;
    switch (kind) {
      case START:
        this.#start(device);
        return;
      case CONFIRM:
        this.#confirmed += 1;
        this.#enter(device, 1, stageOf(device));
        return;
      case FAIL:
        this.#fail(device);
        return;
      case SHAM: {
        const index = device - (STAGES[2] as number);
        this.#enter(device, 0, index < 1000 ? 0 : index < 3000 ? 1 : 2);
        return;
      }
      case CRASH:
      case CRASH + 1:
        this.#crashed(device, (kind - CRASH) as 0 | 1, true);
        return;
      case EXTRA:
      case EXTRA + 1:
        this.#crashed(device, (kind - EXTRA) as 0 | 1, false);
        return;
      default:
        this.#silenced(device, (kind - SILENCE) as 0 | 1);
    }
  }

  #start(device: number): void {
    const hardware = this.#fleet.hardware[device] as number;
    this.#started[hardware] = (this.#started[hardware] as number) + 1;
    this.#leave(device, 0);
    const boot = this.#fleet.boot[device];
    if (boot === 0) this.#queue.push(this.#now + CONFIRM_AFTER, CONFIRM * 16_384 + device);
    else this.#queue.push(this.#now + (boot === 1 ? REVERT_AFTER : SILENT_FAILURE_AFTER), FAIL * 16_384 + device);
  }

  #fail(device: number): void {
    const hardware = this.#fleet.hardware[device] as number;
    this.#failed[hardware] = (this.#failed[hardware] as number) + 1;
    const lnE = (k: number, n: number): number => lnBootEvidence(k, n, LIMIT).halt;
    const byHardware = [0, 1, 2].map((hw) => lnE(this.#failed[hw] as number, this.#started[hw] as number));
    if (lnGateMixture(lnE(this.#failedAll, this.#startedAll), byHardware) >= THRESHOLD) this.#ours();
    if (this.#gated) return;
    const p = binomialUpper(this.#failedAll, this.#failedAll + this.#confirmed, LIMIT);
    this.#naive(p);
    if (this.#fleet.boot[device] !== 1) return;
    const stage = stageOf(device);
    this.#reverted[stage] = (this.#reverted[stage] as number) + 1;
    const share = this.#reverted[stage] / ((STAGES[stage] as number) - (STAGES[stage - 1] ?? 0));
    if (share > 0.01) this.#end("group-error-1pct", "halted");
    if (share > 0.1) this.#end("group-error-10pct", "halted");
  }

  #ours(): void {
    this.#end("anytime-halt", "halted");
    this.#end(GATED_METHOD, "halted");
  }

  #naive(p: number): void {
    if (p < 0.05) this.#end("naive-repeated-p05", "halted");
    if (p < 0.0125) this.#end("naive-repeated-p0125", "halted");
  }

  #enter(device: number, arm: 0 | 1, stage: number): void {
    const subject = arm * FLEET + device;
    const { inside, counted, cell } = this.#subjects;
    const own = stage * 9 + (this.#fleet.hardware[device] as number) * 3 + (this.#fleet.connectivity[device] as number);
    this.#account();
    this.#inside[arm] = (this.#inside[arm] as number) + 1;
    inside[subject] = 1;
    counted[subject] = 1;
    cell[subject] = own;
    this.#crash.count(own, 0, arm, 1);
    this.#silence.count(own, 0, arm, 1);
    this.#battery.enter(device, stage, arm);
    this.#nextCrash(device, arm, this.#now);
    this.#queue.push(this.#now + this.#silenceStream.exponential() / SILENCE_PER_HOUR, (SILENCE + arm) * 16_384 + device);
  }

  #leave(device: number, arm: 0 | 1): void {
    const subject = arm * FLEET + device;
    const { inside, counted, cell, episodes } = this.#subjects;
    if (inside[subject] !== 1) return;
    this.#account();
    this.#inside[arm] = (this.#inside[arm] as number) - 1;
    inside[subject] = 0;
    const own = cell[subject] as number;
    if (counted[subject] === 1) this.#crash.count(own, episodes[subject] as number, arm, -1);
    counted[subject] = 0;
    this.#silence.count(own, 0, arm, -1);
    this.#battery.leave(device, arm);
  }

  /** Brings exposure up to now. */
  #account(): void {
    const hours = this.#now - this.#exposureTo;
    this.#exposure[0] = (this.#exposure[0] as number) + hours * (this.#inside[0] as number);
    this.#exposure[1] = (this.#exposure[1] as number) + hours * (this.#inside[1] as number);
    this.#exposureTo = this.#now;
  }

  /** Schedules the next base crash: a unit exponential spent at the device's rate, which changes at the onset. */
  #nextCrash(device: number, arm: 0 | 1, entered: number): void {
    const { rr = 1, rrRevisionC, onset = 0 } = this.#scenario;
    const rate = this.#fleet.crashRate[device] as number;
    const ratio = arm === 0 ? 1 : this.#fleet.hardware[device] === 2 ? (rrRevisionC ?? rr) : rr;
    const need = this.#crashStream.exponential();
    if (rate <= 0) return;
    const quietLeft = onset === 0 ? 0 : Math.max(0, entered + onset - this.#now);
    const at = need <= rate * quietLeft ? need / rate : quietLeft + (need - rate * quietLeft) / (rate * ratio);
    if (this.#now + at < 2000) this.#queue.push(this.#now + at, (CRASH + arm) * 16_384 + device);
  }

  #crashed(device: number, arm: 0 | 1, base: boolean): void {
    const subject = arm * FLEET + device;
    const { inside, counted, cell, episodes, last } = this.#subjects;
    if (inside[subject] !== 1) return;
    this.#wake();
    this.#crashes[arm] = (this.#crashes[arm] as number) + 1;
    const opens = counted[subject] === 1;
    if (opens) {
      const [own, earlier] = [cell[subject] as number, episodes[subject] as number];
      this.#crash.event(own, earlier, arm, this.#fleet.hardware[device] as number);
      this.#crash.count(own, earlier, arm, -1);
      counted[subject] = 0;
      episodes[subject] = earlier + 1;
      if (this.#crash.lnEHalt() >= THRESHOLD) this.#ours();
    }
    last[subject] = this.#now;
    this.#resting.push({ subject, last: this.#now });
    if (opens && this.#crashStream.uniform() < 0.1) this.#burst(device, arm);
    if (base) this.#nextCrash(device, arm, this.#enteredAt(device, arm));
  }

  #enteredAt(device: number, arm: 0 | 1): number {
    // Only canaries have an onset, and theirs counts from the confirmation.
    return arm === 0 ? 0 : (this.#fleet.ramp[device] as number) + CONFIRM_AFTER + (this.#openings[stageOf(device)] as number);
  }

  /** 1 + Geometric(0.2) extra crashes, uniform over half an hour each. */
  #burst(device: number, arm: 0 | 1): void {
    let extra = 1;
    while (this.#crashStream.uniform() >= 0.2) extra += 1;
    for (let i = 0; i < extra; i++) {
      this.#queue.push(this.#now + this.#crashStream.uniform() * extra * 0.5, (EXTRA + arm) * 16_384 + device);
    }
  }

  #wake(): void {
    for (let entry = this.#resting[this.#restingFrom]; entry !== undefined; entry = this.#resting[this.#restingFrom]) {
      if (this.#now - entry.last < QUIET) return;
      this.#restingFrom += 1;
      const { inside, counted, cell, episodes, last } = this.#subjects;
      const { subject } = entry;
      if (inside[subject] !== 1 || counted[subject] === 1 || last[subject] !== entry.last) continue;
      counted[subject] = 1;
      this.#crash.count(cell[subject] as number, episodes[subject] as number, subject >= FLEET ? 1 : 0, 1);
    }
  }

  #silenced(device: number, arm: 0 | 1): void {
    const subject = arm * FLEET + device;
    if (this.#subjects.inside[subject] !== 1) return;
    this.#silences[arm] = (this.#silences[arm] as number) + 1;
    this.#silence.event(this.#subjects.cell[subject] as number, 0, arm, this.#fleet.hardware[device] as number);
    if (this.#silence.lnEHalt() >= THRESHOLD) this.#ours();
    this.#leave(device, arm);
  }

  #tick(hour: number): void {
    this.#account();
    if (hour % BATTERY_TICK === 0) this.#batteryTick();
    const inStage = hour - this.#stageOpened;
    if (!this.#gated) this.#hourly(inStage === STAGE_HOURS);
    const last = this.#stage === STAGES.length - 1;
    if (last) {
      if (inStage >= STAGE_HOURS + RAMP) for (const method of this.#methods) this.#end(method, "complete");
      return;
    }
    if (inStage < STAGE_HOURS) return;
    if (!this.#gated || this.#passes()) this.#open(this.#stage + 1);
    else if (inStage >= HOLD_AFTER) this.#end(GATED_METHOD, "held");
  }

  #batteryTick(): void {
    const look = this.#battery.tick();
    this.#lastBattery = look;
    const usable = (fit: AncovaFit | undefined): fit is AncovaFit => fit !== undefined && fit.nu >= NU_MIN;
    const halt = (fit: AncovaFit | undefined): number => (usable(fit) ? lnHalfT(fit, { side: 1, h: 0, tau: TAU }) : 0);
    if (lnGateMixture(halt(look.pooled), look.byHardware.map(halt)) >= THRESHOLD) this.#ours();
    if (this.#gated) return;
    if (usable(look.pooled)) this.#naive(batteryP(look.pooled));
    this.#drainStreak = look.canaries >= 20 && look.drain[1] > 1.1 * look.drain[0] ? this.#drainStreak + 1 : 0;
    if (this.#drainStreak >= 3) this.#end("tuned-thresholds", "halted");
  }

  #passes(): boolean {
    const stage = this.#stage;
    const [n, target] = [this.#startedAll, STAGES[stage] as number];
    if (n < 0.99 * target) return false;
    if (binomialCdf(n - this.#confirmed, n, BOOT_MARGINS[stage] as number) > 0.05) return false;
    if (this.#crash.lnEPass(stage) < LN_20 || this.#silence.lnEPass(stage) < LN_20) return false;
    const fit = this.#lastBattery?.pooled;
    if (fit === undefined || fit.nu < NU_MIN) return false;
    return lnHalfT(fit, { side: -1, h: BATTERY_MARGINS[stage] as number, tau: TAU }) >= LN_20;
  }

  /** The rules of others, once an hour. */
  #hourly(stageEnds: boolean): void {
    const resolved = this.#failedAll + this.#confirmed;
    const share = resolved >= 100 ? this.#failedAll / resolved : 0;
    if (share >= 0.01) {
      this.#end("ratio-1pct-min100", "halted");
      this.#end("tuned-thresholds", "halted");
    }
    if (share >= 0.05) this.#end("ratio-5pct-min100", "halted");
    const [controls, canaries] = this.#exposure as [number, number];
    if (controls > 0 && canaries > 0) {
      const rate = (arm: 0 | 1): number => (this.#crashes[arm] as number) / (this.#exposure[arm] as number);
      this.#crashStreak = (this.#crashes[1] as number) >= 5 && rate(1) > 1.5 * rate(0) ? this.#crashStreak + 1 : 0;
      if (this.#crashStreak >= 3) this.#end("tuned-thresholds", "halted");
    }
    const wanted = stageEnds || !(this.#endings.has("naive-repeated-p05") && this.#endings.has("naive-repeated-p0125"));
    if (!wanted) return;
    const eventP = Math.min(this.#countsP(this.#crashes), this.#countsP(this.#silences));
    this.#naive(eventP);
    if (!stageEnds) return;
    const bootP = resolved > 0 ? binomialUpper(this.#failedAll, resolved, LIMIT) : 1;
    const fit = this.#lastBattery?.pooled;
    const drainP = fit !== undefined && fit.nu >= NU_MIN ? batteryP(fit) : 1;
    if (Math.min(bootP, eventP, drainP) < 0.05) this.#end("naive-stage-end-p05", "halted");
  }

  /** Exact conditional binomial test of two counts with exposure. */
  #countsP(counts: readonly number[]): number {
    const [x0, x1] = counts as [number, number];
    const [t0, t1] = this.#exposure as [number, number];
    return x1 === 0 || t1 === 0 || t0 === 0 ? 1 : binomialUpper(x1, x0 + x1, t1 / (t0 + t1));
  }
}

function batteryP(fit: AncovaFit): number {
  return studentTUpper(fit.effect / Math.sqrt(fit.V), fit.nu);
}
