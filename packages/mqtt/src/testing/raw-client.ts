// SPDX-License-Identifier: Apache-2.0
// A test's own MQTT client: it sends exactly what it is told, right or wrong, and shows every packet that comes back.
import { connect, type Socket } from "node:net";
import { generate, type IConnackPacket, type IConnectPacket, type IPublishPacket, type Packet, parser } from "mqtt-packet";

type Wanted = (packet: Packet) => boolean;

export class RawClient {
  readonly socket: Socket;
  readonly packets: Packet[] = [];
  readonly closed: Promise<void>;
  isClosed = false;
  /** Answers QoS 1 messages with PUBACK by itself. */
  acknowledges = true;
  #watchers: { readonly wanted: Wanted; readonly resolve: (packet: Packet) => void; readonly reject: (error: Error) => void }[] = [];

  constructor(port: number) {
    this.socket = connect({ host: "127.0.0.1", port, noDelay: true });
    const packets = parser({ protocolVersion: 4 });
    packets.on("packet", (packet: Packet) => this.#take(packet));
    this.socket.on("data", (chunk: Buffer) => packets.parse(chunk));
    this.socket.on("error", () => undefined);
    this.closed = new Promise((resolve) =>
      this.socket.once("close", () => {
        this.isClosed = true;
        for (const { reject } of this.#watchers) {
          reject(new Error(`connection closed; had got ${this.packets.map(({ cmd }) => cmd).join(", ") || "nothing"}`));
        }
        resolve();
      }),
    );
  }

  /** Connects and returns the CONNACK. */
  static async open(port: number, given: Partial<IConnectPacket> & { readonly clientId: string }): Promise<RawClient> {
    const client = new RawClient(port);
    await client.connect(given);
    return client;
  }

  async connect(given: Partial<IConnectPacket> & { readonly clientId: string }): Promise<IConnackPacket> {
    this.send({ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clean: true, keepalive: 60, ...given });
    return (await this.next((packet) => packet.cmd === "connack")) as IConnackPacket;
  }

  send(packet: Packet): void {
    this.socket.write(generate(packet, { protocolVersion: 4 }));
  }

  /** Sends a QoS 1 message; `next` tells when its PUBACK is there. */
  publish(topic: string, payload: Uint8Array | string, messageId: number, more: Partial<IPublishPacket> = {}): void {
    this.send({ cmd: "publish", topic, payload: typeof payload === "string" ? payload : Buffer.from(payload), qos: 1, retain: false, dup: false, messageId, ...more });
  }

  async acknowledged(messageId: number): Promise<void> {
    await this.next((packet) => packet.cmd === "puback" && packet.messageId === messageId);
  }

  /** Subscribes and returns the granted QoS of each filter; 128 is a refusal. */
  async subscribe(...filters: readonly (string | { readonly topic: string; readonly qos: 0 | 1 | 2 })[]): Promise<number[]> {
    const subscriptions = filters.map((filter) => (typeof filter === "string" ? { topic: filter, qos: 1 as const } : filter));
    this.send({ cmd: "subscribe", messageId: 7, subscriptions });
    const suback = await this.next((packet) => packet.cmd === "suback");
    return suback.cmd === "suback" ? (suback.granted as number[]) : [];
  }

  /** The next message, in order of arrival. */
  async message(): Promise<IPublishPacket> {
    return (await this.next((packet) => packet.cmd === "publish")) as IPublishPacket;
  }

  /** The messages so far that `next` has not given out. */
  get messages(): IPublishPacket[] {
    return this.packets.filter((packet) => packet.cmd === "publish");
  }

  /** The first packet not given out yet that is wanted. Rejects when the connection closes first. */
  next(wanted: Wanted): Promise<Packet> {
    const index = this.packets.findIndex((packet) => wanted(packet));
    if (index >= 0) {
      return Promise.resolve(this.packets.splice(index, 1)[0] as Packet);
    }
    if (this.isClosed) {
      return Promise.reject(new Error("connection closed"));
    }
    return new Promise((resolve, reject) => this.#watchers.push({ wanted, resolve, reject }));
  }

  /** Resolves when everything sent so far was handled: the broker answers pings in order. */
  async settled(): Promise<void> {
    this.send({ cmd: "pingreq" });
    await this.next((packet) => packet.cmd === "pingresp");
  }

  end(): void {
    this.socket.destroy();
  }

  #take(packet: Packet): void {
    if (packet.cmd === "publish" && packet.qos > 0 && this.acknowledges) {
      this.send({ cmd: "puback", messageId: packet.messageId as number });
    }
    const index = this.#watchers.findIndex(({ wanted }) => wanted(packet));
    if (index >= 0) {
      this.#watchers.splice(index, 1)[0]?.resolve(packet);
    } else {
      this.packets.push(packet);
    }
  }
}
