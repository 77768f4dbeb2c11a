// SPDX-License-Identifier: Apache-2.0
import { createServer, type Server, type Socket } from "node:net";
import type { DeviceId } from "@coalmine/core";
import { type Command, decodeBlockAnswer, decodeCommand, encodeBlockRequest } from "@coalmine/protocol";
import { FakeLinkHost } from "@coalmine/testkit";
import { generate, type Packet, parser } from "mqtt-packet";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type BrokerLink, brokerLink, type BrokerLinkOptions } from "./broker-link.ts";
import { findMosquitto, Mosquitto } from "./testing/mosquitto.ts";
import { RawClient } from "./testing/raw-client.ts";

const a = "dev-a" as DeviceId;
const b = "dev-b" as DeviceId;
const up = (device: string, leaf = "report"): string => `c/v1/d/${device}/up/${leaf}`;
const down = (device: string, leaf = "command"): string => `c/v1/d/${device}/down/${leaf}`;
const cancel = (offer = 1): Command => ({ kind: "cancel", offer });
const offer = (number: number): Command => ({
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
const quick: BrokerLinkOptions = { backoff_s: [0.02, 0.1] };
const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);

function command(payload: Uint8Array | string): unknown {
  const decoded = decodeCommand(new Uint8Array(payload as Uint8Array));
  return decoded.kind === "ok" ? decoded.value : decoded;
}

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) {
    await cleanup();
  }
});

async function linked(url: string, options: BrokerLinkOptions = quick): Promise<{ host: FakeLinkHost; link: BrokerLink }> {
  const host = new FakeLinkHost();
  const link = await brokerLink(url, host, options);
  cleanups.push(() => {
    host.release();
    return link.close();
  });
  return { host, link };
}

const program = findMosquitto();
if (program === undefined) {
  console.warn("skipped: tests against mosquitto; it is not installed (apt-get install mosquitto)");
}

describe.skipIf(program === undefined)("the link through mosquitto", () => {
  let broker: Mosquitto;
  beforeEach(async () => {
    broker = await Mosquitto.start(program as string);
    cleanups.push(() => broker.remove());
  });

  async function device(clientId: string, more: object = {}): Promise<RawClient> {
    const client = await RawClient.open(broker.port, { clientId, ...more });
    cleanups.push(() => client.end());
    return client;
  }

  it("hands over reports, block requests, and what is neither", async () => {
    const { host } = await linked(broker.url);
    host.artifact = new Uint8Array(3_000).fill(9);
    const client = await device(a);
    await client.subscribe(`c/v1/d/${a}/down/#`);
    client.publish(up(a), "report 1", 1);
    client.publish(up(a, "block"), encodeBlockRequest({ request: 5, digest: new Uint8Array(8), offset: 1_000, length: 500 }), 2);
    client.publish(up(a, "block"), "no CBOR", 3);
    client.publish(up(a), new Uint8Array(9_000), 4);
    const answer = decodeBlockAnswer(new Uint8Array((await client.message()).payload as Uint8Array));
    expect(answer).toMatchObject({ kind: "ok", value: { kind: "block", request: 5, offset: 1_000 } });
    await host.until(() => host.undecodables.length === 2);
    expect(host.reports.map(({ device: from, bytes, door }) => [from, text(bytes), door])).toEqual([[a, "report 1", "mqtt"]]);
    expect(host.undecodables.map(({ device: from, size }) => [from, size])).toEqual([[a, 7], [a, 9_000]]);
  });

  it("counts a report whose topic names no possible device", async () => {
    const { host } = await linked(broker.url);
    const client = await device("anything");
    client.publish(up("dev a"), "report", 1);
    client.publish(up(a), "report", 2);
    await host.until(() => host.reports.length === 1);
    expect(host.undecodables).toEqual([{ device: null, reason: "not a device's topic", size: 6 }]);
  });

  it("acknowledges after the report is durable, and stores many side by side", async () => {
    const { host, link } = await linked(broker.url);
    host.hold();
    const client = await device(a);
    for (let id = 1; id <= 40; id += 1) {
      client.publish(up(a), `report ${id}`, id);
    }
    // mosquitto sends 20 without an acknowledgement (max_inflight_messages), and no more.
    await host.until(() => host.held === 20);
    await client.settled();
    expect(host.reports).toHaveLength(20);
    expect(link.receiving).toBe(20);
    host.release(5);
    await host.until(() => host.reports.length === 25);
    host.release();
    await host.until(() => host.reports.length === 40);
    expect(host.reports.map(({ bytes }) => text(bytes))).toEqual(Array.from({ length: 40 }, (_, index) => `report ${index + 1}`));
  });

  it("gets again what was not durable when the process died (I1)", async () => {
    const first = new FakeLinkHost();
    first.hold();
    const link = await brokerLink(broker.url, first, quick);
    const client = await device(a);
    client.publish(up(a), "report 1", 1);
    client.publish(up(a), "report 2", 2);
    await first.until(() => first.held === 2);
    first.release(1);
    const dying = link.close();
    client.publish(up(a), "report 3", 3);
    await client.acknowledged(3);
    first.release();
    await dying;
    const { host } = await linked(broker.url);
    await host.until(() => host.reports.length >= 1);
    expect(text(host.reports.at(-1)?.bytes)).toBe("report 3");
  });

  it("keeps its session over a restart of the broker, and delivers what came meanwhile", async () => {
    const warnings: string[] = [];
    const { host, link } = await linked(broker.url, { ...quick, warn: (message) => warnings.push(message) });
    await broker.stop();
    await expect.poll(() => link.connected).toBe(false);
    const sending = link.send(a, offer(3));
    await broker.start();
    await sending;
    const client = await device(a);
    await client.subscribe(`c/v1/d/${a}/down/#`);
    expect(command((await client.message()).payload)).toEqual(offer(3));
    client.publish(up(a), "after the restart", 1);
    await host.until(() => host.reports.length === 1);
    expect(warnings[0]).toContain(broker.url);
  });

  it("retains offers, replaces and clears them, and retains nothing else", async () => {
    const { link } = await linked(broker.url);
    await link.send(a, offer(1));
    await link.send(a, offer(2));
    await link.send(b, cancel());
    const client = await device(a);
    await client.subscribe(`c/v1/d/${a}/down/#`);
    const kept = await client.message();
    expect(kept.retain).toBe(true);
    expect(command(kept.payload)).toEqual(offer(2));
    await link.clear(a);
    expect((await client.message()).payload).toHaveLength(0);
    const others = [await device("again-a"), await device("again-b")] as const;
    await others[0].subscribe(down(a));
    await others[1].subscribe(down(b));
    await others[0].settled();
    await others[1].settled();
    expect([...others[0].messages, ...others[1].messages]).toEqual([]);
  });

  it("sends more commands than may be in flight, in order", async () => {
    const { link } = await linked(broker.url, { ...quick, sendingMax: 8 });
    const client = await device(a);
    await client.subscribe(down(a));
    await Promise.all(Array.from({ length: 200 }, (_, index) => link.send(a, cancel(index + 1))));
    for (let number = 1; number <= 200; number += 1) {
      expect(command((await client.message()).payload)).toEqual(cancel(number));
    }
  });

  it("says that credentials are wrong, or that nobody is there", async () => {
    const closed = await Mosquitto.start(program as string, ["allow_anonymous false"]);
    cleanups.push(() => closed.remove());
    await expect(brokerLink(closed.url, new FakeLinkHost())).rejects.toMatchObject({ code: "link/denied", retry: "never" });
    await closed.stop();
    await expect(brokerLink(closed.url, new FakeLinkHost())).rejects.toMatchObject({ code: "link/unreachable", retry: "later" });
  });
});

