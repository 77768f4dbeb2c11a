// SPDX-License-Identifier: Apache-2.0
// One rollout over real MQTT, with `serve` killed at the given moments, and everything that must hold of it afterwards.
import { memberOf, type RolloutId } from "@coalmine/core";
import { planJudge, replay, type RolloutSummary } from "@coalmine/orchestrator";
import { openEventLog } from "@coalmine/store";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Api, Refused } from "./api.ts";
import type { Lab } from "./lab.ts";
import { Ledger } from "./ledger.ts";
import { LogTail } from "./log-tail.ts";
import type { Moment } from "./moments.ts";
import { Observer, type SeenOffer } from "./observer.ts";
import { dataOf, freePorts, type Program, type ServePorts, startFleet, startMosquitto, startServe } from "./programs.ts";

export interface Kill {
  readonly phase: string;
  readonly signal: NodeJS.Signals;
  /** Real seconds since the rollout was ordered. */
  readonly after_s: number;
  /** Durable entries when it was killed. */
  readonly entries: number;
  /** Real milliseconds until it was ready again. */
  readonly down_ms: number;
}

export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface KilledRun {
  readonly release: string;
  readonly outcome: string;
  readonly verdict: string;
  readonly haltedBy: string | null;
  readonly states: Readonly<Record<string, number>>;
  readonly exposed: number;
  /** State of each member at the end. */
  readonly members: Readonly<Record<string, string>>;
  readonly kills: readonly Kill[];
  readonly events: number;
  /** Reports in the log. */
  readonly reports: number;
  readonly offersDecided: number;
  readonly offersSeen: number;
  readonly wallSeconds: number;
  readonly checks: readonly Check[];
  readonly fleet: Readonly<Record<string, unknown>>;
  /** Lines that `serve` wrote, but for its ready lines. */
  readonly warnings: readonly string[];
}

export interface KilledRunOptions {
  readonly lab: Lab;
  readonly release: string;
  readonly moments: readonly Moment[];
  /** Path of mosquitto; the embedded broker, and no observer, without one. */
  readonly mosquitto: string | undefined;
  readonly note?: (line: string) => void;
  /** Real seconds that everything may take. */
  readonly patience_s?: number;
}

const lookEvery = 10;
const underway = ["offered", "downloading", "downloaded", "applying", "testing", "confirmed", "soaking", "deferred"];

export async function killedRun(options: KilledRunOptions): Promise<KilledRun> {
  const run = new Run(options);
  try {
    return await run.whole();
  } finally {
    await run.close();
  }
}

class Run {
  readonly #options: KilledRunOptions;
  readonly #ledger = new Ledger();
  readonly #tail: LogTail;
  readonly #kills: Kill[] = [];
  readonly #offers: SeenOffer[] = [];
  /** Offers that arrived while the log could not be asked; it is asked as soon as it can. */
  #unasked: SeenOffer[] = [];
  readonly #early: SeenOffer[] = [];
  readonly #afterHalt: SeenOffer[] = [];
  readonly #warnings: string[] = [];
  readonly #deadline: number;
  #ports!: ServePorts;
  #api!: Api;
  #broker: Program | undefined;
  #serve: Program | undefined;
  #fleet: Program | undefined;
  #observer: Observer | undefined;
  #began = 0;

  constructor(options: KilledRunOptions) {
    this.#options = options;
    this.#deadline = performance.now() + (options.patience_s ?? 900) * 1_000;
    this.#tail = new LogTail(join(dataOf(options.lab), "events.sqlite"));
    this.#tail.follow((entry, record) => this.#ledger.take(entry, record));
  }

