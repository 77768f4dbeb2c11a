// SPDX-License-Identifier: Apache-2.0
// Host and fleet in one process, in virtual time, through an in-memory link.
//
// S1. The conductor and the devices are the ones that run behind real sockets; only the drivers differ.
// S2. Entries are appended before the effects that follow from them are sent, as on a real host.
// S3. Everything happens in the order of (time, sequence): the same seed gives the same log.
import { type DeviceId, type Instant, type Judge, Milliseconds, type Millis, after, Seconds } from "@coalmine/core";
import { type Device, type DeviceDescription, type DeviceEffect, type DeviceInput, travelsAs } from "@coalmine/device";
import { type ArtifactStore, Conductor, type EventLog, type Outcome } from "@coalmine/orchestrator";
import type { BlockAnswer, BlockRequest, Command, Report } from "@coalmine/protocol";
import { Network, World } from "@coalmine/world";

/** What is on its way, or due. */
type Item =
  | { readonly kind: "report"; readonly device: number; readonly report: Report }
  | { readonly kind: "acknowledged"; readonly device: number; readonly boot: number; readonly sequence: number }
  | { readonly kind: "request"; readonly device: number; readonly request: BlockRequest }
  | { readonly kind: "input"; readonly device: number; readonly input: DeviceInput }
  | { readonly kind: "tick" }
  | { readonly kind: "call"; readonly run: (now: Instant) => void };

/** How a device of some kind is made and stepped; simulator/device's own functions as a rule. */
export interface Boards {
  readonly make: (description: DeviceDescription) => Device;
  readonly step: (board: Device, input: DeviceInput, now: Instant) => readonly DeviceEffect[];
}

export interface SiteOptions {
  readonly descriptions: readonly DeviceDescription[];
  readonly boards: Boards;
  readonly seed: number;
  readonly judge: Judge;
  readonly log: EventLog;
  readonly artifacts: ArtifactStore;
  readonly start: Instant;
  /** How often the host looks at its clock. */
  readonly tick?: Millis;
}

/** Numbers of messages by device and kind: a message's draws have its number in their name. */
interface Counts {
  readonly report: Uint32Array;
  readonly piece: Uint32Array;
  readonly request: Uint32Array;
  readonly command: Uint32Array;
  readonly block: Uint32Array;
}

export class VirtualSite {
  readonly world: World<Item>;
  readonly network: Network;
  readonly boards: readonly Device[];
  readonly log: EventLog;
  conductor: Conductor;
  readonly #options: SiteOptions;
  readonly #index = new Map<DeviceId, number>();
  readonly #counts: Counts;
  readonly #tick: Millis;
  /** While the orchestrator is down, what reaches it waits with the links, as in a broker's session. */
  #down = false;
  #waiting: Item[] = [];

