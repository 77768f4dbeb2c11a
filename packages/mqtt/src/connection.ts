// SPDX-License-Identifier: Apache-2.0
// One connection to a foreign broker, MQTT 3.1.1 over TCP. MQTT.js hands messages over one by one and waits for each;
// with a commit behind every report that would be one report per commit, so the few packets needed are handled here.
import { connect, type Socket } from "node:net";
import { CoalmineError } from "@coalmine/core";
import { generate, type IPublishPacket, type Packet, parser } from "mqtt-packet";

export interface Address {
  readonly host: string;
  readonly port: number;
  /** For messages; without credentials. */
  readonly name: string;
  readonly clientId: string;
  readonly username?: string;
  readonly password?: string;
  readonly keepalive_s: number;
  readonly connect_s: number;
}

export interface ConnectionEvents {
  /** Subscribed to at QoS 1 before the connection counts as open. */
  readonly filters: readonly string[];
  publish(packet: IPublishPacket, from: Connection): void;
  acknowledged(packetId: number): void;
  /** Once, after it was open. */
  closed(reason: string): void;
}

export type Outgoing = Pick<IPublishPacket, "topic" | "qos" | "retain" | "dup" | "messageId"> & { readonly payload: Uint8Array };

/** Publications count up to the number before it. */
const SUBSCRIBE_ID = 65_535;
const SUBACK_FAILURE = 0x80;
const returnCodes = ["accepted", "unacceptable protocol version", "client id rejected", "server unavailable", "bad user name or password", "not authorized"];

export class Connection {
  readonly #socket: Socket;
  #acknowledgements: number[] = [];
  #heard = true;
  #ping: NodeJS.Timeout | undefined;
  #reason = "closed by the broker";

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Connects to the session, subscribes, and resolves. Rejects `link/unreachable` or `link/denied`. */
  static open(address: Address, events: ConnectionEvents): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: address.host, port: address.port, noDelay: true });
      const connection = new Connection(socket);
      let opened = false;
      const fail = (error: CoalmineError): void => {
        clearTimeout(deadline);
        socket.destroy();
        reject(error);
      };
      const unreachable = (reason: string): CoalmineError =>
        new CoalmineError("link/unreachable", `cannot reach the MQTT broker ${address.name}: ${reason}; is it running, and is the address right?`, { retry: "later" });
      const denied = (reason: string): CoalmineError =>
        new CoalmineError("link/denied", `the MQTT broker ${address.name} refuses client ${address.clientId}: ${reason}`);
      const deadline = setTimeout(() => fail(unreachable(`no answer in ${address.connect_s} s`)), address.connect_s * 1_000);
      const packets = parser({ protocolVersion: 4 });
      packets.on("packet", (packet: Packet) => {
        switch (packet.cmd) {
          case "connack":
            if (packet.returnCode !== 0) {
              fail(denied(returnCodes[packet.returnCode ?? -1] ?? "unknown return code"));
              return;
            }
            connection.#write({
              cmd: "subscribe",
              messageId: SUBSCRIBE_ID,
              subscriptions: events.filters.map((topic) => ({ topic, qos: 1 })),
            });
            return;
          case "suback":
            if (packet.granted.some((granted) => granted === SUBACK_FAILURE)) {
              fail(denied("it may not subscribe to what devices send"));
              return;
            }
            clearTimeout(deadline);
            opened = true;
            connection.#keepAlive(address.keepalive_s);
            resolve(connection);
            return;
          case "publish":
            events.publish(packet, connection);
            return;
          case "puback":
            events.acknowledged(packet.messageId as number);
            return;
          case "pingresp":
            return;
          default:
            connection.#abort(`it sent ${packet.cmd}`);
        }
      });
      packets.on("error", (error: Error) => connection.#abort(`it sent what is not MQTT (${error.message})`));
      socket.on("data", (chunk: Buffer) => {
        connection.#heard = true;
        packets.parse(chunk);
      });
      socket.on("error", (error) => {
        connection.#reason = error.message;
      });
      socket.once("close", () => {
        clearInterval(connection.#ping);
        if (opened) {
          events.closed(connection.#reason);
        } else {
          fail(unreachable(connection.#reason));
        }
      });
      socket.once("connect", () => {
        const { clientId, keepalive_s, username, password } = address;
        connection.#write({
          cmd: "connect",
          protocolId: "MQTT",
          protocolVersion: 4,
          clean: false,
          clientId,
          keepalive: Math.ceil(keepalive_s),
          ...(username === undefined ? {} : { username }),
          ...(password === undefined ? {} : { password: Buffer.from(password) }),
        });
      });
    });
  }

  /** Bytes the broker has not taken yet. */
  get waitingBytes(): number {
    return this.#socket.writableLength;
  }

  publish(packet: Outgoing): void {
    const { payload } = packet;
    this.#write({ cmd: "publish", ...packet, payload: Buffer.from(payload.buffer, payload.byteOffset, payload.length) });
  }

  /** Acknowledges a message; those of one turn leave in one write. After the connection closed it does nothing. */
  acknowledge(packetId: number): void {
    if (this.#acknowledgements.push(packetId) === 1) {
      setImmediate(() => this.#flush());
    }
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Says good-bye: the session stays with the broker. */
  end(): void {
    this.#flush();
    clearInterval(this.#ping);
    this.#write({ cmd: "disconnect" });
    this.#socket.end();
    this.#socket.resume();
    // A broker that does not close its side must not keep the process alive.
    this.#socket.unref();
  }

  #flush(): void {
    const ids = this.#acknowledgements;
    this.#acknowledgements = [];
    if (ids.length === 0 || !this.#socket.writable) {
      return;
    }
    // PUBACK: type 4, two bytes of packet identifier (MQTT 3.1.1 section 3.4).
    const bytes = Buffer.allocUnsafe(ids.length * 4);
    ids.forEach((id, index) => {
      bytes.writeUInt16BE(0x4002, index * 4);
      bytes.writeUInt16BE(id, index * 4 + 2);
    });
    this.#socket.write(bytes);
  }

  #keepAlive(keepalive_s: number): void {
    this.#ping = setInterval(() => {
      if (!this.#heard && !this.#socket.isPaused()) {
        this.#abort(`silent for ${keepalive_s} s`);
        return;
      }
      this.#heard = false;
      this.#write({ cmd: "pingreq" });
    }, keepalive_s * 500);
  }

  #abort(reason: string): void {
    this.#reason = reason;
    this.#socket.destroy();
  }

  #write(packet: Packet): void {
    if (this.#socket.writable) {
      this.#socket.write(generate(packet, { protocolVersion: 4 }));
    }
  }
}
