// SPDX-License-Identifier: Apache-2.0
import { instant } from "@coalmine/core";
import { blockAnswerTopic, commandTopic, decodeReport, encodeBlockAnswer, encodeCommand, limits, reportTopic } from "@coalmine/protocol";
import { describe, expect, onTestFinished, test } from "vitest";
import { AcceleratedClock } from "./clock.ts";
import { liveFleet, type LiveFleet, type LiveFleetOptions } from "./fleet.ts";
import { beat, scriptedBoard, type ScriptedBoard, stepScripted } from "./testing/board.ts";
import { FakeBroker } from "./testing/broker.ts";

const epoch = instant(Date.UTC(2026, 0, 1));

async function setUp(options: { readonly boards: readonly ScriptedBoard[]; readonly fleet?: Partial<LiveFleetOptions<ScriptedBoard>>; readonly broker?: FakeBroker }) {
  const broker = options.broker ?? (await FakeBroker.start());
  const clock = new AcceleratedClock({ epoch, speed: 1_000 });
  const fleet: LiveFleet<ScriptedBoard> = await liveFleet({
    connect: broker.url,
    boards: options.boards,
    idOf: (board) => board.id,
    step: stepScripted,
    clock,
    seed: 7,
    ...options.fleet,
  });
  onTestFinished(async () => {
    await fleet.close();
    await broker.kill();
  });
  return { broker, fleet, clock };
}

const kinds = (board: ScriptedBoard): string[] => board.inputs.map((input) => input.kind);
const reportsOf = (broker: FakeBroker): number[] =>
  broker.received.map(({ payload }) => {
    const decoded = decodeReport(payload);
    return decoded.kind === "ok" ? decoded.value.sequence : -1;
  });

describe("a live device", () => {
  test("is powered on, connects under its own id with a kept session, subscribes to its own commands, and hears that its link is up", async () => {
    const board = scriptedBoard("dev-1");
    const { broker, fleet } = await setUp({ boards: [board] });
    await fleet.connected();
    expect(kinds(board)).toEqual(["power-on", "link"]);
    expect(board.inputs[1]).toEqual({ kind: "link", up: true });
    expect([...broker.subscriptions]).toEqual([["dev-1", "c/v1/d/dev-1/down/#"]]);
    expect(broker.clients.get("dev-1")?.keepalive).toBe(60);
  });

  test("publishes a report at QoS 1 and learns of its acknowledgement by boot and sequence", async () => {
    const board = scriptedBoard("dev-1", (input) => (input.kind === "link" && input.up ? [beat(board)] : []));
    const { broker, fleet } = await setUp({ boards: [board] });
    await fleet.until(() => fleet.stats.acknowledged === 1);
    expect(board.inputs.at(-1)).toEqual({ kind: "acknowledged", boot: 1, sequence: 0 });
    expect(broker.received).toMatchObject([{ topic: reportTopic(board.id), qos: 1, duplicate: false }]);
  });

  test("gets its retained offer when it subscribes, in a copy of its own, and acknowledges it", async () => {
    const broker = await FakeBroker.start();
    const board = scriptedBoard("dev-1");
    const digest = new Uint8Array(32).fill(5);
    broker.send("nobody", commandTopic(board.id), encodeCommand({ kind: "swap-back", offer: 3, imageHash: digest }), { qos: 1, retain: true });
    const { fleet } = await setUp({ boards: [board], broker });
    await broker.until(() => broker.pubacks.length === 1);
    // More traffic overwrites the buffer that all sockets share.
    broker.send("dev-1", commandTopic(board.id), encodeCommand({ kind: "identify" }), { qos: 1 });
    await broker.until(() => broker.pubacks.length === 2);
    expect(board.inputs).toContainEqual({ kind: "command", command: { kind: "swap-back", offer: 3, imageHash: digest } });
    expect(fleet.stats.commands).toBe(2);
  });

  test("takes no notice of a cleared offer, of bytes that mean nothing, and of a topic that is not its own", async () => {
    const board = scriptedBoard("dev-1");
    const { broker, fleet } = await setUp({ boards: [board] });
    await fleet.connected();
    broker.send("dev-1", commandTopic(board.id), new Uint8Array(0), { qos: 1 });
    broker.send("dev-1", commandTopic(board.id), new Uint8Array([0xff, 1, 2]), { qos: 1 });
    broker.send("dev-1", commandTopic("dev-2" as never), encodeCommand({ kind: "identify" }), { qos: 1 });
    await broker.until(() => broker.pubacks.length === 3);
    expect(kinds(board)).toEqual(["power-on", "link"]);
    expect(fleet.stats.undecodable).toBe(2);
  });

  test("puts block answers together that come in pieces of any size", async () => {
    const board = scriptedBoard("dev-1");
    const { broker, fleet } = await setUp({ boards: [board] });
    await fleet.connected();
    const data = new Uint8Array(limits.blockData).map((_, index) => index & 0xff);
    const bytes = encodeBlockAnswer({ kind: "block", request: 1, offset: 0, data });
    for (const chunk of [1_000, 4_099, 0]) {
      broker.chunk = chunk;
      broker.send("dev-1", blockAnswerTopic(board.id), bytes, { qos: 0 });
    }
    broker.send("dev-1", commandTopic(board.id), encodeCommand({ kind: "identify" }), { qos: 1 });
    await broker.until(() => broker.pubacks.length === 1);
    const blocks = board.inputs.filter((input) => input.kind === "block");
    expect(blocks).toHaveLength(3);
    for (const block of blocks) {
      expect(block).toEqual({ kind: "block", answer: { kind: "block", request: 1, offset: 0, data } });
    }
  });

  test("wakes at its own time, once, by the latest time it asked for", async () => {
    const woken: number[] = [];
    const board = scriptedBoard("dev-1", (input, now) => {
      if (input.kind === "wake") {
        woken.push(now - epoch);
        return [beat(board)];
      }
      return input.kind === "power-on"
        ? [
            { kind: "wake", at: instant(now + 40_000) },
            { kind: "wake", at: instant(now + 90_000) },
            { kind: "wake", at: instant(now + 60_000) },
          ]
        : [];
    });
    const { fleet } = await setUp({ boards: [board] });
    await fleet.until(() => fleet.stats.acknowledged === 1);
    expect(woken).toHaveLength(1);
    expect(woken[0]).toBeGreaterThanOrEqual(60_000);
  });
});

