// SPDX-License-Identifier: Apache-2.0
// The driver of devices behind real MQTT or CoAP sockets. One object per device, one heap of device time.
//
// L1. A device's inputs come one after another; `step` is never entered twice.
import { CoalmineError, type DeviceId, type Instant, instant } from "@coalmine/core";
import { type DeviceEffect, type DeviceInput, travelsAs } from "@coalmine/device";
import type { BlockAnswer, Command, Report } from "@coalmine/protocol";
import { type MessageKind, type Network, World, type WorldHandler } from "@coalmine/world";
import { brokerAddress, type BrokerAddress, resolved } from "./address.ts";
import type { AcceleratedClock } from "./clock.ts";
import { CoapSessions } from "./coap-sessions.ts";
import { Connection, Phase } from "./connection.ts";
import { type SessionListener, Sessions } from "./sessions.ts";
import { type LiveStats, newStats } from "./stats.ts";

export interface LiveFleetOptions<B> {
  /** `mqtt://HOST:PORT` or `coap://HOST:PORT` */
  readonly connect: string;
  readonly boards: readonly B[];
  readonly idOf: (board: B) => DeviceId;
  readonly step: (board: B, input: DeviceInput, now: Instant) => readonly DeviceEffect[];
  readonly clock: AcceleratedClock;
  /** Seed of the back-off draws. */
  readonly seed: number;
  /**
   * Faults on top of the real sockets, on the device's side of them: a socket of the loopback neither waits nor loses.
   * Retransmissions of reports are part of the delay it draws; a lost block request is lost.
   */
  readonly network?: Pick<Network, "arrivals"> | undefined;
  /** CoAP: share of the datagrams that get lost, in each direction; they are sent again. */
  readonly loss?: number;
  /** CoAP: devices that are not to be reached between their reports, and ask for commands after each. */
  readonly polls?: (board: B) => boolean;
  /** CoAP: the secret a device signs with; none on a host without secrets. */
  readonly secretOf?: (device: DeviceId) => Uint8Array | undefined;
  /** MQTT keep-alive in real seconds. */
  readonly keepalive?: number;
  /** Sockets that may be on their way up at once; over CoAP, requests on their way. */
  readonly connectWindow?: number;
  /** A connection whose oldest report has no PUBACK for so many real seconds is replaced; over CoAP, the request is sent again. */
  readonly ackTimeout?: number;
  /**
   * Device milliseconds that the oldest report or block request in flight may be behind before device time waits for it. Only for a
   * clock that nobody else's process shares.
   */
  readonly lagMax?: number;
}

/** A message that the network model holds back until its time. */
interface Delayed<B> {
  readonly connection: Connection<B>;
  /** What the device sends, or what reaches it. */
  readonly effect?: DeviceEffect;
  readonly input?: DeviceInput;
  /** The network's duplicate of a message. */
  readonly copy?: true;
}

/** CoAP: device seconds before a request is sent again (RFC 7252 section 4.8). */
const ackTimeout_s = 2;

/** The same in real seconds at least, where device time does not wait for answers: a busy machine is no lossy network. */
const ackReal_s = 0.1;

/** Real milliseconds of device work before sockets get a turn. */
const turnMax = 8;

/** Longest real milliseconds between two looks at the clock: one that counts pauses must be read between them. */
const lookEvery = 20;

/** Thousands of devices in one process, each on its own connection. Make it with `liveFleet`. */
export class LiveFleet<B> implements SessionListener<B>, WorldHandler<Delayed<B>> {
  readonly stats: LiveStats;
  readonly connections: readonly Connection<B>[];
  readonly #options: LiveFleetOptions<B>;
  readonly #sessions: Pick<Sessions<B>, "start" | "oldestInFlight" | "post" | "ask" | "close">;
  /** Device time: the devices' timers, and messages under way. */
  readonly #world: World<Delayed<B>>;
  #timer: NodeJS.Timeout | undefined;
  #armedFor = Number.POSITIVE_INFINITY;
  /** When what a device is being told was due. */
  #telling = Number.POSITIVE_INFINITY;
  #closing = false;
  #byId: Map<DeviceId, Connection<B>> | undefined;
  #waiters: { readonly ready: () => boolean; readonly resolve: () => void }[] = [];

  constructor(options: LiveFleetOptions<B>, address: BrokerAddress) {
    const { clock, lagMax } = options;
    this.#options = options;
    this.connections = options.boards.map((board, index) => new Connection(index, options.idOf(board), board));
    this.stats = newStats(this.connections.length);
    this.#world = new World({ start: clock.now(), timers: this.connections.length });
    const { seed } = options;
    const connectWindow = options.connectWindow ?? 128;
    const now = (): number => clock.now();
    this.#sessions =
      address.transport === "mqtt"
        ? new Sessions({ address, seed, keepalive: options.keepalive ?? 60, connectWindow, ackTimeout: options.ackTimeout ?? 30, now }, this.connections, this.stats, this)
        : new CoapSessions(
            { address, seed, connectWindow, ackTimeout: coapTimeout(options), loss: options.loss ?? 0, polls: options.polls ?? (() => false), secretOf: options.secretOf, now },
            this.connections,
            this.stats,
            this,
          );
    if (lagMax !== undefined) {
      // Nor may it run ahead of what devices are still to be told: they would ask again for what is only late, and more of it would be.
      clock.limitBy(() => Math.min(this.#sessions.oldestInFlight, this.#world.nextAt, this.#telling) + lagMax);
    }
    this.#sessions.start();
  }

  /** Resolves once every device is connected and subscribed. */
  connected(): Promise<void> {
    return this.until(() => this.stats.up === this.stats.devices);
  }

  /** Resolves once `ready` holds; looked at whenever a connection or an acknowledgement changes. */
  until(ready: () => boolean): Promise<void> {
    if (ready()) {
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#waiters.push({ ready, resolve });
    });
  }

  /** Lets something happen to one device: a power cut, a press of its reset button. */
  input(device: DeviceId, input: DeviceInput): void {
    this.#byId ??= new Map(this.connections.map((connection) => [connection.id, connection]));
    const connection = this.#byId.get(device);
    if (connection === undefined) {
      throw new CoalmineError("live/device", `this process does not simulate device ${device}`);
    }
    this.#input(connection, input);
  }

  /** Says goodbye on every connection and closes them all. */
  async close(): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#timer);
    await this.#sessions.close();
  }

