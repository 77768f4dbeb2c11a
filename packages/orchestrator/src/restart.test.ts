// SPDX-License-Identifier: Apache-2.0
// What a restart must make good, and what it must not do.
import { after, type DeviceId, type Instant, memberOf, Minutes, type Rollout } from "@coalmine/core";
import { encodeReport } from "@coalmine/protocol";
import { describe, expect, test } from "vitest";
import { Conductor } from "./conductor.ts";
import type { Effect } from "./dispatch.ts";
import { Host } from "./host.ts";
import { boundJudge } from "./judge.ts";
import type { Link, LogEntry } from "./ports.ts";
import { replay } from "./replay.ts";
import { readSnapshot, writeSnapshot } from "./snapshot.ts";
import { aConductor, logOf, operator, type Speaker, start } from "./testing/build.ts";

const at = (minutes: number): Instant => after(start, Minutes(minutes));
const rolloutOf = (conductor: Conductor): Rollout => conductor.rollout("r1" as never);

function folded(entries: readonly LogEntry[]): Conductor {
  const conductor = new Conductor(boundJudge);
  for (const entry of entries) {
    conductor.fold(entry);
  }
  return conductor;
}

const told = (effects: readonly Effect[]): string[] =>
  effects.map((effect) => `${effect.device} ${effect.kind === "clear" ? "clear" : effect.command.kind}`).sort();

/** A rollout whose canaries have been offered the release. */
function offered() {
  const life = aConductor({ devices: 20 });
  const canaries = life.speakers.filter((speaker) => memberOf(rolloutOf(life.conductor), speaker.id)?.state === "offered");
  return { ...life, canaries: canaries as [Speaker, Speaker] };
}

const offerOf = (conductor: Conductor, { id }: Speaker): number => memberOf(rolloutOf(conductor), id)?.offer as number;

/** Reboots into the release, and confirms. */
function update(conductor: Conductor, speaker: Speaker, now: Instant): LogEntry[] {
  speaker.reboot();
  speaker.running = "1.1.0";
  speaker.confirmed = true;
  return conductor.report(speaker.id, "virtual", speaker.hello(), now).entries;
}

describe("time in which nobody listened", () => {
  test("is no silence of the devices: nobody is missing or failed after a day without the orchestrator", () => {
    const { conductor, entries, canaries } = offered();
    entries.push(...conductor.report(canaries[0].id, "virtual", canaries[0].say({ kind: "progress", offer: offerOf(conductor, canaries[0]), state: "applying", offset: 1 }), at(1)).entries);
    const day = 24 * 60;

    const deaf = folded(entries);
    expect(deaf.tick(at(day)).entries.map((entry) => entry.type)).toContain("moved"); // what it must not do
    const again = folded(entries);
    const restarted = again.restart(at(1), at(day)).entries;
    expect(restarted.map((entry) => entry.type)).toEqual(["restarted"]);
    expect(again.tick(at(day + 1)).entries).toEqual([]);

    // From then on silence counts as ever, and a replay sees the same.
    const later = again.tick(at(day + 600)).entries;
    expect(later.filter((entry) => entry.type === "moved")).not.toEqual([]);
    expect(replay([...entries, ...restarted, ...later], boundJudge)).toMatchObject({ ok: true });
  });

  test("is no soak: a stage does not pass for the hours in which nobody watched it", () => {
    const { conductor, entries, canaries } = offered();
    for (const canary of canaries) {
      entries.push(...update(conductor, canary, at(2)));
    }
    const again = folded(entries);
    again.restart(at(2), at(200));
    for (const canary of canaries) {
      again.report(canary.id, "virtual", canary.heartbeat(), at(201));
      again.report(canary.id, "virtual", canary.heartbeat(), at(202));
    }
    again.tick(at(203));
    expect(rolloutOf(again).stage).toBe(0);
    for (let minute = 204; minute < 270; minute += 5) {
      for (const speaker of canaries) {
        again.report(speaker.id, "virtual", speaker.heartbeat(), at(minute));
      }
      again.tick(at(minute));
    }
    expect(rolloutOf(again).stage).toBe(1);
  });

  test("is not noted without a rollout under way", () => {
    const { conductor } = aConductor({ started: false });
    expect(conductor.restart(at(1), at(9)).entries).toEqual([]);
  });
});

