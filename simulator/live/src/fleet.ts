// SPDX-License-Identifier: Apache-2.0
// The driver of devices behind real MQTT sockets. One object per device, one heap of device time, one real timer.
//
// L1. A device's inputs come one after another; `step` is never entered twice.
// L2. A report leaves the outbox by its PUBACK, or as the oldest of too many; a lost connection loses none.
// L3. The link is up for a device from its SUBACK to the loss of its socket.
// L4. At most `connectWindow` sockets are between SYN and SUBACK, so a herd never overflows a listen backlog.
import { CoalmineError, type DeviceId, type Instant, instant, TimeHeap, unreachable } from "@coalmine/core";
import type { DeviceEffect, DeviceInput } from "@coalmine/device";
import {
  blockAnswerTopic,
  blockRequestTopic,
  commandTopic,
  decodeBlockAnswer,
  decodeCommand,
  deviceFilter,
  encodeBlockRequest,
  encodeReport,
  limits,
  reportTopic,
} from "@coalmine/protocol";
import { type MessageKind, type Network, World, type WorldHandler } from "@coalmine/world";
import { type BrokerAddress, brokerAddress, resolved } from "./address.ts";
import { backoff } from "./backoff.ts";
import type { AcceleratedClock } from "./clock.ts";
import { Connection, nextPacketId, Phase } from "./connection.ts";
import { InFlight, post, posted, type Posted, settle, windowMax } from "./outbox.ts";
import { DeviceSocket, type SocketOwner } from "./socket.ts";
import { disconnect, PacketType, pingRequest, readPublish, takePackets, writeConnect, writePuback, writePublish, writeSubscribe } from "./wire.ts";

export interface LiveFleetOptions<B> {
  /** `mqtt://HOST:PORT` */
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
  /** MQTT keep-alive in real seconds. */
  readonly keepalive?: number;
  /** Sockets that may be on their way up at once. */
  readonly connectWindow?: number;
  /** A connection whose oldest report has no PUBACK for so many real seconds is replaced. */
  readonly ackTimeout?: number;
  /**
   * Device milliseconds that the oldest report in flight may be behind before device time waits for it. Only for a
   * clock that nobody else's process shares.
   */
  readonly lagMax?: number;
}

/** Counts since the start, but for `up`. */
export interface LiveStats {
  devices: number;
  /** Devices whose link is up now. */
  up: number;
  connects: number;
  losses: number;
  refused: number;
  reports: number;
  acknowledged: number;
  resent: number;
  dropped: number;
  commands: number;
  blocks: number;
  undecodable: number;
  broken: number;
  /** The latest trouble with a connection, for people; empty when there was none. */
  trouble: string;
}

/** A message that the network model holds back until its time. */
interface Delayed<B> {
  readonly connection: Connection<B>;
  /** What the device sends, or what reaches it. */
  readonly effect?: DeviceEffect;
  readonly input?: DeviceInput;
}

/** Bytes behind the fixed header of the longest packet a device may get: a block answer and its topic. */
const packetMax = limits.blockAnswer + 256;

/** Real milliseconds of device work before sockets get a turn. */
const turnMax = 8;

/** Thousands of devices in one process, each on its own connection. Make it with `liveFleet`. */
export class LiveFleet<B> implements SocketOwner<Connection<B>>, WorldHandler<Delayed<B>> {
  readonly stats: LiveStats;
  readonly connections: readonly Connection<B>[];
  readonly #options: LiveFleetOptions<B>;
  readonly #address: BrokerAddress;
  readonly #keepalive: number;
  readonly #window: number;
  readonly #ackTimeout: number;
  /** Device time: the devices' timers, and messages under way. */
  readonly #world: World<Delayed<B>>;
  /** Real time: connections that wait before they try again. */
  readonly #retries = new TimeHeap<Connection<B>>();
  readonly #inFlight = new InFlight();
  #queue: Connection<B>[] = [];
  #queueHead = 0;
  #opening = 0;
  #round = 0;
  #timer: NodeJS.Timeout | undefined;
  #armedFor = Number.POSITIVE_INFINITY;
  readonly #sweeper: NodeJS.Timeout;
  #closing = false;
  #byId: Map<DeviceId, Connection<B>> | undefined;
  #waiters: { readonly ready: () => boolean; readonly resolve: () => void }[] = [];

