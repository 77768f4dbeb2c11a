// SPDX-License-Identifier: Apache-2.0
// The MQTT side of the devices: connections come up in turn, carry reports up and commands down, and come back.
//
// L2. A report leaves the outbox by its PUBACK, or as the oldest of too many; a lost connection loses none.
// L3. The link is up for a device from its SUBACK to the loss of its socket.
// L4. At most `connectWindow` sockets are between SYN and SUBACK, so a herd never overflows a listen backlog.
import { TimeHeap, unreachable } from "@coalmine/core";
import {
  type BlockAnswer,
  type BlockRequest,
  blockAnswerTopic,
  blockRequestTopic,
  type Command,
  commandTopic,
  decodeBlockAnswer,
  decodeCommand,
  deviceFilter,
  encodeBlockRequest,
  encodeReport,
  limits,
  type Report,
  reportTopic,
} from "@coalmine/protocol";
import type { BrokerAddress } from "./address.ts";
import { backoff } from "./backoff.ts";
import { type Connection, nextPacketId, Phase } from "./connection.ts";
import { type Asked, InFlight, isPosted, post, posted, type Posted, settle, windowMax } from "./outbox.ts";
import { DeviceSocket, type SocketOwner } from "./socket.ts";
import type { LiveStats } from "./stats.ts";
import { disconnect, PacketType, pingRequest, readPublish, takePackets, writeConnect, writePuback, writePublish, writeSubscribe } from "./wire.ts";

/** What the devices learn from their connections. */
export interface SessionListener<B> {
  /** A first socket is being opened. */
  first(connection: Connection<B>): void;
  link(connection: Connection<B>, up: boolean): void;
  acknowledged(connection: Connection<B>, report: Report): void;
  command(connection: Connection<B>, command: Command): void;
  block(connection: Connection<B>, answer: BlockAnswer): void;
  /** Something that `stats` counts has changed. */
  changed(): void;
}

export interface SessionOptions {
  readonly address: BrokerAddress;
  readonly seed: number;
  readonly keepalive: number;
  readonly connectWindow: number;
  readonly ackTimeout: number;
  /** Device time. */
  readonly now: () => number;
}

/** Bytes behind the fixed header of the longest packet a device may get: a block answer and its topic. */
const packetMax = limits.blockAnswer + 256;

/** Real milliseconds after which nothing waits for an answer any more. */
const patience = 5_000;

/** Block requests that one device is remembered to wait for. */
const askedMax = 64;

export class Sessions<B> implements SocketOwner<Connection<B>> {
  readonly #options: SessionOptions;
  readonly #connections: readonly Connection<B>[];
  readonly #stats: LiveStats;
  readonly #listener: SessionListener<B>;
  /** Connections that wait before they try again, by real time. */
  readonly #retries = new TimeHeap<Connection<B>>();
  readonly #inFlight = new InFlight();
  #retryTimer: NodeJS.Timeout | undefined;
  #retryAt = Number.POSITIVE_INFINITY;
  #queue: Connection<B>[];
  #queueHead = 0;
  #opening = 0;
  #round = 0;
  #sweeper: NodeJS.Timeout | undefined;
  #closing = false;

  constructor(options: SessionOptions, connections: readonly Connection<B>[], stats: LiveStats, listener: SessionListener<B>) {
    this.#options = options;
    this.#connections = connections;
    this.#stats = stats;
    this.#listener = listener;
    this.#queue = [...connections];
  }

  start(): void {
    this.#sweeper = setInterval(() => this.#sweep(), 1_000);
    this.#fill();
  }

  /** Device time of the oldest report or request that is still without an answer; Infinity when there is none. */
  get oldestInFlight(): number {
    return this.#inFlight.oldest(performance.now() - patience)?.sentAt ?? Number.POSITIVE_INFINITY;
  }

  /** Publishes a report, now or when the connection allows. One that is on its way already is not, unless it is a `copy`. */
  post(connection: Connection<B>, report: Report, copy: boolean): void {
    if (!copy && connection.outbox !== null && isPosted(connection.outbox, report)) {
      return;
    }
    this.#stats.reports += 1;
    connection.outbox ??= [];
    this.#stats.dropped += post(connection.outbox, posted(report));
    this.#flush(connection);
  }

  /** Publishes a block request, if the link is up; a lost one is the device's to repeat. */
  ask(connection: Connection<B>, request: BlockRequest): void {
    if (connection.phase !== Phase.up) {
      return;
    }
    const item: Asked = { request: request.request, sentAt: this.#options.now(), writtenAt: performance.now(), flying: true };
    connection.asked ??= [];
    connection.asked.push(item);
    if (connection.asked.length > askedMax) {
      (connection.asked.shift() as Asked).flying = false;
    }
    this.#inFlight.add(item);
    this.#write(connection, writePublish(blockRequestTopic(connection.id), encodeBlockRequest(request), 0, false));
  }

  /** Says goodbye on every connection and closes them all. */
  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#sweeper);
    clearTimeout(this.#retryTimer);
    const open: Promise<void>[] = [];
    for (const connection of this.#connections) {
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
      for (const connection of this.#connections) {
        connection.socket?.destroy();
      }
    }, 2_000);
    await Promise.all(open);
    clearTimeout(patience);
  }

