// SPDX-License-Identifier: Apache-2.0
// Properties of rollbacks over random fleets, plans and fates; the names of the tests are the invariants they hold.
import { after, type Instant, memberOf, Minutes, type Rollout } from "@coalmine/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Conductor, type Outcome } from "./conductor.ts";
import { readRecord } from "./entry.ts";
import { planJudge } from "./gates.ts";
import { startRollback, startRollout } from "./operations.ts";
import { planFromData } from "./plan-file.ts";
import type { LogEntry } from "./ports.ts";
import { writeSnapshot } from "./snapshot.ts";
import { aRelease, hashOf, operator, Speaker, start } from "./testing/build.ts";

const seed = Number(process.env["COALMINE_SEED"] ?? process.env["SEED"] ?? 7);

/** What a device does with its order to go back. */
type Fate = "back" | "lost the image" | "reverts" | "refused" | "silent";

interface World {
  readonly devices: number;
  readonly reached: number;
  readonly keeps: readonly boolean[];
  readonly fates: readonly Fate[];
  readonly percents: readonly number[];
  readonly perMinute: number;
  readonly emergency: boolean;
  readonly haltAt: number;
  readonly twice: boolean;
}

const many = 14;
const aWorld: fc.Arbitrary<World> = fc.record({
  devices: fc.integer({ min: 4, max: many }),
  reached: fc.integer({ min: 1, max: many }),
  keeps: fc.array(fc.boolean(), { minLength: many, maxLength: many }),
  fates: fc.oneof(
    fc.array(fc.constant<Fate>("back"), { minLength: many, maxLength: many }),
    fc.array(fc.constantFrom<Fate>("back", "back", "back", "back", "back", "back", "lost the image", "reverts", "refused", "silent"), { minLength: many, maxLength: many }),
  ),
  percents: fc.uniqueArray(fc.integer({ min: 1, max: 99 }), { maxLength: 3 }).map((list) => [...list].sort((a, b) => a - b)),
  perMinute: fc.integer({ min: 1, max: 600 }),
  emergency: fc.boolean(),
  haltAt: fc.constantFrom(-1, -1, 10, 25, 60),
  twice: fc.boolean(),
});

interface Life {
  readonly conductor: Conductor;
  readonly entries: readonly LogEntry[];
  readonly left: Rollout;
  readonly back: Rollout;
}

const common = { strata: ["hardware"], offers: { perMinute: 6_000, jitter: "0s" }, soak: { min: "10m", max: "2h", dutyCycles: 1 } };

/** A fleet that a bad release has partly reached, and its way back; `look` sees every outcome of the rollback. */
function live(world: World, look: (outcome: Outcome, life: Life) => void): Life {
  const conductor = new Conductor(planJudge);
  const entries: LogEntry[] = [];
  const speakers = Array.from({ length: world.devices }, (_, index) => {
    const speaker = new Speaker(`d${String(index).padStart(2, "0")}`);
    speaker.running = "1.1.0";
    speaker.mode = world.keeps[index] === true ? "swap-move" : "swap-offset";
    return speaker;
  });
  const keep = (outcome: Outcome): Outcome => {
    entries.push(...outcome.entries);
    return outcome;
  };
  for (const speaker of speakers) {
    keep(conductor.report(speaker.id, "virtual", speaker.hello(), start));
  }
  keep(conductor.change(aRelease("1.1.0"), start));
  keep(conductor.change(aRelease("1.2.0"), start));
  const count = Math.min(world.devices - 1, world.reached);
  const plan = planFromData({ ...common, stages: [count, "100%"], representativeness: "warn", gates: { "boot-confirmation": { dryRun: true } } });
  keep(startRollout(conductor, { release: "1.2.0", plan, seed: 3, authority: operator }, start).outcome);
  const left = conductor.rollout("r1" as never);
  for (const speaker of speakers.filter((one) => memberOf(left, one.id)?.state === "offered")) {
    speaker.reboot();
    [speaker.running, speaker.slot1] = ["1.2.0", "1.1.0"];
    keep(conductor.report(speaker.id, "virtual", speaker.hello(), after(start, Minutes(2))));
  }
  const own = planFromData({ ...common, stages: [...world.percents.map((percent) => `${percent}%`), "100%"], offers: { perMinute: world.perMinute, jitter: "0s" }, gates: { "boot-confirmation": { min: 0.8 } } });
  const begun = startRollback(conductor, { rollout: "r1", plan: world.emergency ? undefined : own, emergency: world.emergency, authority: operator }, after(start, Minutes(3)));
  keep(begun.outcome);
  const life: Life = { conductor, entries, left, back: conductor.rollout("r2" as never) };
  look(begun.outcome, life);
  const pending = new Map<string, { readonly kind: string; readonly offer: number }>();
  const note = (outcome: Outcome): void => {
    for (const effect of outcome.effects) {
      if (effect.kind === "send" && (effect.command.kind === "offer" || effect.command.kind === "swap-back")) {
        pending.set(effect.device, { kind: effect.command.kind, offer: effect.command.offer });
      }
    }
    look(keep(outcome), life);
  };
  note({ entries: [], effects: begun.outcome.effects });
  for (let minute = 5; minute <= 240 && (life.back.status === "running" || minute < 90); minute += 5) {
    const now: Instant = after(start, Minutes(minute));
    for (const [index, speaker] of speakers.entries()) {
      const order = pending.get(speaker.id);
      const fate = world.fates[index] as Fate;
      if (order === undefined) {
        note(conductor.report(speaker.id, "virtual", speaker.heartbeat(), now));
        continue;
      }
      if (fate === "silent") {
        continue;
      }
      pending.delete(speaker.id);
      const attempt = (outcome: "failed" | "reverted" | "refused") => ({ offer: order.offer, target: hashOf("1.1.0"), outcome, ran: outcome === "reverted", resetCause: "software" }) as const;
      if (fate === "lost the image" && order.kind === "swap-back") {
        const report = speaker.say({ kind: "result", attempt: attempt("failed"), reason: "the other slot does not hold that image" });
        note(conductor.report(speaker.id, "virtual", report, now));
        if (world.twice) {
          note(conductor.report(speaker.id, "virtual", report, now));
        }
        continue;
      }
      note(conductor.report(speaker.id, "virtual", speaker.say({ kind: "progress", offer: order.offer, state: "applying", offset: 0 }), now));
      speaker.reboot();
      if (fate === "reverts" || fate === "refused") {
        speaker.attempt = attempt(fate === "reverts" ? "reverted" : "refused");
        speaker.slot1 = fate === "refused" ? null : speaker.slot1;
      } else {
        [speaker.running, speaker.slot1] = ["1.1.0", "1.2.0"];
      }
      const hello = speaker.hello();
      note(conductor.report(speaker.id, "virtual", hello, now));
      if (world.twice) {
        note(conductor.report(speaker.id, "virtual", hello, now));
      }
    }
    if (minute === world.haltAt && life.back.status === "running") {
      note(conductor.order("r2" as never, { kind: "halt", authority: operator }, now));
    }
    note(conductor.tick(now));
  }
  return life;
}

