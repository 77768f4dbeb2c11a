// SPDX-License-Identifier: Apache-2.0
import { after, type Instant, memberOf, Minutes, stateCounts } from "@coalmine/core";
import { type Command, encodeReport, type Report } from "@coalmine/protocol";
import { describe, expect, test } from "vitest";
import { Conductor } from "./conductor.ts";
import { boundJudge } from "./judge.ts";
import { startRollout, tagDevice } from "./operations.ts";
import { replay } from "./replay.ts";
import { readSnapshot, writeSnapshot } from "./snapshot.ts";
import { aConductor, aRelease, hashOf, operator, Speaker, start } from "./testing/build.ts";

const at = (minutes: number): Instant => after(start, Minutes(minutes));

describe("reports", () => {
  test("I1: each report becomes one entry with its own bytes; a redelivery becomes none (R52)", () => {
    const { conductor, speakers } = aConductor({ started: false });
    const [speaker] = speakers as [Speaker];
    const bytes = encodeReport(speaker.heartbeat());
    const first = conductor.receive(speaker.id, "mqtt", bytes, at(1));
    expect(first.entries.map((entry) => entry.type)).toEqual(["report"]);
    expect(first.entries[0]?.body.subarray(1)).toEqual(bytes);
    expect(conductor.receive(speaker.id, "mqtt", bytes, at(2)).entries).toEqual([]);
    expect(conductor.state.counters.duplicates).toBe(1);
  });

  test("bytes that are no report are a counted outcome, and change nothing else", () => {
    const { conductor, speakers } = aConductor({ started: false });
    const [speaker] = speakers as [Speaker];
    const before = conductor.state.devices.get(speaker.id)?.reports;
    const outcome = conductor.receive(speaker.id, "mqtt", new Uint8Array([0xff, 0x00]), at(1));
    expect(outcome.entries.map((entry) => entry.type)).toEqual(["undecodable"]);
    expect(conductor.state.counters.undecodable).toBe(1);
    expect(conductor.state.devices.get(speaker.id)?.reports).toBe(before);
  });

  test("a late report of an older boot adds to counts and moves no state", () => {
    const { conductor, speakers } = aConductor();
    const speaker = speakers.find((s) => memberOf(conductor.rollout("r1" as never), s.id)?.state === "offered") as Speaker;
    const old = speaker.heartbeat();
    speaker.reboot();
    speaker.running = "1.1.0";
    speaker.confirmed = false;
    conductor.report(speaker.id, "virtual", speaker.hello(), at(5));
    expect(memberOf(conductor.rollout("r1" as never), speaker.id)?.state).toBe("testing");
    conductor.report(speaker.id, "virtual", old, at(6));
    expect(memberOf(conductor.rollout("r1" as never), speaker.id)?.state).toBe("testing");
    expect(conductor.state.counters.late).toBe(1);
  });
});

test("a hello that its own boot's result has overtaken still says which image runs", () => {
  const { conductor } = aConductor();
  const [victim] = conductor.rollout("r1" as never).members.filter((member) => member.state === "offered");
  const speaker = new Speaker(victim?.device as string);
  Object.assign(speaker, { boot: 2, running: "1.1.0", confirmed: false });
  conductor.report(speaker.id, "virtual", speaker.hello(), at(3));
  Object.assign(speaker, { boot: 3, sequence: 0, running: "1.0.0", confirmed: true });
  const hello = speaker.hello();
  const attempt = { offer: victim?.offer as number, target: hashOf("1.1.0"), outcome: "reverted", ran: true, resetCause: "watchdog" } as const;
  conductor.report(speaker.id, "virtual", speaker.say({ kind: "result", attempt, reason: "" }), at(4));
  conductor.report(speaker.id, "virtual", hello, at(5));
  expect(conductor.state.devices.get(speaker.id)?.running).toMatchObject({ version: "1.0.0", confirmed: true });
});