  // Sessions

  first(connection: Connection<B>): void {
    this.#input(connection, { kind: "power-on", cause: "power-on" });
  }

  link(connection: Connection<B>, up: boolean): void {
    this.#input(connection, { kind: "link", up });
  }

  acknowledged(connection: Connection<B>, report: Report): void {
    this.#input(connection, { kind: "acknowledged", boot: report.boot, sequence: report.sequence });
  }

  command(connection: Connection<B>, command: Command): void {
    this.#through("command", { connection, input: { kind: "command", command } });
  }

  block(connection: Connection<B>, answer: BlockAnswer): void {
    this.#through("block", { connection, input: { kind: "block", answer } });
  }

  changed(): void {
    if (this.#waiters.length === 0) {
      return;
    }
    const waiting = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiting) {
      if (waiter.ready()) {
        waiter.resolve();
      } else {
        this.#waiters.push(waiter);
      }
    }
  }

  // Devices

  #input(connection: Connection<B>, input: DeviceInput): void {
    for (const effect of this.#options.step(connection.board, input, this.#options.clock.now())) {
      if (effect.kind === "wake") {
        this.#world.setTimer(connection.index, effect.at);
        this.#arm();
      } else {
        this.#send(connection, effect);
      }
    }
  }

  #send(connection: Connection<B>, effect: Exclude<DeviceEffect, { kind: "wake" }>): void {
    if (effect.kind === "report") {
      this.#through(travelsAs(effect.report), { connection, effect });
    } else if (connection.phase === Phase.up) {
      this.#through("request", { connection, effect });
    }
  }

  /** Through the network model, if there is one. */
  #through(message: MessageKind, delayed: Delayed<B>): void {
    const { network, clock } = this.#options;
    if (network === undefined) {
      this.item(delayed);
      return;
    }
    const { connection } = delayed;
    const now = clock.now();
    connection[message] += 1;
    for (const [index, delay] of network.arrivals(connection.id, message, connection[message], now).entries()) {
      const arriving: Delayed<B> = index === 0 ? delayed : { ...delayed, copy: true };
      if (delay <= 0) {
        this.item(arriving);
      } else {
        this.#world.post(instant(now + delay), arriving);
        this.#arm();
      }
    }
  }

  // Time

  /** A device's own timer (called by the world). */
  timer(index: number): void {
    this.#input(this.connections[index] as Connection<B>, { kind: "wake" });
  }

  /** A message got through (called by the world for those that were held back). */
  item({ connection, effect, input, copy }: Delayed<B>): void {
    if (input !== undefined) {
      this.#input(connection, input);
    } else if (effect?.kind === "report") {
      this.#sessions.post(connection, effect.report, copy === true);
    } else if (effect?.kind === "request") {
      this.#sessions.ask(connection, effect.request);
    }
  }

  #arm(): void {
    if (this.#closing) {
      return;
    }
    const { clock } = this.#options;
    const real = performance.now();
    const wait = (this.#world.nextAt - clock.now()) / clock.speed;
    const at = real + Math.max(0, Math.min(wait, lookEvery));
    if (this.#timer !== undefined && at >= this.#armedFor - 1) {
      return;
    }
    clearTimeout(this.#timer);
    this.#armedFor = at;
    this.#timer = setTimeout(() => this.#run(), at - real);
  }

  #run(): void {
    this.#timer = undefined;
    this.#armedFor = Number.POSITIVE_INFINITY;
    const began = performance.now();
    const now = this.#options.clock.now();
    while (this.#world.nextAt <= now && performance.now() - began < turnMax) {
      this.#telling = this.#world.nextAt;
      this.#world.step(this);
    }
    this.#telling = Number.POSITIVE_INFINITY;
    this.#arm();
  }
}

function coapTimeout({ ackTimeout, lagMax, clock }: Pick<LiveFleetOptions<unknown>, "ackTimeout" | "lagMax" | "clock">): number {
  if (ackTimeout !== undefined) {
    return ackTimeout * clock.speed;
  }
  return lagMax === undefined ? Math.max(ackTimeout_s, clock.speed * ackReal_s) : ackTimeout_s;
}

/** Starts the devices: each is powered on and connected in its turn. Throws `live/url`, `live/unreachable`. */
export async function liveFleet<B>(options: LiveFleetOptions<B>): Promise<LiveFleet<B>> {
  return new LiveFleet(options, await resolved(brokerAddress(options.connect)));
}
