// SPDX-License-Identifier: Apache-2.0
// One site of real parts in one process: an embedded broker, the orchestrator over a log and artifacts on disk, and
// simulated devices behind real MQTT or CoAP sockets, on one accelerated clock.
import { coapLink, defaultLimits, unlimited as unlimitedCoap } from "@coalmine/coap";
import { after, type AssignmentState, CoalmineError, type DeviceId, type Instant, isActive, isQuiet, type Judge, type Millis, Milliseconds, Minutes, memberOf, type Plan, type RolloutId } from "@coalmine/core";
import { createDevice, createShared, type Device, step } from "@coalmine/device";
import { deviceDescription, type Fleet } from "@coalmine/fleet";
import { AcceleratedClock, type LiveFleet, liveFleet, type LiveStats } from "@coalmine/live";
import type { PublicKey } from "@coalmine/mcuboot";
import { embeddedLink, startBroker, unlimited as unlimitedMqtt } from "@coalmine/mqtt";
import { type ArchiveStore, type ArtifactStore, AuditFeed, type AuditRecord, planJudge, type EventLog, Host, type LogEntry, type Outcome, readRecord, type ReleaseInput, type RollbackInput, type RolloutReport, type RolloutSummary, rolloutReport, summarise } from "@coalmine/orchestrator";
import { CrashIndex, openArchiveStore, openArtifactStore, openEventLog } from "@coalmine/store";
import { draw, type LinkConditions, Network } from "@coalmine/world";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "./free-port.ts";

export interface LiveSiteOptions {
  readonly fleet: Fleet;
  readonly devices: number;
  readonly seed: number;
  /** Device milliseconds in a real one. */
  readonly speed: number;
  /** Device time of the start. */
  readonly epoch: Instant;
  /** Where log and artifacts go. It must be empty. */
  readonly folder: string;
  /** Keys whose signatures the releases carry. */
  readonly keys: readonly PublicKey[];
  readonly judge?: Judge | undefined;
  readonly network?: Network | undefined;
  /** The door the devices come through: MQTT without it. */
  readonly transport?: "mqtt" | "coap";
  /** CoAP: share of the datagrams that get lost, in each direction. */
  readonly loss?: number;
  /** Told of every decision and change once it is durable. */
  readonly decided?: (record: AuditRecord, at: Instant) => void;
  /** Told of every entry of the log once it is durable, with the sequence of the first. */
  readonly watch?: (entries: readonly LogEntry[], first: number) => void;
  readonly warn?: (message: string) => void;
}

/** A rollout to run to its end. */
export interface LiveRollout {
  readonly release: string;
  readonly plan: Plan;
}

/** The end of a device: where the last rollout it took part in left it, and what it runs. */
export interface FinalState {
  readonly state: AssignmentState;
  readonly version: string;
}

export interface LiveRunResult {
  readonly rollouts: readonly RolloutSummary[];
  readonly finalStates: ReadonlyMap<DeviceId, FinalState>;
  readonly log: { readonly events: number; readonly sha256: string };
  readonly virtualSeconds: number;
  readonly wallSeconds: number;
  readonly live: LiveStats;
}

/** Real milliseconds between two looks at the rollouts. */
const tickEvery = 20;

/**
 * Device milliseconds that an answer may take before device time waits for it. Well below the ten seconds after which a
 * board asks for a block again: a download that a busy machine makes it repeat would make the machine busier still.
 */
const lagMax = 3_000;

/** Longest pause of the process that counts as time, in real milliseconds. */
const pauseMax = 40;

/** CoAP: real seconds at least before a notification is sent again. */
const notifyAgain_s = 0.02;

const itself = (reason: string) => ({ by: "coalmine", reason });

/**
 * The same over CoAP: less than ACK_TIMEOUT, so that no device takes a busy machine for a lossy network and sends
 * again what is on its way.
 */
const coapLagMax = 1_500;

/** Where the devices come in. */
export interface DeviceDoor {
  readonly url: string;
  close(): Promise<void>;
}

// Device time is fast: what is a flood by the wall clock is a quiet day by theirs.

async function mqttDoor(host: Host): Promise<DeviceDoor> {
  const broker = await startBroker({ port: await freePort(), limits: { reports: unlimitedMqtt, blocks: unlimitedMqtt, connects: unlimitedMqtt } });
  host.attach(embeddedLink(broker, host));
  return broker;
}

async function coapDoor(host: Host, { speed, devices }: LiveSiteOptions): Promise<DeviceDoor> {
  const limits = { reports: unlimitedCoap, datagrams: unlimitedCoap, peers: 2 * devices, ackTimeout_s: Math.max(notifyAgain_s, defaultLimits.ackTimeout_s / speed) };
  const link = await coapLink({ port: 0, limits }, host);
  host.attach(link);
  return link; // the host closes it as well, which is no harm
}

