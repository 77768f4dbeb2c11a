// SPDX-License-Identifier: Apache-2.0
// The agent against the simulated board: byte-exact flash and bootloader, in time that jumps.
import { deviceId, instant } from "@coalmine/core";
import type { AssignmentState } from "@coalmine/core";
import { decodeReport, type Offer } from "@coalmine/protocol";
import { FakeLinkHost } from "@coalmine/testkit";
import { createHash } from "node:crypto";
import { describe, expect, onTestFinished, test } from "vitest";
import { parseSmpBoards } from "./boards-file.ts";
import { smpLink, type SmpLinkOptions } from "./link.ts";
import { hashOf, inMemory, JumpingTimers, sampleBoard, sampleImage, serveUdp, type SmpServer, stormy, type Weather } from "./testing/index.ts";

const id = deviceId("bench-1");
const old = sampleImage("1.0.0");
const next = sampleImage("1.1.0");

const boards = parseSmpBoards(
  `poll: 60s
boards:
  - { id: bench-1, smp: "udp://127.0.0.1:1", board: nrf52840dk, revision: revA, partitionMap: pm1, mode: swap-move, slotSize: 69632, attributes: { site: lab } }
`,
  "boards.yaml",
);

function offerOf(offer: number, file: Uint8Array, confirm = { minUptime_s: 120, deadline_s: 900, serverContact: true }): Offer {
  return {
    kind: "offer",
    offer,
    release: "1.1.0",
    version: "1.1.0",
    variant: { board: "nrf52840dk", revision: "revA", partitionMap: "pm1" },
    digest: Uint8Array.from(createHash("sha256").update(file).digest()),
    imageHash: hashOf(file),
    size: file.length,
    jitter_s: 0,
    confirm,
  };
}

/** What the host heard, in short. */
function heard(host: FakeLinkHost): string[] {
  return host.reports.map(({ bytes }) => {
    const decoded = decodeReport(bytes);
    if (decoded.kind !== "ok") {
      return decoded.reason;
    }
    const { body } = decoded.value;
    switch (body.kind) {
      case "progress":
        return body.state;
      case "hello":
        return `hello ${body.running.version}${body.running.confirmed ? "" : "?"} ${body.slot1 === null ? "-" : body.slot1.version}`;
      case "result":
        return `${body.attempt.outcome}${body.attempt.ran ? "" : ", not seen to run"}: ${body.reason}`;
      default:
        return body.kind;
    }
  });
}

/** The same without what repeats: one line for as long as nothing new is said. */
function told(host: FakeLinkHost): string[] {
  return heard(host).filter((line, index, all) => line !== "heartbeat" && (line !== "downloading" || all[index - 1] !== "downloading"));
}

function bench(server: SmpServer, options: { readonly weather?: Weather; readonly standing?: AssignmentState; readonly open?: SmpLinkOptions["open"] } = {}) {
  const host = new FakeLinkHost();
  host.artifact = next;
  const timers = new JumpingTimers();
  const clock = { now: () => instant(1_000_000 + timers.now()) };
  if (options.standing !== undefined) {
    host.standings.set(id, { offer: 7, state: options.standing, since: clock.now() });
  }
  const link = smpLink({ ...boards, clock, timers, client: { timers }, open: options.open ?? (async () => inMemory(server, options.weather)) }, host);
  onTestFinished(async () => link.close());
  return { host, link, timers, until: async (line: string) => host.until(() => heard(host).includes(line)) };
}

const update = ["hello 1.0.0 -", "accepted", "downloading", "downloaded", "hello 1.0.0 1.1.0", "applying"];