  constructor(options: LiveFleetOptions<B>, address: BrokerAddress) {
    this.#options = options;
    this.#address = address;
    this.#keepalive = options.keepalive ?? 60;
    this.#window = options.connectWindow ?? 128;
    this.#ackTimeout = options.ackTimeout ?? 30;
    this.connections = options.boards.map((board, index) => new Connection(index, options.idOf(board), board));
    this.#world = new World({ start: options.clock.now(), timers: this.connections.length });
    this.stats = {
      devices: this.connections.length,
      up: 0,
      connects: 0,
      losses: 0,
      refused: 0,
      reports: 0,
      acknowledged: 0,
      resent: 0,
      dropped: 0,
      commands: 0,
      blocks: 0,
      undecodable: 0,
      broken: 0,
      trouble: "",
    };
    const { lagMax } = options;
    if (lagMax !== undefined) {
      options.clock.limitBy(() => {
        const oldest = this.#inFlight.oldest();
        return oldest === undefined ? Number.POSITIVE_INFINITY : oldest.sentAt + lagMax;
      });
    }
    this.#queue = [...this.connections];
    this.#sweeper = setInterval(() => this.#sweep(), 1_000);
    this.#fill();
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
    clearInterval(this.#sweeper);
    clearTimeout(this.#timer);
    const open: Promise<void>[] = [];
    for (const connection of this.connections) {
      const { socket } = connection;
      if (socket === null) {
        continue;
      }
      open.push(new Promise((resolve) => socket.once("close", () => resolve())));
      if (connection.phase === Phase.up) {
        socket.end(disconnect);
      } else {
        socket.destroy();
      }
    }
    const patience = setTimeout(() => {
      for (const connection of this.connections) {
        connection.socket?.destroy();
      }
    }, 2_000);
    await Promise.all(open);
    clearTimeout(patience);
  }

  // Sockets

  #fill(): void {
    while (!this.#closing && this.#opening < this.#window && this.#queueHead < this.#queue.length) {
      const connection = this.#queue[this.#queueHead] as Connection<B>;
      this.#queueHead += 1;
      this.#open(connection);
    }
    if (this.#queueHead > 0 && this.#queueHead === this.#queue.length) {
      this.#queue = [];
      this.#queueHead = 0;
    }
  }

  #open(connection: Connection<B>): void {
    this.#opening += 1;
    connection.phase = Phase.connecting;
    connection.readAt = this.#round;
    connection.socket = new DeviceSocket(this, connection, this.#address);
    if (!connection.powered) {
      connection.powered = true;
      this.#input(connection, { kind: "power-on", cause: "power-on" });
    }
  }

  /** The socket is open (TCP). */
  opened(connection: Connection<B>): void {
    connection.phase = Phase.greeting;
    this.#write(connection, writeConnect(connection.id, this.#keepalive));
  }

  read(connection: Connection<B>, bytes: Buffer): void {
    connection.readAt = this.#round;
    const whole = connection.rest === null ? bytes : Buffer.concat([connection.rest, bytes]);
    const taken = takePackets(whole, packetMax, this, connection);
    switch (taken.kind) {
      case "taken":
        // The bytes are a view of the buffer that all sockets read into: what stays must be copied.
        connection.rest = taken.bytes === whole.length ? null : Buffer.from(whole.subarray(taken.bytes));
        break;
      case "broken":
        this.#drop(connection, `the broker sent ${taken.reason}`);
        break;
      case "stopped":
        break;
      default:
        unreachable(taken);
    }
  }

  /** The socket is gone. */
  lost(connection: Connection<B>, reason: string): void {
    const { phase } = connection;
    if (reason !== "") {
      this.stats.trouble = reason;
    }
    connection.socket = null;
    connection.rest = null;
    connection.phase = Phase.idle;
    for (const item of connection.outbox ?? []) {
      item.flying = false;
    }
    if (phase !== Phase.up) {
      this.#opening -= 1;
    } else {
      this.stats.up -= 1;
      this.stats.losses += 1;
      if (!this.#closing) {
        this.#input(connection, { kind: "link", up: false });
      }
    }
    if (!this.#closing) {
      connection.attempts += 1;
      this.#retries.push(performance.now() + backoff(this.#options.seed, connection.id, connection.attempts), connection);
      this.#arm();
      this.#fill();
    }
    this.#notify();
  }

  #drop(connection: Connection<B>, reason: string): void {
    this.stats.broken += 1;
    this.stats.trouble = reason;
    connection.socket?.destroy();
  }

