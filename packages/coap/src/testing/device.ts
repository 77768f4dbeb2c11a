// SPDX-License-Identifier: Apache-2.0
import { deviceId } from "@coalmine/core";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { type ClientAnswer, type ClientRequest, CoapClient, type ClientTimes } from "../client.ts";
import { type Message, parseMessage } from "../message.ts";

/** A device behind a UDP socket of its own, for tests. */
export class TestDevice {
  readonly client: CoapClient;
  readonly socket: Socket;
  readonly heard: ClientAnswer[] = [];
  /** Raw datagrams that came. */
  readonly received: Buffer[] = [];
  /** Loses a datagram: called with the direction and its number from 0. */
  lose: (direction: "up" | "down", number: number) => boolean = () => false;
  sequence = 0;
  #sent = 0;
  #waiters: (() => void)[] = [];
  readonly #timer: NodeJS.Timeout;

  private constructor(socket: Socket, id: string, secret: Uint8Array | undefined, times: Partial<ClientTimes>) {
    this.socket = socket;
    this.client = new CoapClient({
      identity: secret === undefined ? { device: deviceId(id) } : { device: deviceId(id), secret, sequence: () => this.sequence++, behind: (used) => (this.sequence = used + 1) },
      send: (bytes) => {
        if (!this.lose("up", this.#sent++)) {
          socket.send(bytes);
        }
      },
      now_s: () => performance.now() / 1_000,
      random: Math.random,
      times,
    });
    socket.on("message", (bytes) => {
      this.received.push(bytes);
      if (!this.lose("down", this.received.length - 1)) {
        this.client.receive(bytes);
      }
      this.#notify();
    });
    this.#timer = setInterval(() => this.client.run(), 5);
  }

  static async connect(port: number, options: { readonly id?: string; readonly secret?: Uint8Array; readonly times?: Partial<ClientTimes> } = {}): Promise<TestDevice> {
    const socket = createSocket("udp4");
    socket.connect(port, "127.0.0.1");
    await once(socket, "connect");
    return new TestDevice(socket, options.id ?? "dev-1", options.secret, options.times ?? { ackTimeout_s: 0.05 });
  }

  request(request: ClientRequest): Promise<ClientAnswer | undefined> {
    return new Promise((resolve) => this.client.request(request, resolve));
  }

  observe(request: ClientRequest): Promise<ClientAnswer | undefined> {
    return new Promise((resolve) => {
      this.client.observe(request, {
        done: resolve,
        heard: (answer) => {
          this.heard.push(answer);
          this.#notify();
        },
      });
    });
  }

  /** Sends raw bytes and resolves with the next datagram. */
  async raw(bytes: Uint8Array): Promise<Message> {
    const count = this.received.length;
    this.socket.send(bytes);
    await this.until(() => this.received.length > count);
    const parsed = parseMessage(this.received[count] as Buffer);
    if (parsed.kind !== "message") {
      throw new Error(`the server sent ${parsed.kind}: ${parsed.reason}`);
    }
    return parsed.message;
  }

  until(ready: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (ready()) {
          resolve();
        } else {
          this.#waiters.push(look);
        }
      };
      look();
    });
  }

  close(): Promise<void> {
    clearInterval(this.#timer);
    return new Promise((resolve) => this.socket.close(resolve));
  }

  #notify(): void {
    const waiting = this.#waiters;
    this.#waiters = [];
    for (const look of waiting) {
      look();
    }
  }
}
