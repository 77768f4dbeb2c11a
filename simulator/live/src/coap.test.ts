// SPDX-License-Identifier: Apache-2.0
// Live devices over CoAP, against the real server.
import { type CoapLink, coapLink, type CoapLinkOptions, unlimited } from "@coalmine/coap";
import { type DeviceId, instant } from "@coalmine/core";
import { decodeReport, type Offer } from "@coalmine/protocol";
import { FakeLinkHost } from "@coalmine/testkit";
import { createHash } from "node:crypto";
import { describe, expect, onTestFinished, test } from "vitest";
import { AcceleratedClock } from "./clock.ts";
import { liveFleet, type LiveFleet, type LiveFleetOptions } from "./fleet.ts";
import { beat, scriptedBoard, type ScriptedBoard, stepScripted } from "./testing/board.ts";

const epoch = instant(Date.UTC(2026, 0, 1));

interface Site {
  readonly host: FakeLinkHost;
  link: CoapLink;
  readonly fleet: LiveFleet<ScriptedBoard>;
}

/** A link on a port that is not given to anybody's outgoing socket while it is closed. */
async function onLowPort(open: (port: number) => Promise<CoapLink>): Promise<CoapLink> {
  for (let step = 0; ; step += 1) {
    try {
      return await open(20_000 + ((process.pid * 37 + step) % 12_000));
    } catch (error) {
      if (step > 1_000 || (error as { code?: string }).code !== "coap/listen") {
        throw error;
      }
    }
  }
}

async function setUp(options: { readonly boards: readonly ScriptedBoard[]; readonly fleet?: Partial<LiveFleetOptions<ScriptedBoard>>; readonly link?: Partial<CoapLinkOptions>; readonly before?: (link: CoapLink) => Promise<void> }): Promise<Site> {
  const host = new FakeLinkHost();
  const link = await onLowPort((port) => coapLink({ port, limits: { reports: unlimited, ackTimeout_s: 0.05 }, ...options.link }, host));
  await options.before?.(link);
  const clock = new AcceleratedClock({ epoch, speed: 1_000 });
  const fleet = await liveFleet({ connect: link.url, boards: options.boards, idOf: (board) => board.id, step: stepScripted, clock, seed: 7, ackTimeout: 0.05, ...options.fleet });
  const site: Site = { host, link, fleet };
  onTestFinished(async () => {
    await fleet.close();
    await site.link.close();
  });
  return site;
}

const kinds = (board: ScriptedBoard): string[] => board.inputs.map(({ kind }) => kind);

function artifact(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 31) >> 4);
}

function offerOf(bytes: Uint8Array, offer = 1): Offer {
  return {
    kind: "offer",
    offer,
    release: "spring",
    version: "1.2.3",
    variant: { board: "nrf52", revision: "1", partitionMap: "p" },
    digest: new Uint8Array(createHash("sha256").update(bytes).digest()),
    imageHash: new Uint8Array(32),
    size: bytes.length,
    jitter_s: 0,
    confirm: { minUptime_s: 1, deadline_s: 60, serverContact: true },
  };
}