describe("trouble", () => {
  test("L2: what a dead broker has not acknowledged is sent again, marked as a duplicate, and nothing is lost", async () => {
    const boards = Array.from({ length: 20 }, (_, index) => {
      const board: ScriptedBoard = scriptedBoard(`dev-${index}`, (input) => (input.kind === "power-on" ? [beat(board), beat(board), beat(board)] : []));
      return board;
    });
    const { broker, fleet } = await setUp({ boards });
    broker.acknowledge = false;
    await broker.until(() => broker.received.length === 60);
    await broker.kill();
    await fleet.until(() => fleet.stats.up === 0);
    for (const board of boards) {
      expect(board.inputs.at(-1)).toEqual({ kind: "link", up: false });
    }
    broker.acknowledge = true;
    broker.received.length = 0;
    await broker.listen();
    await fleet.until(() => fleet.stats.acknowledged === 60);
    expect(broker.received.every((received) => received.duplicate)).toBe(true);
    expect(boards.every((board) => kinds(board).filter((kind) => kind === "acknowledged").length === 3)).toBe(true);
    expect(fleet.stats).toMatchObject({ losses: 20, resent: 60, dropped: 0 });
  });

  test("a board that sends again what it holds when its link comes up does not double what is on its way", async () => {
    const board: ScriptedBoard = scriptedBoard("dev-1");
    const held = beat(board);
    board.react = (input) => (input.kind === "power-on" || (input.kind === "link" && input.up) ? [held] : []);
    const { broker, fleet } = await setUp({ boards: [board] });
    await fleet.until(() => fleet.stats.acknowledged === 1);
    expect(reportsOf(broker)).toEqual([0]);
  });

  test("a full outbox loses old heartbeats and says so; the newest reports arrive in order", async () => {
    const board: ScriptedBoard = scriptedBoard("dev-1", (input) => (input.kind === "power-on" ? Array.from({ length: 100 }, () => beat(board)) : []));
    const { broker, fleet } = await setUp({ boards: [board] });
    await fleet.until(() => fleet.stats.acknowledged === 64);
    expect(fleet.stats.dropped).toBe(36);
    expect(reportsOf(broker)).toEqual(Array.from({ length: 64 }, (_, index) => index + 36));
  });

  test("W2: a broker that talks nonsense to one device costs that device its connection, and only for a moment", async () => {
    const boards = [scriptedBoard("dev-1"), scriptedBoard("dev-2")];
    const { broker, fleet } = await setUp({ boards });
    await fleet.connected();
    broker.write("dev-1", new Uint8Array([0x30, 0xff, 0xff, 0xff, 0xff, 0xff]));
    await fleet.until(() => fleet.stats.up === 1);
    await fleet.connected();
    expect(fleet.stats).toMatchObject({ broken: 1, connects: 3 });
    expect(kinds(boards[1] as ScriptedBoard)).toEqual(["power-on", "link"]);
  });

  test("a refusal is counted and tried again", async () => {
    const broker = await FakeBroker.start();
    broker.code = 5;
    const { fleet } = await setUp({ boards: [scriptedBoard("dev-1")], broker });
    await broker.until(() => broker.connects === 2);
    broker.code = 0;
    await fleet.connected();
    expect(fleet.stats.refused).toBeGreaterThanOrEqual(1);
    expect(fleet.stats.trouble).toMatch(/refused dev-1 with return code 5/);
  });

  test("L4: a thousand devices connect through a small window", async () => {
    const boards = Array.from({ length: 1_000 }, (_, index) => scriptedBoard(`dev-${index}`));
    const { broker, fleet } = await setUp({ boards, fleet: { connectWindow: 16 } });
    await fleet.connected();
    expect(broker.connects).toBe(1_000);
    expect(broker.connectingMost).toBeLessThanOrEqual(16);
    expect(fleet.stats.broken).toBe(0);
  });

  test.each(["http://127.0.0.1:1883", "mqtt://", "127.0.0.1:1883", "mqtt://user:secret@127.0.0.1", "mqtt://host/path"])("refuses %s as an address", async (connect) => {
    await expect(
      liveFleet({ connect, boards: [], idOf: () => "x" as never, step: () => [], clock: new AcceleratedClock({ epoch, speed: 1 }), seed: 1 }),
    ).rejects.toMatchObject({ code: "live/url" });
  });
});

