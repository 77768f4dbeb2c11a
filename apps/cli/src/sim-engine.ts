// SPDX-License-Identifier: Apache-2.0
// Runs one scenario over one transport and answers in the same form for all of them.
import { after, CoalmineError, type DeviceId, isActive, type Instant, Minutes } from "@coalmine/core";
import { createDevice, createShared, step } from "@coalmine/device";
import { declarationOf, type Scenario } from "@coalmine/fleet";
import { type EventLog, type LogEntry, planFromData, planJudge, type RolloutSummary } from "@coalmine/orchestrator";
import { type Checked, checkExpectations, type FaultTarget, findings, planFaults, prepare, runScenario, scenarioStart } from "@coalmine/site";
import { memoryArtifactStore, memoryEventLog } from "@coalmine/store";
import { draw, type Network } from "@coalmine/world";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { LiveSite } from "./live-run.ts";


export type Transport = "virtual" | "mqtt" | "coap";

export interface SimOptions {
  readonly scenario: Scenario;
  readonly transport: Transport;
  readonly devices?: number | undefined;
  readonly seed?: number | undefined;
  /** Device milliseconds in a real one, over real sockets. */
  readonly speed?: number | undefined;
  /** CoAP: share of the datagrams that get lost, in each direction. */
  readonly loss?: number | undefined;
  /** Given each entry of the log as it is written. */
  readonly trace?: ((line: string) => void) | undefined;
  readonly progress?: ((at: Instant, rollouts: readonly RolloutSummary[]) => void) | undefined;
  readonly warn?: ((message: string) => void) | undefined;
}

/** What `sim run --json` prints. */
export interface SimResult {
  readonly scenario: string;
  readonly seed: number;
  readonly devices: number;
  readonly transport: Transport;
  readonly wallSeconds: number;
  readonly virtualSeconds: number;
  readonly deviceDays: number;
  readonly events: number;
  readonly peakRssBytes: number;
  readonly rollouts: readonly RolloutSummary[];
  readonly log: { readonly events: number; readonly sha256: string };
  readonly expectations: readonly Checked[];
  readonly finalStates: Readonly<Record<string, string>>;
}

export async function simulate(options: SimOptions): Promise<SimResult> {
  const began = performance.now();
  const outcome = options.transport === "virtual" ? await inVirtualTime(options) : await overSockets(options, options.transport);
  return { ...outcome, wallSeconds: (performance.now() - began) / 1_000, peakRssBytes: process.resourceUsage().maxRSS * 1_024 };
}

type Outcome = Omit<SimResult, "wallSeconds" | "peakRssBytes">;

async function inVirtualTime(options: SimOptions): Promise<Outcome> {
  const { scenario } = options;
  const kills = scenario.faults.some((fault) => fault.kind === "orchestrator-kill");
  const result = await runScenario({
    scenario,
    judge: planJudge,
    log: traced(memoryEventLog({ keep: kills }), options.trace),
    artifacts: memoryArtifactStore(),
    boards: (seed) => {
      const shared = createShared(draw);
      return { make: (description) => createDevice(description, seed, shared), step };
    },
    devices: options.devices,
    seed: options.seed,
    progress: (site, rollouts) => options.progress?.(site.now, rollouts),
  });
  const { site: _site, finalStates, ...rest } = result;
  return { scenario: scenario.name, transport: "virtual", ...rest, finalStates: Object.fromEntries(finalStates) };
}

