// SPDX-License-Identifier: Apache-2.0
import { after, type DeviceId, type Instant, memberOf, Minutes, type RolloutId } from "@coalmine/core";
import { encodeReport } from "@coalmine/protocol";
import { expect, test } from "vitest";
import { Conductor } from "./conductor.ts";
import { readRecord } from "./entry.ts";
import { Host } from "./host.ts";
import { boundJudge } from "./judge.ts";
import { startRollout } from "./operations.ts";
import type { Door, LogEntry } from "./ports.ts";
import { replay } from "./replay.ts";
import { readSnapshot, writeSnapshot } from "./snapshot.ts";
import { aConductor, logOf, operator, Speaker, start } from "./testing/build.ts";

const at = (minutes: number): Instant => after(start, Minutes(minutes));
const id = "r1" as RolloutId;
const broker = new Set<Door>(["mqtt"]);
const none = new Set<Door>();

/** A rollout to everybody at once; even devices come through the broker, odd ones over CoAP. */
function twoDoors(plan: Record<string, unknown> = {}) {
  const life = aConductor({ devices: 8, plan: { stages: ["100%"], strata: [], silence: { floor: "15m", intervals: 3 }, gates: { "boot-confirmation": { dryRun: true } }, ...plan } });
  const entries: LogEntry[] = life.entries;
  const doorOf = (speaker: Speaker): Door => (life.speakers.indexOf(speaker) % 2 === 0 ? "mqtt" : "coap");
  const hear = (minute: number, who: (door: Door) => boolean = () => true): void => {
    for (const speaker of life.speakers) {
      if (who(doorOf(speaker))) {
        entries.push(...life.conductor.report(speaker.id, doorOf(speaker), speaker.heartbeat(), at(minute)).entries);
      }
    }
  };
  hear(1);
  const of = (door: Door): DeviceId[] => life.speakers.filter((speaker) => doorOf(speaker) === door).map((speaker) => speaker.id).sort();
  const keep = <T extends { readonly entries: readonly LogEntry[] }>(outcome: T): T => {
    entries.push(...outcome.entries);
    return outcome;
  };
  return { ...life, entries, hear, of, keep };
}

const moved = (entries: readonly LogEntry[], state: string): DeviceId[] =>
  entries.map((entry) => (entry.type === "moved" ? readRecord(entry) : undefined)).flatMap((record) => (record?.type === "moved" && record.state === state ? [record.device] : [])).sort();

const again = (conductor: Conductor): Conductor => new Conductor(boundJudge, readSnapshot(writeSnapshot(conductor.state)));

test("I4: while the broker is away nobody behind it is missing; who falls silent at another door is, and afterwards they are too", () => {
  const { conductor, entries, of, keep } = twoDoors();
  expect(keep(conductor.listen(broker, at(2), at(3))).entries.map((entry) => entry.type)).toEqual(["link-lost"]);
  expect(conductor.listen(broker, at(3), at(4)).entries).toEqual([]);
  const restored = again(conductor);

  const during = keep(conductor.tick(at(600))).entries;
  expect(moved(during, "missing")).toEqual(of("coap"));
  expect(restored.tick(at(600)).entries).toEqual(during);

  expect(keep(conductor.listen(none, at(601), at(602))).entries.map((entry) => entry.type)).toEqual(["link-restored"]);
  // Whoever was about to say something has all of its time again: it may be waiting before it tries once more.
  expect(moved(keep(conductor.tick(at(616))).entries, "missing")).toEqual([]);
  const later = keep(conductor.tick(at(700))).entries;
  expect(moved(later, "missing")).toEqual(of("mqtt"));
  expect(replay(entries, boundJudge)).toMatchObject({ ok: true });
});

test("a link that is back is given what the broker may have forgotten: offers that nobody has begun, and a question to who is under way", () => {
  const { conductor, of } = twoDoors();
  conductor.listen(broker, at(2), at(3));
  const { effects } = conductor.listen(none, at(30), at(31));
  const told = (kind: string): string[] => effects.filter((effect) => effect.kind === "send" && effect.command.kind === kind).map((effect) => effect.device).sort();
  expect(told("offer")).toEqual(of("mqtt"));
  expect(told("identify")).toEqual(of("mqtt"));
});

