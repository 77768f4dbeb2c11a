// SPDX-License-Identifier: Apache-2.0
// The real swupdate against the real serve: an update, a rollback that calls itself a success, a restart in between.
import { swupdateMissing, SwupdateGateway, SwuSigner } from "@coalmine/ddi/testing";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "../free-port.ts";
import { coalmine, type Served, served } from "../testing/spawn.ts";

const plan = `stages: ["100%"]
strata: [hardware]
gates: {boot-confirmation: {minSample: 1, dryRun: true}, crash-free-devices: {min: 0}}
offers: {perMinute: 6000, jitter: 0s}
soak: {min: 2m, max: 6h, dutyCycles: 1}
confirm: {minUptime: 1m, deadline: 10m}
resolvedMin: 1
silence: {floor: 6h}
updateDeadline: 6h
`;
const missing = swupdateMissing();
const folder = mkdtempSync(join(tmpdir(), "coalmine-ddi-"));
const file = (name: string): string => join(folder, name);
let running: Served | undefined;
const gateways: SwupdateGateway[] = [];

beforeAll(() => {
  // swupdate runs as nobody, and goes through here.
  chmodSync(folder, 0o755);
});

afterAll(async () => {
  await Promise.all(gateways.map(async (gateway) => gateway.close()));
  await running?.end("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

test("stock swupdate takes part: success is health only for whom is heard again, and who runs the old image after its success has reverted", async (context) => {
  if (missing !== undefined) {
    context.skip(missing);
  }
  mkdirSync(file("keys"));
  const signer = new SwuSigner(file("keys"));
  writeFileSync(file("1.1.0.swu"), signer.archive({ version: "1.1.0", payload: new TextEncoder().encode(`1.1.0\n${"x".repeat(150_000)}`), path: "installed" }));
  writeFileSync(file("ddi.yaml"), 'poll: 1s\ndevices:\n  "*": { board: gateway, revision: "1", partitionMap: ab, site: field }\n');
  const args = ["--data", file("data"), "--speed", "60", "--ddi-config", file("ddi.yaml")];
  // Ports that nobody else is given while it is down.
  const taken = new Set<number>();
  for (let count = 0; count < 3; count += 1) {
    taken.add(await freePort(taken));
  }
  const ports = ["--http", "--mqtt", "--ddi"].flatMap((door, index) => [door, `127.0.0.1:${[...taken][index]}`]);
  running = await served([...args, ...ports]);
  const { http, ddi } = running;
  const get = async (path: string) => (await (await fetch(`${http}${path}`)).json()) as Record<string, unknown>;
  const gateway = (id: string, options: { saysVersion?: boolean; fallsBack?: boolean } = {}): SwupdateGateway => {
    const one = new SwupdateGateway({ id, folder: file(id), url: ddi as string, certificate: signer.certificate, ...options });
    gateways.push(one);
    return one;
  };
  const good = gateway("good");
  const mute = gateway("mute", { saysVersion: false });
  gateway("liar", { fallsBack: true });

  await expect.poll(async () => (await get("/devices"))["total"]).toBe(3);
  expect(await get("/devices/good")).toMatchObject({ door: "ddi", running: { version: "1.0.0" }, hardware: { board: "gateway", mode: "overwrite" }, attributes: { site: "field", imageEvidence: "version" } });
  expect(await get("/devices/mute")).toMatchObject({ running: { version: "unknown" }, attributes: { imageEvidence: "claim" } });
  const made = await coalmine(["release", "create", "1.1.0", "--swu", `gateway/1/ab=${file("1.1.0.swu")}`, "--json"], { COALMINE_URL: http, COALMINE_BY: "ada" });
  expect(JSON.parse(made.stdout)).toMatchObject({ version: "1.1.0", artifacts: [{ format: "swu" }], preflight: { installable: 3 } });
  const body = JSON.stringify({ release: "1.1.0", plan, by: "ada", reason: "weekly" });
  expect((await fetch(`${http}/rollouts`, { method: "POST", headers: { "content-type": "application/json" }, body })).status).toBe(201);

  await expect.poll(() => good.reboots).toBe(1);
  expect(await running.end("SIGKILL")).toBe(null);
  running = await served([...args, ...ports]);

  await expect.poll(async () => (await get("/rollouts/r1"))["states"], { timeout: 100_000 }).toEqual({ healthy: 2, reverted: 1 });
  expect([good.running, good.reboots, mute.reboots]).toEqual(["1.1.0", 1, 1]);
  const states = (await get("/rollouts/r1/report"))["devices"] as { device: string; state: string; reason: string; said: string[] }[];
  expect(states.find(({ device }) => device === "liar")).toMatchObject({ state: "reverted", reason: "said success, and runs another image" });
  expect(states.find(({ device }) => device === "mute")).toMatchObject({ state: "healthy" });
  expect(await get("/devices/mute")).toMatchObject({ running: { version: "1.1.0" } });
  expect(await get("/audit/verify")).toMatchObject({ ok: true });
  expect(await running.end("SIGTERM")).toBe(0);
  running = undefined;
}, 240_000);
