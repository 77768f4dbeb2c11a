// SPDX-License-Identifier: Apache-2.0
// Properties over random plans and random fleets; the names of the tests are the invariants they hold.
import { after, type Instant, memberOf, Minutes, type Rollout } from "@coalmine/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Conductor, type Outcome } from "./conductor.ts";
import { readRecord } from "./entry.ts";
import { planJudge } from "./gates.ts";
import { planRollout, startRollout } from "./operations.ts";
import { planFromData } from "./plan-file.ts";
import { aRelease, hashOf, operator, Speaker, start } from "./testing/build.ts";

const seed = Number(process.env["COALMINE_SEED"] ?? process.env["SEED"] ?? 7);

interface World {
  readonly devices: number;
  readonly revisions: readonly boolean[];
  readonly percents: readonly number[];
  readonly canaries: number;
  readonly perMinute: number;
  readonly rolloutSeed: number;
}

const aWorld: fc.Arbitrary<World> = fc.record({
  devices: fc.integer({ min: 14, max: 60 }),
  revisions: fc.array(fc.boolean(), { minLength: 60, maxLength: 60 }),
  percents: fc.uniqueArray(fc.integer({ min: 1, max: 99 }), { maxLength: 4 }).map((list) => [...list].sort((a, b) => a - b)),
  canaries: fc.integer({ min: 1, max: 12 }),
  perMinute: fc.integer({ min: 1, max: 6_000 }),
  rolloutSeed: fc.integer({ min: 0, max: 1_000_000 }),
});

/** A plan of this world that fits its fleet: percent stages that would be empty are left out. */
function planOf(world: World, percents: readonly number[] = world.percents) {
  const stages: (string | number)[] = [world.canaries];
  let reached = world.canaries;
  for (const percent of percents) {
    const upTo = Math.ceil((world.devices * percent) / 100);
    if (upTo > reached && upTo < world.devices) {
      stages.push(`${percent}%`);
      reached = upTo;
    }
  }
  stages.push("100%");
  return planFromData({
    stages,
    strata: ["hardware"],
    representativeness: "warn",
    gates: { "boot-confirmation": { min: 0.99, margin: 0.5 } },
    minDevices: 1,
    offers: { perMinute: world.perMinute, jitter: "0s" },
    soak: { min: "10m", max: "2h", dutyCycles: 1 },
  });
}

function fleetOf(world: World): { conductor: Conductor; speakers: Speaker[] } {
  const conductor = new Conductor(planJudge);
  const speakers = Array.from({ length: world.devices }, (_, index) => {
    const speaker = new Speaker(`d${String(index).padStart(3, "0")}`);
    speaker.revision = world.revisions[index] === true ? "revB" : "revA";
    return speaker;
  });
  for (const speaker of speakers) {
    conductor.report(speaker.id, "virtual", speaker.hello(), start);
  }
  conductor.change(aRelease("1.1.0"), start);
  return { conductor, speakers };
}

/** What happens to a device at each look: it goes on, goes wrong, or says nothing. */
const size = { minLength: 60, maxLength: 60 };
const fates = fc.oneof(
  fc.array(fc.constant("good"), size),
  fc.array(fc.constantFrom(...Array.from({ length: 30 }, () => "good"), "silent"), size),
  fc.array(fc.constantFrom("good", "good", "bad"), size),
);

/** Lets a rollout live for some hours; `look` sees every outcome as it happens. */
function live(world: World, fate: readonly string[], haltAt: number, look: (outcome: Outcome, rollout: Rollout, now: Instant) => void): Rollout {
  const { conductor, speakers } = fleetOf(world);
  const begun = startRollout(conductor, { release: "1.1.0", plan: planOf(world), seed: world.rolloutSeed, authority: operator }, start);
  const rollout = conductor.rollout(begun.id);
  look(begun.outcome, rollout, start);
  for (let minute = 5; minute <= 600 && rollout.status !== "complete"; minute += 5) {
    const now = after(start, Minutes(minute));
    for (const [index, speaker] of speakers.entries()) {
      const member = memberOf(rollout, speaker.id);
      if (fate[index] === "silent" && minute > 30) {
        continue;
      }
      if (member?.state === "offered" && speaker.running === "1.0.0") {
        look(conductor.report(speaker.id, "virtual", speaker.say({ kind: "progress", offer: member.offer, state: "applying", offset: 1 }), now), rollout, now);
        speaker.reboot();
        if (fate[index] === "bad") {
          speaker.attempt = { offer: member.offer, target: hashOf("1.1.0"), outcome: "reverted", ran: true, resetCause: "watchdog" };
        } else {
          speaker.running = "1.1.0";
        }
        look(conductor.report(speaker.id, "virtual", speaker.hello(), now), rollout, now);
      } else {
        look(conductor.report(speaker.id, "virtual", speaker.heartbeat(), now), rollout, now);
      }
    }
    if (minute === haltAt && (rollout.status === "running" || rollout.status === "held")) {
      look(conductor.order(rollout.id, { kind: "halt", authority: operator }, now), rollout, now);
    }
    look(conductor.tick(now), rollout, now);
  }
  return rollout;
}