/** A broker that does only what a test tells it. */
class ScriptedBroker {
  readonly got: Packet[] = [];
  readonly server: Server;
  socket: Socket | undefined;
  connections = 0;
  silent = false;

  constructor() {
    this.server = createServer((socket) => {
      this.socket = socket;
      this.connections += 1;
      const packets = parser({ protocolVersion: 4 });
      packets.on("packet", (packet: Packet) => {
        this.got.push(packet);
        if (this.silent) {
          return;
        }
        if (packet.cmd === "connect") {
          this.send({ cmd: "connack", returnCode: 0, sessionPresent: this.connections > 1 });
        } else if (packet.cmd === "subscribe") {
          this.send({ cmd: "suback", messageId: packet.messageId as number, granted: packet.subscriptions.map(() => 1) });
        }
      });
      socket.on("data", (chunk: Buffer) => packets.parse(chunk));
      socket.on("error", () => undefined);
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    const address = this.server.address();
    cleanups.push(() => {
      this.socket?.destroy();
      return new Promise((resolve) => this.server.close(resolve));
    });
    return `mqtt://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  }

  send(packet: Packet): void {
    this.socket?.write(generate(packet, { protocolVersion: 4 }));
  }

  report(messageId: number, payload = `report ${messageId}`): void {
    this.send({ cmd: "publish", topic: up(a), payload, qos: 1, retain: false, dup: false, messageId });
  }

  of(cmd: string): Packet[] {
    return this.got.filter((packet) => packet.cmd === cmd);
  }
}

describe("the link's own protocol", () => {
  it("asks for a lasting session and QoS 1, and never for a shared subscription", async () => {
    const broker = new ScriptedBroker();
    const url = await broker.listen();
    await linked(url.replace("mqtt://", "mqtt://user:s%20ecret@"), { ...quick, clientId: "orchestrator-7" });
    expect(broker.got[0]).toMatchObject({ cmd: "connect", clean: false, clientId: "orchestrator-7", username: "user", password: Buffer.from("s ecret") });
    expect(broker.got[1]).toMatchObject({ cmd: "subscribe", subscriptions: [{ topic: "c/v1/d/+/up/report", qos: 1 }, { topic: "c/v1/d/+/up/block", qos: 1 }] });
  });

  it("sends no PUBACK before the report is durable, and each for its own message", async () => {
    const broker = new ScriptedBroker();
    const { host } = await linked(await broker.listen());
    host.hold();
    for (const id of [7, 8, 9]) {
      broker.report(id);
    }
    await host.until(() => host.held === 3);
    expect(broker.of("puback")).toEqual([]);
    host.release(2);
    await expect.poll(() => broker.of("puback").map(({ messageId }) => messageId)).toEqual([7, 8]);
    host.release();
    await expect.poll(() => broker.of("puback").map(({ messageId }) => messageId)).toEqual([7, 8, 9]);
  });

  it("does not acknowledge a report that could not be kept", async () => {
    const broker = new ScriptedBroker();
    const { host } = await linked(await broker.listen());
    host.failure = new Error("disk full");
    broker.report(1);
    await host.until(() => host.refused === 1);
    host.failure = undefined;
    broker.report(2);
    await expect.poll(() => broker.of("puback").map(({ messageId }) => messageId)).toEqual([2]);
  });

  it("acknowledges nothing on a new connection that arrived on the old one", async () => {
    const broker = new ScriptedBroker();
    const { host } = await linked(await broker.listen());
    host.hold();
    broker.report(1);
    await host.until(() => host.held === 1);
    broker.socket?.destroy();
    await expect.poll(() => broker.of("subscribe").length).toBe(2);
    host.release();
    broker.report(2);
    await expect.poll(() => broker.of("puback").map(({ messageId }) => messageId)).toEqual([2]);
  });

  it("sends unacknowledged commands again as duplicates, and resolves with the PUBACK", async () => {
    const broker = new ScriptedBroker();
    const { link } = await linked(await broker.listen());
    let resolved = false;
    const sent = link.send(a, cancel()).then(() => (resolved = true));
    await expect.poll(() => broker.of("publish").length).toBe(1);
    expect(resolved).toBe(false);
    broker.socket?.destroy();
    await expect.poll(() => broker.of("publish").length).toBe(2);
    const [first, second] = broker.of("publish");
    expect(first).toMatchObject({ dup: false, topic: down(a) });
    expect(second).toMatchObject({ dup: true, messageId: first?.messageId });
    broker.send({ cmd: "puback", messageId: second?.messageId as number });
    await sent;
  });

  it("stops reading while too many reports wait for the disk, and goes on afterwards", async () => {
    const broker = new ScriptedBroker();
    const { host } = await linked(await broker.listen(), { ...quick, receivingMax: 10 });
    host.hold();
    for (let id = 1; id <= 2_000; id += 1) {
      broker.report(id, "x".repeat(4_000));
    }
    await host.until(() => host.held >= 10);
    await new Promise((resolve) => setImmediate(resolve));
    expect(host.held).toBeLessThan(200);
    host.release();
    await host.until(() => host.reports.length === 2_000);
    await expect.poll(() => broker.of("puback").length).toBe(2_000);
  });

  it("notices a broker that fell silent", async () => {
    const broker = new ScriptedBroker();
    await linked(await broker.listen(), { ...quick, keepalive_s: 0.05 });
    await expect.poll(() => broker.of("pingreq").length).toBeGreaterThan(0);
    await expect.poll(() => broker.connections).toBeGreaterThan(1);
  });

  it("hands nothing on that comes in after it was closed: the broker keeps it", async () => {
    const broker = new ScriptedBroker();
    const { host, link } = await linked(await broker.listen());
    broker.report(1);
    await expect.poll(() => broker.of("puback").length).toBe(1);
    const closing = link.close();
    broker.report(2);
    await closing;
    await new Promise((resolve) => broker.socket?.once("close", resolve));
    expect(host.reports).toHaveLength(1);
    expect(broker.of("puback").map(({ messageId }) => messageId)).toEqual([1]);
  });

  it("gives up a first connection that is never answered", async () => {
    const broker = new ScriptedBroker();
    broker.silent = true;
    await expect(brokerLink(await broker.listen(), new FakeLinkHost(), { connect_s: 0.05 })).rejects.toMatchObject({ code: "link/unreachable" });
  });

  it("survives a broker that speaks something else", async () => {
    const broker = new ScriptedBroker();
    await linked(await broker.listen());
    broker.socket?.write(Uint8Array.from([0x00, 0xff, 0xff, 0xff, 0xff, 0xff]));
    await expect.poll(() => broker.of("subscribe").length).toBe(2);
  });

  it("rejects what waits when it is closed, and when too much waits", async () => {
    const broker = new ScriptedBroker();
    const { link } = await linked(await broker.listen(), { ...quick, sendingMax: 1, waitingMax: 2 });
    const waiting = [link.send(a, cancel(1)), link.send(a, cancel(2)), link.send(a, cancel(3))];
    await expect(link.send(a, cancel(4))).rejects.toMatchObject({ code: "link/closed", retry: "later" });
    const settled = Promise.allSettled(waiting);
    await link.close();
    expect((await settled).map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
    await expect(link.send(a, cancel())).rejects.toMatchObject({ code: "link/closed" });
  });

  it.each(["broker:1883", "http://broker", "mqtt://", "mqtts://broker", ""])("refuses %j as an address", async (url) => {
    await expect(brokerLink(url, new FakeLinkHost())).rejects.toMatchObject({ code: "link/bad-url" });
  });
});
