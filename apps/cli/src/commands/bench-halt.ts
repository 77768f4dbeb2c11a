// SPDX-License-Identifier: Apache-2.0
// How fast a halt is: from the order to its being durable, and to the last device that was told, against a bare loop that writes one
// entry durably and hands over as many commands. And nothing may be offered afterwards (R30).
import { type DeviceId, type Instant, instant } from "@coalmine/core";
import { buildImage, loadPublicKey, parseVersion } from "@coalmine/mcuboot";
import { Host, type Link, planFromData, planJudge } from "@coalmine/orchestrator";
import { type Command, encodeReport } from "@coalmine/protocol";
import { openArtifactStore, openEventLog } from "@coalmine/store";
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { benchHello, benchVariant } from "./bench-board.ts";
import { arm, type BenchOptions, type BenchResult, compare } from "./bench-result.ts";

const authority = { by: "bench", reason: "bench" };

interface Turn {
  readonly durableMs: number;
  readonly toldMs: number;
  readonly bareMs: number;
  readonly told: number;
  readonly offeredAfter: number;
}

/** A link that only counts what it is given. */
class CountingLink implements Link {
  readonly door = "virtual";
  offers = 0;
  told = 0;
  lastAt = 0;

  async send(_device: DeviceId, command: Command): Promise<void> {
    if (command.kind === "offer") {
      this.offers += 1;
    } else {
      this.told += 1;
      this.lastAt = performance.now();
    }
  }

  async clear(): Promise<void> {
    this.lastAt = performance.now();
  }

  async close(): Promise<void> {}
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const devices = options.devices ?? 10_000;
  const turns: Turn[] = [];
  for (let round = 0; round < options.runs; round += 1) {
    options.progress(`run ${round + 1} of ${options.runs}: a halt with ${devices} devices under way`);
    turns.push(await turn(devices));
  }
  const of = (name: string, value: (one: Turn) => number) => arm(name, turns.map(value));
  return {
    bench: "halt",
    seed: options.seed,
    environment: { node: process.versions.node, devices, told: turns[0]?.told ?? 0 },
    measurements: [
      compare({ name: "order to durable", unit: "ms", better: "less" }, of("halt", (one) => one.durableMs), null, { atMost: 1_000 }),
      compare({ name: "order to last device told", unit: "ms", better: "less" }, of("halt", (one) => one.toldMs), of("a bare loop", (one) => one.bareMs), { atMost: 5_000 }),
      compare({ name: "offers after the halt", unit: "offers", better: "less" }, of("halt", (one) => one.offeredAfter), null, { atMost: 0 }),
    ],
    notes: ["the log is on disk and synced; the link only counts. Every device holds an offer and downloads when the halt comes; ten ticks and a heartbeat of every device follow it"],
  };
}

async function turn(devices: number): Promise<Turn> {
  const folder = await mkdtemp(join(tmpdir(), "coalmine-bench-"));
  const log = openEventLog(join(folder, "log.sqlite"));
  const keys = generateKeyPairSync("ed25519");
  let now: Instant = instant(Date.UTC(2026, 0, 1));
  const host = Host.open({ log, artifacts: openArtifactStore(join(folder, "artifacts")), clock: { now: () => now }, judge: planJudge, keys: [loadPublicKey(keys.publicKey)] });
  const link = new CountingLink();
  host.attach(link);
  try {
    const ids = Array.from({ length: devices }, (_, index) => `bench-${index}` as DeviceId);
    const hello = benchHello(65_536);
    const say = (sequence: number, body: (index: number) => Parameters<typeof encodeReport>[0]["body"]): Promise<unknown> =>
      Promise.all(ids.map((id, index) => host.report(id, encodeReport({ boot: 1, sequence, uptime_s: sequence, body: body(index) }), "virtual")));
    await say(0, () => hello);
    const image = buildImage({ version: parseVersion("1.1.0"), headerSize: 512, payload: new Uint8Array(8_192), key: keys.privateKey });
    await host.createRelease({ id: "1.1.0", artifacts: [{ variant: benchVariant, bytes: image }], authority });
    const plan = planFromData({ stages: ["100%"], gates: "default", representativeness: "warn", offers: { perMinute: 1_000_000, jitter: "0s" } });
    const { id } = await host.startRollout({ release: "1.1.0", plan, seed: 1, authority });
    while (link.offers < devices) {
      now = instant(now + 1_000);
      await host.tick();
    }
    const rollout = host.conductor.rollout(id);
    const offers = new Map(rollout.members.map((member) => [member.device, member.offer]));
    await say(1, (index) => ({ kind: "progress", offer: offers.get(ids[index] as DeviceId) ?? 0, state: "downloading", offset: 0 }));
    const began = performance.now();
    const ordered = host.orderRollout(id, { kind: "halt", authority });
    await ordered;
    const durableMs = performance.now() - began;
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    const toldMs = Math.max(link.lastAt, began) - began;
    const { told, offers: before } = link;
    for (let tick = 0; tick < 10; tick += 1) {
      now = instant(now + 60_000);
      await host.tick();
    }
    await say(2, () => ({ kind: "heartbeat", imageHash: hello.running.imageHash, confirmed: true, battery: null, linkUptime: 1, metrics: {} }));
    return { durableMs, toldMs, bareMs: await bare(folder, ids), told, offeredAfter: link.offers - before };
  } finally {
    await host.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** One durable entry, then a command for every device. */
async function bare(folder: string, ids: readonly DeviceId[]): Promise<number> {
  const log = openEventLog(join(folder, "bare.sqlite"));
  const link = new CountingLink();
  const began = performance.now();
  log.append({ at: instant(0), type: "halted", device: null, body: new Uint8Array(200) });
  await log.durable();
  for (const [index, id] of ids.entries()) {
    await link.send(id, { kind: "cancel", offer: index });
    await link.clear();
  }
  const took = performance.now() - began;
  await log.close();
  return took;
}
