// SPDX-License-Identifier: Apache-2.0
// A broker for tests: enough of MQTT 3.1.1 to be an honest peer, parsed by mqtt-packet so that our own framing meets
// somebody else's, and with handles for what a broker may do to a client.
import { createServer, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { generate, type IPublishPacket, type Packet, parser } from "mqtt-packet";

interface Client {
  readonly id: string;
  readonly socket: Socket;
  readonly keepalive: number;
}

export interface Received {
  readonly from: string;
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: number;
  readonly duplicate: boolean;
}

export class FakeBroker {
  readonly clients = new Map<string, Client>();
  readonly received: Received[] = [];
  readonly pubacks: number[] = [];
  readonly subscriptions = new Map<string, string>();
  /** CONNACK return code. */
  code = 0;
  /** False keeps every PUBACK back. */
  acknowledge = true;
  /** Splits what is sent into chunks of so many bytes; 0 sends whole packets. */
  chunk = 0;
  connects = 0;
  connecting = 0;
  connectingMost = 0;
  onPublish: (received: Received) => void = () => undefined;
  readonly #retained = new Map<string, IPublishPacket>();
  readonly #sockets = new Set<Socket>();
  #server: Server;
  #port = 0;
  #waiters: { readonly ready: () => boolean; readonly resolve: () => void }[] = [];

  private constructor() {
    this.#server = this.#serve();
  }

  static async start(): Promise<FakeBroker> {
    const broker = new FakeBroker();
    await broker.listen();
    return broker;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.#port}`;
  }

  /** Listens (again) on the same port. */
  async listen(): Promise<void> {
    this.#server = this.#serve();
    this.#server.listen(this.#port, "127.0.0.1", 511);
    await once(this.#server, "listening");
    const address = this.#server.address();
    this.#port = typeof address === "object" && address !== null ? address.port : 0;
  }

  /** Dies as by SIGKILL: sockets vanish, sessions are forgotten. */
  async kill(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) {
      socket.resetAndDestroy();
    }
    this.clients.clear();
    await closed;
  }

  until(ready: () => boolean): Promise<void> {
    return ready() ? Promise.resolve() : new Promise((resolve) => this.#waiters.push({ ready, resolve }));
  }

  send(id: string, topic: string, payload: Uint8Array, options: { readonly qos: 0 | 1; readonly retain?: boolean }): void {
    const packet: IPublishPacket = {
      cmd: "publish",
      topic,
      payload: Buffer.from(payload),
      qos: options.qos,
      dup: false,
      retain: options.retain === true,
      ...(options.qos === 1 ? { messageId: 77 } : {}),
    };
    if (options.retain === true) {
      this.#retained.set(topic, packet);
    }
    this.write(id, generate(packet));
  }

  /** Any bytes whatever. */
  write(id: string, bytes: Uint8Array): void {
    const socket = this.clients.get(id)?.socket;
    if (socket === undefined) {
      return;
    }
    if (this.chunk === 0) {
      socket.write(bytes);
      return;
    }
    for (let at = 0; at < bytes.length; at += this.chunk) {
      socket.write(bytes.subarray(at, at + this.chunk));
    }
  }

  #serve(): Server {
    return createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      this.connecting += 1;
      this.connectingMost = Math.max(this.connectingMost, this.connecting);
      let client: Client | undefined;
      const packets = parser();
      packets.on("packet", (packet: Packet) => {
        client = this.#packet(socket, client, packet);
        this.#notify();
      });
      packets.on("error", () => socket.destroy());
      socket.on("data", (bytes) => packets.parse(bytes as Buffer));
      socket.on("error", () => undefined);
      socket.on("close", () => {
        this.#sockets.delete(socket);
        if (client !== undefined && this.clients.get(client.id) === client) {
          this.clients.delete(client.id);
        }
        this.#notify();
      });
    });
  }

  #packet(socket: Socket, client: Client | undefined, packet: Packet): Client | undefined {
    switch (packet.cmd) {
      case "connect": {
        this.connects += 1;
        socket.write(generate({ cmd: "connack", returnCode: this.code, sessionPresent: false }));
        const accepted = { id: packet.clientId, socket, keepalive: packet.keepalive ?? 0 };
        this.clients.set(packet.clientId, accepted);
        return accepted;
      }
      case "subscribe": {
        this.connecting -= 1;
        const [subscription] = packet.subscriptions;
        const filter = subscription?.topic ?? "";
        this.subscriptions.set(client?.id ?? "", filter);
        socket.write(generate({ cmd: "suback", messageId: packet.messageId ?? 0, granted: [1] }));
        for (const [topic, retained] of this.#retained) {
          if (topic.startsWith(filter.slice(0, -1))) {
            socket.write(generate(retained));
          }
        }
        return client;
      }
      case "publish": {
        const received = {
          from: client?.id ?? "",
          topic: packet.topic,
          payload: new Uint8Array(packet.payload as Buffer),
          qos: packet.qos,
          duplicate: packet.dup,
        };
        this.received.push(received);
        if (packet.qos === 1 && this.acknowledge) {
          socket.write(generate({ cmd: "puback", messageId: packet.messageId ?? 0 }));
        }
        this.onPublish(received);
        return client;
      }
      case "puback":
        this.pubacks.push(packet.messageId ?? 0);
        return client;
      case "pingreq":
        socket.write(generate({ cmd: "pingresp" }));
        return client;
      case "disconnect":
        socket.end();
        return client;
      default:
        return client;
    }
  }

  #notify(): void {
    const met = this.#waiters.filter((waiter) => waiter.ready());
    this.#waiters = this.#waiters.filter((waiter) => !met.includes(waiter));
    for (const waiter of met) {
      waiter.resolve();
    }
  }
}
