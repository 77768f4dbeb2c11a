// SPDX-License-Identifier: Apache-2.0
// The CoAP side of the devices: each behind a UDP socket of its own, because to the host an address and port is a peer.
//
// L2. A report leaves the outbox by its 2.04, or as the oldest of too many; a host that does not answer loses none.
// L3. The link is up for a device from the answer to its registrations to a request that stays without an answer.
// L4. Retransmission goes by device time, as on a board, and device time does not wait for what the network lost: a lost
//     datagram costs the one device its ACK_TIMEOUT, and the other devices nothing.
// L5. At most `connectWindow` requests are on their way, so a herd never overflows the host's receive buffer. What the network
//     lost is not: else devices that wait for device time to pass would hold up those that device time waits for.
import { CoapClient } from "@coalmine/coap";
import { type DeviceId, TimeHeap } from "@coalmine/core";
import type { BlockRequest, Report } from "@coalmine/protocol";
import { draw } from "@coalmine/world";
import type { BrokerAddress } from "./address.ts";
import { backoff } from "./backoff.ts";
import { CoapDevice, type CoapOwner, fetchOf } from "./coap-device.ts";
import { CoapSockets } from "./coap-sockets.ts";
import { type Connection, Phase } from "./connection.ts";
import { type Flight, InFlight, isPosted, post, posted, type Posted } from "./outbox.ts";
import type { SessionListener } from "./sessions.ts";
import type { LiveStats } from "./stats.ts";

export interface CoapSessionOptions<B> {
  readonly address: BrokerAddress;
  readonly seed: number;
  /** Requests that may be on their way at once. */
  readonly connectWindow: number;
  /** Device seconds before a request is sent again the first time (ACK_TIMEOUT). */
  readonly ackTimeout: number;
  /** Share of the datagrams that get lost, in each direction, drawn by device, direction and number. */
  readonly loss: number;
  /** Devices that are not to be reached between their reports: they ask for offers and commands after each. */
  readonly polls: (board: B) => boolean;
  readonly secretOf: ((device: DeviceId) => Uint8Array | undefined) | undefined;
  /** Device time. */
  readonly now: () => number;
}

/** Real milliseconds between two looks at what is due; a retransmission at high speed has a look of its own. */
const lookEvery = 10;
const lookSoon = 1;

/** Real milliseconds after which nothing waits for an answer any more: the system itself dropped a datagram. */
const patience = 2_000;

/** Block requests that one device is remembered to wait for. */
const fetchesMax = 64;

export class CoapSessions<B> implements CoapOwner<B> {
  readonly #options: CoapSessionOptions<B>;
  readonly #stats: LiveStats;
  readonly #listener: SessionListener<B>;
  readonly #devices: readonly CoapDevice<B>[];
  readonly #sockets: CoapSockets;
  /** Devices whose latest request, or its answer, the network lost: nothing of theirs is in flight. */
  readonly #grounded = new Set<CoapDevice<B>>();
  /** Devices with a request on its way. */
  readonly #active = new Set<CoapDevice<B>>();
  /** Devices with something to send, in turn. */
  #queue: CoapDevice<B>[] = [];
  #queueHead = 0;
  readonly #queued = new Set<CoapDevice<B>>();
  /** Devices that wait before they try again, by real time. */
  readonly #retries = new TimeHeap<CoapDevice<B>>();
  readonly #waiting = new Set<CoapDevice<B>>();
  readonly #inFlight = new InFlight();
  #looker: NodeJS.Timeout | undefined;
  #closing = false;

