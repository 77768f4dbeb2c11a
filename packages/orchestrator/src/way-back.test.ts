// SPDX-License-Identifier: Apache-2.0
import { after, type Instant, memberOf, Minutes } from "@coalmine/core";
import { describe, expect, test } from "vitest";
import { Conductor } from "./conductor.ts";
import { boundJudge } from "./judge.ts";
import { planRollout, startRollout } from "./operations.ts";
import { planFromData } from "./plan-file.ts";
import { aRelease, operator, Speaker, start } from "./testing/build.ts";
import { shareOf, wayBackInventory } from "./way-back.ts";

const at = (minutes: number): Instant => after(start, Minutes(minutes));

function fleet(count: number, equip: (speaker: Speaker, index: number) => void): { readonly conductor: Conductor; readonly speakers: readonly Speaker[] } {
  const conductor = new Conductor(boundJudge);
  conductor.change(aRelease("1.1.0"), start);
  conductor.change(aRelease("1.2.0"), start);
  const speakers = Array.from({ length: count }, (_, index) => {
    const speaker = new Speaker(`d${index}`);
    speaker.running = "1.1.0";
    speaker.slot1 = "1.0.0";
    equip(speaker, index);
    conductor.report(speaker.id, "virtual", speaker.hello(), start);
    return speaker;
  });
  return { conductor, speakers };
}

describe("the rollback inventory", () => {
  test("counts who can go back by an order, by release and stratum, and says why others cannot", () => {
    const { conductor } = fleet(6, (speaker, index) => {
      speaker.mode = index === 1 ? "overwrite" : "swap-move";
      speaker.slot1 = index === 2 ? null : "1.0.0";
      speaker.downgrade = index === 3 ? "version" : undefined;
      speaker.running = index === 5 ? "1.2.0" : "1.1.0";
      speaker.revision = index === 5 ? "revB" : "revA";
    });
    const made = wayBackInventory(conductor.state);
    expect(made).toMatchObject({
      devices: 6,
      able: 3,
      share: 0.5,
      byRelease: [
        { release: "1.1.0", devices: 5, able: 2 },
        { release: "1.2.0", devices: 1, able: 1, share: 1 },
      ],
      byStratum: [
        { stratum: "revA", devices: 5, able: 2 },
        { stratum: "revB", devices: 1, able: 1 },
      ],
      lastWayBack: [],
    });
    expect(made.reasons.map(({ reason }) => reason)).toEqual([
      "its bootloader prevents downgrades: 1.0.0 is older than 1.1.0",
      "its other slot holds no intact image",
      "overwrite keeps no image that an order brings back",
    ]);
    expect(wayBackInventory(conductor.state, { release: "1.2.0" })).toMatchObject({ devices: 1, able: 1 });
  });

  test("is kept current: a download takes the other slot away as it begins, whatever order its reports come in", () => {
    const { conductor, speakers } = fleet(1, () => undefined);
    const [speaker] = speakers as [Speaker];
    const early = speaker.hello();
    const progress = speaker.say({ kind: "progress", offer: 1, state: "downloading", offset: 0 });
    conductor.report(speaker.id, "virtual", progress, at(1));
    expect(wayBackInventory(conductor.state)).toMatchObject({ able: 0, reasons: [{ reason: "its other slot holds no intact image" }] });
    conductor.report(speaker.id, "virtual", early, at(2));
    expect(wayBackInventory(conductor.state).able).toBe(0);
    conductor.report(speaker.id, "virtual", speaker.hello(), at(3));
    expect(wayBackInventory(conductor.state).able).toBe(1);
  });

  test("names the devices whose next upload would destroy the last good image, and a plan warns of them", () => {
    const { conductor } = fleet(4, (speaker, index) => {
      speaker.running = index < 2 ? "1.2.0" : "1.1.0";
      speaker.slot1 = "1.1.0";
    });
    conductor.change({ type: "release-barred", release: "1.2.0" as never, authority: operator }, start);
    conductor.change(aRelease("1.3.0"), start);
    expect(wayBackInventory(conductor.state).lastWayBack).toEqual([0, 1].map((index) => ({ device: `d${index}`, runs: "1.2.0", why: "release 1.2.0 is barred", keeps: "1.1.0" })));
    const plan = planFromData({ stages: ["100%"], strata: ["hardware"], gates: "default" });
    expect(planRollout(conductor, { release: "1.3.0", plan, seed: 1, authority: operator }, start).warnings.join()).toMatch(/the upload overwrites the last good image of 2 devices \(d0, d1\): d0 runs 1\.2\.0/);
  });
});

test("R40: a client that erases slot 1 when it confirms keeps its rollout from being done, until a person says so", () => {
  for (const erases of [0, 1, 4]) {
    const { conductor, speakers } = fleet(8, () => undefined);
    const plan = planFromData({ stages: ["100%"], strata: ["hardware"], gates: { "boot-confirmation": { min: 0.5 } }, soak: { min: "1h", max: "4h", dutyCycles: 1 }, offers: { perMinute: 6_000, jitter: "0s" }, rollbackShareMin: "80%" });
    startRollout(conductor, { release: "1.2.0", plan, seed: 7, authority: operator }, start);
    const rollout = conductor.rollout("r1" as never);
    const asked = new Set<string>();
    for (let minute = 5; minute <= 600 && rollout.status === "running"; minute += 5) {
      for (const [index, speaker] of speakers.entries()) {
        if (speaker.running === "1.1.0" && memberOf(rollout, speaker.id)?.state === "offered") {
          speaker.reboot();
          [speaker.running, speaker.slot1] = ["1.2.0", "1.1.0"];
          conductor.report(speaker.id, "virtual", speaker.hello(), at(minute));
          speaker.slot1 = index < erases ? null : "1.1.0";
        }
        for (const effect of conductor.report(speaker.id, "virtual", speaker.heartbeat(), at(minute)).effects) {
          if (effect.kind === "send" && effect.command.kind === "identify") {
            asked.add(speaker.id);
            conductor.report(speaker.id, "virtual", speaker.hello(), at(minute));
          }
        }
      }
      conductor.tick(at(minute));
    }
    expect(asked.size).toBe(8);
    expect(shareOf(rollout)).toMatchObject({ devices: 8, able: 8 - erases });
    expect(rollout.status).toBe(erases > 1 ? "held" : "complete");
    if (rollout.status === "held") {
      expect(rollout.verdict).toMatchObject({ missing: [expect.stringContaining("4 of 8 devices on the release keep an intact earlier image, 80 % are needed (rollbackShareMin)")] });
      conductor.order("r1" as never, { kind: "promote", authority: operator }, at(601));
      expect(rollout.status).toBe("complete");
    }
  }
});