describe("offers", () => {
  test("R2: a tag that changes in mid-rollout neither adds a device nor sends an offer", () => {
    const { conductor, plan } = aConductor({ started: false });
    for (const id of ["d0", "d1", "d2", "d3", "d4", "d5"]) {
      tagDevice(conductor, { device: id, add: ["beta"], remove: [], authority: operator }, start);
    }
    startRollout(conductor, { release: "1.1.0", selector: { tags: ["beta"] }, plan, seed: 7, authority: operator }, start);
    const offered = new Set<string>();
    tagDevice(conductor, { device: "d9", add: ["beta"], remove: [], authority: operator }, at(1));
    for (let minute = 1; minute < 60; minute += 1) {
      for (const effect of conductor.tick(at(minute)).effects) {
        offered.add(effect.device);
      }
    }
    expect(offered.has("d9")).toBe(false);
    expect(conductor.rollout("r1" as never).members).toHaveLength(6);
  });

  test("R3: a device in an active rollout cannot join a second one; the message names it", () => {
    const { conductor, plan } = aConductor();
    conductor.change(aRelease("1.2.0"), start);
    expect(() => startRollout(conductor, { release: "1.2.0", plan, seed: 1, authority: operator }, at(1))).toThrow(/10 devices are in rollout r1, which is running: d0, d1/);
  });

  test("R5: a wider stage keeps the devices of the narrower one, and another release starts elsewhere", () => {
    const { conductor, plan } = aConductor({ devices: 100, started: false });
    conductor.change(aRelease("1.2.0"), start);
    const one = startRollout(conductor, { release: "1.1.0", plan, seed: 7, authority: operator }, start).membership;
    conductor.order("r1" as never, { kind: "abort", authority: operator }, start);
    const again = startRollout(conductor, { release: "1.1.0", plan, seed: 7, authority: operator }, start).membership;
    conductor.order("r2" as never, { kind: "abort", authority: operator }, start);
    const other = startRollout(conductor, { release: "1.2.0", plan, seed: 7, authority: operator }, start).membership;
    const upTo = (membership: typeof one, stage: number): string[] => membership.members.filter((m) => m.stage <= stage).map((m) => m.device);
    expect(again.members).toEqual(one.members);
    expect(upTo(one, 1).slice(0, upTo(one, 0).length)).toEqual(upTo(one, 0));
    expect(upTo(other, 1)).not.toEqual(upTo(one, 1));
  });

  test("R6: a canary of lab devices only is refused", () => {
    const { conductor } = aConductor({ started: false });
    const lab = new Speaker("lab0");
    const hello = lab.hello();
    if (hello.body.kind === "hello") {
      conductor.report(lab.id, "virtual", { ...hello, body: { ...hello.body, attributes: { site: "lab" } } }, start);
    }
    const { plan } = aConductor({ started: false, plan: { stages: [{ devices: ["lab0"] }, "100%"] } });
    expect(() => startRollout(conductor, { release: "1.1.0", plan, seed: 7, authority: operator }, start)).toThrow(/all canaries are lab devices/);
  });

  test("R36: a device that reverted a release is left out of the next rollout of it, by name", () => {
    const { conductor, speakers, plan } = aConductor();
    const victim = speakers.find((s) => memberOf(conductor.rollout("r1" as never), s.id)?.state === "offered") as Speaker;
    const offer = memberOf(conductor.rollout("r1" as never), victim.id)?.offer as number;
    victim.reboot();
    victim.attempt = { offer, target: hashOf("1.1.0"), outcome: "reverted", ran: true, resetCause: "watchdog" };
    conductor.report(victim.id, "virtual", victim.hello(), at(9));
    expect(memberOf(conductor.rollout("r1" as never), victim.id)?.state).toBe("reverted");
    conductor.order("r1" as never, { kind: "abort", authority: operator }, at(10));
    const next = startRollout(conductor, { release: "1.1.0", plan, seed: 7, authority: operator }, at(11)).membership;
    expect(next.excluded).toEqual([{ device: victim.id, reason: "release 1.1.0 is quarantined for it: it reverted or refused it before" }]);
  });

  test("I6: hardware that no artifact fits takes no part, whatever the selector says", () => {
    const { conductor, plan } = aConductor({ started: false });
    const odd = new Speaker("odd");
    odd.revision = "revZ";
    conductor.report(odd.id, "virtual", odd.hello(), start);
    const { membership } = startRollout(conductor, { release: "1.1.0", plan, seed: 7, authority: operator }, start);
    expect(membership.excluded[0]?.reason).toBe("release 1.1.0 has no artifact for nrf52840dk revZ (pm1)");
    expect(membership.members.some((member) => member.device === "odd")).toBe(false);
  });
});