const decided = (entries: readonly LogEntry[], type: string) => entries.filter((entry) => entry.type === type).map((entry) => readRecord(entry) as unknown as { rollout: string; device: string; offer: number; way?: string });

describe(`rollbacks over random fleets, plans and fates (seed ${seed})`, () => {
  test("I2, I3, R8, I5: numbers are used once, offers stay in the open stages, and the release that was left is never offered again", () => {
    const ends = new Set<string>();
    fc.assert(
      fc.property(aWorld, (world) => {
        let started = false;
        const wrong: string[] = [];
        const life = live(world, (outcome, { back, left }) => {
          for (const { rollout, device } of decided(outcome.entries, "offered")) {
            if (rollout === "r2" ? (memberOf(back, device as never)?.stage ?? many) > back.stage : started) {
              wrong.push(`${rollout} offered to ${device}`);
            }
          }
          const open = back.stages.slice(0, back.stage + 1).reduce((sum, stage) => sum + stage.size, 0);
          if (back.offered > open || left.status !== "aborted") {
            wrong.push(`${back.offered} offered of ${open}, and what was left is ${left.status}`);
          }
          started = true;
        });
        expect(wrong).toEqual([]);
        const offers = decided(life.entries, "offered");
        expect(new Set(offers.map((offer) => offer.offer)).size).toBe(offers.length);
        for (const member of life.back.members) {
          const own = offers.filter((offer) => offer.rollout === "r2" && offer.device === member.device);
          expect(own.map((offer) => offer.way)).toEqual(own.length < 2 ? own.map((offer) => offer.way) : ["swap-back", "download"]);
          expect(own.length).toBeLessThanOrEqual(2);
        }
        const sum = (counts: Rollout) => counts.stages.reduce((total, stage) => total + Object.values(stage.counts).reduce((a, b) => a + b, 0), 0);
        expect([sum(life.back), sum(life.left)]).toEqual([life.back.members.length, life.left.members.length]);
        ends.add(life.back.status);
      }),
      { seed, numRuns: 15 },
    );
    expect([...ends]).toEqual(expect.arrayContaining(["complete", "halted"]));
  });

  test("R30: after a halt of the rollback nobody is ordered back any more", () => {
    fc.assert(
      fc.property(aWorld, (world) => {
        let halted = false;
        live(world, (outcome, { back }) => {
          const at = outcome.entries.findIndex((entry) => entry.type === "halted");
          const later = outcome.entries.slice(halted ? 0 : at === -1 ? outcome.entries.length : at);
          expect(decided(later, "offered")).toEqual([]);
          halted ||= at !== -1;
          if (halted) {
            expect(outcome.effects.filter((effect) => effect.kind === "send" && (effect.command.kind === "offer" || effect.command.kind === "swap-back"))).toEqual([]);
            expect(back.members.some((member) => ["offered", "downloading", "downloaded", "deferred"].includes(member.state))).toBe(false);
          }
        });
      }),
      { seed, numRuns: 12 },
    );
  });

  test("R33, R36: who is back is rolled_back where it was reached, who is not still holds the release", () => {
    fc.assert(
      fc.property(aWorld, (world) => {
        const { conductor, back, left } = live(world, () => undefined);
        for (const member of back.members) {
          const runs = conductor.state.devices.get(member.device)?.running?.version;
          const before = memberOf(left, member.device)?.state;
          expect([member.device, before]).toEqual([member.device, runs === "1.1.0" ? "rolled_back" : "quarantined"]);
        }
        expect(conductor.state.releases.get("1.2.0" as never)?.barred).not.toBeNull();
      }),
      { seed, numRuns: 15 },
    );
  });

  test("I5: the conductor folded from its log is the live one", () => {
    fc.assert(
      fc.property(aWorld, (world) => {
        const { conductor, entries } = live(world, () => undefined);
        const folded = new Conductor(planJudge);
        for (const entry of entries) {
          folded.fold(entry);
        }
        const plain = (one: Conductor): unknown => ({ ...(JSON.parse(new TextDecoder().decode(writeSnapshot(one.state))) as object), counters: undefined });
        expect(plain(folded)).toEqual(plain(conductor));
      }),
      { seed, numRuns: 8 },
    );
  });
});
