// SPDX-License-Identifier: Apache-2.0
// The simulated fleet of evidence.md sections 0 and 4.4. Hours throughout.

import { Stream } from "./random.ts";

export const FLEET = 10_000;
/** Cumulative devices per stage. */
export const STAGES: readonly number[] = [100, 1000, 5000, FLEET];
/** Dedicated controls of stages 1 to 3, taken in this order from the devices of stage 4. */
export const CONTROLS: readonly number[] = [1000, 2000, 2000];
export const RAMP = 12;
export const STAGE_HOURS = 36;
export const HOLD_AFTER = 168;
export const QUIET = 6;
export const SILENT_FAILURE_AFTER = 12;
export const REVERT_AFTER = 0.25;
export const CONFIRM_AFTER = 0.1;
export const BATTERY_TICK = 2;

/** What is wrong with a release, if anything. */
export interface Scenario {
  readonly name: string;
  /** Failure probability per update. */
  readonly p: number;
  /** Failure probability on hardware revision C (10 % of the fleet), if it differs. */
  readonly pRevisionC?: number;
  /** Crash rate ratio after the update, on all devices or on revision C. */
  readonly rr?: number;
  readonly rrRevisionC?: number;
  /** Hours after the update from which `rr` holds. */
  readonly onset?: number;
  /** Battery drain ratio. */
  readonly bat?: number;
  readonly crashesPerDeviceDay?: number;
}

const HARDWARE_SHARE = [0.6, 0.9, 1];
const CONNECTIVITY_SHARE = [0.5, 0.85, 1];
const CRASH_FACTOR = [1, 1.3, 2];
const DRAIN_HARDWARE = [0, 0.3, 0.7];
const DRAIN_CONNECTIVITY = [0, 0.4, 0.9];

/** One replication's devices in rollout order: position 0 to 99 is stage 1, and so on. */
export interface Fleet {
  readonly hardware: Uint8Array;
  readonly connectivity: Uint8Array;
  /** 0 confirms, 1 reverts, 2 falls silent. */
  readonly boot: Uint8Array;
  /** Start of the device's own update after its stage opens, and of its sham start as a control. */
  readonly ramp: Float64Array;
  readonly shamRamp: Float64Array;
  /** Baseline crashes per hour. */
  readonly crashRate: Float64Array;
  /** Usual log drain, drift since the start, and pre-period mean. */
  readonly drain: Float64Array;
  readonly before: Float64Array;
}

/** Draws a fleet. Each purpose has its own stream, so one scenario's parameter does not shift another's draws. */
export function drawFleet(seed: string, scenario: Scenario): Fleet {
  const stream = (purpose: string): Stream => new Stream(`${seed}/${purpose}`);
  const [kind, boot, ramp, frailty, battery] = [stream("kind"), stream("boot"), stream("ramp"), stream("frailty"), stream("battery-usual")];
  const fleet: Fleet = {
    hardware: new Uint8Array(FLEET),
    connectivity: new Uint8Array(FLEET),
    boot: new Uint8Array(FLEET),
    ramp: new Float64Array(FLEET),
    shamRamp: new Float64Array(FLEET),
    crashRate: new Float64Array(FLEET),
    drain: new Float64Array(FLEET),
    before: new Float64Array(FLEET),
  };
  const base = (scenario.crashesPerDeviceDay ?? 0.02) / 24;
  const pick = (shares: readonly number[], u: number): number => shares.findIndex((share) => u < share);
  for (let i = 0; i < FLEET; i++) {
    const hardware = pick(HARDWARE_SHARE, kind.uniform());
    const connectivity = pick(CONNECTIVITY_SHARE, kind.uniform());
    fleet.hardware[i] = hardware;
    fleet.connectivity[i] = connectivity;
    const p = hardware === 2 ? (scenario.pRevisionC ?? scenario.p) : scenario.p;
    const fails = boot.uniform() < p;
    const reverts = boot.uniform() < 0.6;
    fleet.boot[i] = fails ? (reverts ? 1 : 2) : 0;
    fleet.ramp[i] = RAMP * ramp.uniform();
    fleet.shamRamp[i] = RAMP * ramp.uniform();
    fleet.crashRate[i] = base * (CRASH_FACTOR[hardware] as number) * frailty.gammaMean1(0.3);
    const usual = (DRAIN_HARDWARE[hardware] as number) + (DRAIN_CONNECTIVITY[connectivity] as number) + 0.25 * battery.normal();
    fleet.before[i] = usual + Math.sqrt((0.18 * 9) / 36) * battery.normal();
    fleet.drain[i] = usual + 0.1 * battery.normal();
  }
  return fleet;
}

/** The stage (0 to 3) of a device by its position. */
export function stageOf(device: number): number {
  return STAGES.findIndex((reached) => device < reached);
}
