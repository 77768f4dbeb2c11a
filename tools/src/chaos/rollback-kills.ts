// SPDX-License-Identifier: Apache-2.0
//
// Kills `serve` with SIGKILL at random moments of a rollback and compares with a rollback in which nobody was killed.
// Usage: rollback-kills.ts [--kills 20] [--devices 100] [--seed 7] [--speed 60] [--json]
//
// A fleet over mosquitto (the embedded broker without it) goes 1.1.0, 1.3.0, and is rolled back to 1.1.0 by an order that
// a person repeats until it is answered. Every device must be back, with the same states as without the kills, and each must have been
// offered its way back once. Exits 0 when every check passed, 1 when one failed.
import { planJudge, readRecord, replay, type RolloutSummary } from "@coalmine/orchestrator";
import { openEventLog } from "@coalmine/store";
import { draw } from "@coalmine/world";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Api, Refused } from "./api.ts";
import type { Check } from "./killed-run.ts";
import { type Lab, prepareLab } from "./lab.ts";
import { dataOf, findMosquitto, freePorts, type Program, startFleet, startMosquitto, startServe } from "./programs.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "20" },
    devices: { type: "string", default: "100" },
    seed: { type: "string", default: "7" },
    speed: { type: "string", default: "60" },
    json: { type: "boolean", default: false },
  },
});
const [kills, devices, seed, speed] = [values.kills, values.devices, values.seed, values.speed].map(Number) as [number, number, number, number];
if (![kills, devices, seed].every((value) => Number.isSafeInteger(value) && value >= 0) || devices < 20 || !(speed > 0 && speed <= 1_000)) {
  console.error("--kills and --seed need whole numbers, --devices one of at least 20, --speed a number up to 1000");
  process.exit(3);
}

const patienceMs = 600_000;
/** Real milliseconds between a start and the next kill, at most. */
const pauseMs = 1_500;
const back = "back";

interface End {
  readonly back: RolloutSummary;
  readonly left: RolloutSummary;
  readonly kills: number;
  /** Offers in the log, by device. */
  readonly offers: ReadonlyMap<string, readonly { readonly offer: number; readonly way: string }[]>;
  readonly replay: string;
}

/** Offers at once and soaks shortly: the way there is not what this is about. */
const there = { name: "there", stages: ["100%"], strata: ["hardware"], offers: { perMinute: 6_000, jitter: "5s" }, soak: { min: "2m", max: "2h", dutyCycles: 1 }, confirm: { minUptime: "10s", deadline: "10m" }, gates: { "boot-confirmation": { dryRun: true } } };
const home = { ...there, name: "home", stages: ["30%", "100%"], offers: { perMinute: 30, jitter: "5s" }, gates: { "boot-confirmation": { min: 0.9 } } };

class Run {
  readonly #lab: Lab;
  readonly #programs: Program[] = [];
  #serve!: Program;
  #api!: Api;

  constructor(lab: Lab) {
    this.#lab = lab;
  }

