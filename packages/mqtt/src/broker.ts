// SPDX-License-Identifier: Apache-2.0
// B1. A device publishes on its own up/ topics and receives on its own down/ topics; everything else is denied (I12).
// B2. A QoS 1 message is acknowledged after the host took it, and a report after it is durable (I1).
// B3. One device that floods, stalls or lies costs the others nothing but its share.
import { createServer, type Server, type Socket } from "node:net";
import { CoalmineError, type DeviceId, isDeviceId } from "@coalmine/core";
import type { LinkHost } from "@coalmine/orchestrator";
import { type Channel, blockAnswerTopic, blockRequestTopic, mayPublish, mayReceive, maySubscribe, reportTopic } from "@coalmine/protocol";
import type { AedesPublishPacket, AuthenticateError, ConnectPacket } from "aedes";
import type { DeviceAuth } from "./auth.ts";
import { type Client, Engine, type PublishPacket, refusal, subscriptionsOf } from "./engine.ts";
import { limitFrames } from "./frames.ts";
import { Bucket, type BrokerLimits, defaultLimits } from "./limits.ts";
import { grantedQos, Sessions } from "./sessions.ts";
import { plainBytes, receive } from "./uplink.ts";

export interface BrokerOptions {
  /** Default 127.0.0.1. Another than a loopback address needs `auth`. */
  readonly host?: string;
  /** 0 or absent chooses a free port. */
  readonly port?: number;
  /** Who may connect as which device. Absent: whoever says so, for loopback only. */
  readonly auth?: DeviceAuth;
  readonly limits?: Partial<BrokerLimits>;
  /** Told of each refusal, for a debug log. Device-supplied text never gets in. */
  readonly refused?: (device: DeviceId | null, reason: Refusal) => void;
}

/** Why a connection, a message or a subscription was not accepted. */
export type Refusal =
  | "no-host"
  | "client-id"
  | "credentials"
  | "keepalive"
  | "will"
  | "reconnects"
  | "frame-size"
  | "payload-size"
  | "qos"
  | "retain"
  | "publish-topic"
  | "subscribe-topic"
  | "rate"
  | "not-stored"
  | "slow-reader"
  | "silent"
  | "protocol";

/** Ends a connection; counted already. */
class RefusedError extends Error {}

/** What the engine says when it ends a connection for a reason that is not a broken rule of MQTT. */
const endings: Readonly<Record<string, Refusal>> = {
  "drain timeout": "slow-reader",
  "keep alive timeout": "silent",
  "connect did not arrive in time": "silent",
};

/** One device's connection, as long as it is open. */
interface Connection {
  readonly device: DeviceId;
  readonly topics: Readonly<Record<string, Channel>>;
  readonly blockAnswers: string;
  readonly reports: Bucket;
  readonly blocks: Bucket;
}

/** Room for a packet's topic, ids and flags beside its payload. */
const ENVELOPE_BYTES = 1_024;
const TOPIC_LEVELS_MAX = 16;

