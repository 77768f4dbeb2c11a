// SPDX-License-Identifier: Apache-2.0
// Requests by libcoap's client, a CoAP implementation that is not ours.
import { type DeviceId, deviceId } from "@coalmine/core";
import type { LinkHost } from "@coalmine/orchestrator";
import { encodeReport, type Offer } from "@coalmine/protocol";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { type CoapLink, coapLink } from "../link.ts";

/** Where libcoap's client is; undefined when it is not installed (Debian: libcoap3-bin). */
export function findLibcoap(program = "coap-client-notls"): string | undefined {
  return (process.env["PATH"] ?? "")
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find((path) => existsSync(path));
}

/** What is asked of the server, as whom. */
export interface LibcoapTarget {
  /** `coap://HOST:PORT` */
  readonly url: string;
  readonly device: DeviceId;
  /** The version on offer to the device, and its artifact. */
  readonly version: string;
  readonly artifact: Uint8Array;
  /** Hash of the image that the device says it runs. */
  readonly imageHash?: Uint8Array;
  /** Arguments of the client in every request: a key for DTLS. */
  readonly args?: readonly string[];
}

export interface LibcoapResult {
  readonly name: string;
  /** What went wrong; undefined when nothing did. */
  readonly problem: string | undefined;
  readonly seconds: number;
}

interface Ran {
  readonly output: string;
  /** What `-o` wrote. */
  readonly file: Uint8Array | undefined;
}

export interface LibcoapCase {
  readonly name: string;
  readonly args: readonly string[];
  /** Path and query behind the address. */
  readonly at: string;
  readonly upload?: Uint8Array;
  readonly isDownload?: true;
  /** Something to do while the request runs. */
  readonly meanwhile?: () => Promise<void>;
  readonly judge: (ran: Ran) => string | undefined;
}

const blockSizes = [16, 32, 64, 128, 256, 512, 1_024];

const says =
  (text: string) =>
  ({ output }: Ran): string | undefined =>
    output.includes(text) ? undefined : `expected ${JSON.stringify(text)}, got ${JSON.stringify(output.slice(0, 200))}`;
const isSilent = ({ output }: Ran): string | undefined => (output.trim() === "" ? undefined : `expected no complaint, got ${JSON.stringify(output.slice(0, 200))}`);

function same(ran: Ran, expected: Uint8Array): string | undefined {
  if (ran.file === undefined) {
    return `nothing arrived: ${ran.output.slice(0, 200)}`;
  }
  return Buffer.compare(ran.file, expected) === 0 ? undefined : `${ran.file.length} bytes arrived, not the ${expected.length} that were served`;
}

/** The boot whose reports are uploaded in blocks of this size: each upload is another one to the host. */
const bootOf = (size: number): number => 10 + Math.log2(size);

/** The batches that `runRequests` uploads. */
export function uploadedBatches(): Uint8Array[] {
  return blockSizes.map((size) => reportBatch(65_536, bootOf(size)));
}

/** A batch of reports of just under `size` bytes, as a device sends it that was away for long. */
function reportBatch(size: number, boot: number): Uint8Array {
  const reports: Uint8Array[] = [];
  let length = 0;
  for (let sequence = 0; ; sequence += 1) {
    const data = createHash("sha256").update(`${sequence}`).digest();
    const bytes = encodeReport({ boot, sequence, uptime_s: sequence, body: { kind: "log", stream: "log", buildId: new Uint8Array(8), id: 1, offset: sequence * 1_000, total: 0, data: new Uint8Array(1_000).fill(data[0] as number) } });
    if (length + bytes.length > size) {
      return new Uint8Array(Buffer.concat(reports));
    }
    reports.push(bytes);
    length += bytes.length;
  }
}