describe("what was lost with the process", () => {
  test("kept offers of members that ended just before are cleared, and who is under way is asked (R52)", () => {
    const { conductor, entries, canaries } = offered();
    entries.push(...update(conductor, canaries[0], at(2)));
    const [done, waiting] = canaries.map(({ id }) => id) as [DeviceId, DeviceId];
    expect(told(folded(entries).outstanding(at(1)))).toEqual([`${done} clear`, `${waiting} identify`, `${waiting} offer`].sort());
    expect(told(folded(entries).outstanding(at(3)))).toEqual([`${waiting} identify`, `${waiting} offer`].sort());
  });

  test("I5, R30: who was missing when its rollout was halted gets nothing on its return, nor after a restart", () => {
    const { conductor, entries, canaries } = offered();
    const [missing, loud] = canaries;
    entries.push(...conductor.report(loud.id, "virtual", loud.heartbeat(), at(100)).entries);
    entries.push(...conductor.tick(at(110)).entries);
    expect(memberOf(rolloutOf(conductor), missing.id)?.state).toBe("missing");
    const halt = conductor.order("r1" as never, { kind: "halt", authority: operator }, at(111));
    entries.push(...halt.entries);
    expect(told(halt.effects)).toContain(`${missing.id} cancel`);

    const back = conductor.report(missing.id, "virtual", missing.heartbeat(), at(112));
    entries.push(...back.entries);
    expect(memberOf(rolloutOf(conductor), missing.id)?.state).toBe("planned");
    expect(told(back.effects)).toEqual([`${missing.id} cancel`, `${missing.id} clear`]);
    const progress = conductor.report(missing.id, "virtual", missing.say({ kind: "progress", offer: offerOf(conductor, missing), state: "downloading", offset: 0 }), at(113));
    entries.push(...progress.entries);
    expect(memberOf(rolloutOf(conductor), missing.id)?.state).toBe("planned");
    expect(told(progress.effects)).toEqual([`${missing.id} cancel`, `${missing.id} clear`]);
    for (const one of [conductor, folded(entries), new Conductor(boundJudge, readSnapshot(writeSnapshot(conductor.state)))]) {
      const digest = one.state.releases.get("1.1.0" as never)?.artifacts[0]?.digest as string;
      expect(one.mayDownload(missing.id, Uint8Array.fromHex(digest.slice(0, 16)))).toBeUndefined();
      expect(told(one.outstanding()).filter((effect) => effect.endsWith(" offer"))).toEqual([]);
    }
  });

  test("the offer of a member that is given up is taken back, and so are those still open when the rollout ends", () => {
    const { conductor, canaries } = offered();
    const [given, missing] = canaries;
    const excused = conductor.order("r1" as never, { kind: "excuse", device: given.id, authority: operator }, at(1));
    expect(told(excused.effects)).toEqual([`${given.id} cancel`, `${given.id} clear`]);
    conductor.tick(at(110));
    expect(memberOf(rolloutOf(conductor), missing.id)?.state).toBe("missing");
    const aborted = conductor.order("r1" as never, { kind: "abort", authority: operator }, at(111));
    expect(told(aborted.effects)).toContain(`${missing.id} cancel`);
  });
});

test("who is offered next does not depend on when the process was started", () => {
  const life = aConductor({ devices: 40, plan: { stages: ["100%"], strata: [], offers: { perMinute: 1, jitter: "0s" }, silence: { floor: "15m", intervals: 3 } } });
  const { conductor, speakers, entries } = life;
  // Half of them fall silent, drop out of the queue and come back in another order.
  for (const speaker of speakers.slice(20)) {
    entries.push(...conductor.report(speaker.id, "virtual", speaker.heartbeat(), at(10)).entries);
  }
  entries.push(...conductor.tick(at(16)).entries);
  for (const speaker of speakers.slice(0, 20).reverse()) {
    entries.push(...conductor.report(speaker.id, "virtual", speaker.heartbeat(), at(17)).entries);
  }
  const restored = new Conductor(boundJudge, readSnapshot(writeSnapshot(conductor.state)));
  const again = folded(entries);
  for (let minute = 18; minute < 120; minute += 1) {
    const expected = conductor.tick(at(minute)).entries;
    entries.push(...expected);
    expect(again.tick(at(minute)).entries).toEqual(expected);
    expect(restored.tick(at(minute)).entries).toEqual(expected);
  }
  expect(replay(entries, boundJudge)).toMatchObject({ ok: true });
});

test("what comes in before the link is attached loses none of its effects", async () => {
  const { entries, canaries } = offered();
  const log = logOf(entries);
  const warnings: string[] = [];
  const host = Host.open({ log, judge: boundJudge, clock: { now: () => at(30) }, keys: [], artifacts: undefined as never, warn: (message) => warnings.push(message) });
  expect(log.entries.at(-1)?.type).toBe("restarted");
  const [done, waiting] = canaries;
  done.reboot();
  done.running = "1.1.0";
  await host.report(done.id, encodeReport(done.hello()), "mqtt");
  await host.report("stranger" as DeviceId, encodeReport(waiting.heartbeat()), "mqtt");

  const sent: Effect[] = [];
  const link = (door: Link["door"]): Link => ({
    door,
    send: async (device, command) => void sent.push({ kind: "send", device, command }),
    clear: async (device) => void sent.push({ kind: "clear", device }),
    close: async () => undefined,
  });
  host.attach(link("mqtt"));
  host.attach(link("virtual"));
  await host.resume();
  await host.close();
  // It came through two doors: a clear goes to both. Who has confirmed is asked what its other slot holds.
  expect(told(sent)).toEqual([`${done.id} clear`, `${done.id} clear`, `${done.id} identify`, `${waiting.id} identify`, `${waiting.id} offer`, "stranger identify"].sort());
  expect(warnings).toEqual([]);
});
