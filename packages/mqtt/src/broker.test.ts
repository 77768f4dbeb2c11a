// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import type { DeviceId } from "@coalmine/core";
import { type Command, decodeBlockAnswer, decodeCommand, encodeBlockRequest } from "@coalmine/protocol";
import { FakeLinkHost } from "@coalmine/testkit";
import { afterEach, describe, expect, it } from "vitest";
import { secretAuth } from "./auth.ts";
import { type Broker, type BrokerOptions, startBroker } from "./broker.ts";
import { embeddedLink } from "./embedded-link.ts";
import { unlimited } from "./limits.ts";
import { RawClient } from "./testing/raw-client.ts";

const a = "dev-a" as DeviceId;
const b = "dev-b" as DeviceId;
const up = (device: string, leaf = "report"): string => `c/v1/d/${device}/up/${leaf}`;
const down = (device: string, leaf = "command"): string => `c/v1/d/${device}/down/${leaf}`;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) {
    await cleanup();
  }
});

async function site(options: BrokerOptions = {}): Promise<{ broker: Broker; host: FakeLinkHost; link: ReturnType<typeof embeddedLink> }> {
  const broker = await startBroker({ ...options, limits: { connects: unlimited, ...options.limits } });
  cleanups.push(() => broker.close());
  const host = new FakeLinkHost();
  return { broker, host, link: embeddedLink(broker, host) };
}

async function device(broker: Broker, clientId: string, more: Parameters<typeof RawClient.open>[1] | object = {}): Promise<RawClient> {
  const client = await RawClient.open(broker.port, { clientId, ...more });
  cleanups.push(() => client.end());
  return client;
}

const offer = (number = 1): Command => ({
  kind: "offer",
  offer: number,
  release: "r-1.1.0",
  version: "1.1.0",
  variant: { board: "nrf52840dk", revision: "1", partitionMap: "p1" },
  digest: new Uint8Array(32).fill(1),
  imageHash: new Uint8Array(32).fill(2),
  size: 300_000,
  jitter_s: 0,
  confirm: { minUptime_s: 10, deadline_s: 60, serverContact: true },
});
const cancel: Command = { kind: "cancel", offer: 1 };

function command(payload: Uint8Array | string): unknown {
  const decoded = decodeCommand(new Uint8Array(payload as Uint8Array));
  return decoded.kind === "ok" ? decoded.value : decoded;
}

describe("acknowledging reports (I1 no-lost-fact)", () => {
  it("sends the PUBACK after the report is durable, not before", async () => {
    const { broker, host } = await site();
    const client = await device(broker, a);
    host.hold();
    client.publish(up(a), "report 1", 11);
    await host.until(() => host.held === 1);
    // The broker works on: another device is served meanwhile.
    const other = await device(broker, b);
    await other.settled();
    expect(client.packets).toEqual([]);
    host.release();
    await client.acknowledged(11);
    expect(host.reports).toEqual([{ device: a, bytes: new TextEncoder().encode("report 1"), door: "mqtt" }]);
  });

  it("takes many reports of one device and of others before the first is durable, so that they share a commit", async () => {
    const { broker, host } = await site({ limits: { reports: unlimited } });
    const clients = [await device(broker, a), await device(broker, b)];
    host.hold();
    clients.forEach((client, index) => {
      client.socket.cork();
      for (let id = 1; id <= 20; id += 1) {
        client.publish(up(index === 0 ? a : b), `report ${id}`, id);
      }
      client.socket.uncork();
    });
    await host.until(() => host.held === 40);
    host.release();
    await Promise.all(clients.flatMap((client) => Array.from({ length: 20 }, (_, index) => client.acknowledged(index + 1))));
  });

  it("does not acknowledge a report that could not be kept, and closes that connection", async () => {
    const { broker, host } = await site();
    const client = await device(broker, a);
    host.failure = new Error("disk full");
    client.publish(up(a), "report", 1);
    await client.closed;
    expect(client.packets).toEqual([]);
    expect(broker.counters["not-stored"]).toBe(1);
    host.failure = undefined;
    const again = await device(broker, a);
    again.publish(up(a), "report", 1, { dup: true });
    await again.acknowledged(1);
    expect(host.reports).toHaveLength(1);
  });

  it("takes QoS 0 reports too, without an answer", async () => {
    const { broker, host } = await site();
    const client = await device(broker, a);
    client.publish(up(a), "report", 0, { qos: 0 });
    await client.settled();
    expect(host.reports).toHaveLength(1);
    expect(client.packets).toEqual([]);
  });

  it("takes a will as the report it is", async () => {
    const { broker, host } = await site();
    const client = await device(broker, a, { will: { topic: up(a), payload: Buffer.from("last words"), qos: 1 } });
    client.end();
    await host.until(() => host.reports.length === 1);
    expect(new TextDecoder().decode(host.reports[0]?.bytes)).toBe("last words");
  });
});

