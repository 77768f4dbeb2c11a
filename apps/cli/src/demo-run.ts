// SPDX-License-Identifier: Apache-2.0
// The demo: every part is real but the boards. Broker, store, signatures, MCUboot images and the HTTP API are those of
// `coalmine serve`; only the clock runs faster.
import { CoalmineError, formatDuration, instant, isActive, Milliseconds, type RolloutId } from "@coalmine/core";
import { symbolFile } from "@coalmine/device";
import { assembleFleet, buildRelease, type BuiltRelease, describeFleet, type Fleet, type Scenario } from "@coalmine/fleet";
import { planFromData, type RolloutReport, type RolloutSummary } from "@coalmine/orchestrator";
import { scenarioStart } from "@coalmine/site";
import { draw } from "@coalmine/world";
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { dashboardPages } from "./dashboard/pages.ts";
import { demoScenario } from "./demo-scenario.ts";
import { freePort } from "./free-port.ts";
import { fleetNetwork, LiveSite } from "./live-run.ts";
import { decisionLine, LiveView } from "./live-view.ts";
import { openFilesMax, spareFiles } from "./open-files.ts";
import { exitCodes } from "./output/exit.ts";
import { output } from "./output/output.ts";
import { facts, table } from "./output/table.ts";
import { toneOf } from "./output/text.ts";

export interface DemoOptions {
  readonly devices: number;
  readonly seed: number;
  readonly speed?: number | undefined;
  readonly exit?: true | undefined;
  readonly json?: true | undefined;
}

/** What `coalmine demo --json` prints (docs: commands). */
interface DemoResult {
  readonly seed: number;
  readonly devices: number;
  readonly transport: "mqtt";
  readonly wallSeconds: number;
  readonly virtualSeconds: number;
  readonly rollouts: readonly RolloutSummary[];
  readonly log: { readonly events: number; readonly sha256: string };
}

/** Fast enough for a minute, slow enough to watch. */
const defaultSpeed = 500;

const operator = (reason: string) => ({ by: "demo", reason });

/** Runs the demo. Sets the exit code: 0 when both rollouts ended as they must. */
export async function runDemo(options: DemoOptions): Promise<void> {
  const out = output(options);
  // A connection has two ends here: the device's and the broker's.
  if (2 * options.devices + spareFiles > openFilesMax()) {
    throw new CoalmineError("demo/open-files", `${options.devices} devices need ${2 * options.devices + spareFiles} open files, and ${openFilesMax()} are allowed: raise the limit (ulimit -n), or run fewer`, { retry: "later" });
  }
  const stop = interrupted();
  const folder = await mkdtemp(join(tmpdir(), "coalmine-demo-"));
  try {
    const demo = await Demo.start(options, folder);
    try {
      const ended = await Promise.race([demo.run().then(() => "done" as const), stop.then(() => "stopped" as const)]);
      if (ended === "stopped") {
        demo.view.end();
        out.note("stopped before the end");
        process.exitCode = 130;
        return;
      }
      const result = demo.result();
      const report = await demo.report();
      demo.view.end();
      out.result(result, () => `${summary(result)}\n\n${halt(report)}`);
      process.exitCode = asPromised(result) ? exitCodes.done : exitCodes.failed;
      if (options.exit !== true) {
        demo.slowDown();
        out.note(`\nThe dashboard is at ${demo.url}/ (the API's description: ${demo.url}/openapi.json), devices keep reporting. Ctrl-C ends it.`);
        await stop;
      }
    } finally {
      demo.view.end();
      await demo.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Resolves at the first Ctrl-C or SIGTERM; a second one ends the process at once. */
function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.once(signal, () => resolve());
    }
  });
}

class Demo {
  readonly view: LiveView;
  readonly url: string;
  readonly #scenario: Scenario;
  readonly #fleet: Fleet;
  readonly #seed: number;
  readonly #site: LiveSite;
  readonly #closeApi: () => Promise<void>;
  readonly #rollouts: RolloutId[] = [];

  private constructor(parts: { scenario: Scenario; fleet: Fleet; seed: number; site: LiveSite; view: LiveView; url: string; closeApi: () => Promise<void> }) {
    this.#scenario = parts.scenario;
    this.#fleet = parts.fleet;
    this.#seed = parts.seed;
    this.#site = parts.site;
    this.view = parts.view;
    this.url = parts.url;
    this.#closeApi = parts.closeApi;
  }