  #write(connection: Connection<B>, bytes: Buffer): void {
    connection.wroteAt = this.#round;
    connection.socket?.write(bytes);
  }

  // Packets

  packet(connection: Connection<B>, header: number, bytes: Buffer, from: number, to: number): boolean {
    switch (header >> 4) {
      case PacketType.publish:
        return connection.phase >= Phase.subscribing && this.#publish(connection, header, bytes, from, to);
      case PacketType.puback:
        if (to - from !== 2) {
          break;
        }
        this.#puback(connection, bytes.readUInt16BE(from));
        return true;
      case PacketType.connack:
        if (to - from !== 2 || connection.phase !== Phase.greeting) {
          break;
        }
        return this.#connack(connection, bytes[from + 1] as number);
      case PacketType.suback:
        if (to - from !== 3 || connection.phase !== Phase.subscribing) {
          break;
        }
        return this.#suback(connection, bytes[from + 2] as number);
      case PacketType.pingresp:
        return true;
      default:
        break;
    }
    this.#drop(connection, `the broker sent a packet of type ${header >> 4} that does not belong there`);
    return false;
  }

  #connack(connection: Connection<B>, code: number): boolean {
    if (code !== 0) {
      this.stats.refused += 1;
      this.#drop(connection, `the broker refused ${connection.id} with return code ${code}`);
      return false;
    }
    connection.phase = Phase.subscribing;
    // Also when the broker kept the session: subscribing again is what brings the retained offer back (3.8.4).
    this.#write(connection, writeSubscribe(nextPacketId(connection), deviceFilter(connection.id)));
    return true;
  }

  #suback(connection: Connection<B>, code: number): boolean {
    if (code > 1) {
      this.stats.refused += 1;
      this.#drop(connection, `the broker does not let ${connection.id} subscribe to its own commands`);
      return false;
    }
    connection.phase = Phase.up;
    connection.attempts = 0;
    this.#opening -= 1;
    this.stats.up += 1;
    this.stats.connects += 1;
    this.#flush(connection);
    this.#input(connection, { kind: "link", up: true });
    this.#fill();
    this.#notify();
    return true;
  }

  #publish(connection: Connection<B>, header: number, bytes: Buffer, from: number, to: number): boolean {
    const publish = readPublish(header, bytes, from, to);
    if (publish === undefined) {
      this.#drop(connection, "the broker sent a malformed PUBLISH");
      return false;
    }
    // An empty payload takes a retained offer back; it is no message to the device.
    if (publish.payload.length > 0) {
      this.#arrived(connection, publish.topic, new Uint8Array(publish.payload));
    }
    if (publish.qos === 1 && connection.socket !== null) {
      this.#write(connection, writePuback(publish.packetId));
    }
    return true;
  }

  #arrived(connection: Connection<B>, topic: string, payload: Uint8Array): void {
    if (topic === blockAnswerTopic(connection.id)) {
      const decoded = decodeBlockAnswer(payload);
      if (decoded.kind === "ok") {
        this.stats.blocks += 1;
        this.#deliver(connection, "block", { kind: "block", answer: decoded.value });
        return;
      }
    } else if (topic === commandTopic(connection.id)) {
      const decoded = decodeCommand(payload);
      if (decoded.kind === "ok") {
        this.stats.commands += 1;
        this.#deliver(connection, "command", { kind: "command", command: decoded.value });
        return;
      }
    }
    this.stats.undecodable += 1;
  }

  #puback(connection: Connection<B>, packetId: number): void {
    const item = connection.outbox === null ? undefined : settle(connection.outbox, packetId);
    if (item === undefined) {
      return;
    }
    this.stats.acknowledged += 1;
    if (connection.outbox?.length === 0) {
      connection.outbox = null;
    } else {
      this.#flush(connection);
    }
    this.#input(connection, { kind: "acknowledged", boot: item.report.boot, sequence: item.report.sequence });
    this.#notify();
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

  #deliver(connection: Connection<B>, message: MessageKind, input: DeviceInput): void {
    this.#through(connection, message, { connection, input });
  }

  #send(connection: Connection<B>, effect: Exclude<DeviceEffect, { kind: "wake" }>): void {
    if (effect.kind === "request" && connection.phase !== Phase.up) {
      return;
    }
    this.#through(connection, effect.kind === "report" ? "report" : "request", { connection, effect });
  }

  /** Through the network model, if there is one. */
  #through(connection: Connection<B>, message: MessageKind, delayed: Delayed<B>): void {
    const { network, clock } = this.#options;
    if (network === undefined) {
      this.#release(delayed);
      return;
    }
    const now = clock.now();
    connection[message] += 1;
    for (const delay of network.arrivals(connection.id, message, connection[message], now)) {
      if (delay <= 0) {
        this.#release(delayed);
      } else {
        this.#world.post(instant(now + delay), delayed);
        this.#arm();
      }
    }
  }

  #release({ connection, effect, input }: Delayed<B>): void {
    if (input !== undefined) {
      this.#input(connection, input);
    } else if (effect?.kind === "report") {
      this.stats.reports += 1;
      connection.outbox ??= [];
      this.stats.dropped += post(connection.outbox, posted(effect.report));
      this.#flush(connection);
    } else if (effect?.kind === "request" && connection.phase === Phase.up) {
      this.#write(connection, writePublish(blockRequestTopic(connection.id), encodeBlockRequest(effect.request), 0, false));
    }
  }

  /** Writes what the window allows. */
  #flush(connection: Connection<B>): void {
    const { outbox } = connection;
    if (outbox === null || connection.phase !== Phase.up) {
      return;
    }
    const end = Math.min(windowMax, outbox.length);
    for (let index = 0; index < end; index += 1) {
      const item = outbox[index] as Posted;
      if (!item.flying) {
        this.#post(connection, item);
      }
    }
  }

  #post(connection: Connection<B>, item: Posted): void {
    const again = item.packetId !== 0;
    if (again) {
      this.stats.resent += 1;
    } else {
      item.packetId = nextPacketId(connection);
    }
    item.flying = true;
    item.sentAt = this.#options.clock.now();
    item.writtenAt = performance.now();
    this.#inFlight.add(item);
    this.#write(connection, writePublish(reportTopic(connection.id), encodeReport(item.report), item.packetId, again));
  }

  // Time

  #arm(): void {
    if (this.#closing) {
      return;
    }
    const real = performance.now();
    const { clock } = this.#options;
    const wait = Math.min((this.#world.nextAt - clock.now()) / clock.speed, this.#retries.first - real);
    // Now and then in any case: a clock that counts pauses must be read between them.
    const at = real + Math.max(0, Math.min(wait, 20));
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
    while (this.#retries.first <= began) {
      this.#queue.push(this.#retries.pop() as Connection<B>);
    }
    this.#fill();
    const now = this.#options.clock.now();
    while (this.#world.nextAt <= now && performance.now() - began < turnMax) {
      this.#world.step(this);
    }
    this.#arm();
  }

  /** A device's own timer (called by the world). */
  timer(index: number): void {
    this.#input(this.connections[index] as Connection<B>, { kind: "wake" });
  }

  /** A message that was held back (called by the world). */
  item(delayed: Delayed<B>): void {
    this.#release(delayed);
  }

  /** Once a second for all: keep-alive, connections that never came up, acknowledgements that never came. */
  #sweep(): void {
    this.#round += 1;
    const real = performance.now();
    const { connections } = this;
    for (let index = 0; index < connections.length; index += 1) {
      const connection = connections[index] as Connection<B>;
      if (connection.socket === null) {
        continue;
      }
      const silence = this.#round - connection.readAt;
      const first = connection.outbox?.[0];
      if (connection.phase !== Phase.up) {
        if (silence > 15) {
          this.#drop(connection, "the broker did not answer a connection for 15 s");
        }
      } else if (silence > this.#keepalive * 1.5) {
        this.#drop(connection, "the broker fell silent");
      } else if (first?.flying === true && real - first.writtenAt > this.#ackTimeout * 1_000) {
        this.#drop(connection, `the broker did not acknowledge a report for ${this.#ackTimeout} s`);
      } else if (this.#round - connection.wroteAt >= this.#keepalive / 2 + (index % Math.ceil(this.#keepalive / 4))) {
        // Spread over a quarter of the interval: devices that came up together do not ping together.
        this.#write(connection, pingRequest);
      }
    }
  }

  #notify(): void {
    if (this.#waiters.length > 0) {
      const met = this.#waiters.filter((waiter) => waiter.ready());
      if (met.length > 0) {
        this.#waiters = this.#waiters.filter((waiter) => !met.includes(waiter));
        for (const waiter of met) {
          waiter.resolve();
        }
      }
    }
  }
}

/** Starts the devices: each is powered on and connected in its turn. Throws `live/url`, `live/unreachable`. */
export async function liveFleet<B>(options: LiveFleetOptions<B>): Promise<LiveFleet<B>> {
  return new LiveFleet(options, await resolved(brokerAddress(options.connect)));
}
