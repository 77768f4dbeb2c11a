// SPDX-License-Identifier: Apache-2.0
// The broker dies in the middle of a rollout, with everything it had in memory, and comes back when its devices are long overdue.
import { planJudge, replay } from "@coalmine/orchestrator";
import type { RolloutSummary } from "@coalmine/orchestrator";
import { openEventLog } from "@coalmine/store";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { Api } from "./api.ts";
import { prepareLab } from "./lab.ts";
import { Ledger } from "./ledger.ts";
import { LogTail } from "./log-tail.ts";
import { dataOf, findMosquitto, freePorts, type Program, startFleet, startMosquitto, startServe } from "./programs.ts";

const folder = mkdtempSync(join(tmpdir(), "coalmine-broker-"));
const programs: Program[] = [];
const devices = 40;

afterAll(async () => {
  for (const program of programs.reverse()) {
    await program.end("SIGKILL");
  }
  rmSync(folder, { recursive: true, force: true });
});

test("I4: a broker that is killed in a rollout and away for longer than the plan's silence costs no device anything, and the rollout goes on by itself", async (ctx) => {
  const mosquitto = findMosquitto();
  if (mosquitto === undefined) {
    ctx.skip("mosquitto is not installed");
    return;
  }
  const planChanges = {
    stages: [{ name: "canary", count: 12 }, "100%"],
    soak: { min: "3m", max: "12h", dutyCycles: 1 },
    harmBudget: "50%",
    // Who is on trial must reach the server: the outage is no reason to revert.
    confirm: { minUptime: "60s", deadline: "6h" },
    updateDeadline: "8h",
    // As long as the devices may wait, at this speed, before they connect again.
    silence: { floor: "30m", intervals: 5 },
  };
  const lab = prepareLab(folder, { seed: 7, devices, speed: 200, planChanges });
  const [http, mqtt] = (await freePorts(2)) as [number, number];
  const ports = { http, mqtt, embedded: false };
  const api = new Api(http);
  const ledger = new Ledger();
  const records: string[] = [];
  const tail = new LogTail(join(dataOf(lab), "events.sqlite"));
  tail.follow((entry, record) => {
    ledger.take(entry, record);
    if (record !== undefined) {
      records.push(record.type);
    }
  });
  const until = async (isSo: () => boolean | Promise<boolean>): Promise<void> => {
    do {
      await sleep(20);
      tail.catchUp();
    } while (!(await isSo()));
  };
  const broker = await startMosquitto(mosquitto, join(folder, "mosquitto"), mqtt);
  programs.push(broker, await startServe(lab, ports), startFleet(lab, ports));
  await until(async () => (await api.get<{ total: number }>("/devices?limit=1")).total === devices);
  const artifacts = [];
  for (const { bytes, variant } of lab.releases.get("1.1.0")?.artifacts ?? []) {
    artifacts.push({ variant, digest: (await api.call<{ digest: string }>("PUT", "/artifacts", bytes)).digest });
  }
  await api.call("POST", "/releases", { id: "1.1.0", artifacts, by: "chaos", reason: "test" });
  await until(async () => (await api.get<{ installable: number }>("/releases/1.1.0/preflight?limit=1")).installable === devices);
  await api.call("POST", "/rollouts", { id: "outage", release: "1.1.0", plan: lab.plan, seed: 7, by: "chaos", reason: "test" });
  await until(() => (ledger.stages[1]?.offered.size ?? 0) >= 8);

  await broker.end("SIGKILL");
  await until(() => records.includes("link-lost"));
  const now = async (): Promise<number> => Date.parse((await api.get<{ now: string }>("/fleet")).now);
  const lostAt = await now();
  await until(async () => (await now()) - lostAt > 35 * 60_000);
  expect(records.slice(records.indexOf("link-lost") + 1)).toEqual([]);
  programs.push(await startMosquitto(mosquitto, join(folder, "mosquitto"), mqtt));

  let last: RolloutSummary | undefined;
  await until(async () => {
    last = await api.get<RolloutSummary>("/rollouts/outage");
    return last.outcome !== "running";
  });
  expect(last).toMatchObject({ outcome: "complete", verdict: "pass", states: { healthy: devices } });
  await (programs[1] as Program).end("SIGTERM");
  tail.catchUp();
  expect(records.filter((type) => type.startsWith("link-"))).toEqual(["link-lost", "link-restored"]);
  expect(ledger.violations).toEqual({ numbers: [], stages: [], halted: [], applied: [], clock: [], silence: [] });
  const log = openEventLog(join(dataOf(lab), "events.sqlite"), { readOnly: true });
  expect(replay(log.read(0), planJudge)).toMatchObject({ ok: true });
  await log.close();
}, 240_000);