describe("a live device over CoAP", () => {
  test("is powered on, registers for its offer and its commands, and hears that its link is up before it hears a command", async () => {
    const board = scriptedBoard("dev-1");
    const offer = offerOf(artifact(10));
    const { fleet, link } = await setUp({ boards: [board], before: (opened) => opened.send(board.id, offer) });
    await fleet.connected();
    expect(board.inputs).toEqual([{ kind: "power-on", cause: "power-on" }, { kind: "link", up: true }, { kind: "command", command: offer }]);
    expect(link.stats().observers).toBe(2);
  });

  test("posts a report and learns of its acknowledgement by boot and sequence, once it is durable", async () => {
    const board = scriptedBoard("dev-1", (input) => (input.kind === "link" && input.up ? [beat(board)] : []));
    const { fleet, host } = await setUp({ boards: [board] });
    host.hold();
    await host.until(() => host.held === 1);
    expect(kinds(board)).toEqual(["power-on", "link"]);
    host.release();
    await fleet.until(() => fleet.stats.acknowledged === 1);
    expect(board.inputs.at(-1)).toEqual({ kind: "acknowledged", boot: 1, sequence: 0 });
  });

  test("hears every command sent while it is there, in order", async () => {
    const board = scriptedBoard("dev-1");
    const { fleet, link } = await setUp({ boards: [board] });
    await fleet.connected();
    for (const offer of [1, 2, 3]) {
      await link.send(board.id, { kind: "cancel", offer });
    }
    // `until` looks at changes of a connection only; a command is none, so a report is made to follow it.
    board.react = (input) => (input.kind === "command" && input.command.kind === "cancel" && input.command.offer === 3 ? [beat(board)] : []);
    await fleet.until(() => fleet.stats.acknowledged === 1);
    expect(board.inputs.filter(({ kind }) => kind === "command").map((input) => (input.kind === "command" && input.command.kind === "cancel" ? input.command.offer : 0))).toEqual([1, 2, 3]);
  });

  test("gets the bytes it asks for, whatever their offset and length, of the offered artifact and of another", async () => {
    const bytes = artifact(10_000);
    const asked = [
      { offset: 0, length: 1_024 },
      { offset: 1_000, length: 4_096 },
      { offset: 9_990, length: 100 },
      { offset: 10_000, length: 10 },
    ];
    const digest = offerOf(bytes).digest.subarray(0, 8);
    const board = scriptedBoard("dev-1", (input) => {
      if (input.kind === "link" && input.up) {
        return asked.map(({ offset, length }, request) => ({ kind: "request", request: { request, digest, offset, length } }));
      }
      return input.kind === "block" && input.answer.request === asked.length - 1 ? [beat(board)] : [];
    });
    for (const isOffered of [true, false]) {
      board.inputs.length = 0;
      const { fleet, host } = await setUp({ boards: [board], before: (opened) => (isOffered ? opened.send(board.id, offerOf(bytes)) : Promise.resolve()) });
      host.artifact = bytes;
      await fleet.until(() => fleet.stats.acknowledged === 1);
      const answers = board.inputs.flatMap((input) => (input.kind === "block" ? [input.answer] : []));
      expect(answers.slice(0, 3)).toEqual(asked.slice(0, 3).map(({ offset, length }, request) => ({ kind: "block", request, offset, data: bytes.slice(offset, offset + length) })));
      expect(answers[3]).toMatchObject({ request: 3 });
    }
  });

  test("registers again when the host restarted, and hears what was offered meanwhile", async () => {
    const board = scriptedBoard("dev-1");
    const site = await setUp({ boards: [board] });
    const { fleet, host } = site;
    await fleet.connected();
    const { port } = site.link;
    await site.link.close();
    site.link = await coapLink({ port }, host);
    await site.link.send(board.id, offerOf(artifact(5)));
    let heard: () => void = () => undefined;
    const hearing = new Promise<void>((resolve) => (heard = resolve));
    board.react = (input) => {
      if (input.kind === "command") {
        heard();
      }
      return input.kind === "link" ? [beat(board)] : [];
    };
    fleet.input(board.id, { kind: "link", up: true });
    await hearing;
    expect(board.inputs.at(-1)).toMatchObject({ kind: "command", command: { kind: "offer" } });
    expect(site.link.stats().observers).toBeGreaterThan(0);
  });

  test("loses its link when the host falls silent, keeps its reports, and delivers them when it is back", async () => {
    const board = scriptedBoard("dev-1");
    const site = await setUp({ boards: [board], });
    const { fleet, host } = site;
    await fleet.connected();
    const { port } = site.link;
    await site.link.close();
    board.react = (input) => (input.kind === "wake" || (input.kind === "link" && !input.up) ? [beat(board)] : []);
    fleet.input(board.id, { kind: "wake" });
    await fleet.until(() => fleet.stats.losses === 1);
    expect(board.inputs.at(-1)).toEqual({ kind: "link", up: false });
    site.link = await coapLink({ port }, host);
    await fleet.until(() => fleet.stats.acknowledged === 2);
    expect(host.reports.map(({ bytes }) => decodeReport(bytes)).map((decoded) => (decoded.kind === "ok" ? decoded.value.sequence : -1))).toEqual([0, 1]);
  });

  test("that asks now and then observes nothing, and gets offers and commands after its report", async () => {
    const board = scriptedBoard("dev-1");
    const { fleet, link } = await setUp({ boards: [board], fleet: { polls: () => true } });
    await fleet.connected();
    await link.send(board.id, offerOf(artifact(9)));
    await link.send(board.id, { kind: "cancel", offer: 1 });
    await link.send(board.id, { kind: "identify" });
    board.react = (input) => (input.kind === "wake" || (input.kind === "command" && input.command.kind === "identify") ? [beat(board)] : []);
    fleet.input(board.id, { kind: "wake" });
    await fleet.until(() => fleet.stats.acknowledged === 2);
    expect(board.inputs.flatMap((input) => (input.kind === "command" ? [input.command.kind] : []))).toEqual(["offer", "cancel", "identify"]);
    expect(link.stats().observers).toBe(0);
  });
});