describe("an update over SMP", () => {
  for (const mode of ["swap-move", "swap-offset", "overwrite"] as const) {
    test(`runs as on any device, and is confirmed after the plan's minimum uptime and no earlier (${mode})`, async () => {
      const server = sampleBoard({ mode });
      const { host, link, timers, until } = bench(server);
      await until("hello 1.0.0 -");
      await link.send(id, offerOf(7, next));
      const kept = { "swap-move": "1.0.0", "swap-offset": "-", overwrite: "-" }[mode];
      await until(`hello 1.1.0? ${kept}`);
      const tried = timers.now();
      await host.until(() => heard(host).some((line) => line.startsWith("hello 1.1.0 ")));
      expect(timers.now() - tried).toBeGreaterThanOrEqual(118_000);
      expect(told(host).filter((line) => line !== "hello 1.0.0 1.1.0")).toEqual([...update.filter((line) => line !== "hello 1.0.0 1.1.0"), `hello 1.1.0? ${kept}`, "testing", expect.stringMatching(/^hello 1\.1\.0 /)]);
      expect(server.reboots).toBe(1);
      expect(host.undecodables).toEqual([]);
    });
  }

  test("is silent while the board is away, and goes on where the board stopped when it is back", async () => {
    const server = sampleBoard();
    let away = false;
    let pieces = 0;
    const weather: Weather = (packet, direction) => {
      pieces += direction === "to-board" && packet.length > 200 ? 1 : 0;
      away ||= pieces === 30;
      return away ? "lost" : "arrives";
    };
    const { host, link, until } = bench(server, { weather });
    await until("hello 1.0.0 -");
    await link.send(id, offerOf(7, next));
    await host.until(() => away);
    const before = server.handled.get("1/1") ?? 0;
    const reports = host.reports.length;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(host.reports.length - reports).toBeLessThanOrEqual(1);
    away = false;
    pieces = 31;
    await until("hello 1.1.0? 1.0.0");
    // The one piece that was under way when it went away, and the first request of the new upload, come twice.
    expect((server.handled.get("1/1") ?? 0) - before).toBeLessThan(Math.ceil(next.length / 250));
  });

  test("with a tenth of the packets lost, for every weather tried", async () => {
    for (let seed = 1; seed <= 4; seed += 1) {
      const server = sampleBoard();
      const { link, until } = bench(server, { weather: stormy(seed * 7919, { loss: 0.1 }) });
      await until("hello 1.0.0 -");
      await link.send(id, offerOf(7, next));
      await until("hello 1.1.0 1.0.0");
      expect(server.options.flash.read(server.options.flash.area("primary"), 0, next.length)).toEqual(next);
    }
  });

  test("that reverts is told from one that the bootloader refused", async () => {
    const reverting = sampleBoard();
    const one = bench(reverting);
    await one.until("hello 1.0.0 -");
    await one.link.send(id, offerOf(7, next));
    await one.until("hello 1.1.0? 1.0.0");
    reverting.reboot(); // it crashed on trial
    await one.until("hello 1.0.0 1.1.0");
    expect(told(one.host)).toContain("reverted: runs its old image again after a trial");

    const refusing = sampleBoard({ imageCheck: false });
    const two = bench(refusing);
    await two.until("hello 1.0.0 -");
    await two.link.send(id, offerOf(7, next));
    await two.until("downloaded");
    refusing.options.flash.poke("secondary", 500, Uint8Array.of(0));
    await two.host.until(() => heard(two.host).some((line) => line.startsWith("refused")));
    expect(told(two.host)).toContain("refused, not seen to run: the bootloader did not take the image: the other slot no longer holds it");
  });

  test("whose reset the network delivers twice has reverted, and is reported so", async () => {
    const weather: Weather = (packet, direction) => (direction === "to-board" && packet[4] === 0 && packet[5] === 0 && packet[7] === 5 ? "twice" : "arrives");
    const { link, until } = bench(sampleBoard(), { weather });
    await until("hello 1.0.0 -");
    await link.send(id, offerOf(7, next));
    await until("reverted, not seen to run: runs its old image again; whether the new one ever ran, SMP does not tell");
  });

  test("can be cancelled until its trial is requested (A6)", async () => {
    const server = sampleBoard();
    let cancelled: Promise<void> | undefined;
    const weather: Weather = (packet) => {
      if (cancelled === undefined && packet.length > 200 && (server.handled.get("1/1") ?? 0) > 20) {
        cancelled = link.send(id, { kind: "cancel", offer: 7 });
      }
      return "arrives";
    };
    const { host, link, until } = bench(server, { weather });
    await until("hello 1.0.0 -");
    await link.send(id, offerOf(7, next));
    await host.until(() => heard(host).some((line) => line.startsWith("failed")));
    expect(told(host)).toContain("failed, not seen to run: cancelled");
    await host.until(() => heard(host).at(-1) === "heartbeat");
    expect(server.reboots).toBe(0);
    // The same offer once more is an old copy.
    await link.send(id, offerOf(7, next));
    await host.until(() => heard(host).filter((line) => line === "heartbeat").length > 2);
    expect(server.reboots).toBe(0);
  });

  test("ends when the board keeps saying no, in its words", async () => {
    const { host, link, until } = bench(sampleBoard());
    await until("hello 1.0.0 -");
    host.artifact = new Uint8Array(20_000);
    await link.send(id, { ...offerOf(7, next), size: 20_000 });
    await host.until(() => heard(host).some((line) => line.startsWith("failed")));
    expect(told(host)).toContain("failed, not seen to run: the upload: image: not an MCUboot image");
  });
});