  async whole(): Promise<KilledRun> {
    const { release, lab } = this.#options;
    await this.#start();
    const started = performance.now();
    await this.#kill();
    const ended = await this.#ended();
    const checks = await this.#afterwards(ended);
    const members = this.#members(checks);
    return {
      release,
      outcome: ended.outcome,
      verdict: ended.verdict,
      haltedBy: ended.haltedBy?.gate ?? null,
      states: ended.states,
      exposed: ended.exposed,
      members,
      kills: this.#kills,
      events: this.#ledger.entries,
      reports: this.#ledger.reports,
      offersDecided: this.#ledger.offeredDevices,
      offersSeen: this.#offers.length,
      wallSeconds: (performance.now() - started) / 1_000,
      checks: [...checks, ...this.#promises(lab.devices)],
      fleet: await this.#fleetResult(),
      warnings: this.#warnings,
    };
  }

  async close(): Promise<void> {
    this.#observer?.close();
    for (const program of [this.#serve, this.#fleet, this.#broker]) {
      await program?.end("SIGKILL");
    }
  }

  /** Broker, orchestrator, devices, release; everything up to the rollout. */
  async #start(): Promise<void> {
    const { lab, mosquitto, release } = this.#options;
    const [http, mqtt, coap] = (await freePorts(3)) as [number, number, number];
    this.#ports = { http, mqtt, embedded: mosquitto === undefined, ...(lab.coap === true ? { coap } : {}) };
    this.#api = new Api(http);
    if (mosquitto !== undefined) {
      this.#broker = await startMosquitto(mosquitto, join(lab.folder, "mosquitto"), mqtt);
      this.#observer = await Observer.start(mqtt, "observer", { offer: (seen) => this.#saw(seen) });
    }
    this.#serve = await startServe(lab, this.#ports);
    this.#fleet = startFleet(lab, this.#ports);
    await this.#until("the fleet's first reports", async () => (await this.#api.get<{ total: number }>("/devices?limit=1")).total === lab.devices);
    const built = lab.releases.get(release);
    const artifacts = [];
    for (const { bytes, variant } of built?.artifacts ?? []) {
      artifacts.push({ variant, digest: (await this.#api.call<{ digest: string }>("PUT", "/artifacts", bytes)).digest });
    }
    await this.#api.call("POST", "/releases", { id: release, artifacts, by: "chaos", reason: "test" });
    await this.#until("every device's hello", async () => (await this.#api.get<{ installable: number }>(`/releases/${release}/preflight?limit=1`)).installable === lab.devices);
    await this.#until("the log", () => this.#tail.catchUp());
  }

  /** Orders the rollout and goes through the moments. */
  async #kill(): Promise<void> {
    const { moments, note } = this.#options;
    this.#began = performance.now();
    let ordered = this.#order();
    for (const moment of moments) {
      await this.#until(moment.phase, () => {
        this.#tail.catchUp();
        return moment.due(this.#ledger);
      });
      await sleep(moment.delay);
      await this.#killOnce(moment);
      await ordered;
      // Whether the order survived depends on when it was answered: who had no answer asks again.
      ordered = this.#order();
      await ordered;
      note?.(`${moment.phase}: killed after ${this.#kills.at(-1)?.entries} entries, ready again in ${this.#kills.at(-1)?.down_ms} ms`);
    }
    await ordered;
  }

  async #killOnce(moment: Moment): Promise<void> {
    const { lab } = this.#options;
    for (const [again] of [[false], ...(moment.again === undefined ? [] : [[true]])]) {
      if (again === true) {
        const starting = startServe(lab, this.#ports, (program) => {
          this.#serve = program;
        });
        starting.catch(() => undefined); // it is killed before it is ready
        await sleep(moment.again);
      }
      const at = performance.now();
      const { signal = "SIGKILL" } = moment;
      const code = await (this.#serve as Program).end(signal);
      if (code !== (signal === "SIGKILL" ? null : 0)) {
        throw new Error(`serve ended with ${code}, asked by ${signal}:\n${this.#serve?.lines.join("\n")}`);
      }
      this.#keepLines();
      this.#kills.push({ phase: again === true ? `${moment.phase}, starting` : moment.phase, signal, after_s: round((at - this.#began) / 1_000), entries: this.#ledger.entries, down_ms: 0 });
    }
    const at = performance.now();
    await sleep(moment.outage ?? 0);
    this.#serve = await startServe(lab, this.#ports);
    this.#kills.push({ ...(this.#kills.pop() as Kill), down_ms: Math.round(performance.now() - at) });
  }

  /** Orders the rollout unless it is known. Resolves also when the connection dies. */
  async #order(): Promise<void> {
    const { release, lab } = this.#options;
    try {
      await this.#api.call("POST", "/rollouts", { id: rollout, release, plan: lab.plan, seed: lab.seed, by: "chaos", reason: "test" });
    } catch (error) {
      if (error instanceof Refused && error.status !== 409) {
        throw error;
      }
    }
  }

