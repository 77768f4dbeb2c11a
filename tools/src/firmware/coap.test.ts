// SPDX-License-Identifier: Apache-2.0
// The C agent over the C CoAP client, as a process with a flash and a bootloader of its own, against the real server over UDP.
import { coapKey, coapLink, type CoapLink } from "@coalmine/coap";
import { type DeviceId, deviceId } from "@coalmine/core";
import { buildImage, parseImage } from "@coalmine/mcuboot";
import { decodeReport, type Offer, type Report } from "@coalmine/protocol";
import { FakeLinkHost } from "@coalmine/testkit";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, generateKeyPairSync } from "node:crypto";
import { createSocket, type RemoteInfo } from "node:dgram";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, type TestContext } from "vitest";
import { type Board, buildBoard, findCompiler } from "./compiler.ts";

const compiler = findCompiler();
const seed = Number(process.env["COALMINE_SEED"] ?? 7);
const id = deviceId("board-1");
const secret = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
let program: Board | undefined;

beforeAll(() => {
  if (compiler.kind === "found") {
    program = buildBoard(compiler);
  }
}, 120_000);
afterAll(() => program?.remove());

const image = (() => {
  const { privateKey } = generateKeyPairSync("ed25519");
  const file = buildImage({ version: { major: 2, minor: 0, revision: 0, build: 0 }, payload: new Uint8Array(20_000).map((_, i) => i * 7 + (i >> 8)), headerSize: 512, key: privateKey });
  const parsed = parseImage(file);
  if (parsed.kind !== "image" || parsed.imageHash === undefined) {
    throw new Error("the image is none");
  }
  return { file, hash: parsed.imageHash };
})();

const offer: Offer = {
  kind: "offer",
  offer: 7,
  release: "spring",
  version: "2.0.0",
  variant: { board: "bench", revision: "1", partitionMap: "map" },
  digest: new Uint8Array(createHash("sha256").update(image.file).digest()),
  imageHash: image.hash,
  size: image.file.length,
  jitter_s: 0,
  confirm: { minUptime_s: 5, deadline_s: 600, serverContact: true },
};

interface Site {
  readonly host: FakeLinkHost;
  readonly link: CoapLink;
  readonly reports: () => Report[];
  /** Resolves with the first line of the board that matches, from the beginning or yet to come. */
  readonly line: (pattern: RegExp) => Promise<string>;
  /** Switches it off, erases all of its flash, and puts the first image into it again. */
  readonly erase: () => Promise<void>;
}

/** Loses datagrams both ways: each one's fate is drawn by its number. */
async function lossy(target: number, share: number): Promise<number> {
  const front = createSocket("udp4");
  const back = createSocket("udp4");
  let device: RemoteInfo | undefined;
  let number = 0;
  const arrives = (): boolean => {
    number += 1;
    const z = Math.imul(Math.imul(seed, 0x9e37_79b1) ^ Math.imul(number, 0x85eb_ca77), 0xc2b2_ae35) >>> 0;
    return z / 0x1_0000_0000 >= share;
  };
  front.on("message", (bytes, from) => {
    device = from;
    if (arrives()) {
      back.send(bytes, target, "127.0.0.1");
    }
  });
  back.on("message", (bytes) => {
    if (device !== undefined && arrives()) {
      front.send(bytes, device.port, device.address);
    }
  });
  front.bind(0, "127.0.0.1");
  await once(front, "listening");
  onTestFinished(() => {
    front.close();
    back.close();
  });
  return front.address().port;
}

async function site(ctx: TestContext, options: { readonly secret?: string; readonly observe?: boolean; readonly loss?: number; readonly speed?: number } = {}): Promise<Site> {
  if (program === undefined) {
    return ctx.skip(compiler.kind === "absent" ? compiler.reason : "the board was not built");
  }
  const host = new FakeLinkHost();
  host.artifact = image.file;
  const failures: unknown[] = [];
  const key = options.secret === undefined ? undefined : coapKey(options.secret);
  const link = await coapLink({ port: 0, failed: (error) => failures.push(error), ...(key === undefined ? {} : { secretOf: (device: DeviceId) => (device === id ? key : undefined) }) }, host);
  const port = options.loss === undefined ? link.port : await lossy(link.port, options.loss);
  const args = [String(port), id, options.secret ?? "-", String(options.speed ?? 50), options.observe === false ? "0" : "1"];
  const { path } = program;
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  let ended: string | undefined;
  let complaint = "";
  /** The process has the flash in its memory. */
  const powerOn = (): (() => Promise<unknown>) => {
    const child: ChildProcess = spawn(path, args, { stdio: ["pipe", "pipe", "pipe"] });
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      lines.push(line);
      waiting.forEach((look) => look());
    });
    child.stderr?.on("data", (bytes) => (complaint += String(bytes)));
    const exit = once(child, "exit");
    child.on("exit", (code, signal) => {
      ended = `the board ended with ${code ?? signal}\n${complaint}`;
      waiting.forEach((look) => look());
    });
    return () => {
      child.stdin?.end();
      return exit;
    };
  };
  let powerOff = powerOn();
  onTestFinished(async () => {
    await powerOff();
    await link.close();
    expect({ complaint, failures, undecodable: host.undecodables }).toEqual({ complaint: "", failures: [], undecodable: [] });
  });
  return {
    host,
    link,
    reports: () =>
      host.reports.map(({ bytes }) => {
        const decoded = decodeReport(bytes);
        if (decoded.kind !== "ok") {
          throw new Error(decoded.reason);
        }
        return decoded.value;
      }),
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = lines.find((line) => pattern.test(line));
          if (found !== undefined) {
            waiting.delete(look);
            resolve(found);
          } else if (ended !== undefined) {
            waiting.delete(look);
            reject(new Error(`${ended}\n${lines.join("\n")}`));
          }
        };
        waiting.add(look);
        look();
      }),
    erase: async () => {
      await powerOff();
      lines.length = 0;
      ended = undefined;
      powerOff = powerOn();
    },
  };
}