  async whole(count: number): Promise<End> {
    const lab = this.#lab;
    const mosquitto = findMosquitto();
    const [http, mqtt] = (await freePorts(2)) as [number, number];
    const ports = { http, mqtt, embedded: mosquitto === undefined };
    this.#api = new Api(http);
    if (mosquitto !== undefined) {
      this.#programs.push(await startMosquitto(mosquitto, join(lab.folder, "mosquitto"), mqtt));
    }
    this.#serve = await startServe(lab, ports);
    this.#programs.push(startFleet(lab, ports));
    await this.#until("the fleet", async () => (await this.#api.get<{ total: number }>("/devices?limit=1")).total === lab.devices);
    for (const release of ["1.1.0", "1.3.0"]) {
      await this.#release(release);
    }
    for (const release of ["1.1.0", "1.3.0"]) {
      await this.#until(`every device's hello, for ${release}`, async () => (await this.#api.get<{ installable: number }>(`/releases/${release}/preflight?limit=1`)).installable === lab.devices);
      await this.#api.call("POST", "/rollouts", { id: `to-${release}`, release, plan: there, seed: lab.seed, by: "chaos", reason: "test" });
      await this.#until(`the rollout of ${release}`, async () => (await this.#rollout(`to-${release}`)).outcome === "complete");
    }
    await this.#order();
    let killed = 0;
    for (; killed < count && (await this.#rollout(back)).outcome === "running"; killed += 1) {
      await sleep(pauseMs * draw(lab.seed, "kill", "pause", killed));
      await this.#serve.end("SIGKILL");
      this.#serve = await startServe(lab, ports);
      await this.#order();
    }
    await this.#until("the end of the rollback", async () => ["complete", "held", "halted"].includes((await this.#rollout(back)).outcome));
    const ends = { back: await this.#rollout(back), left: await this.#rollout("to-1.3.0"), kills: killed };
    await this.#serve.end("SIGTERM");
    return { ...ends, ...this.#readLog() };
  }

  async close(): Promise<void> {
    for (const program of [this.#serve, ...this.#programs.reverse()]) {
      await program.end("SIGKILL");
    }
  }

  async #release(id: string): Promise<void> {
    const artifacts = [];
    for (const { bytes, variant } of this.#lab.releases.get(id)?.artifacts ?? []) {
      artifacts.push({ variant, digest: (await this.#api.call<{ digest: string }>("PUT", "/artifacts", bytes)).digest });
    }
    await this.#api.call("POST", "/releases", { id, artifacts, by: "chaos", reason: "test" });
  }

  #rollout(id: string): Promise<RolloutSummary> {
    return this.#api.get<RolloutSummary>(`/rollouts/${id}`);
  }

  /** Orders the rollback as a person does who may have had no answer: until it is known. */
  async #order(): Promise<void> {
    await this.#until("an answer to the order", async () => {
      try {
        await this.#api.call("POST", "/rollbacks", { id: back, rollout: "to-1.3.0", to: "1.1.0", plan: home, by: "chaos", reason: "test" });
        return true;
      } catch (error) {
        return error instanceof Refused && error.message.includes("rollout/exists");
      }
    });
  }

  async #until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = performance.now() + patienceMs;
    while (!(await isSo())) {
      if (performance.now() > deadline) {
        throw new Error(`${what} did not come within ${patienceMs / 1_000} s`);
      }
      await sleep(50);
    }
  }

  #readLog(): Pick<End, "offers" | "replay"> {
    const log = openEventLog(join(dataOf(this.#lab), "events.sqlite"), { readOnly: true });
    try {
      const offers = new Map<string, { offer: number; way: string }[]>();
      for (const entry of log.read(0)) {
        const record = entry.type === "offered" ? (readRecord(entry) as unknown as { rollout: string; device: string; offer: number; way: string }) : undefined;
        if (record?.rollout === back) {
          offers.set(record.device, [...(offers.get(record.device) ?? []), { offer: record.offer, way: record.way }]);
        }
      }
      const replayed = replay(log.read(0), planJudge);
      return { offers, replay: replayed.ok ? "ok" : JSON.stringify(replayed) };
    } finally {
      void log.close();
    }
  }
}

function compare(killed: End, calm: End): Check[] {
  const told = ({ outcome, states }: RolloutSummary): string => `${outcome}, ${Object.entries(states).map(([state, count]) => `${state} ${count}`).join(", ")}`;
  const twice = [...killed.offers].filter(([, list]) => list.length > 1).map(([device]) => device);
  const numbers = [...killed.offers.values()].flat().map(({ offer }) => offer);
  return [
    { name: "undisturbed, every device is brought back", ok: told(calm.back) === `complete, healthy ${devices}` && calm.left.outcome === "rolled_back", detail: `${told(calm.back)}; ${told(calm.left)}` },
    { name: "killed, it ends as without", ok: told(killed.back) === told(calm.back) && told(killed.left) === told(calm.left), detail: `${told(killed.back)}; ${told(killed.left)}` },
    { name: "I2: nothing was offered twice", ok: twice.length === 0 && new Set(numbers).size === numbers.length && killed.offers.size === devices, detail: `${killed.offers.size} devices, ${numbers.length} offers${twice.length === 0 ? "" : `, twice: ${twice.join(" ")}`}` },
    { name: "replay decides the same again", ok: killed.replay === "ok" && calm.replay === "ok", detail: [killed.replay, calm.replay].join(", ") },
    { name: `serve was killed ${kills} times in it`, ok: killed.kills === kills, detail: `${killed.kills} times` },
  ];
}

const folder = mkdtempSync(join(tmpdir(), "coalmine-rollback-kills-"));
const ends: End[] = [];
try {
  for (const count of [0, kills]) {
    const run = new Run(prepareLab(join(folder, String(count)), { seed, devices, speed }));
    try {
      ends.push(await run.whole(count));
    } finally {
      await run.close();
    }
    console.error(`${count} kills: done`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const checks = compare(ends[1] as End, ends[0] as End);
const failed = checks.filter((check) => !check.ok).length;
if (values.json) {
  console.log(JSON.stringify({ seed, devices, speed, kills, checks, passed: checks.length - failed, failed }, null, 2));
} else {
  for (const check of checks) {
    console.log(`  ${check.ok ? "ok    " : "FAILED"}  ${check.name} (${check.detail})`);
  }
}
process.exitCode = failed === 0 ? 0 : 1;
