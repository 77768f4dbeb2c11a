// SPDX-License-Identifier: Apache-2.0
// One rollout over every door at once: simulated devices over MQTT and CoAP, simulated boards over SMP with a tenth of the
// datagrams lost, and real swupdate processes over DDI.
import { SwupdateGateway, swupdateMissing, SwuSigner } from "@coalmine/ddi/testing";
import { labKey } from "@coalmine/fleet";
import { buildImage, type SigningKey } from "@coalmine/mcuboot";
import type { DoorReport } from "@coalmine/orchestrator";
import { sampleBoard, serveUdp, stormy } from "@coalmine/smp/testing";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Api } from "../chaos/api.ts";
import { Program } from "../chaos/programs.ts";

export interface MixedOptions {
  /** Simulated devices, half of them over MQTT and half over CoAP. */
  readonly devices: number;
  readonly boards: number;
  readonly gateways: number;
  readonly seed: number;
  readonly note: (line: string) => void;
  /** Where the report goes as Markdown and HTML; nowhere when left out. */
  readonly out?: string;
}

export interface MixedResult {
  readonly outcome: string;
  readonly verdict: string;
  readonly wallSeconds: number;
  readonly states: Readonly<Record<string, number>>;
  readonly doors: readonly DoorReport[];
  readonly warnings: readonly string[];
  /** What is not as it should be; empty when all is well. */
  readonly problems: readonly string[];
}

const coalmine = fileURLToPath(new URL("../../../apps/cli/bin/coalmine.js", import.meta.url));
const version = "1.1.0";
const speed = 60;
const patienceMs = 600_000;
const by = { by: "interop", reason: "one rollout over every door" };

const plan = {
  stages: ["25%", "100%"],
  // Each kind of device has its canaries.
  strata: ["board"],
  gates: { "crash-free-devices": { min: "90%" } },
  minDevices: 1,
  offers: { perMinute: 6_000, jitter: "0s" },
  soak: { min: "10m", max: "12h", dutyCycles: 1 },
  confirm: { minUptime: "1m", deadline: "20m" },
  silence: { floor: "3h" },
  updateDeadline: "3h",
};

/** Why this cannot run here; undefined when it can. */
export function mixedMissing(): string | undefined {
  return swupdateMissing();
}

export async function runMixedFleet(options: MixedOptions): Promise<MixedResult> {
  const folder = mkdtempSync(join(tmpdir(), "coalmine-mixed-"));
  chmodSync(folder, 0o755); // swupdate goes through here as another user
  const closing: (() => Promise<unknown>)[] = [];
  const began = performance.now();
  try {
    return await rollOut(options, folder, closing, began);
  } finally {
    await Promise.allSettled(closing.reverse().map(async (close) => close()));
    rmSync(folder, { recursive: true, force: true });
  }
}