test("200 signed devices on a network that loses one datagram in ten deliver every report, and forge none", async () => {
  const secretOf = (device: DeviceId): Uint8Array => createHash("sha256").update(`secret of ${device}`).digest();
  const reports = 5;
  const boards: ScriptedBoard[] = Array.from({ length: 200 }, (_, index): ScriptedBoard => {
    const board: ScriptedBoard = scriptedBoard(`dev-${index}`, (input) => (input.kind === "link" && input.up && board.sequence === 0 ? Array.from({ length: reports }, () => beat(board)) : []));
    return board;
  });
  const { fleet, host, link } = await setUp({ boards, fleet: { secretOf, loss: 0.1, lagMax: 1_500, ackTimeout: 0.002 }, link: { secretOf, trustLoopback: false } });
  await fleet.until(() => fleet.stats.acknowledged === boards.length * reports);
  const taken = new Map<string, Set<number>>();
  for (const { device, bytes } of host.reports) {
    const decoded = decodeReport(bytes);
    taken.set(device, (taken.get(device) ?? new Set()).add(decoded.kind === "ok" ? decoded.value.sequence : -1));
  }
  expect([...taken.values()].every((sequences) => sequences.size === reports)).toBe(true);
  expect(taken.size).toBe(boards.length);
  // What was sent again is handled once: nothing reaches the host twice but by a new request.
  expect(host.reports).toHaveLength(boards.length * reports);
  expect(fleet.stats.resent).toBeGreaterThan(100);
  expect(link.stats().forged).toBe(0);
  expect(link.stats().replayed).toBe(0);
});

test("a device whose notification got lost under a running request goes on: that answer, and what the board says to it, are not the last", async () => {
  const reports = 20;
  let told: (device: DeviceId) => unknown = () => undefined;
  const boards: ScriptedBoard[] = Array.from({ length: 40 }, (_, index): ScriptedBoard => {
    const board: ScriptedBoard = scriptedBoard(`dev-${index}`, (input) => {
      if (!((input.kind === "link" && input.up) || input.kind === "acknowledged") || board.sequence >= reports) {
        return [];
      }
      told(board.id); // a notification goes to the device beside the answer to its next report
      return [beat(board)];
    });
    return board;
  });
  const { fleet, link } = await setUp({ boards, fleet: { loss: 0.2, lagMax: 1_500, ackTimeout: 0.002 } });
  told = (device) => link.send(device, { kind: "identify" });
  await fleet.until(() => fleet.stats.acknowledged >= boards.length * reports);
  expect(boards.map((board) => board.sequence)).toEqual(boards.map(() => reports));
});