test("hours of a shut door are no soak, and a restart in the middle of them is not counted twice", () => {
  const { conductor, entries, keep, speakers, hear } = twoDoors({ soak: { min: "1h", max: "6h", dutyCycles: 1 } });
  for (const speaker of speakers) {
    speaker.reboot();
    speaker.running = "1.1.0";
    keep(conductor.report(speaker.id, memberOf(conductor.rollout(id), speaker.id)?.door as Door, speaker.hello(), at(2)));
  }
  keep(conductor.listen(broker, at(10), at(11)));
  keep(conductor.restart(at(40), at(70)));
  keep(conductor.listen(none, at(99), at(100)));
  hear(101);
  hear(102);
  // Ten minutes of listening before, and ten after.
  expect(keep(conductor.tick(at(110))).entries.map((entry) => entry.type)).not.toContain("completed");
  for (let minute = 111; minute <= 149; minute += 1) {
    hear(minute);
  }
  expect(keep(conductor.tick(at(149))).entries).toEqual([]);
  hear(150);
  keep(conductor.tick(at(151)));
  expect(conductor.rollout(id).status).toBe("complete");
  expect(replay(entries, boundJudge)).toMatchObject({ ok: true });
});

test("R26: a link that comes and goes in less than a check-in hides nobody's silence", () => {
  const { conductor, of } = twoDoors();
  for (let minute = 2; minute < 20; minute += 2) {
    conductor.listen(broker, at(minute), at(minute));
    conductor.listen(none, at(minute + 1), at(minute + 1));
  }
  expect(moved(conductor.tick(at(20)).entries, "missing")).toEqual(of("coap"));
  expect(moved(conductor.tick(at(27)).entries, "missing")).toEqual(of("mqtt"));
});

test("nothing is offered through a shut door, and who waits behind it holds up nobody", () => {
  const life = aConductor({ devices: 8, started: false });
  for (const [index, speaker] of life.speakers.entries()) {
    life.conductor.report(speaker.id, index < 4 ? "mqtt" : "coap", speaker.heartbeat(), at(1));
  }
  life.conductor.listen(broker, at(1), at(2));
  const plan = { ...life.plan, stages: [{ name: "all", size: { kind: "percent" as const, percent: 100 } }] };
  const { outcome } = startRollout(life.conductor, { release: "1.1.0", plan, seed: 7, authority: operator }, at(3));
  const offered = (entries: readonly LogEntry[]): string[] => entries.filter((entry) => entry.type === "offered").map((entry) => String(entry.device)).sort();
  expect(offered([...outcome.entries, ...life.conductor.tick(at(4)).entries])).toEqual(["d4", "d5", "d6", "d7"]);
  life.conductor.listen(none, at(5), at(6));
  for (const speaker of life.speakers.slice(0, 4)) {
    life.conductor.report(speaker.id, "mqtt", speaker.heartbeat(), at(6));
  }
  expect(offered(life.conductor.tick(at(7)).entries).every((device) => ["d0", "d1", "d2", "d3"].includes(device))).toBe(true);
  expect(life.conductor.rollout(id).offered).toBe(8);
});

test("H2: what a device could not say is no silence in its history either", () => {
  const { conductor, speakers, hear } = twoDoors();
  const loud = new Speaker("loud");
  conductor.listen(broker, at(2), at(3));
  for (let minute = 5; minute < 300; minute += 5) {
    conductor.report("loud" as DeviceId, "coap", loud.heartbeat(), at(minute)); // else the host would take itself for deaf
  }
  hear(300, (door) => door === "coap");
  conductor.listen(none, at(300), at(301));
  hear(302);
  const silences = speakers.map((speaker) => conductor.state.devices.get(speaker.id)?.history.silences);
  expect(silences).toEqual([0, 1, 0, 1, 0, 1, 0, 1]);
});

test("the driver looks at its links with every tick, and before it takes a report in", async () => {
  const { entries, speakers } = twoDoors();
  const log = logOf(entries);
  let now = at(2);
  const link = { door: "mqtt" as const, connected: true as boolean, send: async () => undefined, clear: async () => undefined, close: async () => undefined };
  const host = Host.open({ log, judge: boundJudge, clock: { now: () => now }, keys: [], artifacts: undefined as never });
  host.attach(link);
  await host.tick();
  link.connected = false;
  now = at(3);
  await host.tick();
  const lost = readRecord(log.entries.at(-1) as LogEntry);
  expect(lost).toMatchObject({ type: "link-lost", door: "mqtt", heardUntil: at(2) });
  link.connected = true;
  now = at(200);
  await host.report((speakers[0] as Speaker).id, encodeReport((speakers[0] as Speaker).heartbeat()), "mqtt");
  expect(log.entries.slice(-2).map((entry) => entry.type)).toEqual(["link-restored", "report"]);
  expect(log.entries.filter((entry) => entry.type === "moved")).toEqual([]);
  await host.close();
});