describe("a swap-back over SMP", () => {
  test("needs no upload, goes on trial and is confirmed at once", async () => {
    const server = sampleBoard({ running: next, other: old });
    const { host, link, until } = bench(server);
    await until("hello 1.1.0 1.0.0");
    await link.send(id, { kind: "swap-back", offer: 9, imageHash: hashOf(old) });
    await until("hello 1.0.0 1.1.0");
    expect(told(host)).toEqual(["hello 1.1.0 1.0.0", "applying", "hello 1.0.0? 1.1.0", "testing", "hello 1.0.0 1.1.0"]);
    expect(server.handled.get("1/1")).toBe(undefined);
  });

  test("is refused in words when the other slot holds something else", async () => {
    const { host, link, until } = bench(sampleBoard());
    await until("hello 1.0.0 -");
    await link.send(id, { kind: "swap-back", offer: 9, imageHash: hashOf(next) });
    await until("failed, not seen to run: the other slot does not hold that image");
    expect(host.requests).toEqual([]);
  });
});

describe("after a restart of the orchestrator", () => {
  test("an update goes on from what the board says, whichever state the host saw last (A1)", async () => {
    for (const [standing, prepare] of [
      ["offered", () => sampleBoard()],
      ["downloading", () => sampleBoard({ other: next })],
      ["applying", trialOf],
      ["testing", trialOf],
    ] as const) {
      const server = prepare();
      const { host, link, until } = bench(server, { standing });
      await link.send(id, offerOf(7, next));
      await until("hello 1.1.0 1.0.0");
      expect([standing, server.options.flash.read(server.options.flash.area("primary"), 0, 100)]).toEqual([standing, next.subarray(0, 100)]);
      expect(host.reports.some(({ bytes }) => decodeReport(bytes).kind !== "ok")).toBe(false);
    }
  });

  test("a board that reverted meanwhile is reported as reverted", async () => {
    const server = trialOf();
    server.reboot();
    const { link, until } = bench(server, { standing: "applying" });
    await link.send(id, offerOf(7, next));
    await until("reverted, not seen to run: runs its old image again; whether the new one ever ran, SMP does not tell");
  });

  /** A board that runs the new image on trial. */
  function trialOf(): SmpServer {
    const server = sampleBoard({ other: next });
    server.options.flash.install("secondary", next);
    setTrial(server);
    server.reboot();
    return server;
  }
});

/** Requests a trial of what the other slot holds, as a client would. */
function setTrial(server: SmpServer): void {
  const transport = inMemory(server);
  const body = Buffer.concat([Buffer.from([0xa2, 0x64]), Buffer.from("hash"), Buffer.from([0x58, 0x20]), hashOf(next), Buffer.from([0x67]), Buffer.from("confirm"), Buffer.from([0xf4])]);
  transport.send(Buffer.concat([Buffer.from([0x0a, 0, 0, body.length, 0, 1, 1, 0]), body]));
}

test("over real datagrams with a tenth of them lost", async () => {
  const server = sampleBoard({ bufferBytes: 1_024 });
  const port = await serveUdp(server, stormy(29, { loss: 0.1 }));
  onTestFinished(async () => port.close());
  const host = new FakeLinkHost();
  host.artifact = next;
  const began = performance.now();
  // A hundred times as fast: minutes of trial are seconds here.
  const clock = { now: () => instant(1_000_000 + Math.floor((performance.now() - began) * 100)) };
  const board = { ...boards.boards[0], url: `udp://127.0.0.1:${port.port}` } as (typeof boards.boards)[number];
  const link = smpLink({ boards: [board], poll_s: 0.1, clock, speed: 100, client: { timeout: 20, attempts: 40 } }, host);
  onTestFinished(async () => link.close());
  await host.until(() => heard(host).length > 0);
  await link.send(id, offerOf(7, next, { minUptime_s: 10, deadline_s: 900, serverContact: true }));
  await host.until(() => heard(host).includes("hello 1.1.0 1.0.0"));
  expect(server.reboots).toBe(1);
});
