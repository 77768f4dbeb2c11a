// SPDX-License-Identifier: Apache-2.0
// The orchestrator as a process, with the client commands and devices on real MQTT.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "../free-port.ts";
import { MqttDevice } from "../testing/device.ts";
import { coalmine, type Ended, type Served, served } from "../testing/spawn.ts";

const folder = mkdtempSync(join(tmpdir(), "coalmine-serve-"));
const file = (name: string): string => join(folder, name);
const plan = `stages: [1, "100%"]
strata: [hardware]
gates: {crash-free-devices: {minSample: 1}}
offers: {perMinute: 6000, jitter: 0s}
soak: {min: 2m, max: 6h, dutyCycles: 1}
`;

let running: Served | undefined;
const open: MqttDevice[] = [];

/** A device that says hello and is heard every now and then, as long as the test runs. */
async function device(url: string, name: string, boot: number, running_?: MqttDevice["running"]): Promise<MqttDevice> {
  const one = await MqttDevice.connect(url, name, boot);
  open.push(one);
  if (running_ !== undefined) {
    one.running = running_;
  }
  await one.hello();
  const timer = setInterval(() => {
    one.say({ kind: "heartbeat", imageHash: one.running.imageHash, confirmed: true, battery: null, linkUptime: 1, metrics: {} }).catch(() => clearInterval(timer));
  }, 200);
  timer.unref();
  return one;
}

beforeAll(async () => {
  writeFileSync(file("plan.yaml"), plan);
  writeFileSync(file("app.bin"), new Uint8Array(9_000).fill(0xa5));
  const keys = await coalmine(["artifact", "keygen", "--type", "ed25519", "--out", file("release.pem")]);
  expect(keys).toMatchObject({ code: 0 });
  for (const version of ["1.1.0", "1.2.0"]) {
    const args = ["artifact", "sign", file("app.bin"), "--key", file("release.pem"), "--version", version, "--header-size", "512", "--slot-size", "65536", "--out", file(`${version}.bin`)];
    expect(await coalmine(args)).toMatchObject({ code: 0 });
  }
});

afterAll(async () => {
  await Promise.all(open.map((one) => one.close().catch(() => undefined)));
  await running?.end("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

test("a release goes from upload to 100 % over MQTT, through a SIGKILL, and nobody is offered it twice (R57, I2)", async () => {
  const args = ["--data", file("data"), "--key", file("release.pub.pem"), "--speed", "60"];
  // Ports that nobody else is given while it is down.
  const port = await freePort();
  const ports = ["--http", `127.0.0.1:${port}`, "--mqtt", `127.0.0.1:${await freePort(new Set([port]))}`];
  running = await served([...args, ...ports]);
  const { http, mqtt } = running;
  const call = (...words: string[]): Promise<Ended> => coalmine([...words, "--json"], { COALMINE_URL: http, COALMINE_BY: "ada" });
  const json = async (...words: string[]) => JSON.parse((await call(...words)).stdout) as Record<string, unknown>;
  const boards = new Map([["d1", await device(mqtt, "d1", 1)], ["d2", await device(mqtt, "d2", 1)]]);
  expect(await json("device", "list")).toMatchObject({ total: 2, devices: [{ id: "d1" }, { id: "d2" }] });

  const declared = { storage: { minRead: 1, maxRead: 1, writes: 1 }, migration: false, from: [{ min: "1.0.0" }], hop: null };
  expect(await json("release", "create", "1.1.0", "--artifact", `nrf52840dk/revA/pm1=${file("1.1.0.bin")}`)).toMatchObject({ id: "1.1.0", version: "1.1.0", storage: null });
  writeFileSync(file("release.yaml"), `id: 1.2.0\nartifacts: { nrf52840dk/revA/pm1: 1.2.0.bin }\nstorage: { minRead: 1, maxRead: 1, writes: 1 }\nfrom: [{ min: "1.0.0" }]\n`);
  expect(await json("release", "create", "--manifest", file("release.yaml"))).toMatchObject({ id: "1.2.0", version: "1.2.0", ...declared });
  expect(await json("release", "preflight", "1.1.0")).toMatchObject({ installable: 2, refused: 0 });
  const started = await json("rollout", "start", "1.1.0", "--plan", file("plan.yaml"), "--reason", "weekly");
  const stages = (started["membership"] as { stages: { devices: string[] }[] }).stages;
  const [canary, other] = stages.map((stage) => stage.devices[0] as string) as [string, string];

  const board = boards.get(canary) as MqttDevice;
  const offer = await board.offer();
  expect(await board.download(offer)).toBe(offer.digest.toHex());
  await board.update(offer);
  expect(boards.get(other)?.commands.filter((command) => command.kind === "offer")).toEqual([]);

  expect(await running.end("SIGKILL")).toBe(null);
  running = await served([...args, ...ports]);
  expect(await json("release", "show", "1.2.0")).toMatchObject(declared);
  const again = { canary: await device(mqtt, canary, 3, board.running), other: await device(mqtt, other, 2) };
  const second = await again.other.offer();
  expect(await again.other.download(second)).toBe(second.digest.toHex());
  await again.other.update(second);

  const waited = await call("rollout", "wait", "r1", "--interval", "100", "--timeout", "60");
  expect([waited.code, JSON.parse(waited.stdout)]).toMatchObject([0, { outcome: "complete", verdict: "pass", states: { healthy: 2 } }]);
  expect(again.canary.commands.filter((command) => command.kind === "offer")).toEqual([]);
  const audit = (await json("audit", "list", "--rollout", "r1", "--type", "offered"))["records"] as { device: string }[];
  expect(audit.map((line) => line.device)).toEqual([canary, other]);
  expect(await json("audit", "verify")).toMatchObject({ ok: true });

  // A second rollout: halted by a person, resumed, held. Exit codes tell which.
  await json("rollout", "start", "1.2.0", "--plan", file("plan.yaml"), "--reason", "next");
  expect(await json("rollout", "halt", "r2", "--reason", "smoke in the lab")).toMatchObject({ status: "halted" });
  expect((await call("rollout", "wait", "r2")).code).toBe(1);
  const report = await coalmine(["rollout", "report", "r2"], { COALMINE_URL: http });
  expect(report.stdout).toMatch(/^# Rollout r2: release 1\.2\.0[\s\S]*smoke in the lab[\s\S]*\| halted \| ada \|/);
  expect(await json("rollout", "resume", "r2", "--reason", "false alarm")).toMatchObject({ status: "running" });
  expect(await json("rollout", "hold", "r2", "--reason", "weekend")).toMatchObject({ status: "held" });
  expect((await call("rollout", "wait", "r2")).code).toBe(2);
  const refused = await call("rollout", "hold", "r2", "--reason", "again");
  expect([refused.code, JSON.parse(refused.stdout)]).toEqual([3, { error: { code: "rollout/status", message: "hold: rollout r2 is held" } }]);

  expect(await running.end("SIGTERM")).toBe(0);
  running = undefined;
});