describe("access rules (I12 isolation)", () => {
  const publishes: readonly [string, string, object][] = [
    ["another device's reports", up(b), {}],
    ["its own commands", down(a), {}],
    ["its own block answers", down(a, "block"), {}],
    ["an unknown up topic", up(a, "secret"), {}],
    ["a deeper topic", `${up(a)}/x`, {}],
    ["another version", "c/v2/d/dev-a/up/report", {}],
    ["$SYS", "$SYS/broker/new/clients", {}],
    ["nothing in particular", "hello", {}],
    ["17 levels", Array.from({ length: 17 }, () => "x").join("/"), {}],
    ["200 levels", Array.from({ length: 200 }, () => "x").join("/"), {}],
    ["an inherited name", "constructor", {}],
    ["a retained report", up(a), { retain: true }],
    ["a QoS 2 report", up(a), { qos: 2 }],
    ["a report of 8193 bytes", up(a), { payload: "x".repeat(8_193) }],
    ["a report of 300 KB", up(a), { payload: "x".repeat(300_000) }],
  ];
  it.each(publishes)("closes a device that publishes %s", async (_, topic, more) => {
    const { broker, host } = await site();
    const client = await device(broker, a);
    client.publish(topic, "payload", 1, more);
    await client.closed;
    expect(client.packets).toEqual([]);
    expect(host.reports).toEqual([]);
    expect(Object.values(broker.counters)).toEqual([1]);
    // The broker lives and the device may come back.
    const again = await device(broker, a);
    again.publish(up(a), "x".repeat(8_192), 2);
    await again.acknowledged(2);
  });

  it("refuses a large packet before it has arrived", async () => {
    const { broker } = await site();
    const client = await device(broker, a);
    // PUBLISH, remaining length 268,435,455: the most MQTT can announce. No further byte is sent.
    client.socket.write(Uint8Array.from([0x32, 0xff, 0xff, 0xff, 0x7f]));
    await client.closed;
    expect(broker.counters["frame-size"]).toBe(1);
  });

  it("grants its own down topics and refuses every other filter", async () => {
    const { broker } = await site();
    const client = await device(broker, a);
    expect(await client.subscribe(`c/v1/d/${a}/down/#`, `c/v1/d/${a}/down/+`, down(a), down(a, "block"))).toEqual([1, 1, 1, 1]);
    const refused = ["#", "+/+/+/+/+/+", "c/#", "c/v1/d/+/down/#", "c/v1/d/+/down/command", down(b), `c/v1/d/${b}/down/#`, up(a), "$SYS/#", "$share/g/c/v1/d/dev-a/down/#", "hello"];
    expect(await client.subscribe(...refused)).toEqual(refused.map(() => 128));
    expect(await client.subscribe({ topic: down(a), qos: 2 })).toEqual([128]);
    expect(await client.subscribe({ topic: `c/v1/d/${a}/down/#`, qos: 0 })).toEqual([0]);
  });

  it("hands nothing of another device over, though the refused filter came with an allowed one in a lasting session", async () => {
    const { broker, link } = await site();
    const spy = await device(broker, a, { clean: false });
    expect(await spy.subscribe(`c/v1/d/${a}/down/#`, "c/v1/d/+/down/#", "#")).toEqual([1, 128, 128]);
    await link.send(b, offer());
    spy.end();
    await spy.closed;
    await link.send(b, cancel);
    const again = await device(broker, a, { clean: false });
    await again.settled();
    expect(again.messages).toEqual([]);
  });

  it.each(["", "dev/a", "dev#", "+", "#", "x".repeat(65), "gerät", "dev a", "__proto__/x"])("refuses the client id %j with return code 2", async (clientId) => {
    const { broker } = await site();
    const client = new RawClient(broker.port);
    cleanups.push(() => client.end());
    expect((await client.connect({ clientId })).returnCode).toBe(2);
    await client.closed;
  });

  it("treats ids that are names of JavaScript as any other", async () => {
    const { broker, host } = await site();
    for (const name of ["__proto__", "constructor", "hasOwnProperty"]) {
      const client = await device(broker, name);
      client.publish(up(name), "report", 1);
      await client.acknowledged(1);
    }
    expect(host.reports).toHaveLength(3);
  });

  const wills: readonly [string, object][] = [
    ["another device's topic", { topic: up(b), payload: "x", qos: 1 }],
    ["a topic of the host", { topic: down(a), payload: "x", qos: 1 }],
    ["a free topic", { topic: "will", payload: "x", qos: 0 }],
    ["QoS 2", { topic: up(a), payload: "x", qos: 2 }],
    ["retain", { topic: up(a), payload: "x", qos: 1, retain: true }],
    ["8193 bytes", { topic: up(a), payload: "x".repeat(8_193), qos: 1 }],
  ];
  it.each(wills)("refuses a will with %s", async (_, will) => {
    const { broker, host } = await site();
    const client = new RawClient(broker.port);
    cleanups.push(() => client.end());
    expect((await client.connect({ clientId: a, will } as never)).returnCode).toBe(5);
    await client.closed;
    expect(broker.counters).toEqual({ will: 1 });
    expect(host.reports).toEqual([]);
  });

  it("refuses a keepalive of 0 or above the limit, MQTT 5, and everybody while no host is there", async () => {
    const { broker, link } = await site();
    const code = async (more: object): Promise<number | undefined> => {
      const client = new RawClient(broker.port);
      cleanups.push(() => client.end());
      return (await client.connect({ clientId: a, ...more })).returnCode;
    };
    expect(await code({ keepalive: 0 })).toBe(5);
    expect(await code({ keepalive: 3_601 })).toBe(5);
    expect(await code({ protocolVersion: 5 })).toBe(1);
    expect(await code({})).toBe(0);
    await link.close();
    expect(await code({})).toBe(3);
  });

  it("wants a secret on every address but loopback", async () => {
    await expect(startBroker({ host: "0.0.0.0" })).rejects.toMatchObject({ code: "mqtt/insecure-bind" });
    const broker = await startBroker({ host: "0.0.0.0", auth: secretAuth() });
    await broker.close();
  });

  it("says which port is taken", async () => {
    const { broker } = await site();
    await expect(startBroker({ port: broker.port })).rejects.toMatchObject({ code: "mqtt/bind", message: expect.stringContaining(`${broker.port}`) });
  });
});