  static async start(options: DemoOptions, folder: string): Promise<Demo> {
    const scenario = demoScenario();
    const { seed, devices } = options;
    const speed = options.speed ?? defaultSpeed;
    const key = generateKeyPairSync("ed25519").privateKey;
    const fleet = assembleFleet({ ...scenario.fleet, seed, devices }, key);
    const waiting: Parameters<LiveView["line"]>[] = [];
    const shown: { view?: LiveView } = {};
    const say = (...line: Parameters<LiveView["line"]>): void => {
      if (shown.view === undefined) {
        waiting.push(line);
      } else {
        shown.view.line(...line);
      }
    };
    const site = await LiveSite.start({
      fleet,
      devices,
      seed,
      speed,
      epoch: scenarioStart,
      folder,
      keys: [fleet.publicKey],
      network: fleetNetwork(fleet),
      warn: (message) => say(`warning: ${message}`, "yellow"),
      decided: (record) => {
        const line = decisionLine(record, (rollout, stage) => site.host.conductor.rollout(rollout as RolloutId).stages[stage]);
        if (line !== undefined) {
          say(line.text, line.colour);
        }
      },
    });
    const rollouts = site.host.conductor.state.rollouts;
    const view = new LiveView({
      elapsed: () => Milliseconds(site.clock.now() - scenarioStart),
      rollout: () => [...rollouts.values()].at(-1),
      fleet: () => (site.live.stats.up < devices ? `connecting: ${site.live.stats.up} of ${devices} devices are up` : `${devices} devices are up and report; the first rollout begins shortly`),
    });
    shown.view = view;
    const api = await serveApi(site).catch(async (error: unknown) => {
      view.end();
      await site.close();
      throw error;
    });
    view.line(`coalmine demo, seed ${seed}: ${devices} simulated devices, ${speed} device seconds a second`, "bold");
    view.line(`dashboard ${api.url}/`, "bold");
    view.line(`devices at ${site.door.url}   store ${folder}`);
    view.line(`fleet: ${fleetText(fleet)}`);
    view.line("signing key: a fresh Ed25519 key; bootloaders and orchestrator trust its public half");
    for (const line of waiting) {
      view.line(...line);
    }
    return new Demo({ scenario, fleet, seed, site, view, url: api.url, closeApi: api.close });
  }

  /** Both rollouts, one after the other. */
  async run(): Promise<void> {
    const { warmUp, timeLimit } = this.#scenario;
    await this.#site.settled(timeLimit);
    this.view.line(`${this.#site.live.stats.up} devices are up and have said what they are`);
    for (const version of this.#fleet.spec.firmware) {
      await this.#register(buildRelease({ ...version, size: version.size ?? this.#fleet.spec.imageSize }, this.#fleet.hardware, this.#fleet.signingKey), "what the devices came with");
    }
    await this.#site.waitFor(instant(scenarioStart + warmUp));
    for (const wanted of this.#scenario.rollouts) {
      if ("rollback" in wanted) {
        throw new Error("the demo's scenario has rollouts only");
      }
      await this.#endHalted();
      await this.#register(this.#build(wanted.release), "built by coalmine demo");
      const plan = planFromData(wanted.plan ?? this.#scenario.plan, "demo.yaml: plan");
      const { id } = await this.#site.run({ release: wanted.release, plan }, this.#seed, timeLimit);
      this.#rollouts.push(id as RolloutId);
      this.view.keep();
    }
  }

  /** A release, and the ELF of each of its builds: its crashes have names. */
  async #register({ version, artifacts }: BuiltRelease, notes: string): Promise<void> {
    await this.#site.createRelease({ id: version, artifacts, notes });
    for (const artifact of artifacts) {
      await this.#site.host.addSymbols({ release: version, bytes: symbolFile(artifact, draw), authority: operator("the build's ELF") });
    }
  }

  #build(version: string): BuiltRelease {
    const spec = this.#scenario.releases.find((release) => release.version === version);
    if (spec === undefined) {
      throw new Error(`demo.yaml: no release ${version}`);
    }
    return buildRelease(spec, this.#fleet.hardware, this.#fleet.signingKey);
  }

