// SPDX-License-Identifier: Apache-2.0
// The client side of a connection benchmark, alone in a process of its own so that its memory can be read: bare
// sockets, MQTT.js clients, or live devices, all doing the same to the same broker.
import { instant } from "@coalmine/core";
import { createDevice, createShared, type Device, type DeviceEffect, step } from "@coalmine/device";
import { assembleFleet, deviceDescription, labKey } from "@coalmine/fleet";
import { AcceleratedClock, liveFleet } from "@coalmine/live";
import { deviceFilter, encodeReport, type Report, reportTopic } from "@coalmine/protocol";
import { draw } from "@coalmine/world";
import { connect as connectSocket, type Socket } from "node:net";
import { generate } from "mqtt-packet";
import { connectAsync, type MqttClient } from "mqtt";
import { demoScenario } from "../demo-scenario.ts";

export const loadKinds = ["raw", "mqttjs", "live", "connections"] as const;
/** `connections` are live devices without a board behind them: the driver alone. */
export type LoadKind = (typeof loadKinds)[number];

export interface LoadOrder {
  readonly kind: LoadKind;
  readonly port: number;
  readonly devices: number;
  readonly seed: number;
  /** Reports that every device publishes at QoS 1 once all are connected; 0 for none. */
  readonly reports: number;
}

export interface LoadFigures {
  readonly connectSeconds: number;
  /** Resident and heap bytes that one device added to the process. */
  readonly residentBytes: number;
  readonly heapBytes: number;
  readonly reportSeconds: number;
  /** Processor time of this process for one report, in microseconds. */
  readonly reportMicros: number;
}

/** Sockets on their way up at once, in every arm. */
const window = 128;
/** Reports in flight at once on one connection, in every arm. */
const inFlight = 8;

interface Load {
  readonly connectSeconds: number;
  /** Publishes so many reports from each device and resolves when all are acknowledged. */
  publish(reports: number): Promise<void>;
}

const loadReport: Report = {
  boot: 1,
  sequence: 1,
  uptime_s: 3_600,
  body: { kind: "heartbeat", imageHash: new Uint8Array(32).fill(7), confirmed: true, battery: 87, linkUptime: 1, metrics: {} },
};

/** Carries one order out and says what it cost. The process must run with --expose-gc. */
export async function runLoad(order: LoadOrder): Promise<LoadFigures> {
  await warmUp(order);
  const before = await settledMemory();
  const load = await start(order, order.devices);
  const after = await settledMemory();
  const cpu = process.cpuUsage();
  const began = performance.now();
  if (order.reports > 0) {
    await load.publish(order.reports);
  }
  const reportSeconds = (performance.now() - began) / 1_000;
  const used = process.cpuUsage(cpu);
  return {
    connectSeconds: load.connectSeconds,
    residentBytes: (after.rss - before.rss) / order.devices,
    heapBytes: (after.heapUsed - before.heapUsed) / order.devices,
    reportSeconds,
    reportMicros: order.reports === 0 ? 0 : (used.user + used.system) / (order.devices * order.reports),
  };
}

/** A few connections first, so that code and pools are there before memory is read. They stay open. */
async function warmUp(order: LoadOrder): Promise<void> {
  const load = await start({ ...order, seed: order.seed + 1 }, Math.min(200, order.devices), "warm");
  if (order.reports > 0) {
    await load.publish(2);
  }
}

async function settledMemory(): Promise<NodeJS.MemoryUsage> {
  for (let round = 0; round < 3; round += 1) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  return process.memoryUsage();
}

function start(order: LoadOrder, devices: number, prefix = "bench"): Promise<Load> {
  const ids = Array.from({ length: devices }, (_, index) => `${prefix}-${index}`);
  switch (order.kind) {
    case "raw":
      return startRaw(ids, order.port);
    case "mqttjs":
      return startMqttJs(ids, order.port);
    case "live":
    case "connections":
      return startLive(ids, order);
  }
}

/** Connects all with at most `window` on their way, and says how long that took. */
async function paced<T>(ids: readonly string[], open: (id: string) => Promise<T>): Promise<{ readonly opened: T[]; readonly seconds: number }> {
  const began = performance.now();
  const opened: T[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < ids.length; index = next++) {
      opened[index] = await open(ids[index] as string);
    }
  };
  await Promise.all(Array.from({ length: window }, lane));
  return { opened, seconds: (performance.now() - began) / 1_000 };
}

interface RawClient {
  readonly socket: Socket;
  readonly frame: Buffer;
}

