// SPDX-License-Identifier: Apache-2.0
// libcoap's requests at a real `serve`: a process with its log on disk, a signed release of 300 KB, a rollout under way.
import { type LibcoapResult, runCase, runRequests, TestDevice, uploadedBatches } from "@coalmine/coap/testing";
import { deviceId } from "@coalmine/core";
import { buildImage } from "@coalmine/mcuboot";
import { encodeReport, type ReportBody } from "@coalmine/protocol";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Api } from "../chaos/api.ts";
import { LogTail } from "../chaos/log-tail.ts";
import { coalmine, Program } from "../chaos/programs.ts";

const device = deviceId("dev-1");
const version = "1.2.3";
const size = 300_000;
const imageHash = new Uint8Array(32).fill(1);
const hello: ReportBody = {
  kind: "hello",
  hardware: { board: "nrf52840dk", revision: "revA", partitionMap: "pm1", mode: "swap-move", slotSize: 524_288 },
  running: { imageHash, version: "1.0.0+0", buildId: imageHash.subarray(0, 20), confirmed: true },
  slot1: null,
  resetCause: "power-on",
  attempt: null,
  interval_s: 60,
  attributes: { site: "field" },
  storageSchema: 1,
};
const plan = { stages: ["100%"], strata: ["hardware"], gates: { "crash-free-devices": { min: "50%" } }, minDevices: 1, offers: { perMinute: 6_000, jitter: "0s" }, soak: { min: "2m", max: "6h", dutyCycles: 1 } };
const by = { by: "interop", reason: "test" };

/** A DTLS terminator that stands before the CoAP port, and what its clients must say. */
export interface Terminator {
  /** `coaps://HOST:PORT` */
  readonly url: string;
  /** Where it forwards to: `serve` listens there. */
  readonly forwardsTo: string;
  readonly args: readonly string[];
}

/** Starts `serve`, takes the device to its offer, and gives libcoap's client its turn. */
export async function runServedRequests(client: string, options: { readonly isQuick?: boolean; readonly through?: Terminator } = {}): Promise<LibcoapResult[]> {
  const { isQuick = false, through } = options;
  const args = through?.args ?? [];
  const folder = mkdtempSync(join(tmpdir(), "coalmine-interop-"));
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const key = join(folder, "release.pub.pem");
  writeFileSync(key, publicKey.export({ type: "spki", format: "pem" }));
  const data = join(folder, "data");
  const serve = new Program("serve", process.execPath, [coalmine, "serve", "--data", data, "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--coap", through?.forwardsTo ?? "127.0.0.1:0", "--key", key]);
  let board: TestDevice | undefined;
  try {
    const ready = await serve.line(/^ready http=http:\/\/127\.0\.0\.1:(\d+) mqtt=\S+ coap=(coap:\/\/127\.0\.0\.1:(\d+))$/);
    const api = new Api(Number(ready[1]));
    const url = through?.url ?? ready[2] ?? "";
    board = await TestDevice.connect(Number(ready[3]), { id: device });
    await board.request({ code: 2, path: [".r"], payload: encodeReport({ boot: 1, sequence: 0, uptime_s: 1, body: hello }) });
    const header = 512;
    const content = Uint8Array.from({ length: size - 2_000 }, (_, index) => (index * 7_919) >> 3);
    const image = buildImage({ version: { major: 1, minor: 2, revision: 3, build: 0 }, payload: content, headerSize: header, key: privateKey });
    const { digest } = await api.call<{ digest: string }>("PUT", "/artifacts", image);
    await api.call("POST", "/releases", { id: version, artifacts: [{ digest, variant: { board: "nrf52840dk", revision: "revA", partitionMap: "pm1" } }], ...by });
    await api.call("POST", "/rollouts", { id: "r1", release: version, plan, seed: 1, ...by });
    const offered = async (): Promise<boolean> => ((await board?.request({ code: 1, path: [".u", "desired"] }))?.payload.length ?? 0) > 0;
    while (!(await offered())) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }

    const results = await runRequests(client, { url, device, version, artifact: image, imageHash, args }, isQuick);
    results.push(inLog(data, results));
    // Whether the cancel waits for the observer or the observer for it: it comes as a notification.
    await api.call("POST", "/rollouts/r1/halt", by);
    results.push(
      await runCase(client, url, {
        name: "observe: the halt's cancel is notified",
        args: [...args, "-s", "2"],
        at: `.u/command?d=${device}`,
        // A cancel is map(3), version 1, kind 11.
        judge: ({ output }) => (output.includes("\u0001\u0001\u000b") ? undefined : `no cancel in ${JSON.stringify(output.slice(0, 200))}`),
      }),
      await runCase(client, url, {
        name: "GET artifact after the halt: 4.03",
        args,
        at: `.u/c/main@-?d=${device}&h=${digest.slice(0, 16)}`,
        judge: ({ output }) => (output.includes("4.03") ? undefined : `expected 4.03, got ${JSON.stringify(output.slice(0, 200))}`),
      }),
    );
    const code = await serve.end("SIGTERM");
    results.push({ name: "serve warns of nothing and ends with 0", problem: code === 0 && !serve.lines.some((line) => /^warning|^error| bug /.test(line)) ? undefined : `${code}: ${serve.lines.join("; ")}`, seconds: 0 });
    return results;
  } finally {
    await serve.end("SIGKILL");
    await board?.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Every byte of the uploads is in the log: what was answered 2.04 is durable. */
function inLog(data: string, results: readonly LibcoapResult[]): LibcoapResult {
  const bodies: Uint8Array[] = [];
  const tail = new LogTail(join(data, "events.sqlite"));
  tail.follow((entry) => {
    if (entry.type === "report") {
      bodies.push(entry.body.subarray(1));
    }
  });
  tail.catchUp();
  const whole = Buffer.concat(bodies);
  const uploads = results.filter(({ name }) => /^(POST|PUT) 64 KB/.test(name)).length;
  const intact = uploadedBatches().filter((batch) => whole.includes(batch)).length;
  return { name: "each 64 KB is in the log, intact", problem: intact === uploads ? undefined : `${intact} of ${uploads}`, seconds: 0 };
}