describe("secrets (R61)", () => {
  const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

  it("lets in who knows the secret of that device, and nobody else", async () => {
    const auth = secretAuth([[a, sha256("secret of a")], [b, sha256("secret of b")]]);
    const { broker } = await site({ auth });
    const code = async (clientId: string, password?: string): Promise<number | undefined> => {
      const client = new RawClient(broker.port);
      cleanups.push(() => client.end());
      return (await client.connect({ clientId, ...(password === undefined ? {} : { username: "u", password: Buffer.from(password) }) })).returnCode;
    };
    expect(await code(a, "secret of a")).toBe(0);
    expect(await code(a, "secret of b")).toBe(4);
    expect(await code(a, "")).toBe(4);
    expect(await code(a)).toBe(4);
    expect(await code("dev-c", "secret of a")).toBe(4);
    expect(await code("dev-c")).toBe(4);
    auth.remove(a);
    expect(await code(a, "secret of a")).toBe(4);
  });

  it("ends a device's connection when its secret is withdrawn", async () => {
    const auth = secretAuth([[a, sha256("s")]]);
    const { broker } = await site({ auth });
    const client = await device(broker, a, { username: "u", password: Buffer.from("s") });
    auth.remove(a);
    broker.disconnect(a);
    await client.closed;
  });

  it("refuses what is no SHA-256", () => {
    expect(() => secretAuth([[a, "plain text"]])).toThrow("not a SHA-256");
  });
});

