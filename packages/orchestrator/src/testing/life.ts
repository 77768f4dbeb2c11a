// SPDX-License-Identifier: Apache-2.0
// A random life of a small fleet under a plan whose gates weigh evidence: what devices say, hour by hour.
import { after, Hours, type Instant, memberOf, type RolloutId } from "@coalmine/core";
import { Conductor } from "../conductor.ts";
import type { Outcome } from "../conductor.ts";
import { planJudge } from "../gates.ts";
import { startRollout } from "../operations.ts";
import { planFromData } from "../plan-file.ts";
import type { LogEntry } from "../ports.ts";
import { aRelease, hashOf, operator, Speaker, start } from "./build.ts";

export interface LifeOptions {
  readonly seed: number;
  readonly devices?: number;
  readonly hours?: number;
  /** Share of updates that revert, of hourly crashes, of devices that fall silent for good after their update. */
  readonly reverts?: number;
  readonly crashes?: number;
  readonly crashesOnRelease?: number;
  readonly silent?: number;
  readonly plan?: Record<string, unknown>;
  /** Every report is delivered twice, the second time an hour later. */
  readonly twice?: boolean;
  /** Devices speak in reverse order within an hour. */
  readonly reversed?: boolean;
}

export const rollout = "r1" as RolloutId;

/** mulberry32, drawn by name so that two lives that differ in one thing differ in that alone. */
export function chanceOf(seed: number, ...names: readonly (string | number)[]): number {
  let state = seed | 0;
  for (const character of names.join("/")) {
    state = Math.imul(state ^ character.charCodeAt(0), 0x9e3779b1) ^ (state >>> 15);
  }
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
}

export function live(options: LifeOptions): { readonly conductor: Conductor; readonly entries: readonly LogEntry[]; readonly end: Instant } {
  const { seed, devices = 60, hours = 48 } = options;
  const conductor = new Conductor(planJudge);
  const entries: LogEntry[] = [];
  const keep = (outcome: Outcome): void => {
    entries.push(...outcome.entries);
  };
  const speakers = Array.from({ length: devices }, (_, index) => {
    const speaker = new Speaker(`d${String(index).padStart(3, "0")}`);
    speaker.revision = index % 3 === 0 ? "revB" : "revA";
    speaker.interval_s = 3_600;
    return speaker;
  });
  for (const speaker of speakers) {
    keep(conductor.report(speaker.id, "virtual", speaker.hello(), start));
  }
  keep(conductor.change(aRelease("1.1.0"), start));
  const plan = planFromData({ stages: [10, "50%", "100%"], strata: ["hardware"], gates: "default", soak: { min: "6h", max: "24h" }, offers: { perMinute: 6_000, jitter: "0s" }, ...options.plan });
  keep(startRollout(conductor, { release: "1.1.0", plan, seed, authority: operator }, start).outcome);
  const quiet = new Set<string>();
  let again: (() => void)[] = [];
  let at = start;
  for (let hour = 1; hour <= hours; hour += 1) {
    at = after(start, Hours(hour));
    const now = at;
    for (const deliver of again.splice(0)) {
      deliver();
    }
    const order = options.reversed === true ? [...speakers].reverse() : speakers;
    for (const speaker of order) {
      if (quiet.has(speaker.id)) {
        continue;
      }
      const say = (report: ReturnType<Speaker["say"]>): void => {
        keep(conductor.report(speaker.id, "virtual", report, now));
        if (options.twice === true) {
          keep(conductor.report(speaker.id, "virtual", report, now));
          again.push(() => keep(conductor.report(speaker.id, "virtual", report, after(now, Hours(1)))));
        }
      };
      speak(speaker, hour, say);
    }
    keep(conductor.tick(now));
  }
  return { conductor, entries, end: at };

  function speak(speaker: Speaker, hour: number, say: (report: ReturnType<Speaker["say"]>) => void): void {
    const draw = (purpose: string): number => chanceOf(seed, speaker.id, purpose, hour);
    const member = memberOf(conductor.rollout(rollout), speaker.id);
    const onRelease = speaker.running === "1.1.0";
    if (member !== undefined && member.state === "offered" && !onRelease) {
      speaker.reboot();
      if (chanceOf(seed, speaker.id, "revert") < (options.reverts ?? 0)) {
        say(speaker.say({ kind: "progress", offer: member.offer, state: "applying", offset: 32_000 }));
        speaker.attempt = { offer: member.offer, target: hashOf("1.1.0"), outcome: "reverted", ran: true, resetCause: "watchdog" };
      } else {
        speaker.running = "1.1.0";
      }
      say(speaker.hello());
      if (speaker.running === "1.1.0" && chanceOf(seed, speaker.id, "silent") < (options.silent ?? 0)) {
        quiet.add(speaker.id);
      }
      return;
    }
    const crashes = onRelease ? (options.crashesOnRelease ?? options.crashes ?? 0) : (options.crashes ?? 0);
    if (draw("crash") < crashes) {
      speaker.reboot();
      say(speaker.say({ kind: "crash", buildId: hashOf(speaker.running).subarray(0, 20), imageHash: hashOf(speaker.running), reason: "bus fault", pc: 0x1000, lr: 0x2000, uptime_s: 60 }));
      say(speaker.hello());
    }
    const level = Math.round(10 * (100 - (0.08 + 0.02 * chanceOf(seed, speaker.id, "drain")) * hour)) / 10;
    say(speaker.say({ kind: "heartbeat", imageHash: hashOf(speaker.running), confirmed: true, battery: level, linkUptime: 1, metrics: {} }));
  }
}
