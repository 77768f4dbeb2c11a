// SPDX-License-Identifier: Apache-2.0
// A thousand devices crash within a minute, each with a dump of 64 KiB over real MQTT: what reports wait for their acknowledgement,
// with the index of crashes and without it, and whether everything is there afterwards.
import { instant } from "@coalmine/core";
import { crashStorm, embeddedLink, startBroker, type StormLoad, unlimited } from "@coalmine/mqtt";
import { Host, planJudge } from "@coalmine/orchestrator";
import { CrashIndex, openArtifactStore, openEventLog } from "@coalmine/store";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../free-port.ts";
import { arm, type BenchOptions, type BenchResult, compare } from "./bench-result.ts";

const dumpBytes = 64 * 1024;
/** The firmware's pieces: with the envelope they fit its buffer. */
const pieceBytes = 4_096 - 256;
const sites = 5;

interface Turn {
  readonly p50: number;
  readonly p99: number;
  readonly seconds: number;
  /** What was wrong with the outcome; empty when all is there. */
  readonly trouble: readonly string[];
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const devices = options.devices ?? 1_000;
  const within_ms = options.quick ? 6_000 : 60_000;
  const turns: Record<"with" | "without", Turn[]> = { with: [], without: [] };
  const runs = options.quick ? 1 : Math.min(options.runs, 3);
  for (let round = 0; round < runs; round += 1) {
    for (const kind of ["with", "without"] as const) {
      options.progress(`run ${round + 1} of ${runs}: ${devices} devices crash within ${within_ms / 1_000} s, ${kind} the index of crashes`);
      turns[kind].push(await turn({ devices, within_ms, indexed: kind === "with" }));
    }
  }
  const of = (kind: "with" | "without", name: string, value: (turn: Turn) => number) => arm(name, turns[kind].map(value));
  const trouble = [...new Set(turns.with.flatMap((one) => one.trouble))];
  return {
    bench: "crashes",
    seed: options.seed,
    environment: { node: process.versions.node, devices, dumpBytes, within_s: within_ms / 1_000, runs },
    measurements: [
      compare({ name: "acknowledgement, median", unit: "ms", better: "less" }, of("with", "with the index", (one) => one.p50), of("without", "without it", (one) => one.p50)),
      compare({ name: "acknowledgement, p99", unit: "ms", better: "less" }, of("with", "with the index", (one) => one.p99), of("without", "without it", (one) => one.p99), { atMost: 250 }),
      compare({ name: "first crash to last dump decoded", unit: "s", better: "less" }, of("with", "with the index", (one) => one.seconds), of("without", "without it", (one) => one.seconds)),
      { ...compare({ name: "lost, wrong or grouped wrong", unit: "findings", better: "less" }, arm("with the index", [trouble.length]), null, { atMost: 0 }) },
    ],
    notes: [
      `each device sends a crash report and ${Math.ceil(dumpBytes / pieceBytes)} pieces of its dump at QoS 1, the next when the one before is acknowledged; every dump was compared byte by byte, and ${sites} places in the program must make ${sites} issues`,
      ...trouble,
    ],
  };
}

async function turn({ devices, within_ms, indexed }: { readonly devices: number; readonly within_ms: number; readonly indexed: boolean }): Promise<Turn> {
  const folder = await mkdtemp(join(tmpdir(), "coalmine-bench-"));
  const log = openEventLog(join(folder, "log.sqlite"));
  const artifacts = openArtifactStore(join(folder, "artifacts"));
  const index = indexed ? new CrashIndex(join(folder, "crashes.sqlite"), { log, artifacts }) : undefined;
  const host = Host.open({ log, artifacts, clock: { now: () => instant(Date.now()) }, judge: planJudge, keys: [], ...(index === undefined ? {} : { watch: index.note }) });
  const broker = await startBroker({ port: await freePort(), limits: { reports: unlimited, blocks: unlimited, connects: unlimited } });
  host.attach(embeddedLink(broker, host));
  const kinds = Array.from({ length: sites }, (_, site) => kindOf(site));
  const began = performance.now();
  try {
    const latencies = (await crashStorm({ port: broker.port, devices, within_ms, pieceBytes, kinds })).sort((a, b) => a - b);
    await index?.settled();
    return {
      p50: latencies[Math.floor(latencies.length / 2)] ?? Number.NaN,
      p99: latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN,
      seconds: (performance.now() - began) / 1_000,
      trouble: index === undefined ? [] : check(index, devices, kinds),
    };
  } finally {
    await index?.close();
    await broker.close();
    await host.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Whether every crash and every byte is there, in the right issue. */
function check(index: CrashIndex, devices: number, kinds: StormLoad["kinds"]): string[] {
  const { catalogue } = index;
  const issues = catalogue.issues();
  const trouble: string[] = [];
  if (issues.length !== sites) {
    trouble.push(`${issues.length} issues instead of ${sites}`);
  }
  for (const issue of issues) {
    const site = kinds.findIndex(({ crash }) => catalogue.issueAt({ buildId: crash.buildId.toHex(), reason: crash.reason, pc: crash.pc, lr: crash.lr }) === issue.id);
    const expected = Math.ceil((devices - site) / sites);
    if (site < 0 || issue.devices !== expected || issue.count !== expected || issue.dumps !== expected) {
      trouble.push(`issue ${issue.signature}: ${issue.devices} devices, ${issue.count} crashes, ${issue.dumps} dumps instead of ${expected}`);
      continue;
    }
    const whole = sha256(kinds[site]?.dump as Uint8Array);
    const wrong = catalogue.dumps(issue.id, devices).filter((file) => sha256(catalogue.bytes(file.id) ?? new Uint8Array()) !== whole).length;
    if (wrong > 0) {
      trouble.push(`issue ${issue.signature}: ${wrong} dumps are not what was sent`);
    }
  }
  return trouble;
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A Cortex-M dump in Zephyr's format: header, registers, thread, and RAM up to 64 KiB. */
function kindOf(site: number): StormLoad["kinds"][number] {
  const pc = 0x0800_2000 + site * 0x100;
  const lr = 0x0800_1001;
  const head = new DataView(new ArrayBuffer(12 + 5 + 68 + 11));
  [0x5a, 0x45].forEach((byte, at) => head.setUint8(at, byte));
  head.setUint16(2, 1, true);
  head.setUint16(4, 3, true);
  head.setUint8(6, 5);
  head.setUint32(8, 25, true);
  head.setUint8(12, 0x41);
  head.setUint16(13, 2, true);
  head.setUint16(15, 68, true);
  [0, 1, 2, 3, 12, lr, pc, 0x6100_0000, 0x2000_8000].forEach((value, register) => head.setUint32(17 + 4 * register, value, true));
  head.setUint8(85, 0x4d);
  head.setUint16(86, 1, true);
  head.setUint32(88, 0x2000_0000, true);
  head.setUint32(92, 0x2000_0000 + dumpBytes - 96, true);
  const dump = new Uint8Array(dumpBytes);
  dump.set(new Uint8Array(head.buffer));
  for (let at = 96; at < dumpBytes; at += 1) {
    dump[at] = (at * 31 + site) & 0xff;
  }
  return { dump, crash: { kind: "crash", buildId: new Uint8Array(20).fill(0xb1), imageHash: new Uint8Array(32).fill(7), reason: "precise bus fault", pc, lr, uptime_s: 60 } };
}
