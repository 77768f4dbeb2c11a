// SPDX-License-Identifier: Apache-2.0
// `serve` with both doors open to devices that prove themselves, in this process: the server is stopped and started, not killed.
import { coapKey } from "@coalmine/coap";
import { TestDevice } from "@coalmine/coap/testing";
import { deviceId } from "@coalmine/core";
import { buildImage } from "@coalmine/mcuboot";
import { type Command, decodeCommand, encodeReport, type ReportBody } from "@coalmine/protocol";
import { createHash, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { helloOf, MqttDevice } from "../testing/device.ts";
import { newSecret, secretLine } from "./device-secrets.ts";
import { serve, type Serving } from "./serve.ts";
import { serveSettings } from "./settings.ts";

const id = deviceId("dev-1");
const old = { imageHash: new Uint8Array(32).fill(1), version: "1.0.0+0" };
const get = (...path: string[]) => ({ code: 1, path });
const offersOf = (payloads: readonly Uint8Array[]): Command[] =>
  payloads.flatMap((payload) => {
    const decoded = decodeCommand(new Uint8Array(payload));
    return decoded.kind === "ok" && decoded.value.kind === "offer" ? [decoded.value] : [];
  });

test("one device, one secret, two doors: an offer heard over CoAP is sent again after a restart, and follows the device to MQTT", async () => {
  const folder = mkdtempSync(join(tmpdir(), "coalmine-serve-coap-"));
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const secret = newSecret();
  const sealKey = new Uint8Array(32).fill(7);
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const flags = {
    data: join(folder, "data"),
    http: "127.0.0.1:0",
    mqtt: "127.0.0.1:0",
    coap: "127.0.0.1:0",
    key: [file("release.pub.pem", publicKey.export({ type: "spki", format: "pem" }))],
    deviceSecrets: file("devices.secrets", secretLine(id, secret, sealKey)),
    sealKey: file("seal.key", Buffer.from(sealKey).toString("hex")),
  };
  const warnings: string[] = [];
  let serving: Serving | undefined;
  const start = async (): Promise<{ http: string; mqtt: string; coap: string }> => {
    serving = await serve(serveSettings(flags, {}), { warn: (message) => warnings.push(message), bug: (error) => warnings.push(error.message) });
    return { ...serving, coap: serving.coap as string };
  };
  onTestFinished(async () => {
    await serving?.close();
    rmSync(folder, { recursive: true, force: true });
  });
  let first = await start();
  const api = async (method: string, path: string, body?: Uint8Array | object): Promise<Record<string, unknown>> => {
    const raw = body instanceof Uint8Array;
    const response = await fetch(`${first.http}${path}`, {
      method,
      ...(body === undefined ? {} : { headers: { "content-type": raw ? "application/octet-stream" : "application/json" }, body: raw ? Buffer.from(body) : JSON.stringify(body) }),
    });
    const text = await response.text();
    expect([response.ok, text]).toEqual([true, text]);
    return JSON.parse(text) as Record<string, unknown>;
  };

  const board = await TestDevice.connect(Number(new URL(first.coap.replace("coap:", "http:")).port), { id, secret: coapKey(secret) });
  onTestFinished(() => board.close());
  let sequence = 0;
  const say = (body: ReportBody) => board.request({ code: 2, path: [".r"], payload: encodeReport({ boot: 1, sequence: sequence++, uptime_s: 1, body }) });
  const heartbeat: ReportBody = { kind: "heartbeat", imageHash: old.imageHash, confirmed: true, battery: null, linkUptime: 1, metrics: {} };
  expect(await board.observe(get(".u", "desired"))).toMatchObject({ code: 69, payload: Buffer.alloc(0) });
  expect(await board.observe(get(".u", "command"))).toMatchObject({ code: 69 });
  expect(await say(helloOf(old))).toMatchObject({ code: 68 });

  const artifact = buildImage({ version: { major: 1, minor: 1, revision: 0, build: 0 }, payload: new Uint8Array(9_000).fill(0xa5), headerSize: 512, key: privateKey });
  const { digest } = await api("PUT", "/artifacts", artifact);
  await api("POST", "/releases", { id: "1.1.0", artifacts: [{ digest, variant: { board: "nrf52840dk", revision: "revA", partitionMap: "pm1" } }], by: "ada", reason: "test" });
  const plan = { stages: ["100%"], strata: ["hardware"], gates: { "crash-free-devices": { min: "50%" } }, minDevices: 1, offers: { perMinute: 6_000, jitter: "0s" }, soak: { min: "2m", max: "6h", dutyCycles: 1 } };
  await api("POST", "/rollouts", { id: "r1", release: "1.1.0", plan, seed: 1, by: "ada", reason: "test" });
  await board.until(() => offersOf(board.heard.map(({ payload }) => payload)).length === 1);
  const [offer] = offersOf(board.heard.map(({ payload }) => payload)) as [Extract<Command, { kind: "offer" }>];
  expect(offer.digest.toHex()).toBe(digest);

  // Stopped and started on the same ports: the next report tells the device to register again, and the offer is there.
  await serving?.close();
  Object.assign(flags, { coap: first.coap.slice("coap://".length) });
  first = await start();
  expect(await say(heartbeat)).toMatchObject({ code: 68, options: [{ number: 65_000 }, { number: 65_001 }] });
  expect(offersOf([(await board.observe(get(".u", "desired")))?.payload as Uint8Array])).toEqual([offer]);
  const sha = createHash("sha256");
  for (let num = 0, more = true; more; num += 1) {
    const answer = await board.request({ ...get(".u", "c", "main@1.1.0"), options: [{ number: 23, value: Uint8Array.of((num << 4) | 6) }], isContentOpen: true });
    expect(answer).toMatchObject({ code: 69 });
    sha.update(answer?.payload as Uint8Array);
    more = answer?.payload.length === 1_024;
  }
  expect(sha.digest("hex")).toBe(digest);

  // The same secret is its password over MQTT, and what it has not begun follows it there.
  const client = await MqttDevice.connect(first.mqtt, id, 2, secret);
  onTestFinished(() => client.close());
  await client.hello();
  expect(await client.offer()).toEqual(offer);
  await expect(MqttDevice.connect(first.mqtt, id, 2, "f".repeat(64))).rejects.toThrow(/Bad username or password/);
  expect(warnings).toEqual([]);
});