/** A running site. `close` ends devices, orchestrator and broker, in this order. */
export class LiveSite {
  readonly host: Host;
  readonly log: EventLog;
  readonly artifacts: ArtifactStore;
  readonly archive: ArchiveStore;
  /** Tells of audit lines as they become durable. */
  readonly feed: AuditFeed;
  readonly crashes: CrashIndex;
  readonly clock: AcceleratedClock;
  readonly live: LiveFleet<Device>;
  readonly door: DeviceDoor;
  readonly #startedAt: Instant;
  readonly #began = performance.now();
  #waiters: { readonly look: () => boolean; readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];
  #ticking: Promise<void> = Promise.resolve();
  #ending = false;
  #closed: Promise<void> | undefined;

  private constructor(parts: { host: Host; log: EventLog; artifacts: ArtifactStore; archive: ArchiveStore; feed: AuditFeed; crashes: CrashIndex; clock: AcceleratedClock; live: LiveFleet<Device>; door: DeviceDoor; startedAt: Instant }) {
    this.host = parts.host;
    this.log = parts.log;
    this.artifacts = parts.artifacts;
    this.archive = parts.archive;
    this.feed = parts.feed;
    this.crashes = parts.crashes;
    this.clock = parts.clock;
    this.live = parts.live;
    this.door = parts.door;
    this.#startedAt = parts.startedAt;
    this.#ticking = this.#tick();
  }

  static async start(options: LiveSiteOptions): Promise<LiveSite> {
    const clock = new AcceleratedClock({ epoch: options.epoch, speed: options.speed, pauseMax });
    await mkdir(options.folder, { recursive: true });
    const log = openEventLog(join(options.folder, "log.sqlite"));
    const artifacts = openArtifactStore(join(options.folder, "artifacts"));
    const archive = openArchiveStore(join(options.folder, "archive"));
    const feed = new AuditFeed();
    const crashes = new CrashIndex(join(options.folder, "crashes.sqlite"), { log, artifacts, ...(options.warn === undefined ? {} : { warn: options.warn }) });
    const { decided } = options;
    const host = Host.open({
      log,
      artifacts,
      archive,
      clock,
      judge: options.judge ?? planJudge,
      keys: options.keys,
      ...(options.warn === undefined ? {} : { warn: options.warn }),
      watch: (outcome, first) => {
        feed.note(outcome, first);
        crashes.note(outcome, first);
        options.watch?.(outcome.entries, first);
        if (decided !== undefined) {
          tell(outcome, decided);
        }
      },
    });
    const door = options.transport === "coap" ? await coapDoor(host, options) : await mqttDoor(host);
    const shared = createShared(draw);
    const boards = Array.from({ length: options.devices }, (_, index) => createDevice(deviceDescription(options.fleet, index), options.seed, shared));
    const live = await liveFleet<Device>({
      connect: door.url,
      boards,
      idOf: (device) => device.description.id,
      step,
      clock,
      seed: options.seed,
      network: options.network,
      lagMax: options.transport === "coap" ? coapLagMax : lagMax,
      loss: options.loss ?? 0,
      polls: (device) => device.description.connectivity.sleepy,
    });
    return new LiveSite({ host, log, artifacts, archive, feed, crashes, clock, live, door, startedAt: options.epoch });
  }

  /** The boards themselves, whatever they have reported. */
  get boards(): Device[] {
    return this.live.connections.map(({ board }) => board);
  }

