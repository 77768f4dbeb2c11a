// SPDX-License-Identifier: Apache-2.0
// Somebody else's eyes on the broker: sees every command that leaves, and asks the log at once whether it is in there.
import type { DeviceId } from "@coalmine/core";
import { commandTopic, decodeCommand, parseTopic } from "@coalmine/protocol";
import { generate, type IPublishPacket, parser } from "mqtt-packet";
import { once } from "node:events";
import { connect, type Socket } from "node:net";

export interface SeenOffer {
  readonly device: DeviceId;
  readonly offer: number;
  readonly release: string;
}

export interface ObserverEvents {
  offer(seen: SeenOffer): void;
}

const filter = commandTopic("+" as DeviceId);

/** Subscribes to the commands of all devices, QoS 1. */
export class Observer {
  readonly #socket: Socket;
  /** Retained offers by device, as the subscription found them. */
  readonly retained = new Map<DeviceId, SeenOffer>();
  commands = 0;
  trouble = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static async start(port: number, clientId: string, events: ObserverEvents): Promise<Observer> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    const observer = new Observer(socket);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const packets = parser({ protocolVersion: 4 });
    const write = (packet: Parameters<typeof generate>[0]): void => void socket.write(generate(packet, { protocolVersion: 4 }));
    packets.on("packet", (packet) => {
      switch (packet.cmd) {
        case "connack":
          write({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: filter, qos: 1 }] });
          break;
        case "suback":
          resolve();
          break;
        case "publish":
          if (packet.qos === 1) {
            write({ cmd: "puback", messageId: packet.messageId as number });
          }
          observer.#take(packet, events);
          break;
        default:
          break;
      }
    });
    socket.on("data", (chunk) => packets.parse(chunk as Buffer));
    socket.on("error", (error) => {
      observer.trouble = error.message;
      reject(error);
    });
    socket.on("close", () => {
      observer.trouble ||= "closed";
    });
    await once(socket, "connect");
    write({ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clean: true, clientId, keepalive: 0 });
    await promise;
    return observer;
  }

  #take(packet: IPublishPacket, events: ObserverEvents): void {
    const device = parseTopic(packet.topic)?.device;
    if (device === undefined || packet.payload.length === 0) {
      return; // an empty payload takes a kept offer back
    }
    const decoded = decodeCommand(new Uint8Array(packet.payload as Buffer));
    if (decoded.kind !== "ok") {
      return;
    }
    this.commands += 1;
    const command = decoded.value;
    if (command.kind !== "offer") {
      return;
    }
    const seen = { device, offer: command.offer, release: command.release };
    if (packet.retain) {
      this.retained.set(device, seen);
    } else {
      events.offer(seen);
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}