describe("commands", () => {
  it("delivers to the device alone, and keeps an offer for when it subscribes", async () => {
    const { broker, link } = await site();
    const clients = [await device(broker, a), await device(broker, b)] as const;
    await clients[0].subscribe(`c/v1/d/${a}/down/#`);
    await clients[1].subscribe(`c/v1/d/${b}/down/#`);
    await link.send(a, offer(1));
    const message = await clients[0].message();
    expect(message).toMatchObject({ topic: down(a), qos: 1, retain: false });
    expect(command(message.payload)).toEqual(offer(1));
    await clients[1].settled();
    expect(clients[1].messages).toEqual([]);

    await link.send(b, offer(2));
    await clients[1].message();
    const late = await device(broker, b);
    await late.subscribe(down(b));
    const kept = await late.message();
    expect(kept).toMatchObject({ retain: true, qos: 1 });
    expect(command(kept.payload)).toEqual(offer(2));
  });

  it("keeps the newest offer only, and none once it is cleared", async () => {
    const { broker, link } = await site();
    await link.send(a, offer(1));
    await link.send(a, offer(2));
    const first = await device(broker, a);
    await first.subscribe(down(a));
    expect(command((await first.message()).payload)).toEqual(offer(2));
    await first.settled();
    expect(first.messages).toEqual([]);
    await link.clear(a);
    expect((await first.message()).payload).toHaveLength(0);
    expect(broker.retained).toBe(0);
    const second = await device(broker, a);
    await second.subscribe(down(a));
    await second.settled();
    expect(second.messages).toEqual([]);
  });

  it("does not keep other commands, but leaves them in the session of a device that is away", async () => {
    const { broker, link } = await site();
    const client = await device(broker, a, { clean: false });
    await client.subscribe(`c/v1/d/${a}/down/#`);
    client.end();
    await client.closed;
    await link.send(a, cancel);
    await link.send(b, cancel);
    const again = await device(broker, a, { clean: false });
    expect(command((await again.message()).payload)).toEqual(cancel);
    const other = await device(broker, b);
    await other.subscribe(`c/v1/d/${b}/down/#`);
    await other.settled();
    expect(other.messages).toEqual([]);
  });

  it("delivers again what was not acknowledged, and not what was", async () => {
    const { broker, link } = await site();
    const client = await device(broker, a, { clean: false });
    await client.subscribe(`c/v1/d/${a}/down/#`);
    client.acknowledges = false;
    await link.send(a, cancel);
    await client.message();
    client.end();
    await client.closed;
    const second = await device(broker, a, { clean: false });
    expect(command((await second.message()).payload)).toEqual(cancel);
    await second.settled();
    second.end();
    await second.closed;
    const third = await device(broker, a, { clean: false });
    await third.settled();
    expect(third.messages).toEqual([]);
  });

  it("forgets the oldest of too many commands for a device that stays away", async () => {
    const { broker, link } = await site({ limits: { waitingCommands: 3 } });
    const client = await device(broker, a, { clean: false });
    await client.subscribe(`c/v1/d/${a}/down/#`);
    client.end();
    await client.closed;
    for (let number = 1; number <= 5; number += 1) {
      await link.send(a, { kind: "cancel", offer: number });
    }
    const again = await device(broker, a, { clean: false });
    const got = [await again.message(), await again.message(), await again.message()];
    expect(got.map(({ payload }) => command(payload))).toEqual([3, 4, 5].map((number) => ({ kind: "cancel", offer: number })));
  });

  it("ends a session when the device asks for a clean one", async () => {
    const { broker, link } = await site();
    const client = await device(broker, a, { clean: false });
    await client.subscribe(`c/v1/d/${a}/down/#`);
    client.end();
    await client.closed;
    await link.send(a, cancel);
    const clean = await device(broker, a, { clean: true });
    await clean.subscribe(`c/v1/d/${a}/down/#`);
    await clean.settled();
    expect(clean.messages).toEqual([]);
  });

  it("never delivers at a better QoS than was granted", async () => {
    const { broker, link } = await site();
    await link.send(a, offer());
    const client = await device(broker, a);
    await client.subscribe({ topic: `c/v1/d/${a}/down/#`, qos: 0 });
    expect((await client.message()).qos).toBe(0);
    await link.send(a, cancel);
    expect((await client.message()).qos).toBe(0);
  });

  it("rejects link/closed once the broker is closed", async () => {
    const { broker, link } = await site();
    await broker.close();
    await expect(link.send(a, cancel)).rejects.toMatchObject({ code: "link/closed", retry: "later" });
  });
});