  constructor(options: CoapSessionOptions<B>, connections: readonly Connection<B>[], stats: LiveStats, listener: SessionListener<B>) {
    this.#options = options;
    this.#stats = stats;
    this.#listener = listener;
    this.#sockets = new CoapSockets(
      {
        address: options.address,
        seed: options.seed,
        loss: options.loss,
        received: (index, bytes) => this.#devices[index]?.client.receive(bytes),
        lost: (index) => this.#ground(this.#devices[index] as CoapDevice<B>),
        failed: (error) => {
          stats.trouble = error.message;
        },
      },
      connections.map(({ id }) => id),
    );
    this.#devices = connections.map((connection) => this.#device(connection));
  }

  start(): void {
    this.#looker = setTimeout(() => this.#look(), lookEvery);
    for (const device of this.#devices) {
      this.#enqueue(device);
    }
    this.#fill();
  }

  /** Device time of the oldest report or request that is still without an answer; Infinity when there is none. */
  get oldestInFlight(): number {
    return this.#inFlight.oldest(performance.now() - patience)?.sentAt ?? Number.POSITIVE_INFINITY;
  }

  /** Sends a report when its turn comes. One that is on its way already is not, unless it is a `copy`. */
  post(connection: Connection<B>, report: Report, copy: boolean): void {
    if (!copy && connection.outbox !== null && isPosted(connection.outbox, report)) {
      return;
    }
    this.#stats.reports += 1;
    connection.outbox ??= [];
    const device = this.#devices[connection.index] as CoapDevice<B>;
    const item = posted(report);
    if (connection.phase === Phase.up) {
      this.#fly(device, item);
    }
    this.#stats.dropped += post(connection.outbox, item);
    this.#enqueue(device);
    this.#fill();
  }

  /** Fetches a piece of an artifact, if the link is up; one that got lost is the device's to ask for again. */
  ask(connection: Connection<B>, request: BlockRequest): void {
    if (connection.phase !== Phase.up) {
      return;
    }
    const device = this.#devices[connection.index] as CoapDevice<B>;
    if (device.isFetching(request)) {
      return;
    }
    const fetch = fetchOf(request, this.#options.now());
    device.fetches.push(fetch);
    if (device.fetches.length > fetchesMax) {
      // Not the first: it is being fetched.
      for (const dropped of device.fetches.splice(1, 1)) {
        dropped.flying = false;
      }
    }
    this.#fly(device, fetch);
    this.#enqueue(device);
    this.#fill();
  }

  async close(): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#looker);
    for (const device of this.#devices) {
      device.client.reset();
    }
    await this.#sockets.close();
  }

  // What devices tell

  registered(device: CoapDevice<B>): void {
    const { connection } = device;
    connection.phase = Phase.up;
    connection.attempts = 0;
    this.#stats.up += 1;
    this.#stats.connects += 1;
    for (const item of connection.outbox ?? []) {
      this.#fly(device, item);
    }
    this.#listener.link(connection, true);
    this.#listener.changed();
  }

  failed(device: CoapDevice<B>, reason: string, isRefused: boolean): void {
    if (this.#closing) {
      return;
    }
    const { connection } = device;
    this.#active.delete(device);
    this.#grounded.delete(device);
    this.#stats.trouble = reason;
    this.#stats.refused += isRefused ? 1 : 0;
    for (const item of connection.outbox ?? []) {
      item.flying = false;
    }
    const wasUp = connection.phase === Phase.up;
    connection.phase = Phase.idle;
    device.restart();
    connection.attempts += 1;
    this.#later(device, backoff(this.#options.seed, connection.id, connection.attempts));
    if (wasUp) {
      this.#stats.up -= 1;
      this.#stats.losses += 1;
      this.#listener.link(connection, false);
    }
    this.#listener.changed();
    this.#fill();
  }

  acknowledged({ connection }: CoapDevice<B>, item: Posted): void {
    this.#stats.acknowledged += 1;
    if (connection.outbox?.length === 0) {
      connection.outbox = null;
    }
    this.#listener.acknowledged(connection, item.report);
    this.#listener.changed();
  }

  refused({ connection }: CoapDevice<B>, item: Posted): void {
    this.#stats.broken += 1;
    this.#stats.trouble = `the host took report ${item.report.sequence} of boot ${item.report.boot} of ${connection.id} for garbage`;
  }

  command({ connection }: CoapDevice<B>, command: Parameters<SessionListener<B>["command"]>[1]): void {
    this.#stats.commands += 1;
    this.#listener.command(connection, command);
  }

  block({ connection }: CoapDevice<B>, answer: Parameters<SessionListener<B>["block"]>[1]): void {
    this.#stats.blocks += 1;
    this.#listener.block(connection, answer);
  }

  undecodable(): void {
    this.#stats.undecodable += 1;
  }

  wait(device: CoapDevice<B>, seconds: number): void {
    this.#active.delete(device);
    this.#grounded.delete(device);
    this.#later(device, seconds * 1_000);
    this.#fill();
  }

  over(device: CoapDevice<B>): void {
    this.#active.delete(device);
    this.#grounded.delete(device);
    if (device.hasWork) {
      this.#enqueue(device);
    }
    this.#fill();
  }

  // Turns

  /** Device time waits for the answer, unless the device itself waits to send again what got lost. */
  #fly(device: CoapDevice<B>, item: Flight): void {
    if (this.#grounded.has(device)) {
      return;
    }
    item.flying = true;
    item.sentAt = this.#options.now();
    item.writtenAt = performance.now();
    this.#inFlight.add(item);
  }

  /** Device time waits for a registration as well, but not for one that nobody answers. */
  #register(device: CoapDevice<B>): void {
    if (device.connection.attempts === 0 && device.isRegistering) {
      for (const item of device.unanswered) {
        this.#fly(device, item);
      }
    }
  }

  /** The network lost a request, or its answer: device time goes on while a device waits to send again what got lost. */
  #ground(device: CoapDevice<B>): void {
    if (!device.client.isBusy) {
      return; // a notification: the host sends it again
    }
    this.#grounded.add(device);
    this.#active.delete(device);
    for (const item of [...device.unanswered, ...(device.connection.outbox ?? []), ...device.fetches]) {
      item.flying = false;
    }
  }

  /** A grounded device has sent again. */
  #lift(device: CoapDevice<B>): void {
    if (!this.#grounded.delete(device)) {
      return;
    }
    this.#active.add(device);
    for (const item of device.unanswered) {
      this.#fly(device, item);
    }
  }

  #later(device: CoapDevice<B>, delay: number): void {
    this.#waiting.add(device);
    this.#retries.push(performance.now() + delay, device);
  }

  /** One with a request under way comes to its turn when that is over: also one whose request the network seems to have lost. */
  #enqueue(device: CoapDevice<B>): void {
    if (!this.#closing && !this.#active.has(device) && !this.#grounded.has(device) && !this.#queued.has(device) && !this.#waiting.has(device)) {
      this.#queued.add(device);
      this.#queue.push(device);
    }
  }

  #fill(): void {
    while (!this.#closing && this.#active.size < this.#options.connectWindow && this.#queueHead < this.#queue.length) {
      const device = this.#queue[this.#queueHead] as CoapDevice<B>;
      this.#queueHead += 1;
      this.#queued.delete(device);
      if (device.hasWork && !device.client.isBusy) {
        this.#active.add(device);
        this.#powerOn(device.connection);
        this.#register(device);
        device.next();
      }
    }
    if (this.#queueHead > 1_024 && this.#queueHead * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#queueHead);
      this.#queueHead = 0;
    }
  }

  /** Sends again what is due, and lets those try again that waited. */
  #look(): void {
    if (this.#closing) {
      return;
    }
    for (const device of [...this.#active, ...this.#grounded]) {
      const before = device.client.retransmitted;
      device.client.run();
      this.#stats.resent += device.client.retransmitted - before;
    }
    const now = performance.now();
    while (this.#retries.first <= now) {
      const device = this.#retries.pop() as CoapDevice<B>;
      this.#waiting.delete(device);
      this.#enqueue(device);
    }
    this.#fill();
    this.#looker = setTimeout(() => this.#look(), this.#grounded.size > 0 ? lookSoon : lookEvery);
  }

  // Clients

  #device(connection: Connection<B>): CoapDevice<B> {
    const { seed, ackTimeout, secretOf, now } = this.#options;
    const secret = secretOf?.(connection.id);
    // Numbers a later run of this process does not use again.
    let sequence = Date.now() * 1_000;
    let drawn = 0;
    const client = new CoapClient({
      identity: secret === undefined ? { device: connection.id } : { device: connection.id, secret, sequence: () => sequence++, behind: (used) => (sequence = Math.max(sequence, used + 1)) },
      send: (bytes) => {
        const isRequest = isConfirmable(bytes);
        if (isRequest) {
          this.#lift(device);
        }
        if (!this.#sockets.send(connection.index, bytes) && isRequest) {
          this.#ground(device);
        }
      },
      now_s: () => now() / 1_000,
      random: () => draw(seed, connection.id, "coap", (drawn += 1)),
      times: { ackTimeout_s: ackTimeout },
    });
    const device: CoapDevice<B> = new CoapDevice({ connection, client, owner: this, polls: this.#options.polls(connection.board) });
    return device;
  }

  #powerOn(connection: Connection<B>): void {
    if (!connection.powered) {
      connection.powered = true;
      this.#listener.first(connection);
    }
  }
}

/** What a device sends of its own accord is a CON (RFC 7252 section 3); the rest answers notifications. */
function isConfirmable(bytes: Buffer): boolean {
  return ((bytes[0] as number) & 0x30) === 0;
}