async function overSockets(options: SimOptions, transport: "mqtt" | "coap"): Promise<Outcome> {
  const { fleetNetwork, LiveSite } = await import("./live-run.ts");
  const { scenario } = options;
  if (scenario.faults.some((fault) => fault.kind === "orchestrator-kill")) {
    throw new CoalmineError("sim/transport", `${scenario.name}: orchestrator-kill runs in virtual time only; over real sockets kill "serve" itself`);
  }
  const { fleet, releases } = prepare(scenario, options);
  const { seed, devices } = fleet.spec;
  const network = fleetNetwork(fleet);
  const folder = await mkdtemp(join(tmpdir(), "coalmine-sim-"));
  const site = await LiveSite.start({
    fleet,
    devices,
    seed,
    speed: options.speed ?? 600,
    epoch: scenarioStart,
    folder,
    keys: [fleet.publicKey],
    network,
    transport,
    loss: options.loss ?? 0,
    ...(options.warn === undefined ? {} : { warn: options.warn }),
    ...(options.trace === undefined ? {} : { watch: tracing(options.trace) }),
  });
  try {
    await site.settled(Minutes(120));
    planFaults(liveTarget(site, network), fleet, { faults: scenario.faults, releases }, scenarioStart);
    await site.until(() => site.clock.now() >= after(scenarioStart, scenario.warmUp), "the warm-up", Minutes(24 * 60));
    for (const release of releases.values()) {
      await site.createRelease({ id: release.version, artifacts: release.artifacts, ...declarationOf(scenario.releases, release.version) });
    }
    for (const wanted of scenario.rollouts) {
      const looking = setInterval(() => options.progress?.(site.clock.now(), site.result().rollouts), 500);
      try {
        await (("rollback" in wanted) ? goBackLive(site, scenario, wanted) : beginLive(site, scenario, wanted, seed));
      } finally {
        clearInterval(looking);
      }
    }
    const result = site.result();
    return {
      scenario: scenario.name,
      seed,
      devices,
      transport,
      virtualSeconds: result.virtualSeconds,
      deviceDays: (result.virtualSeconds / 86_400) * devices,
      events: result.log.events,
      rollouts: result.rollouts,
      log: result.log,
      expectations: checkExpectations(scenario.expect, result.rollouts, findings(scenario, { conductor: site.host.conductor, boards: site.boards }, site.host.conductor.state.rollouts.values().toArray())),
      finalStates: Object.fromEntries(finalStates(site.host.conductor.state.rollouts.values().toArray(), result.finalStates)),
    };
  } finally {
    await site.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function finalStates(rollouts: readonly { readonly release: string; readonly members: readonly { readonly device: DeviceId; readonly state: string }[] }[], known: ReadonlyMap<DeviceId, unknown>): Map<string, string> {
  const states = new Map<string, string>([...known.keys()].map((id) => [id, "no member"]));
  for (const rollout of rollouts) {
    for (const member of rollout.members) {
      states.set(member.device, `${rollout.release} ${member.state}`);
    }
  }
  return new Map([...states].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function liveTarget(site: { readonly clock: { now(): Instant }; readonly live: { input(device: DeviceId, input: never): void }; until(look: () => boolean, what: string, patience: never): Promise<void> }, network: Network): FaultTarget {
  return {
    network,
    at(time, run) {
      site.until(() => site.clock.now() >= time, "a fault", Number.MAX_SAFE_INTEGER as never).then(
        () => run(time),
        () => undefined,
      );
    },
    input: (device, input) => site.live.input(device, input as never),
    kill: () => undefined,
    restart: () => undefined,
  };
}

const decoder = new TextDecoder();

/** An entry of the log as one line of JSON. */
function traceLine(sequence: number, { at, type, device, body }: LogEntry): string {
  return JSON.stringify({ sequence, at: new Date(at).toISOString(), type, device, body: type === "report" ? body.toHex() : (JSON.parse(decoder.decode(body)) as unknown) });
}

/** Tells the trace of entries once they are durable. */
function tracing(trace: (line: string) => void): (entries: readonly LogEntry[], first: number) => void {
  return (entries, first) => {
    for (const [index, entry] of entries.entries()) {
      trace(traceLine(first + index, entry));
    }
  };
}

/** Copies each entry to the trace as one JSON line. */
function traced(log: EventLog, trace: SimOptions["trace"]): EventLog {
  if (trace === undefined) {
    return log;
  }
  return {
    get length() {
      return log.length;
    },
    append(entry) {
      const sequence = log.append(entry);
      trace(traceLine(sequence, entry));
      return sequence;
    },
    durable: () => log.durable(),
    read: (after) => log.read(after),
    saveSnapshot: (sequence, state) => log.saveSnapshot(sequence, state),
    loadSnapshot: () => log.loadSnapshot(),
    digest: () => log.digest(),
    verify: () => log.verify(),
    close: () => log.close(),
  };
}

type Wanted = Scenario["rollouts"][number];

async function beginLive(site: LiveSite, scenario: Scenario, wanted: Extract<Wanted, { readonly release: string }>, seed: number): Promise<void> {
  for (const rollout of site.host.conductor.state.rollouts.values()) {
    if (isActive(rollout)) {
      await site.host.orderRollout(rollout.id, { kind: "abort", authority: { by: "scenario", reason: "the next rollout begins" } });
    }
  }
  await site.run({ release: wanted.release, plan: planFromData(wanted.plan ?? scenario.plan, scenario.name) }, seed, scenario.timeLimit);
}

async function goBackLive(site: LiveSite, scenario: Scenario, wanted: Extract<Wanted, { readonly rollback: string }>): Promise<void> {
  const of = site.host.conductor.state.rollouts.values().toArray().findLast((rollout) => rollout.release === wanted.rollback && rollout.rollback === null);
  const { to, emergency, includeRefused } = wanted;
  const plan = wanted.plan === undefined ? undefined : planFromData(wanted.plan, scenario.name);
  await site.goBack({ rollout: of?.id ?? "none", to, plan, emergency, includeRefused }, scenario.timeLimit);
}
