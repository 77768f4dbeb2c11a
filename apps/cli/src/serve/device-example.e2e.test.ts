// SPDX-License-Identifier: Apache-2.0
// The device of docs/examples against the real serve: what docs/device-protocol.md promises a stranger.
import { buildImage } from "@coalmine/mcuboot";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { type Served, served } from "../testing/spawn.ts";

const script = fileURLToPath(new URL("../../../../docs/examples/device.py", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "coalmine-example-"));
let running: Served | undefined;
let device: ChildProcess | undefined;

afterAll(async () => {
  device?.kill("SIGKILL");
  await running?.end("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

test("the device of the documentation goes through an update, block by block, and is healthy", async (context) => {
  if (spawnSync("python3", ["--version"]).status !== 0) {
    context.skip("python3 is not installed");
  }
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const key = join(folder, "release.pub.pem");
  writeFileSync(key, publicKey.export({ type: "spki", format: "pem" }));
  running = await served(["--data", join(folder, "data"), "--key", key, "--speed", "60", "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"]);
  const { http, mqtt } = running;
  const call = async (method: string, path: string, body?: unknown) => {
    const raw = body instanceof Uint8Array;
    const answer = await fetch(`${http}${path}`, {
      method,
      ...(body === undefined ? {} : { headers: { "content-type": raw ? "application/octet-stream" : "application/json" }, body: raw ? Buffer.from(body) : JSON.stringify(body) }),
    });
    return (await answer.json()) as Record<string, unknown>;
  };
  let said = "";
  device = spawn("python3", [script, "127.0.0.1", new URL(mqtt).port, "d1", "60"], { stdio: ["ignore", "ignore", "pipe"] });
  device.stderr?.setEncoding("utf8").on("data", (text: string) => (said += text));
  await expect.poll(async () => (await call("GET", "/devices"))["total"]).toBe(1);

  const image = buildImage({ version: { major: 1, minor: 1, revision: 0, build: 0 }, headerSize: 512, payload: new Uint8Array(30_000).fill(7), key: privateKey });
  const { digest } = await call("PUT", "/artifacts", image);
  const by = { by: "ada", reason: "try" };
  await call("POST", "/releases", { id: "1.1.0", artifacts: [{ digest, variant: { board: "example", revision: "revA", partitionMap: "pm1" } }], ...by });
  const plan = { stages: ["100%"], strata: ["board"], gates: { "crash-free-devices": { min: "50%" } }, minDevices: 1, offers: { perMinute: 6_000, jitter: "0s" }, soak: { min: "2m", max: "6h", dutyCycles: 1 }, confirm: { minUptime: "1m", deadline: "10m" } };
  await call("POST", "/rollouts", { release: "1.1.0", plan, ...by });
  await expect.poll(async () => (await call("GET", "/rollouts/r1"))["states"], { timeout: 100_000 }).toEqual({ healthy: 1 });
  expect(await call("GET", "/devices/d1")).toMatchObject({ running: { version: "1.1.0", confirmed: true }, hardware: { board: "example", mode: "swap-move" } });
  expect(await call("GET", "/counters")).toMatchObject({ undecodable: 0 });
  expect(said).toBe("");
}, 240_000);