  /** A rollout that stopped keeps its members until somebody ends it. */
  async #endHalted(): Promise<void> {
    for (const rollout of this.#site.host.conductor.state.rollouts.values()) {
      if (isActive(rollout)) {
        await this.#site.host.orderRollout(rollout.id, { kind: "abort", authority: operator("the next rollout begins") });
      }
    }
  }

  result(): DemoResult {
    const { rollouts, log, virtualSeconds } = this.#site.result();
    return { seed: this.#seed, devices: this.#site.live.stats.devices, transport: "mqtt", wallSeconds: Number((performance.now() / 1_000).toFixed(3)), virtualSeconds, rollouts, log };
  }

  /** Of the last rollout: why it stopped, and what its devices said. */
  report(): Promise<RolloutReport> {
    return this.#site.report(this.#rollouts.at(-1) as RolloutId);
  }

  /** Once there is nothing more to watch, devices report at a pace that does not fill the disk. */
  slowDown(): void {
    this.#site.clock.setSpeed(Math.min(this.#site.clock.speed, 30));
  }

  async close(): Promise<void> {
    await this.#closeApi();
    await this.#site.close();
  }
}

function fleetText(fleet: Fleet): string {
  const { dimensions } = describeFleet(fleet);
  const counts = (dimension: "hardware" | "connectivity" | "firmware"): string =>
    Object.entries(dimensions[dimension])
      .map(([name, count]) => `${count} ${name}`)
      .join(", ");
  return `${counts("hardware")}; ${counts("connectivity")}; running ${counts("firmware")}`;
}

/** The orchestrator's HTTP API on a free port. */
async function serveApi(site: LiveSite): Promise<{ readonly url: string; readonly close: () => Promise<void> }> {
  const { buildApi, loopbackHosts } = await import("@coalmine/api");
  const api = buildApi(site.host, { log: site.log, artifacts: site.artifacts, archive: site.archive, clock: site.clock, feed: site.feed, crashes: site.crashes.catalogue, hosts: loopbackHosts, pages: dashboardPages(() => undefined) });
  const url = await api.listen({ host: "127.0.0.1", port: await freePort() });
  return { url, close: () => api.close() };
}

/** The good release is everywhere; the bad one was stopped in its first stage, and no device that began it runs it unnoticed. */
function asPromised({ rollouts }: DemoResult): boolean {
  const [good, bad] = rollouts;
  if (good === undefined || bad === undefined) {
    return false;
  }
  const canaries = bad.stages[0]?.size ?? 0;
  return good.outcome === "complete" && good.verdict === "pass" && good.states["healthy"] === good.population && bad.outcome === "halted" && bad.exposed <= canaries;
}

function summary(result: DemoResult): string {
  const rows = result.rollouts.map((rollout) => [
    rollout.id,
    rollout.release,
    { text: rollout.outcome, tone: toneOf(rollout.outcome) },
    { text: rollout.verdict, tone: toneOf(rollout.verdict) },
    rollout.offered,
    rollout.exposed,
    Object.entries(rollout.states)
      .map(([state, count]) => `${state} ${count}`)
      .join(", "),
  ]);
  const columns = [
    { title: "rollout" },
    { title: "release" },
    { title: "outcome" },
    { title: "verdict" },
    { title: "offered", align: "right" as const },
    { title: "exposed", align: "right" as const },
    { title: "devices by state" },
  ];
  const time = `${formatDuration(Milliseconds(result.virtualSeconds * 1_000))} of device time in ${result.wallSeconds.toFixed(0)} s; ${result.log.events} events in the log, sha256 ${result.log.sha256.slice(0, 16)}`;
  return `${table(columns, rows)}\n\n${time}`;
}

/** Which gate stopped it, which devices were exposed, and what they said. */
function halt(report: RolloutReport): string {
  const { haltedBy, rollout } = report;
  if (haltedBy === null) {
    return `Release ${rollout.release} was not halted.`;
  }
  const head = facts([
    ["stopped", `release ${rollout.release} in stage "${haltedBy.stage}" by gate ${haltedBy.gate}`],
    ["because", haltedBy.reason],
    ["exposed", `${rollout.exposed} of ${rollout.population} devices`],
    ["crashes", report.crashes.length === 0 ? "none reported" : report.crashes.map((crash) => `${crash.count} x ${crash.reason} at ${crash.pc} on ${crash.devices.length} devices, build ${crash.buildId.slice(0, 12)}`).join("; ")],
  ]);
  const gates = report.gates.map((gate) => [gate.gate, { text: gate.verdict, tone: toneOf(gate.verdict) }, gate.reason]);
  const devices = report.devices.map((device) => [device.device, device.stratum.replaceAll("|", " "), { text: device.state, tone: toneOf(device.state) }, device.running ?? "", device.said.at(-1) ?? device.reason]);
  return [
    head,
    "",
    table([{ title: "gate" }, { title: "verdict" }, { title: "why", flexible: true }], gates),
    "",
    table([{ title: "exposed device" }, { title: "stratum" }, { title: "state" }, { title: "runs" }, { title: "said", flexible: true }], devices),
  ].join("\n");
}