/** The least a client can do: one socket, ready-made packets, and counting the bytes of the answers. */
async function startRaw(ids: readonly string[], port: number): Promise<Load> {
  const payload = Buffer.from(encodeReport(loadReport));
  // Everything is made before the clock runs.
  const packets = ids.map((id) => ({
    connect: generate({ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clean: false, clientId: id, keepalive: 600 }),
    subscribe: generate({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: deviceFilter(id as never), qos: 1 }] }),
    frame: generate({ cmd: "publish", topic: reportTopic(id as never), payload, qos: 1, messageId: 1, dup: false, retain: false }),
  }));
  const opened: RawClient[] = [];
  const began = performance.now();
  await new Promise<void>((resolve, reject) => {
    let next = 0;
    let up = 0;
    const open = (): void => {
      const packet = packets[next];
      next += 1;
      if (packet === undefined) {
        return;
      }
      const socket = connectSocket({ port, host: "127.0.0.1", noDelay: true });
      let answers = 0;
      const onData = (): void => {
        answers += 1;
        if (answers === 1) {
          socket.write(packet.subscribe);
          return;
        }
        socket.off("data", onData);
        opened.push({ socket, frame: packet.frame });
        up += 1;
        if (up === packets.length) {
          resolve();
        } else {
          open();
        }
      };
      socket.on("connect", () => socket.write(packet.connect)).on("data", onData).on("error", reject);
    };
    for (let lane = 0; lane < window; lane += 1) {
      open();
    }
  });
  const seconds = (performance.now() - began) / 1_000;
  return {
    connectSeconds: seconds,
    publish: async (reports) => {
      await Promise.all(opened.map((client) => publishRaw(client, reports)));
    },
  };
}

function publishRaw({ socket, frame }: RawClient, reports: number): Promise<void> {
  return new Promise((resolve) => {
    let sent = 0;
    let answered = 0;
    const more = (): void => {
      while (sent < reports && sent - answered < inFlight) {
        sent += 1;
        const packet = Buffer.from(frame);
        // The packet id stands behind the topic: fixed header of 2 or 3 bytes, length, topic.
        const at = (packet[1] as number) < 128 ? 2 : 3;
        packet.writeUInt16BE((sent % 65_535) + 1, at + 2 + packet.readUInt16BE(at));
        socket.write(packet);
      }
    };
    let bytes = 0;
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      answered = bytes >> 2;
      if (answered >= reports) {
        socket.off("data", onData);
        resolve();
      } else {
        more();
      }
    };
    socket.on("data", onData);
    more();
  });
}

async function startMqttJs(ids: readonly string[], port: number): Promise<Load> {
  const payload = Buffer.from(encodeReport(loadReport));
  const { opened, seconds } = await paced(ids, async (id): Promise<MqttClient> => {
    const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { clientId: id, clean: false, keepalive: 600, protocolVersion: 4 });
    await client.subscribeAsync(deviceFilter(id as never), { qos: 1 });
    return client;
  });
  return {
    connectSeconds: seconds,
    publish: async (reports) => {
      await Promise.all(
        opened.flatMap((client) =>
          Array.from({ length: inFlight }, async (_, lane) => {
            for (let sent = lane; sent < reports; sent += inFlight) {
              await client.publishAsync(reportTopic(client.options.clientId as never), payload, { qos: 1 });
            }
          }),
        ),
      );
    },
  };
}

/** A live device that can be told to publish as fast as it is acknowledged. */
interface Pump {
  readonly id: string;
  left: number;
  readonly board: Device | null;
}

function take(pump: Pump, count: number): DeviceEffect[] {
  const effects: DeviceEffect[] = [];
  for (; effects.length < count && pump.left > 0; pump.left -= 1) {
    effects.push({ kind: "report", report: { ...loadReport, sequence: pump.left } });
  }
  return effects;
}

async function startLive(ids: readonly string[], order: LoadOrder): Promise<Load> {
  const clock = new AcceleratedClock({ epoch: instant(Date.UTC(2026, 0, 1)), speed: 1 });
  const fleet = assembleFleet({ ...demoScenario().fleet, devices: ids.length, seed: order.seed }, labKey(order.seed));
  const shared = createShared(draw);
  const pumping = { on: false };
  const boards: Pump[] = ids.map((id, index) => ({
    id,
    left: 0,
    board: order.kind === "live" ? createDevice(deviceDescription(fleet, index), order.seed, shared) : null,
  }));
  const began = performance.now();
  const live = await liveFleet<Pump>({
    connect: `mqtt://127.0.0.1:${order.port}`,
    boards,
    idOf: (pump) => pump.id as never,
    step: (pump, input, now) => {
      if (!pumping.on) {
        return pump.board === null ? [] : step(pump.board, input, now);
      }
      const count = input.kind === "wake" ? inFlight : input.kind === "acknowledged" ? 1 : 0;
      return take(pump, count);
    },
    clock,
    seed: order.seed,
    keepalive: 600,
    connectWindow: window,
  });
  await live.connected();
  const connectSeconds = (performance.now() - began) / 1_000;
  // What the boards said when they came up is theirs, not the benchmark's.
  await live.until(() => live.stats.acknowledged === live.stats.reports);
  return {
    connectSeconds,
    publish: async (reports) => {
      pumping.on = true;
      const wanted = live.stats.acknowledged + reports * boards.length;
      for (const pump of boards) {
        pump.left = reports;
        live.input(pump.id as never, { kind: "wake" });
      }
      await live.until(() => live.stats.acknowledged >= wanted);
    },
  };
}