/** Requests that any server with an offer for the device must answer. */
export function requests(target: LibcoapTarget): LibcoapCase[] {
  const query = `?d=${target.device}`;
  const artifact = `.u/c/main@${target.version}${query}`;
  const upload = (method: "post" | "put", size: number): LibcoapCase => ({
    name: `${method.toUpperCase()} 64 KB, blocks of ${size}`,
    args: ["-m", method, "-t", "63", "-b", `${size}`],
    at: `.r${query}`,
    upload: reportBatch(65_536, bootOf(size)),
    judge: isSilent,
  });
  const heartbeat = encodeReport({ boot: 4, sequence: 0, uptime_s: 1, body: { kind: "heartbeat", imageHash: target.imageHash ?? new Uint8Array(32), confirmed: true, battery: null, linkUptime: 1, metrics: {} } });
  return [
    { name: "GET discovery", args: [], at: ".well-known/core", judge: says("</.u/desired>;obs") },
    { name: "GET offer, 8-byte token", args: ["-T", "8bytetok"], at: `.u/desired${query}`, isDownload: true, judge: ({ file }) => (file === undefined || file.length < 100 ? "no offer arrived" : undefined) },
    { name: "GET offer, no token, NON", args: ["-N", "-T", ""], at: `.u/desired${query}`, isDownload: true, judge: ({ file }) => (file === undefined || file.length < 100 ? "no offer arrived" : undefined) },
    { name: "GET offer, Accept 60", args: ["-A", "60"], at: `.u/desired${query}`, isDownload: true, judge: ({ file }) => (file === undefined ? "no offer arrived" : undefined) },
    { name: "GET offer, Accept 50", args: ["-A", "50"], at: `.u/desired${query}`, judge: says("4.06") },
    { name: "GET command", args: [], at: `.u/command${query}`, judge: isSilent },
    ...blockSizes.map((size): LibcoapCase => ({ name: `GET artifact, blocks of ${size}`, args: ["-b", `${size}`], at: artifact, isDownload: true, judge: (ran) => same(ran, target.artifact) })),
    { name: "GET artifact, NON, 512", args: ["-N", "-b", "512"], at: artifact, isDownload: true, judge: (ran) => same(ran, target.artifact) },
    { name: "POST report", args: ["-m", "post", "-t", "60"], at: `.r${query}`, upload: heartbeat, judge: isSilent },
    { name: "PUT report", args: ["-m", "put", "-t", "60"], at: `.r${query}`, upload: heartbeat, judge: isSilent },
    { name: "POST garbage", args: ["-m", "post", "-t", "60"], at: `.r${query}`, upload: Uint8Array.of(1, 2, 3), judge: says("4.00") },
    // Boots in rising order, as a host takes the reports of an older one for late.
    ...blockSizes.map((size) => upload(size === 16 || size === 64 || size === 1_024 ? "post" : "put", size)),
    { name: "POST 65 KB: too large", args: ["-m", "post", "-t", "63", "-b", "1024"], at: `.r${query}`, upload: new Uint8Array(66_560), judge: says("4.13") },
    { name: "unknown critical option", args: ["-O", "9999,0x01"], at: `.u/desired${query}`, judge: says("4.02") },
    { name: "unknown elective option", args: ["-O", "9998,0x01"], at: `.well-known/core`, judge: says("</.r>") },
    { name: "DELETE", args: ["-m", "delete"], at: `.u/desired${query}`, judge: says("4.05") },
    { name: "FETCH", args: ["-m", "fetch"], at: `.u/desired${query}`, judge: says("4.05") },
    { name: "long path", args: [], at: `${Array.from({ length: 12 }, (_, n) => `${n}`.repeat(60)).join("/")}${query}`, judge: says("4.04") },
    { name: "nobody's name", args: [], at: ".u/desired", judge: says("4.01") },
  ];
}