  constructor(options: SiteOptions) {
    const { descriptions } = options;
    this.#options = options;
    this.log = options.log;
    this.conductor = new Conductor(options.judge);
    this.#tick = options.tick ?? Seconds(30);
    this.world = new World({ start: options.start, timers: descriptions.length });
    this.network = new Network({
      seed: options.seed,
      conditions: (device) => (descriptions[this.#index.get(device) as number] as DeviceDescription).connectivity,
    });
    this.#counts = {
      report: new Uint32Array(descriptions.length),
      piece: new Uint32Array(descriptions.length),
      request: new Uint32Array(descriptions.length),
      command: new Uint32Array(descriptions.length),
      block: new Uint32Array(descriptions.length),
    };
    for (const [index, description] of descriptions.entries()) {
      this.#index.set(description.id, index);
    }
    this.boards = descriptions.map((description) => options.boards.make(description));
    for (const index of descriptions.keys()) {
      // A fleet is not switched on at one instant; a quarter of an hour is enough not to march in step.
      const offset = Milliseconds(((index * 2_654_435_761) % 900_000) >>> 0);
      this.world.post(after(options.start, offset), { kind: "input", device: index, input: { kind: "power-on", cause: "power-on" } });
      this.world.post(after(options.start, offset), { kind: "input", device: index, input: { kind: "link", up: true } });
    }
    this.world.post(after(options.start, this.#tick), { kind: "tick" });
  }

  get now(): Instant {
    return this.world.now;
  }

  /** Lets everything up to `until` happen. */
  run(until: Instant): void {
    this.world.runUntil(this.#handler, until);
  }

  /** Plans something from outside: a fault, an order. */
  at(time: Instant, run: (now: Instant) => void): void {
    this.world.post(time, { kind: "call", run });
  }

  /** Lets something happen to one device now. */
  input(device: DeviceId, input: DeviceInput): void {
    const index = this.#index.get(device);
    if (index !== undefined) {
      this.#step(index, input);
    }
  }

  /** Appends, then acts (S2). Also for what operators do. */
  carryOut(outcome: Outcome): void {
    for (const entry of outcome.entries) {
      this.log.append(entry);
    }
    for (const effect of outcome.effects) {
      if (effect.kind === "send") {
        this.#send(effect.device, effect.command);
      }
    }
  }

  /** The orchestrator dies: its memory is gone, the log stays. */
  kill(): void {
    this.#down = true;
  }

  /** It starts again from its log alone, and sends again what nobody answered. */
  restart(): void {
    this.conductor = new Conductor(this.#options.judge);
    let heardUntil = this.now;
    for (const entry of this.log.read(0)) {
      this.conductor.fold(entry);
      heardUntil = entry.at;
    }
    this.#down = false;
    this.carryOut(this.conductor.restart(heardUntil, this.now));
    this.carryOut({ entries: [], effects: this.conductor.outstanding() });
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const item of waiting) {
      this.#happen(item, this.now);
    }
  }

  readonly #handler = {
    timer: (device: number): void => this.#step(device, { kind: "wake" }),
    item: (item: Item, now: Instant): void => this.#happen(item, now),
  };

  #happen(item: Item, now: Instant): void {
    switch (item.kind) {
      case "report": {
        if (this.#down) {
          this.#waiting.push(item);
          return;
        }
        const { report } = item;
        this.carryOut(this.conductor.report(this.#id(item.device), "virtual", report, now));
        if (report.body.kind === "heartbeat" && this.boards[item.device]?.trial === null) {
          return; // a heartbeat is kept by nobody: its acknowledgement tells something only to a trial that waits for contact
        }
        const delay = this.#options.descriptions[item.device]?.connectivity.latency ?? Milliseconds(0);
        this.world.post(after(now, delay), { kind: "acknowledged", device: item.device, boot: report.boot, sequence: report.sequence });
        break;
      }
      case "acknowledged":
        this.#step(item.device, { kind: "acknowledged", boot: item.boot, sequence: item.sequence });
        break;
      case "request":
        if (!this.#down) {
          this.#answer(item.device, item.request);
        }
        break;
      case "input":
        this.#step(item.device, item.input);
        break;
      case "tick":
        if (!this.#down) {
          this.carryOut(this.conductor.tick(now));
        }
        this.world.post(after(now, this.#tick), item);
        break;
      case "call":
        item.run(now);
        break;
    }
  }

  #id(device: number): DeviceId {
    return (this.#options.descriptions[device] as DeviceDescription).id;
  }

  #step(device: number, input: DeviceInput): void {
    const { now } = this.world;
    for (const effect of this.#options.boards.step(this.boards[device] as Device, input, now)) {
      switch (effect.kind) {
        case "wake":
          this.world.setTimer(device, effect.at);
          break;
        case "report":
          for (const delay of this.#arrivals(device, travelsAs(effect.report))) {
            this.world.post(after(now, Milliseconds(delay)), { kind: "report", device, report: effect.report });
          }
          break;
        case "request":
          for (const delay of this.#arrivals(device, "request")) {
            this.world.post(after(now, Milliseconds(delay)), { kind: "request", device, request: effect.request });
          }
          break;
      }
    }
  }

  #arrivals(device: number, kind: keyof Counts): readonly number[] {
    const counts = this.#counts[kind];
    const nth = counts[device] as number;
    counts[device] = nth + 1;
    const { id, connectivity } = this.#options.descriptions[device] as DeviceDescription;
    return this.network.arrivals(id, kind, nth, this.world.now, connectivity);
  }

  #send(id: DeviceId, command: Command): void {
    const device = this.#index.get(id);
    if (device === undefined) {
      return;
    }
    for (const delay of this.#arrivals(device, "command")) {
      this.world.post(after(this.world.now, Milliseconds(delay)), { kind: "input", device, input: { kind: "command", command } });
    }
  }

  #answer(device: number, request: BlockRequest): void {
    const answer = this.#block(this.#id(device), request);
    for (const delay of this.#arrivals(device, "block")) {
      this.world.post(after(this.world.now, Milliseconds(delay)), { kind: "input", device, input: { kind: "block", answer } });
    }
  }

  #block(id: DeviceId, request: BlockRequest): BlockAnswer {
    const digest = this.conductor.mayDownload(id, request.digest);
    const artifact = digest === undefined ? null : this.#options.artifacts.get(digest as never);
    if (digest === undefined || artifact === null) {
      return { kind: "refused", request: request.request, reason: digest === undefined ? "not-offered" : "unknown" };
    }
    if (request.offset >= artifact.length) {
      return { kind: "refused", request: request.request, reason: "range" };
    }
    const data = artifact.subarray(request.offset, request.offset + request.length);
    return { kind: "block", request: request.request, offset: request.offset, data };
  }
}