const offersOf = (outcome: Outcome): { device: string; offer: number }[] =>
  outcome.entries.filter((entry) => entry.type === "offered").map((entry) => readRecord(entry) as unknown as { device: string; offer: number });

const sendsOf = (outcome: Outcome): string[] =>
  outcome.effects.flatMap((effect) => (effect.kind === "send" && effect.command.kind === "offer" ? [effect.device] : []));

describe(`over random plans and fleets (seed ${seed})`, () => {
  test("R2 membership is frozen: no device that was not a member at the start ever gets an offer", () => {
    fc.assert(
      fc.property(aWorld, fates, (world, fate) => {
        let members: ReadonlySet<string> | undefined;
        live(world, fate, -1, (outcome, rollout) => {
          members ??= new Set(rollout.members.map((member) => member.device));
          for (const device of sendsOf(outcome)) {
            expect(members.has(device)).toBe(true);
          }
        });
      }),
      { seed, numRuns: 20 },
    );
  });

  test("R5 a wider stage keeps the devices of the narrower one, whatever the shares in between", () => {
    fc.assert(
      fc.property(aWorld, (world) => {
        const { conductor } = fleetOf(world);
        const input = { release: "1.1.0", seed: world.rolloutSeed, authority: operator };
        const order = planRollout(conductor, { ...input, plan: planOf(world) }, start).members;
        const other = planRollout(conductor, { ...input, plan: planOf(world, [50]) }, start).members;
        expect(other.map((member) => member.device)).toEqual(order.map((member) => member.device));
        const stages = order.map((member) => member.stage);
        expect(stages).toEqual([...stages].sort((a, b) => a - b));
      }),
      { seed, numRuns: 60 },
    );
  });

  test("R8 before a stage opens, no device outside the open stages receives the manifest; each device has one offer number (I2)", () => {
    const ends = new Set<string>();
    fc.assert(
      fc.property(aWorld, fates, (world, fate) => {
        const numbers = new Map<string, number>();
        const ended = live(world, fate, -1, (outcome, rollout) => {
          for (const { device, offer } of offersOf(outcome)) {
            expect(memberOf(rollout, device as never)?.stage).toBeLessThanOrEqual(rollout.stage);
            expect(numbers.get(device) ?? offer).toBe(offer);
            numbers.set(device, offer);
          }
          const open = rollout.stages.slice(0, rollout.stage + 1).reduce((sum, stage) => sum + stage.size, 0);
          expect(rollout.offered).toBeLessThanOrEqual(open); // I3
        });
        expect(new Set(numbers.values()).size).toBe(numbers.size);
        ends.add(`${ended.status} in stage ${Math.min(ended.stage, 1)}`);
      }),
      { seed, numRuns: 20 },
    );
    // A batch in which nothing happened proves nothing.
    expect([...ends].some((end) => end.startsWith("halted"))).toBe(true);
    expect([...ends].some((end) => end.endsWith("stage 1"))).toBe(true);
  });

  test("R30 after a halt nobody is offered anything, what had not rebooted is cancelled, and no further device gets the release", () => {
    fc.assert(
      fc.property(aWorld, fates, fc.integer({ min: 1, max: 20 }).map((n) => n * 5), (world, fate, haltAt) => {
        let exposedAtHalt: number | undefined;
        const rollout = live(world, fate, haltAt, (outcome, current) => {
          const halted = outcome.entries.findIndex((entry) => entry.type === "halted");
          const offers = outcome.entries.slice(halted === -1 ? 0 : halted).filter((entry) => entry.type === "offered");
          if (current.status === "halted") {
            expect(offers.filter(() => halted !== -1 || exposedAtHalt !== undefined)).toEqual([]);
            expect(current.members.some((member) => ["offered", "downloading", "downloaded", "deferred"].includes(member.state))).toBe(false);
            exposedAtHalt ??= current.members.filter((member) => member.startedAt !== null).length;
          }
        });
        if (rollout.status === "halted") {
          expect(rollout.members.filter((member) => member.startedAt !== null).length).toBe(exposedAtHalt);
        }
      }),
      { seed, numRuns: 20 },
    );
  });
});
