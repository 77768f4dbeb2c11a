// SPDX-License-Identifier: Apache-2.0
// K1. A report is acknowledged to the broker after it is durable (I1); many wait for that side by side.
// K2. What was sent and not acknowledged is sent again on the next connection; `send` resolves with the PUBACK.
// K3. One session under one client id, kept by the broker while we are away. Never `$share`.
import { CoalmineError, type DeviceId } from "@coalmine/core";
import type { Link, LinkHost } from "@coalmine/orchestrator";
import { blockAnswerTopic, type Command, commandTopic, encodeCommand, hostFilters, isKept, parseTopic } from "@coalmine/protocol";
import type { IPublishPacket } from "mqtt-packet";
import { type Address, Connection } from "./connection.ts";
import { plainBytes, receive } from "./uplink.ts";

export interface BrokerLinkOptions {
  /** Names our session at the broker; two orchestrators with the same one push each other out. */
  readonly clientId?: string;
  readonly username?: string;
  readonly password?: string;
  readonly keepalive_s?: number;
  /** How long the first connection may take. */
  readonly connect_s?: number;
  /** Waiting between attempts grows from the first to the second, with jitter. */
  readonly backoff_s?: readonly [number, number];
  /** Reports being stored at a time; beyond, nothing more is read from the broker. */
  readonly receivingMax?: number;
  /** Commands sent and not acknowledged at a time; the others wait in line. */
  readonly sendingMax?: number;
  /** Commands waiting in line, while the broker is away; beyond, `send` rejects. */
  readonly waitingMax?: number;
  /** Told of a broken connection and of what was dropped. */
  readonly warn?: (message: string) => void;
}

/** The link, and what it is doing. */
export interface BrokerLink extends Link {
  readonly connected: boolean;
  /** Reports taken and not yet acknowledged to the broker. */
  readonly receiving: number;
  /** Block answers not sent because the broker took nothing. */
  readonly dropped: number;
}

interface Sending {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly retain: boolean;
  readonly resolve: () => void;
  readonly reject: (error: CoalmineError) => void;
  /** Sent at least once: the next time it is a duplicate. */
  sent: boolean;
}

/** Bytes waiting for the broker above which block answers are dropped; their devices ask again. */
const WAITING_BYTES = 4_194_304;
const PACKET_ID_MAX = 65_534;

/**
 * The Link port as a client of a foreign MQTT 3.1.1 broker, for example `mqtt://user:secret@broker:1883`.
 *
 * Resolves when connected and subscribed. Rejects `link/unreachable` (retry later), `link/denied` or `link/bad-url`.
 * Afterwards a lost connection is made again by itself.
 */
export async function brokerLink(url: string, host: LinkHost, options: BrokerLinkOptions = {}): Promise<BrokerLink> {
  const link = new ForeignBrokerLink(url, host, options);
  try {
    await link.connect();
  } catch (error) {
    await link.close();
    throw error;
  }
  return link;
}

class ForeignBrokerLink implements BrokerLink {
  readonly door = "mqtt";
  dropped = 0;
  receiving = 0;
  readonly #host: LinkHost;
  readonly #address: Address;
  readonly #options: BrokerLinkOptions;
  #connection: Connection | undefined;
  #retry: NodeJS.Timeout | undefined;
  #attempt = 0;
  #closed: CoalmineError | undefined;
  readonly #line: Sending[] = [];
  readonly #unacknowledged = new Map<number, Sending>();
  #packetId = 0;
  #settled: (() => void) | undefined;

  constructor(url: string, host: LinkHost, options: BrokerLinkOptions) {
    this.#address = parseUrl(url, options);
    this.#host = host;
    this.#options = options;
  }

  get connected(): boolean {
    return this.#connection !== undefined;
  }