  async #ended(): Promise<RolloutSummary> {
    let last: RolloutSummary | undefined;
    await this.#until("the end of the rollout", async () => {
      this.#tail.catchUp();
      last = await this.#api.get<RolloutSummary>(`/rollouts/${rollout}`);
      const quiet = underway.every((state) => (last as RolloutSummary).states[state] === undefined);
      return last.outcome === "complete" || last.outcome === "aborted" || last.outcome === "held" || (last.outcome === "halted" && quiet);
    });
    return last as RolloutSummary;
  }

  /** What is looked at while everything still runs, and how it stops. */
  async #afterwards(ended: RolloutSummary): Promise<Check[]> {
    const checks: Check[] = [];
    const { lab } = this.#options;
    const verified = await this.#api.get<{ ok: boolean }>("/audit/verify");
    checks.push({ name: "I10: audit verify", ok: verified.ok, detail: JSON.stringify(verified) });
    // A clean stop leaves a snapshot: the next start reads that instead of the whole log.
    const code = await (this.#serve as Program).end("SIGTERM");
    this.#keepLines();
    this.#serve = await startServe(lab, this.#ports);
    const again = await this.#api.get<RolloutSummary>(`/rollouts/${rollout}`);
    checks.push({ name: "SIGTERM ends it cleanly, and a start from its snapshot shows the same rollout", ok: code === 0 && told(again) === told(ended), detail: `code ${code}${told(again) === told(ended) ? "" : `, ${told(again)} instead of ${told(ended)}`}` });
    if (this.#observer !== undefined) {
      const late = await Observer.start(this.#ports.mqtt, "late", { offer: () => undefined });
      await sleep(500);
      late.close();
      checks.push({ name: "R52: no offer of a finished device is kept by the broker", ok: late.retained.size === 0, detail: named([...late.retained.keys()]) });
      checks.push({ name: "the observer was connected all the time", ok: this.#observer.trouble === "", detail: this.#observer.trouble });
    }
    await this.#serve.end("SIGTERM");
    this.#keepLines();
    await this.#until("the log", () => this.#tail.catchUp());
    this.#ask();
    return checks;
  }

  /** Runs the log through the machine again, and takes the members' states from there. */
  #members(checks: Check[]): Record<string, string> {
    const log = openEventLog(join(dataOf(this.#options.lab), "events.sqlite"), { readOnly: true });
    try {
      const chain = log.verify();
      checks.push({ name: "I10: the chain of the closed log", ok: chain.ok, detail: chain.ok ? `${chain.entries} entries` : chain.reason });
      const replayed = replay(log.read(0), planJudge);
      checks.push({ name: "replay decides the same again", ok: replayed.ok, detail: replayed.ok ? `${replayed.facts} facts, ${replayed.decisions} decisions` : JSON.stringify(replayed) });
      if (!replayed.ok) {
        return {};
      }
      const one = replayed.conductor.rollout(rollout);
      return Object.fromEntries(one.members.map(({ device }) => [device, memberOf(one, device)?.state ?? ""]));
    } finally {
      void log.close();
    }
  }

  #promises(devices: number): Check[] {
    const { violations, entries } = this.#ledger;
    const check = (name: string, found: readonly string[], detail: string): Check => ({ name, ok: found.length === 0, detail: found.length === 0 ? detail : named(found) });
    const offers = (found: readonly SeenOffer[]): string[] => found.map(({ device, offer }) => `${device} offer ${offer}`);
    const unknown = this.#offers.filter((seen) => !this.#ledger.holds(seen));
    return [
      check("I2: each device has one offer number for the release", violations.numbers, `${this.#ledger.offeredDevices} of ${devices} devices offered`),
      check("I2: no device applied its offer twice", violations.applied, ""),
      check("R8: each offer is decided for a member of an open stage", violations.stages, ""),
      check("I5: nothing is offered unless the rollout runs", violations.halted, ""),
      check("I4: no device is blamed for a time in which nobody listened", violations.silence, `${this.#ledger.restarts} restarts noted`),
      check("the clock never goes back", violations.clock, `${entries} entries`),
      ...(this.#observer === undefined
        ? []
        : [
            check("I3: each offer was durable before it left", offers(this.#early), `${this.#offers.length} offers seen at the broker`),
            check("I3: each offer that left is the one in the log", offers(unknown), ""),
            check("I5: no offer left after the halt was durable", offers(this.#afterHalt), ""),
          ]),
    ];
  }

  async #fleetResult(): Promise<Record<string, unknown>> {
    const fleet = this.#fleet as Program;
    await fleet.end("SIGTERM");
    return JSON.parse(fleet.stdout === "" ? "{}" : fleet.stdout) as Record<string, unknown>;
  }

  /** An offer has arrived: it must be in the log by now. */
  #saw(seen: SeenOffer): void {
    this.#offers.push(seen);
    this.#unasked.push(seen);
    this.#ask();
  }

  #ask(): void {
    if (!this.#tail.catchUp()) {
      return;
    }
    for (const seen of this.#unasked) {
      if (!this.#ledger.holds(seen)) {
        this.#early.push(seen);
      }
      if (this.#ledger.status === "halted") {
        this.#afterHalt.push(seen);
      }
    }
    this.#unasked = [];
  }

  #keepLines(): void {
    this.#warnings.push(...(this.#serve?.lines ?? []).filter((line) => !/^ready |^clock runs |^SIGTERM/.test(line)));
  }

  async #until(what: string, ready: () => boolean | Promise<boolean>): Promise<void> {
    while (!(await ready())) {
      if (performance.now() > this.#deadline) {
        const stands = await this.#api.call("GET", `/rollouts/${rollout}`).catch(String);
        throw new Error(`gave up waiting for ${what} after ${this.#ledger.entries} entries: ${JSON.stringify(stands)}\n${this.#warnings.join("\n")}`);
      }
      await sleep(lookEvery);
    }
  }
}

const rollout = "kills" as RolloutId;

function told({ outcome, verdict, states, offered, exposed, stages }: RolloutSummary): string {
  return JSON.stringify({ outcome, verdict, states, offered, exposed, stages });
}

function named(found: readonly string[]): string {
  return found.length === 0 ? "" : `${found.length}: ${found.slice(0, 5).join("; ")}${found.length > 5 ? " ..." : ""}`;
}

const round = (seconds: number): number => Math.round(seconds * 10) / 10;