  #fill(): void {
    while (!this.#closing && this.#opening < this.#options.connectWindow && this.#queueHead < this.#queue.length) {
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
    connection.socket = new DeviceSocket(this, connection, this.#options.address);
    if (!connection.powered) {
      connection.powered = true;
      this.#listener.first(connection);
    }
  }

  /** The socket is open (TCP). */
  opened(connection: Connection<B>): void {
    connection.phase = Phase.greeting;
    this.#write(connection, writeConnect(connection.id, this.#options.keepalive));
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
      this.#stats.trouble = reason;
    }
    connection.socket = null;
    connection.rest = null;
    connection.phase = Phase.idle;
    for (const item of [...(connection.outbox ?? []), ...(connection.asked ?? [])]) {
      item.flying = false;
    }
    connection.asked = null;
    if (phase !== Phase.up) {
      this.#opening -= 1;
    } else {
      this.#stats.up -= 1;
      if (!this.#closing) {
        this.#stats.losses += 1;
        this.#listener.link(connection, false);
      }
    }
    if (!this.#closing) {
      connection.attempts += 1;
      this.#retries.push(performance.now() + backoff(this.#options.seed, connection.id, connection.attempts), connection);
      this.#armRetry();
      this.#fill();
    }
    this.#listener.changed();
  }

  #armRetry(): void {
    const at = this.#retries.first;
    if (at < this.#retryAt) {
      clearTimeout(this.#retryTimer);
      this.#retryAt = at;
      this.#retryTimer = setTimeout(() => this.#retry(), Math.max(0, at - performance.now()));
    }
  }

  #retry(): void {
    this.#retryAt = Number.POSITIVE_INFINITY;
    const now = performance.now();
    while (this.#retries.first <= now) {
      this.#queue.push(this.#retries.pop() as Connection<B>);
    }
    this.#fill();
    this.#armRetry();
  }

  #drop(connection: Connection<B>, reason: string): void {
    this.#stats.broken += 1;
    this.#stats.trouble = reason;
    connection.socket?.destroy();
  }

  #write(connection: Connection<B>, bytes: Buffer): void {
    connection.wroteAt = this.#round;
    connection.socket?.write(bytes);
  }

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
      this.#stats.refused += 1;
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
      this.#stats.refused += 1;
      this.#drop(connection, `the broker does not let ${connection.id} subscribe to its own commands`);
      return false;
    }
    connection.phase = Phase.up;
    connection.attempts = 0;
    this.#opening -= 1;
    this.#stats.up += 1;
    this.#stats.connects += 1;
    this.#flush(connection);
    this.#listener.link(connection, true);
    this.#fill();
    this.#listener.changed();
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
        this.#stats.blocks += 1;
        answered(connection, decoded.value.request);
        this.#listener.block(connection, decoded.value);
        return;
      }
    } else if (topic === commandTopic(connection.id)) {
      const decoded = decodeCommand(payload);
      if (decoded.kind === "ok") {
        this.#stats.commands += 1;
        this.#listener.command(connection, decoded.value);
        return;
      }
    }
    this.#stats.undecodable += 1;
  }

  #puback(connection: Connection<B>, packetId: number): void {
    const item = connection.outbox === null ? undefined : settle(connection.outbox, packetId);
    if (item === undefined) {
      return;
    }
    this.#stats.acknowledged += 1;
    if (connection.outbox?.length === 0) {
      connection.outbox = null;
    } else {
      this.#flush(connection);
    }
    this.#listener.acknowledged(connection, item.report);
    this.#listener.changed();
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
      this.#stats.resent += 1;
    } else {
      item.packetId = nextPacketId(connection);
    }
    item.flying = true;
    item.sentAt = this.#options.now();
    item.writtenAt = performance.now();
    this.#inFlight.add(item);
    this.#write(connection, writePublish(reportTopic(connection.id), encodeReport(item.report), item.packetId, again));
  }

  /** Once a second for all: keep-alive, connections that never came up, acknowledgements that never came. */
  #sweep(): void {
    this.#round += 1;
    const real = performance.now();
    const connections = this.#connections;
    const { keepalive, ackTimeout } = this.#options;
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
      } else if (silence > keepalive * 1.5) {
        this.#drop(connection, "the broker fell silent");
      } else if (first?.flying === true && real - first.writtenAt > ackTimeout * 1_000) {
        this.#drop(connection, `the broker did not acknowledge a report for ${ackTimeout} s`);
      } else if (this.#round - connection.wroteAt >= keepalive / 2 + (index % Math.ceil(keepalive / 4))) {
        // Spread over a quarter of the interval: devices that came up together do not ping together.
        this.#write(connection, pingRequest);
      }
    }
  }
}

/** Takes a block request off the list: its answer has come. */
function answered<B>(connection: Connection<B>, request: number): void {
  const index = connection.asked?.findIndex((item) => item.request === request) ?? -1;
  if (connection.asked === null || index < 0) {
    return;
  }
  for (const item of connection.asked.splice(index, 1)) {
    item.flying = false;
  }
  if (connection.asked.length === 0) {
    connection.asked = null;
  }
}