describe("blocks (R12)", () => {
  const request = (number: number, offset = 0, length = 1_024): Uint8Array =>
    encodeBlockRequest({ request: number, digest: new Uint8Array(8), offset, length });

  it("answers several requests in flight, each by its number", async () => {
    const { broker, host } = await site();
    host.artifact = Uint8Array.from({ length: 5_000 }, (_, index) => index % 251);
    const client = await device(broker, a);
    await client.subscribe(`c/v1/d/${a}/down/#`);
    for (let number = 0; number < 6; number += 1) {
      client.publish(up(a, "block"), request(number, number * 1_000, 1_000), number + 1);
    }
    const seen = new Map<number, unknown>();
    for (let index = 0; index < 6; index += 1) {
      const message = await client.message();
      expect(message).toMatchObject({ topic: down(a, "block"), qos: 0, retain: false });
      const decoded = decodeBlockAnswer(new Uint8Array(message.payload as Uint8Array));
      if (decoded.kind === "ok") {
        seen.set(decoded.value.request, decoded.value);
      }
    }
    expect(seen.get(2)).toEqual({ kind: "block", request: 2, offset: 2_000, data: host.artifact.slice(2_000, 3_000) });
    expect(seen.get(5)).toEqual({ kind: "refused", request: 5, reason: "range" });
    expect(seen.size).toBe(6);
  });

  it("counts what is no block request, and acknowledges it", async () => {
    const { broker, host } = await site();
    const client = await device(broker, a);
    client.publish(up(a, "block"), "not CBOR", 1);
    await client.acknowledged(1);
    expect(host.undecodables).toMatchObject([{ device: a, size: 8 }]);
  });

  it("sends nothing to a device that did not subscribe", async () => {
    const { broker, host } = await site();
    host.artifact = new Uint8Array(10);
    const client = await device(broker, a);
    client.publish(up(a, "block"), request(1), 1);
    await client.acknowledged(1);
    await client.settled();
    expect(client.messages).toEqual([]);
  });

  it("lets a device that reads nothing stall alone", async () => {
    const { broker, host, link } = await site({ limits: { blocks: unlimited, reports: unlimited, waitingBytes: 65_536, drain_s: 1 } });
    host.artifact = new Uint8Array(16_384);
    const frozen = await device(broker, a);
    await frozen.subscribe(`c/v1/d/${a}/down/#`);
    frozen.socket.pause();
    for (let number = 0; number < 3_000; number += 1) {
      frozen.publish(up(a, "block"), request(number, 0, 16_384), 0, { qos: 0 });
    }
    await host.until(() => host.requests.length > 200);
    const other = await device(broker, b);
    await other.subscribe(`c/v1/d/${b}/down/#`);
    for (let id = 1; id <= 50; id += 1) {
      other.publish(up(b), "report", id);
      other.publish(up(b, "block"), request(id, 0, 1_024), 0, { qos: 0 });
      await other.acknowledged(id);
      await other.message();
    }
    await link.send(b, cancel);
    expect(command((await other.message()).payload)).toEqual(cancel);
    await expect.poll(() => broker.connections).toBe(1);
    expect(broker.counters["slow-reader"]).toBeGreaterThan(0);
  });
});

describe("limits", () => {
  it("gives a second connection of an id the place of the first", async () => {
    const { broker } = await site();
    const first = await device(broker, a);
    const second = await device(broker, a);
    await first.closed;
    await second.settled();
    expect(broker.connections).toBe(1);
  });

  it("refuses an id that reconnects without end, and no other", async () => {
    const { broker } = await site({ limits: { connects: { perSecond: 0.001, burst: 3 } } });
    const codes: (number | undefined)[] = [];
    for (let index = 0; index < 5; index += 1) {
      const client = new RawClient(broker.port);
      cleanups.push(() => client.end());
      codes.push((await client.connect({ clientId: a })).returnCode);
    }
    expect(codes).toEqual([0, 0, 0, 3, 3]);
    await (await device(broker, b)).settled();
  });

  it("takes what a device sends too fast later, not less of it", async () => {
    const { broker, host } = await site({ limits: { reports: { perSecond: 100, burst: 5 } } });
    const client = await device(broker, a);
    const start = performance.now();
    for (let id = 1; id <= 15; id += 1) {
      client.publish(up(a), `report ${id}`, id);
    }
    await Promise.all(Array.from({ length: 15 }, (_, index) => client.acknowledged(index + 1)));
    expect(performance.now() - start).toBeGreaterThan(90);
    expect(host.reports).toHaveLength(15);
  });

  it("closes a device that is far ahead of its rate", async () => {
    const { broker, host } = await site({ limits: { reports: { perSecond: 1, burst: 5 }, delayMax_s: 2 } });
    const client = await device(broker, a);
    for (let id = 1; id <= 30; id += 1) {
      client.publish(up(a), "report", id);
    }
    await client.closed;
    expect(host.reports.length).toBeLessThanOrEqual(7);
    expect(broker.counters.rate).toBeGreaterThan(0);
  });

  it("closes who never says CONNECT, and who says it twice", async () => {
    const { broker } = await site({ limits: { connect_s: 0.05 } });
    const silent = new RawClient(broker.port);
    await silent.closed;
    const twice = await device(broker, a);
    twice.send({ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clean: true, keepalive: 60, clientId: a });
    await twice.closed;
  });

  it("closes a device that falls silent beyond its keepalive", async () => {
    const { broker } = await site();
    const client = await device(broker, a, { keepalive: 1 });
    await client.closed;
    expect(broker.connections).toBe(0);
  });

  it("lets in no more connections than allowed", async () => {
    const { broker } = await site({ limits: { connections: 2 } });
    await device(broker, a);
    await device(broker, b);
    const third = new RawClient(broker.port);
    await third.closed;
  });
});