/** Runs a case; the temporary folder is its own. */
export async function runCase(client: string, url: string, it: LibcoapCase): Promise<LibcoapResult> {
  const began = performance.now();
  const folder = await mkdtemp(join(tmpdir(), "coalmine-coap-"));
  try {
    const out = join(folder, "out");
    const upload = join(folder, "upload");
    const args = ["-B", "20", ...it.args];
    if (it.isDownload === true) {
      args.push("-o", out);
    }
    if (it.upload !== undefined) {
      await writeFile(upload, it.upload);
      args.push("-f", upload);
    }
    const output = new Promise<string>((resolve) => {
      execFile(client, [...args, `${url}/${it.at}`], { timeout: 60_000 }, (_error, stdout, stderr) => resolve(`${stdout}${stderr}`));
    });
    await it.meanwhile?.();
    const ran: Ran = { output: await output, file: existsSync(out) ? await readFile(out) : undefined };
    return { name: it.name, problem: it.judge(ran), seconds: (performance.now() - began) / 1_000 };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Runs the requests, one after the other; `isQuick` leaves out the smallest blocks. */
export async function runRequests(client: string, target: LibcoapTarget, isQuick = false): Promise<LibcoapResult[]> {
  const results: LibcoapResult[] = [];
  for (const it of requests(target)) {
    if (isQuick && /blocks of (16|32)$/.test(it.name)) {
      continue;
    }
    results.push(await runCase(client, target.url, { ...it, args: [...(target.args ?? []), ...it.args] }));
  }
  return results;
}

/** The same against a link of our own over a host that can be slow; `isQuick` leaves out what waits for seconds. */
export async function runOwnRequests(client: string, isQuick = false): Promise<LibcoapResult[]> {
  const device = deviceId("dev-1");
  const artifact = new Uint8Array(300_000);
  for (let index = 0; index < artifact.length; index += 1) {
    artifact[index] = (index * 7_919) >> 3;
  }
  const taken: Uint8Array[] = [];
  let delay: Promise<void> = Promise.resolve();
  const host: LinkHost = {
    report: async (_device, bytes) => {
      await delay;
      taken.push(bytes.slice());
    },
    block: (_device, { request, offset, length }) => (offset < artifact.length ? { kind: "block", request, offset, data: artifact.subarray(offset, offset + length) } : { kind: "refused", request, reason: "range" }),
    undecodable: () => undefined,
  };
  const link: CoapLink = await coapLink({ port: 0, limits: { reports: { perSecond: 1_000, burst: 1_000 }, separateAfter_s: 0.2 } }, host);
  try {
    const offer: Offer = {
      kind: "offer",
      offer: 1,
      release: "spring",
      version: "1.2.3+4",
      variant: { board: "nrf52", revision: "1", partitionMap: "p" },
      digest: new Uint8Array(createHash("sha256").update(artifact).digest()),
      imageHash: new Uint8Array(32),
      size: artifact.length,
      jitter_s: 0,
      confirm: { minUptime_s: 1, deadline_s: 60, serverContact: true },
    };
    await link.send(device, offer);
    const target: LibcoapTarget = { url: link.url, device, version: "1.2.3%2B4", artifact };
    const results = await runRequests(client, target, isQuick);
    const bodies = Buffer.concat(taken);
    const uploads = results.filter(({ name }) => /^(POST|PUT) 64 KB/.test(name)).length;
    const intact = uploadedBatches().filter((batch) => bodies.includes(batch)).length;
    results.push({ name: "each 64 KB arrived intact", problem: intact === uploads ? undefined : `${intact} of ${uploads}`, seconds: 0 });

    const slow = Promise.withResolvers<void>();
    delay = slow.promise;
    const separate: LibcoapCase = {
      name: "separate answer",
      args: ["-m", "post", "-t", "60"],
      at: `.r?d=${device}`,
      upload: taken[0] as Uint8Array,
      meanwhile: async () => {
        await until(() => link.stats().requests > before);
        // Longer than the server holds an answer back before it acknowledges the request by itself.
        await new Promise((resolve) => setTimeout(resolve, 400));
        slow.resolve();
      },
      judge: (ran) => isSilent(ran) ?? (link.stats().separate === 1 ? undefined : "the answer came with the acknowledgement"),
    };
    const before = link.stats().requests;
    results.push(await runCase(client, link.url, separate));
    if (isQuick) {
      return results;
    }

    const observed: LibcoapCase = {
      name: "observe: two notifications, deregistration",
      args: ["-s", "2", "-b", "64"],
      at: `.u/command?d=${device}`,
      meanwhile: async () => {
        await until(() => link.stats().observers === 1);
        await link.send(device, { kind: "cancel", offer: 11 });
        await link.send(device, { kind: "cancel", offer: 12 });
      },
      // The last byte of each command is the offer's number: VT and FF.
      judge: ({ output }) => (link.stats().observers === 0 && output.includes("\v") && output.includes("\f") ? undefined : `${link.stats().observers} observers left, output ${JSON.stringify(output)}`),
    };
    results.push(await runCase(client, link.url, observed));
    const lossy = requests(target).find(({ name }) => name === "GET artifact, blocks of 1024") as LibcoapCase;
    results.push(await runCase(client, link.url, { ...lossy, name: "GET artifact, two requests lost", args: ["-l", "7,150", "-b", "1024"] }));
    return results;
  } finally {
    await link.close();
  }
}

/** Looks every few milliseconds: another process is at work. */
async function until(ready: () => boolean): Promise<void> {
  for (let look = 0; look < 1_000 && !ready(); look += 1) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