/** Starts the embedded broker. Until a link attaches its host, devices are told that the server is unavailable. */
export async function startBroker(options: BrokerOptions = {}): Promise<Broker> {
  const { host = "127.0.0.1", port = 0 } = options;
  if (options.auth === undefined && !isLoopback(host)) {
    throw new CoalmineError("mqtt/insecure-bind", `MQTT on ${host} is open to the network: give devices secrets (auth), or bind 127.0.0.1`);
  }
  const broker = new Broker(options);
  await broker.listen(host, port);
  return broker;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

const now_s = (): number => performance.now() / 1_000;

export class Broker {
  readonly counters: Readonly<Partial<Record<Refusal, number>>>;
  readonly #limits: BrokerLimits;
  readonly #auth: DeviceAuth | undefined;
  readonly #refused: BrokerOptions["refused"];
  readonly #sessions: Sessions;
  readonly #engine: Engine;
  readonly #server: Server;
  readonly #sockets = new Map<Socket, Client>();
  readonly #connections = new WeakMap<Client, Connection>();
  readonly #refusals = new WeakMap<Client, Refusal>();
  readonly #endings = new WeakSet<Client>();
  readonly #ready = new Map<string, Client>();
  readonly #connects = new Map<DeviceId, Bucket>();
  readonly #counts: Partial<Record<Refusal, number>> = {};
  #host: LinkHost | undefined;
  #address = { host: "", port: 0 };
  #closed: Promise<void> | undefined;

  constructor(options: BrokerOptions) {
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#auth = options.auth;
    this.#refused = options.refused;
    this.counters = this.#counts;
    this.#sessions = new Sessions(this.#limits);
    this.#engine = new Engine({
      persistence: this.#sessions,
      drainTimeout: this.#limits.drain_s * 1_000,
      connectTimeout: this.#limits.connect_s * 1_000,
      maxTopicLevels: TOPIC_LEVELS_MAX,
      maxClientsIdLength: 64,
      // Refused only later, in `authenticate`: there the device gets a CONNACK that says why.
      preConnect: (client, packet, done) => {
        const reason = this.#refuseConnect(packet);
        if (reason !== undefined) {
          this.#refusals.set(client, reason);
        }
        done(null, true);
      },
      authenticate: (client, _username, password, done) => this.#authenticate(client, password, done),
      authorizePublish: (client, packet, done) => this.#publish(client, packet, done),
      authorizeSubscribe: (client, { topic, qos }, done) => {
        const allowed = qos <= 1 && maySubscribe(client.id, topic);
        if (!allowed) {
          this.#refuse(client.id as DeviceId, qos > 1 ? "qos" : "subscribe-topic");
        }
        done(null, allowed ? { topic, qos } : null);
      },
      authorizeForward: (client, packet) => this.#forward(client, packet),
    });
    this.#engine.on("clientReady", (client) => {
      this.#ready.set(client.id, client);
      for (const packet of this.#sessions.takeUnsent(client.id)) {
        this.#deliver(client, packet);
      }
    });
    this.#engine.on("clientDisconnect", (client) => {
      if (this.#ready.get(client.id) === client) {
        this.#ready.delete(client.id);
      }
    });
    this.#engine.on("clientError", (client, error) => this.#ended(client, error));
    this.#engine.on("connectionError", (client, error) => this.#ended(client, error));
    // Without a listener an error of the engine would be thrown and end the process.
    (this.#engine as NodeJS.EventEmitter).on("error", () => this.#refuse(null, "protocol"));
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
    this.#server.maxConnections = this.#limits.connections;
  }

  get host(): string {
    return this.#address.host;
  }

  get port(): number {
    return this.#address.port;
  }

  get url(): string {
    const { host, port } = this.#address;
    return `mqtt://${host.includes(":") ? `[${host}]` : host}:${port}`;
  }

  /** Devices connected now. */
  get connections(): number {
    return this.#ready.size;
  }

  /** Devices with a retained offer. */
  get retained(): number {
    return this.#sessions.retained;
  }

  async listen(host: string, port: number): Promise<void> {
    await this.#engine.listen();
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (cause: NodeJS.ErrnoException) => {
        this.#engine.close();
        reject(new CoalmineError("mqtt/bind", `cannot listen on ${host}:${port} (${cause.code}): choose another port`, { cause }));
      });
      this.#server.listen(port, host, resolve);
    });
    const address = this.#server.address();
    this.#address = { host, port: typeof address === "object" && address !== null ? address.port : port };
  }

  /** Opens the door: from now on devices may connect, and this host gets what they send. */
  attach(host: LinkHost): void {
    this.#host = host;
  }

  detach(): void {
    this.#host = undefined;
  }

  /** Hands a message down to one device: over its connection, or into its session. A retained one is kept besides. */
  async send(topic: string, device: DeviceId, payload: Uint8Array, options: { readonly retain: boolean }): Promise<void> {
    if (this.#closed !== undefined) {
      throw new CoalmineError("link/closed", `the MQTT broker is closed: ${device} gets nothing from it`, { retry: "later" });
    }
    const packet = { cmd: "publish", topic, payload: Buffer.from(payload), qos: 1, retain: false, dup: false } as const;
    if (options.retain) {
      await this.#sessions.storeRetained(this.#engine.stamped({ ...packet, retain: true }));
    }
    const client = this.#ready.get(device);
    if (client === undefined) {
      const granted = grantedQos(this.#sessions.filtersOf(device), topic) ?? 0;
      if (granted > 0) {
        this.#sessions.wait(device, this.#engine.stamped(packet));
      }
    } else {
      this.#deliver(client, packet);
    }
  }

  /** Closes a device's connection, when its credentials were withdrawn. */
  disconnect(device: DeviceId): void {
    for (const client of this.#sockets.values()) {
      if (client.id === device) {
        client.close();
      }
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#shut();
    return this.#closed;
  }

  async #shut(): Promise<void> {
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await new Promise<void>((resolve) => this.#engine.close(resolve));
    for (const socket of this.#sockets.keys()) {
      socket.destroy();
    }
    await stopped;
  }

  #accept(socket: Socket): void {
    socket.once("close", () => this.#sockets.delete(socket));
    limitFrames(socket, this.#limits.payloadBytes + ENVELOPE_BYTES, () => this.#refuse(null, "frame-size"));
    this.#sockets.set(socket, this.#engine.handle(socket));
  }

  #refuse(device: DeviceId | null, reason: Refusal): void {
    this.#counts[reason] = (this.#counts[reason] ?? 0) + 1;
    this.#refused?.(device, reason);
  }

  /** Counts why the engine ended a connection; our own refusals are counted where they are made, lost connections nowhere. */
  #ended(client: Client, error: Error): void {
    const before = this.#endings.has(client);
    this.#endings.add(client);
    if (before || error instanceof RefusedError || "code" in error || "returnCode" in error || error.message === "connection closed") {
      return;
    }
    this.#refuse(this.#connections.get(client)?.device ?? null, endings[error.message] ?? "protocol");
  }

  /** What a CONNECT alone tells. It costs nothing, so it comes before anybody is asked for a secret. */
  #refuseConnect({ clientId, keepalive = 0, will }: ConnectPacket): Refusal | undefined {
    if (this.#host === undefined || this.#closed !== undefined) {
      return "no-host";
    }
    if (!isDeviceId(clientId)) {
      return "client-id";
    }
    if (keepalive === 0 || keepalive > this.#limits.keepaliveMax_s) {
      return "keepalive";
    }
    if (will !== undefined) {
      const fits = (will.qos ?? 0) <= 1 && will.retain !== true && will.payload.length <= this.#limits.payloadBytes;
      return fits && mayPublish(clientId, will.topic) ? undefined : "will";
    }
    return undefined;
  }

  #authenticate(client: Client, password: Readonly<Uint8Array> | undefined, done: (error: AuthenticateError | null, success: boolean | null) => void): void {
    const device = client.id as DeviceId;
    const reason = this.#refusals.get(client) ?? this.#refuseCredentials(device, password);
    if (reason !== undefined) {
      this.#refuse(isDeviceId(device) ? device : null, reason);
      done(refusal(reason, returnCodes[reason] ?? 5), null);
      return;
    }
    this.#connections.set(client, {
      device,
      topics: { [reportTopic(device)]: "report", [blockRequestTopic(device)]: "block-request" },
      blockAnswers: blockAnswerTopic(device),
      reports: new Bucket(this.#limits.reports, now_s()),
      blocks: new Bucket(this.#limits.blocks, now_s()),
    });
    done(null, true);
  }

  /** Only who proved to be the device uses up its connections: nobody can lock it out by trying. */
  #refuseCredentials(device: DeviceId, password: Readonly<Uint8Array> | undefined): Refusal | undefined {
    if (this.#auth !== undefined && !this.#auth.verify(device, password)) {
      return "credentials";
    }
    const now = now_s();
    let connects = this.#connects.get(device);
    if (connects === undefined) {
      this.#forgetCalm(now);
      connects = new Bucket(this.#limits.connects, now);
      this.#connects.set(device, connects);
    }
    return connects.takeNow(now) ? undefined : "reconnects";
  }

  /** Keeps the memory of recent connections from growing: a full bucket is as good as none. */
  #forgetCalm(now: number): void {
    if (this.#connects.size < 2 * this.#limits.connections) {
      return;
    }
    for (const [device, bucket] of this.#connects) {
      if (bucket.isFull(now)) {
        this.#connects.delete(device);
      }
    }
  }

  /**
   * Takes a device's message, or its will. aedes acknowledges after `done` (its order: authorize, PUBACK, publish), so
   * the host is waited for here (B2). Messages of one socket read, and all other devices, wait side by side: they share
   * one commit.
   */
  #publish(client: Client | null, packet: PublishPacket, done: (error?: Error | null) => void): void {
    const connection = client === null ? undefined : this.#connections.get(client);
    const host = this.#host;
    const refused = this.#refusePublish(connection, packet);
    if (client === null || connection === undefined || host === undefined || refused !== undefined) {
      this.#refuse(connection?.device ?? null, refused ?? "no-host");
      done(new RefusedError(refused ?? "no-host"));
      return;
    }
    const { device } = connection;
    const channel = connection.topics[packet.topic] as Channel;
    const delay_s = (channel === "report" ? connection.reports : connection.blocks).take(now_s());
    if (delay_s > this.#limits.delayMax_s) {
      this.#refuse(device, "rate");
      done(new RefusedError("rate"));
      return;
    }
    const payload = plainBytes(packet.payload);
    const take = (): void => {
      const kept = receive(host, { device, channel, payload }, (bytes) => this.#answer(client, connection, bytes));
      if (kept === undefined) {
        done(null);
        return;
      }
      kept.then(
        () => done(null),
        () => {
          this.#refuse(device, "not-stored");
          done(new RefusedError("not-stored"));
        },
      );
    };
    if (delay_s === 0) {
      take();
    } else {
      setTimeout(take, delay_s * 1_000);
    }
  }

  #refusePublish(connection: Connection | undefined, { topic, qos, retain, payload }: PublishPacket): Refusal | undefined {
    if (connection === undefined || !Object.hasOwn(connection.topics, topic)) {
      return "publish-topic";
    }
    if (qos > 1) {
      return "qos";
    }
    if (retain) {
      return "retain";
    }
    return payload.length > this.#limits.payloadBytes ? "payload-size" : undefined;
  }

  /** The last check before bytes leave: own topic, and no better QoS than granted. */
  #forward(client: Client, packet: AedesPublishPacket): AedesPublishPacket | null {
    if (!mayReceive(client.id, packet.topic)) {
      return null;
    }
    const granted = grantedQos(subscriptionsOf(client), packet.topic);
    if (granted === undefined) {
      return null;
    }
    packet.qos = Math.min(packet.qos, granted) as 0 | 1;
    return packet;
  }

  #deliver(client: Client, packet: PublishPacket): void {
    if (grantedQos(subscriptionsOf(client), packet.topic) !== undefined) {
      client.publish(packet, () => undefined);
    }
  }

  /** A block answer is QoS 0: a device that does not read loses it and asks again, and nobody waits for that device. */
  #answer(client: Client, { device, blockAnswers }: Connection, bytes: Uint8Array): void {
    if ((client.conn as Socket).writableLength > this.#limits.waitingBytes) {
      this.#refuse(device, "slow-reader");
      return;
    }
    this.#deliver(client, { cmd: "publish", topic: blockAnswers, payload: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), qos: 0, retain: false, dup: false });
  }
}

/** CONNACK return codes: 2 identifier rejected, 3 server unavailable, 4 bad user name or password; 5 not authorized. */
const returnCodes: Partial<Record<Refusal, 2 | 3 | 4>> = { "client-id": 2, "no-host": 3, reconnects: 3, credentials: 4 };