/** The milestones that the board told, each once, in order. What tells of a moment may be overtaken by a reset. */
function story(reports: readonly Report[]): string[] {
  const words = reports.flatMap(({ body }) => {
    switch (body.kind) {
      case "hello":
        return [`hello ${body.running.version} ${body.running.confirmed ? "confirmed" : "on trial"}`];
      case "progress":
        return body.state === "accepted" ? ["accepted"] : [];
      case "result":
        return [`${body.attempt.outcome} ${body.attempt.offer}`];
      default:
        return [];
    }
  });
  return words.filter((word, index) => word !== words[index - 1]);
}

const update = ["hello 1.0.0+0 confirmed", "accepted", "hello 2.0.0+0 on trial", "confirmed 7"];

describe("the C board over CoAP", () => {
  test("updates by an observed offer, and goes back by a command without a download", { timeout: 60_000 }, async (ctx) => {
    const { host, link, reports, line } = await site(ctx, { secret });
    await line(/^link up/);
    await link.send(id, offer);
    expect(await line(/^settled 7/)).toBe("settled 7 version 2.0.0+0 stage 3 blocks 21");
    const blocks = host.requests.length;
    const old = reports().find(({ body }) => body.kind === "hello")?.body as Extract<Report["body"], { kind: "hello" }>;
    await link.clear(id);
    await link.send(id, { kind: "swap-back", offer: 8, imageHash: old.running.imageHash });
    expect(await line(/^settled 8/)).toMatch(/^settled 8 version 1\.0\.0\+0 stage 3/);
    expect(story(reports())).toEqual([...update, "hello 1.0.0+0 on trial", "confirmed 8"]);
    expect(host.requests.length).toBe(blocks);
    expect(link.stats()).toMatchObject({ forged: 0, replayed: 0 });
  });

  test("updates though every fifth datagram is lost", { timeout: 60_000 }, async (ctx) => {
    const { link, reports, line } = await site(ctx, { secret, loss: 0.2 });
    await line(/^link up/);
    await link.send(id, offer);
    await line(/^settled 7/);
    expect(story(reports())).toEqual(update);
  });

  test("that was erased is heard again at once, and goes on above the boots of its earlier life", { timeout: 60_000 }, async (ctx) => {
    const { host, link, reports, line, erase } = await site(ctx, { secret });
    await line(/^link up/);
    await link.send(id, offer);
    await line(/^settled 7/);
    await link.clear(id);
    await erase();
    const before = host.reports.length;
    await line(/^boot 1 /);
    await line(/^link up/);
    await host.until(() => host.reports.length > before);
    expect(reports()[before]).toMatchObject({ boot: 1, sequence: 0, body: { kind: "hello" } });
    expect(link.stats()).toMatchObject({ forged: 0, replayed: 1 });
    // What the orchestrator says to such a hello.
    await link.send(id, { kind: "renumber", boot: 2 });
    await host.until(() => reports().some(({ boot, body }) => boot === 3 && body.kind === "hello"));
  });

  test("asks for offers and commands after its reports where it does not observe, and needs no secret on the loopback", { timeout: 60_000 }, async (ctx) => {
    const { link, reports, line } = await site(ctx, { observe: false });
    await line(/^link up/);
    await link.send(id, { kind: "identify" });
    await link.send(id, { kind: "cancel", offer: 3 });
    await link.send(id, offer);
    await line(/^settled 7/);
    expect(story(reports()).filter((word, index, all) => index === all.indexOf(word))).toEqual(update);
    expect(reports().filter(({ body, boot }) => boot === 1 && body.kind === "hello").length).toBe(2);
  });
});