async function rollOut(options: MixedOptions, folder: string, closing: (() => Promise<unknown>)[], began: number): Promise<MixedResult> {
  const { devices, boards, gateways, seed, note } = options;
  const file = (name: string): string => join(folder, name);
  const made = JSON.parse(execFileSync(process.execPath, [coalmine, "sim", "release", version, "--seed", String(seed), "--out", file("release"), "--json"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })) as {
    readonly publicKey: string;
    readonly artifacts: readonly { readonly variant: string; readonly file: string }[];
  };
  const key = labKey(seed);
  await openBoards(options, file("boards.yaml"), closing);
  mkdirSync(file("keys"));
  const signer = new SwuSigner(file("keys"));
  writeFileSync(file("ddi.yaml"), 'poll: 1s\ndevices:\n  "*": { board: gateway, revision: "1", partitionMap: ab, connectivity: ethernet }\n');

  const serve = new Program("serve", process.execPath, [coalmine, "serve", "--data", file("data"), "--speed", String(speed), "--key", made.publicKey, "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--coap", "127.0.0.1:0", "--ddi", "127.0.0.1:0", "--ddi-config", file("ddi.yaml"), "--smp", file("boards.yaml")]);
  closing.push(async () => serve.end("SIGKILL"));
  const [, http, mqtt, coap, ddi] = await serve.line(/^ready http=http:\/\/127\.0\.0\.1:(\d+) mqtt=(\S+) coap=(\S+) ddi=(\S+)$/);
  const api = new Api(Number(http));
  note(`serve listens: ${mqtt}, ${coap}, ${ddi}, and looks after ${boards} boards over SMP`);

  for (const [shard, connect] of [["1/2", mqtt], ["2/2", coap]] as const) {
    const fleet = new Program(`sim fleet ${shard}`, process.execPath, [coalmine, "sim", "fleet", "--connect", connect as string, "--devices", String(devices), "--shard", shard, "--seed", String(seed), "--speed", String(speed), "--json"]);
    closing.push(async () => fleet.end("SIGKILL"));
  }
  for (let n = 1; n <= gateways; n += 1) {
    // The last one does not say what it runs.
    const gateway = new SwupdateGateway({ id: `gateway-${n}`, folder: file(`gateway-${n}`), url: ddi as string, certificate: signer.certificate, saysVersion: n < gateways });
    closing.push(async () => gateway.close());
  }
  const all = devices + boards + gateways;
  await until(async () => (await api.get<{ total: number }>("/devices?limit=1")).total === all, `all ${all} devices to report`);
  note(`${all} devices have reported`);

  const artifacts = [];
  for (const { variant, file: path } of made.artifacts) {
    artifacts.push({ digest: await put(api, new Uint8Array(readFileSync(path))), variant: variantOf(variant) });
  }
  artifacts.push({ digest: await put(api, smpImage(version, key)), variant: smpVariant });
  const swu = signer.archive({ version, payload: new TextEncoder().encode(`${version}\n${"x".repeat(200_000)}`), path: "installed" });
  artifacts.push({ digest: await put(api, swu, "?format=swu"), variant: variantOf("gateway/1/ab"), format: "swu" });
  await api.call("POST", "/releases", { id: version, artifacts, ...by });
  const { membership } = await api.call<{ membership: { warnings: readonly string[]; evidence: { all: readonly { words: string }[] } } }>("POST", "/rollouts", { id: "r1", release: version, plan, seed, ...by });
  for (const { words } of membership.evidence.all) {
    note(words);
  }
  const counts = async () => api.get<{ status: string; outcome: string; verdict: string; states: Record<string, number> }>("/rollouts/r1");
  let last = "";
  await until(async () => {
    const { status, states } = await counts();
    const line = Object.entries(states).map(([state, count]) => `${count} ${state}`).join(", ");
    if (line !== last) {
      last = line;
      note(line);
    }
    return status !== "running";
  }, "the rollout to end");
  const { outcome, verdict, states } = await counts();
  const report = await api.get<{ doors: readonly DoorReport[] }>("/rollouts/r1/report");
  if (options.out !== undefined) {
    mkdirSync(options.out, { recursive: true });
    for (const [format, name] of [["markdown", "report.md"], ["html", "report.html"]] as const) {
      writeFileSync(join(options.out, name), await (await fetch(`${api.url}/rollouts/r1/report?format=${format}`)).text());
    }
  }
  const code = await serve.end("SIGTERM");
  const expected: readonly (readonly [string, number])[] = [["mqtt", Math.ceil(devices / 2)], ["coap", Math.floor(devices / 2)], ["smp", boards], ["ddi", gateways]];
  const problems = [
    ...(outcome === "complete" ? [] : [`the rollout ended ${outcome}`]),
    ...expected.flatMap(([door, wanted]) => {
      const own = report.doors.filter((one) => one.door === door);
      const counted = own.reduce((sum, one) => sum + one.devices, 0);
      const healthy = own.reduce((sum, one) => sum + (one.states.healthy ?? 0), 0);
      return counted === wanted && healthy === wanted ? [] : [`${door}: ${counted} counted and ${healthy} healthy of ${wanted}`];
    }),
    ...(code === 0 ? [] : [`serve ended with ${code}`]),
  ];
  return { outcome, verdict, wallSeconds: Math.round((performance.now() - began) / 100) / 10, states, doors: report.doors, warnings: membership.warnings, problems };
}

const smpVariant = { board: "smpboard", revision: "1", partitionMap: "pm1" };

function smpImage(wanted: string, key?: SigningKey): Uint8Array {
  const [major = 0, minor = 0, revision = 0] = wanted.split(".").map(Number);
  const payload = Uint8Array.from({ length: 20_000 }, (_, index) => (index * 7 + minor * 31) & 0xff);
  return buildImage({ version: { major, minor, revision, build: 0 }, headerSize: 512, payload, ...(key === undefined ? {} : { key }) });
}

/** Simulated boards behind UDP ports, and the file that names them. */
async function openBoards({ boards, seed }: MixedOptions, path: string, closing: (() => Promise<unknown>)[]): Promise<void> {
  const lines: string[] = [];
  for (let n = 1; n <= boards; n += 1) {
    const board = await serveUdp(sampleBoard({ bufferBytes: 1_024, running: smpImage("1.0.0") }), stormy(seed * 1_000 + n, { loss: 0.1 }));
    closing.push(async () => board.close());
    lines.push(`  - { id: board-${n}, smp: "udp://127.0.0.1:${board.port}", board: smpboard, revision: "1", partitionMap: pm1, mode: swap-move, slotSize: 69632, attributes: { site: field, connectivity: ethernet } }`);
  }
  writeFileSync(path, `poll: 1s\nboards:\n${lines.join("\n")}\n`);
}

async function put(api: Api, bytes: Uint8Array, query = ""): Promise<string> {
  return (await api.call<{ digest: string }>("PUT", `/artifacts${query}`, bytes)).digest;
}

function variantOf(text: string): { board: string; revision: string; partitionMap: string } {
  const [board = "", revision = "", partitionMap = ""] = text.split("/");
  return { board, revision, partitionMap };
}

async function until(done: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!(await done())) {
    if (performance.now() > deadline) {
      throw new Error(`waited ${patienceMs / 1_000} s for ${what}`);
    }
    await sleep(250);
  }
}