  async connect(): Promise<void> {
    const connection = await Connection.open(this.#address, {
      filters: hostFilters,
      publish: (packet, from) => this.#receive(packet, from),
      acknowledged: (packetId) => this.#acknowledged(packetId),
      closed: (reason) => this.#lost(reason),
    });
    if (this.#closed !== undefined) {
      connection.end();
      return;
    }
    this.#connection = connection;
    this.#attempt = 0;
    for (const [packetId, sending] of this.#unacknowledged) {
      this.#publish(connection, packetId, sending);
    }
    this.#pump();
  }

  send(device: DeviceId, command: Command): Promise<void> {
    return this.#queue(commandTopic(device), encodeCommand(command), isKept(command));
  }

  clear(device: DeviceId): Promise<void> {
    return this.#queue(commandTopic(device), new Uint8Array(0), true);
  }

  /** Waits for reports on their way into the log, so that the broker need not send them again. */
  async close(): Promise<void> {
    if (this.#closed !== undefined) {
      return;
    }
    this.#closed = new CoalmineError("link/closed", `the connection to ${this.#address.name} is closed`, { retry: "later" });
    clearTimeout(this.#retry);
    for (const sending of [...this.#unacknowledged.values(), ...this.#line]) {
      sending.reject(this.#closed);
    }
    this.#unacknowledged.clear();
    this.#line.length = 0;
    const connection = this.#connection;
    if (connection !== undefined) {
      connection.pause();
      if (this.receiving > 0) {
        await new Promise<void>((resolve) => {
          this.#settled = resolve;
        });
      }
      this.#connection = undefined;
      connection.end();
    }
  }

  #queue(topic: string, payload: Uint8Array, retain: boolean): Promise<void> {
    if (this.#closed !== undefined) {
      return Promise.reject(this.#closed);
    }
    if (this.#line.length >= (this.#options.waitingMax ?? 50_000)) {
      const message = `${this.#line.length} commands wait for ${this.#address.name} already`;
      return Promise.reject(new CoalmineError("link/closed", message, { retry: "later" }));
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#line.push({ topic, payload, retain, resolve, reject, sent: false });
    this.#pump();
    return promise;
  }

  #pump(): void {
    const sendingMax = this.#options.sendingMax ?? 100;
    while (this.#connection !== undefined && this.#line.length > 0 && this.#unacknowledged.size < sendingMax) {
      const sending = this.#line.shift() as Sending;
      do {
        this.#packetId = (this.#packetId % PACKET_ID_MAX) + 1;
      } while (this.#unacknowledged.has(this.#packetId));
      this.#unacknowledged.set(this.#packetId, sending);
      this.#publish(this.#connection, this.#packetId, sending);
    }
  }

  #publish(connection: Connection, messageId: number, sending: Sending): void {
    const { topic, payload, retain, sent } = sending;
    connection.publish({ topic, payload, qos: 1, retain, dup: sent, messageId });
    sending.sent = true;
  }

  #acknowledged(packetId: number): void {
    const sending = this.#unacknowledged.get(packetId);
    this.#unacknowledged.delete(packetId);
    sending?.resolve();
    this.#pump();
  }

  #receive(packet: IPublishPacket, from: Connection): void {
    if (this.#closed !== undefined) {
      return; // what was on its way when we said good-bye stays with the broker
    }
    const payload = plainBytes(packet.payload);
    const acknowledge = (): void => {
      if (packet.qos > 0) {
        from.acknowledge(packet.messageId as number);
      }
    };
    const parsed = parseTopic(packet.topic);
    if (parsed === undefined) {
      this.#host.undecodable(null, "not a device's topic", payload.length, "mqtt");
      acknowledge();
      return;
    }
    const { device, channel } = parsed;
    const kept = receive(this.#host, { device, channel, payload }, (bytes) => this.#answer(device, bytes));
    if (kept === undefined) {
      acknowledge();
      return;
    }
    this.receiving += 1;
    if (this.receiving >= (this.#options.receivingMax ?? 4_096)) {
      from.pause();
    }
    // A report that could not be kept stays with the broker: it comes again on the next connection.
    kept.then(acknowledge, () => undefined).finally(() => {
      this.receiving -= 1;
      if (this.#closed === undefined && this.receiving <= (this.#options.receivingMax ?? 4_096) / 2) {
        from.resume();
      }
      if (this.receiving === 0) {
        this.#settled?.();
      }
    });
  }

  #answer(device: DeviceId, payload: Uint8Array): void {
    const connection = this.#connection;
    if (connection === undefined || connection.waitingBytes > WAITING_BYTES) {
      this.dropped += 1;
      return;
    }
    connection.publish({ topic: blockAnswerTopic(device), payload, qos: 0, retain: false, dup: false });
  }

  #lost(reason: string): void {
    this.#connection = undefined;
    if (this.#closed !== undefined) {
      return;
    }
    const [first, longest] = this.#options.backoff_s ?? [0.25, 30];
    const wait_s = Math.min(longest, first * 2 ** this.#attempt) * (0.5 + Math.random() / 2);
    this.#attempt += 1;
    this.#options.warn?.(`connection to ${this.#address.name} lost (${reason}); again in ${wait_s.toFixed(1)} s`);
    this.#retry = setTimeout(() => {
      this.connect().catch((error: unknown) => this.#lost((error as Error).message));
    }, wait_s * 1_000);
  }
}

function parseUrl(text: string, options: BrokerLinkOptions): Address {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.protocol !== "mqtt:" || url.hostname === "") {
    throw new CoalmineError("link/bad-url", `${JSON.stringify(text)} is not a broker: write mqtt://HOST:PORT`);
  }
  const username = options.username ?? (url.username === "" ? undefined : decodeURIComponent(url.username));
  const password = options.password ?? (url.password === "" ? undefined : decodeURIComponent(url.password));
  const port = url.port === "" ? 1_883 : Number(url.port);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  return {
    host,
    port,
    name: `mqtt://${url.host}`,
    clientId: options.clientId ?? "coalmine-orchestrator",
    keepalive_s: options.keepalive_s ?? 30,
    connect_s: options.connect_s ?? 5,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  };
}