describe("restart", () => {
  const plain = (conductor: Conductor): unknown => JSON.parse(new TextDecoder().decode(writeSnapshot(conductor.state)));

  /** A life with a halt in it: two canaries revert. */
  function halted() {
    const life = aConductor({ devices: 20 });
    const { conductor, speakers, entries } = life;
    for (const speaker of speakers) {
      const member = memberOf(conductor.rollout("r1" as never), speaker.id);
      if (member?.state !== "offered") {
        continue;
      }
      entries.push(...conductor.report(speaker.id, "virtual", speaker.say({ kind: "progress", offer: member.offer, state: "applying", offset: 32_000 }), at(3)).entries);
      speaker.reboot();
      speaker.attempt = { offer: member.offer, target: hashOf("1.1.0"), outcome: "reverted", ran: true, resetCause: "fault" };
      entries.push(...conductor.report(speaker.id, "virtual", speaker.hello(), at(9)).entries);
    }
    entries.push(...conductor.tick(at(10)).entries);
    return life;
  }

  test("I5: folding the log gives the same state, halted, and nothing new to offer", () => {
    const { conductor, entries } = halted();
    expect(conductor.rollout("r1" as never).status).toBe("halted");
    const again = new Conductor(boundJudge);
    for (const entry of entries) {
      again.fold(entry);
    }
    expect(plain(again)).toEqual(plain(conductor));
    expect(again.outstanding().filter((effect) => effect.kind === "send" && effect.command.kind === "offer")).toEqual([]);
    expect(again.tick(at(600)).effects.filter((effect) => effect.kind === "send" && effect.command.kind === "offer")).toEqual([]);
  });

  test("a replay of the facts makes the same decisions, and a changed decision is found", () => {
    const { entries } = halted();
    const result = replay(entries, boundJudge);
    expect(result).toMatchObject({ ok: true });
    const index = entries.findIndex((entry) => entry.type === "halted");
    expect(replay(entries.filter((_, i) => i !== index), boundJudge)).toMatchObject({ ok: false, at: index + 1 });
  });

  test("a snapshot and the rest of the log give the same as the whole log, wherever it is cut", () => {
    const { conductor, entries } = halted();
    for (let cut = 0; cut <= entries.length; cut += 3) {
      const before = new Conductor(boundJudge);
      for (const entry of entries.slice(0, cut)) {
        before.fold(entry);
      }
      const restored = new Conductor(boundJudge, readSnapshot(writeSnapshot(before.state)));
      for (const entry of entries.slice(cut)) {
        restored.fold(entry);
      }
      expect(plain(restored)).toEqual(plain(conductor));
    }
  });

  test("I2: an offer that nobody answered is sent again with the same number", () => {
    const { conductor, entries } = aConductor();
    const offers = conductor.rollout("r1" as never).members.filter((member) => member.offer !== 0).map((member) => member.offer);
    const again = new Conductor(boundJudge);
    for (const entry of entries) {
      again.fold(entry);
    }
    const resent = again.outstanding().flatMap((effect) => (effect.kind === "send" && effect.command.kind === "offer" ? [effect.command.offer] : []));
    expect(new Set(resent)).toEqual(new Set(offers));
    expect(resent).toHaveLength(offers.length);
  });
});

test("a halted rollout bars its release; a new rollout of it needs an override", () => {
  const { conductor, speakers, plan } = aConductor({ devices: 20, plan: { gates: { "boot-confirmation": { minSample: 1, critical: true } } } });
  const victim = speakers.find((s) => memberOf(conductor.rollout("r1" as never), s.id)?.state === "offered") as Speaker;
  const offer = memberOf(conductor.rollout("r1" as never), victim.id)?.offer as number;
  victim.reboot();
  victim.attempt = { offer, target: hashOf("1.1.0"), outcome: "refused", ran: false, resetCause: "software" };
  conductor.report(victim.id, "virtual", victim.hello(), at(9));
  expect(conductor.rollout("r1" as never).status).toBe("halted");
  conductor.order("r1" as never, { kind: "abort", authority: operator }, at(10));
  expect(() => startRollout(conductor, { release: "1.1.0", plan, seed: 7, authority: operator }, at(11))).toThrow(/is barred: rollout r1 was halted by boot-confirmation/);
  startRollout(conductor, { release: "1.1.0", plan, seed: 7, override: true, authority: operator }, at(11));
  expect(stateCounts(conductor.rollout("r2" as never)).planned).toBeGreaterThan(0);

});

test("a device whose boot counter was lost is told where it stood, also when its hello is a duplicate; a hello that goes on above it counts", () => {
  const { conductor, speakers } = aConductor({ devices: 1, started: false });
  const speaker = speakers[0] as Speaker;
  const orders = (report: Report): Command[] => conductor.report(speaker.id, "virtual", report, start).effects.flatMap((effect) => (effect.kind === "send" ? [effect.command] : []));
  const lost = speaker.hello(); // (1, 1)
  speaker.boot = 7;
  speaker.sequence = 0;
  expect(orders(speaker.hello())).toEqual([]);
  for (const again of [lost, lost]) {
    expect(orders(again)).toEqual([{ kind: "renumber", boot: 7 }]);
  }
  speaker.boot = 8;
  speaker.running = "0.9.0";
  expect(orders(speaker.hello())).toEqual([]);
  expect(conductor.state.devices.get(speaker.id)?.running?.version).toBe("0.9.0");
});
