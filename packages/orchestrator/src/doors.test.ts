// SPDX-License-Identifier: Apache-2.0
// One device, several doors.
import { after, type Instant, memberOf, Minutes, type RolloutId } from "@coalmine/core";
import { encodeReport } from "@coalmine/protocol";
import { expect, test } from "vitest";
import { Conductor } from "./conductor.ts";
import type { Effect } from "./dispatch.ts";
import { Host } from "./host.ts";
import { boundJudge } from "./judge.ts";
import type { Door, EventLog, LogEntry, StoredEntry } from "./ports.ts";
import { readSnapshot, writeSnapshot } from "./snapshot.ts";
import { aConductor, operator, start } from "./testing/build.ts";

const at = (minutes: number): Instant => after(start, Minutes(minutes));
const r1 = "r1" as RolloutId;

const told = (effects: readonly Effect[]): string[] => effects.map((effect) => (effect.kind === "clear" ? "clear" : effect.command.kind));

function logOf(entries: LogEntry[]): EventLog {
  return {
    get length() {
      return entries.length;
    },
    append: (entry) => entries.push(entry),
    durable: () => Promise.resolve(),
    read: (from) => entries.slice(from).map((entry, index): StoredEntry => ({ at: entry.at, type: entry.type, device: entry.device, body: entry.body, sequence: from + index + 1 })),
    saveSnapshot: () => undefined,
    loadSnapshot: () => null,
    digest: () => ({ events: entries.length, sha256: "" }),
    verify: () => ({ ok: true, entries: entries.length }),
    close: () => Promise.resolve(),
  };
}

test("a device that comes through another door is offered there what it has not begun, and only then", () => {
  const { conductor, speakers } = aConductor({ devices: 20 });
  const canary = speakers.find((speaker) => memberOf(conductor.rollout(r1), speaker.id)?.state === "offered") as (typeof speakers)[number];
  expect(told(conductor.report(canary.id, "coap", canary.heartbeat(), at(1)).effects)).toEqual(["offer"]);
  expect(told(conductor.report(canary.id, "coap", canary.heartbeat(), at(2)).effects)).toEqual([]);
  const { offer } = memberOf(conductor.rollout(r1), canary.id) as { offer: number };
  conductor.report(canary.id, "coap", canary.say({ kind: "progress", offer, state: "downloading", offset: 1 }), at(3));
  expect(told(conductor.report(canary.id, "mqtt", canary.heartbeat(), at(4)).effects)).toEqual([]);
  expect(conductor.state.devices.get(canary.id)).toMatchObject({ door: "mqtt", otherDoors: ["virtual", "coap"] });
  expect(new Conductor(boundJudge, readSnapshot(writeSnapshot(conductor.state))).state.devices.get(canary.id)).toMatchObject({ door: "mqtt", otherDoors: ["virtual", "coap"] });
});

test("an older report that arrives late through its former door does not take the device back there", () => {
  const { conductor, speakers } = aConductor({ devices: 20 });
  const [speaker] = speakers as [(typeof speakers)[number]];
  const late = speaker.heartbeat();
  conductor.report(speaker.id, "coap", speaker.heartbeat(), at(1));
  expect(conductor.report(speaker.id, "mqtt", late, at(2)).entries).toHaveLength(1);
  expect(conductor.state.devices.get(speaker.id)?.door).toBe("coap");
});

test("a halt takes the offer back at each door it may be kept at (I5), also after a restart", async () => {
  const { conductor, speakers, entries } = aConductor({ devices: 20 });
  const canary = speakers.find((speaker) => memberOf(conductor.rollout(r1), speaker.id)?.state === "offered") as (typeof speakers)[number];
  const log: LogEntry[] = [...entries, ...conductor.report(canary.id, "mqtt", canary.heartbeat(), at(1)).entries];
  const host = Host.open({ log: logOf(log), judge: boundJudge, clock: { now: () => at(3) }, keys: [], artifacts: undefined as never });
  const sent: string[] = [];
  const link = (door: Door) => ({
    door,
    send: async (device: string, command: { kind: string }) => void (device === canary.id && sent.push(`${door} ${command.kind}`)),
    clear: async (device: string) => void (device === canary.id && sent.push(`${door} clear`)),
    close: async () => undefined,
  });
  for (const door of ["mqtt", "coap", "virtual"] as const) {
    host.attach(link(door));
  }
  await host.report(canary.id, encodeReport(canary.heartbeat()), "coap");
  await host.orderRollout("r1", { kind: "halt", authority: operator });
  await host.close();
  expect(sent).toEqual(["coap offer", "virtual clear", "mqtt clear", "coap clear", "coap cancel"]);
});