describe("the network model", () => {
  test("holds messages back, doubles them and loses them by what it draws", async () => {
    const board: ScriptedBoard = scriptedBoard("dev-1", (input) => (input.kind === "link" && input.up ? [beat(board), beat(board), beat(board)] : []));
    const arrivals: readonly (readonly number[])[] = [[20_000], [0, 0], []];
    const { broker, fleet } = await setUp({ boards: [board], fleet: { network: { arrivals: (_id, _message, nth) => arrivals[nth - 1] ?? [0] } } });
    await fleet.until(() => fleet.stats.acknowledged === 3);
    expect(reportsOf(broker)).toEqual([1, 1, 0]);
  });
});

test("device time waits for devices that are still to be told: a slow process makes nothing late", async () => {
  const due = epoch + 60_000;
  const late: number[] = [];
  const boards = Array.from({ length: 40 }, (_, index) =>
    scriptedBoard(`dev-${index}`, (input, now) => {
      if (input.kind === "power-on") {
        return [{ kind: "wake", at: instant(due) }];
      }
      if (input.kind === "wake") {
        late.push(now - due);
        // Each takes its time: five real milliseconds are five seconds of theirs.
        for (const until = performance.now() + 5; performance.now() < until; );
      }
      return [];
    }),
  );
  const { clock, fleet } = await setUp({ boards, fleet: { lagMax: 1_500 } });
  await fleet.connected();
  while (late.length < boards.length) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    clock.now();
  }
  expect(Math.max(...late)).toBeLessThanOrEqual(1_500);
});