  /** Resolves when `look` holds; looked at after every tick. Rejects when the store failed or the patience, in device time, is over. */
  until(look: () => boolean, what: string, patience: Millis): Promise<void> {
    const deadline = this.clock.now() + patience;
    return new Promise((resolve, reject) => {
      this.#waiters.push({
        look: () => {
          if (this.host.failure !== undefined) {
            throw this.host.failure;
          }
          if (look()) {
            return true;
          }
          if (this.clock.now() > deadline) {
            throw new CoalmineError("run/timeout", `${what} took longer than ${Math.round(patience / 60_000)} minutes of device time`);
          }
          return false;
        },
        resolve,
        reject,
      });
    });
  }

  /** Resolves when device time has reached `at`. */
  waitFor(at: Instant): Promise<void> {
    return this.until(() => this.clock.now() >= at, "waiting", Number.POSITIVE_INFINITY as Millis);
  }

  /** Resolves when every device has said what it is and everything it said is durable. */
  async settled(patience: Millis): Promise<void> {
    const { devices } = this.host.conductor.state;
    await this.live.connected();
    await this.until(
      () => devices.size >= this.live.stats.devices && devices.values().every((device) => device.hardware !== null),
      `the first report of ${this.live.stats.devices} devices`,
      patience,
    );
  }

  async createRelease(input: Omit<ReleaseInput, "authority">): Promise<void> {
    await this.host.createRelease({ ...input, authority: itself("scenario") });
  }

  /**
   * Starts a rollout and waits for its end: complete, aborted or held; or halted, and every device that had begun it
   * has come to rest.
   */
  async run(rollout: LiveRollout, seed: number, patience: Millis): Promise<RolloutSummary> {
    const { id } = await this.host.startRollout({ ...rollout, seed, authority: itself("scenario") });
    await this.until(() => this.#ended(id), `rollout ${id} of release ${rollout.release}`, patience);
    // A device's last result may have overtaken its hello: let what is on its way arrive.
    await this.waitFor(after(this.clock.now(), Minutes(2)));
    return this.summary(id);
  }

  /** Starts a rollback and waits for its end. */
  async goBack(input: RollbackInput, patience: Millis): Promise<RolloutSummary> {
    const { id } = await this.host.startRollback({ ...input, authority: itself("scenario") });
    await this.until(() => this.#ended(id), `rollback ${id} of rollout ${input.rollout}`, patience);
    await this.waitFor(after(this.clock.now(), Minutes(2)));
    return this.summary(id);
  }

  summary(id: RolloutId): RolloutSummary {
    return summarise(this.host.conductor.rollout(id));
  }

  #ended(id: RolloutId): boolean {
    const rollout = this.host.conductor.rollout(id);
    if (rollout.rolledBackBy.length > 0 && rollout.rollback === null) {
      return rollout.rolledBackBy.every((by) => this.#ended(by)); // its plan's rollback belongs to it
    }
    return !isActive(rollout) || rollout.status === "held" || (rollout.status === "halted" && isQuiet(rollout));
  }

  get virtualSeconds(): number {
    return Math.round((this.clock.now() - this.#startedAt) / 1_000);
  }

  get wallSeconds(): number {
    return (performance.now() - this.#began) / 1_000;
  }

  finalStates(): Map<DeviceId, FinalState> {
    const { devices, rollouts } = this.host.conductor.state;
    const newest = [...rollouts.values()].reverse();
    const states = new Map<DeviceId, FinalState>();
    for (const [id, device] of devices) {
      const member = newest.map((rollout) => memberOf(rollout, id)).find((assignment) => assignment !== undefined);
      if (member !== undefined) {
        states.set(id, { state: member.state, version: device.running?.version ?? "" });
      }
    }
    return states;
  }

  result(): LiveRunResult {
    return {
      rollouts: [...this.host.conductor.state.rollouts.keys()].map((id) => this.summary(id)),
      finalStates: this.finalStates(),
      log: this.log.digest(),
      virtualSeconds: this.virtualSeconds,
      wallSeconds: this.wallSeconds,
      live: { ...this.live.stats },
    };
  }

  /** What happened in a rollout, gathered from state and log (R31). */
  report(id: RolloutId): Promise<RolloutReport> {
    return rolloutReport(this.host.conductor, this.log, id, this.clock.now());
  }

  close(): Promise<void> {
    this.#closed ??= this.#shut();
    return this.#closed;
  }

  async #shut(): Promise<void> {
    this.#ending = true;
    await this.#ticking;
    await this.live.close();
    await this.crashes.close();
    await this.host.close();
    await this.door.close();
  }

  async #tick(): Promise<void> {
    while (!this.#ending) {
      await new Promise((resolve) => setTimeout(resolve, tickEvery));
      if (this.host.failure === undefined) {
        await this.host.tick().catch(() => undefined);
      }
      this.#look();
    }
  }

  #look(): void {
    const waiting = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiting) {
      try {
        if (waiter.look()) {
          waiter.resolve();
        } else {
          this.#waiters.push(waiter);
        }
      } catch (error) {
        waiter.reject(error);
      }
    }
  }
}

/** The connections of a fleet as its description has them, without any fault. */
export function fleetNetwork(fleet: Fleet): Network {
  const conditions = new Map<DeviceId, LinkConditions>();
  for (let index = 0; index < fleet.spec.devices; index += 1) {
    const { id, connectivity } = deviceDescription(fleet, index);
    conditions.set(id, connectivity);
  }
  const perfect: LinkConditions = { latency: Milliseconds(0), loss: 0 };
  return new Network({ seed: fleet.spec.seed, conditions: (device) => conditions.get(device) ?? perfect });
}

function tell(outcome: Outcome, decided: (record: AuditRecord, at: Instant) => void): void {
  for (const entry of outcome.entries) {
    if (entry.type !== "report" && entry.type !== "undecodable") {
      decided(readRecord(entry), entry.at);
    }
  }
}
