// SPDX-License-Identifier: Apache-2.0
// A UDP socket for each device, on a network that may lose datagrams in both directions, drawn by device, direction and number.
import type { DeviceId } from "@coalmine/core";
import { draw } from "@coalmine/world";
import { createSocket, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import type { BrokerAddress } from "./address.ts";

export interface CoapSocketOptions {
  readonly address: BrokerAddress;
  readonly seed: number;
  /** Share of the datagrams that get lost, in each direction. */
  readonly loss: number;
  readonly received: (index: number, bytes: Buffer) => void;
  /** A datagram for this device got lost. */
  readonly lost: (index: number) => void;
  readonly failed: (error: Error) => void;
}

/** A datagram of an artifact's block, with room to spare. */
const socketBuffer = 65_536;

interface Port {
  readonly socket: Socket;
  /** Datagrams so far, in each direction. */
  up: number;
  down: number;
}

export class CoapSockets {
  readonly #options: CoapSocketOptions;
  readonly #ids: readonly DeviceId[];
  readonly #ports: (Port | null)[];
  #closed = false;

  constructor(options: CoapSocketOptions, ids: readonly DeviceId[]) {
    this.#options = options;
    this.#ids = ids;
    this.#ports = ids.map(() => null);
  }

  /** Sends a datagram of a device; its socket is opened with the first. False when the network loses it. */
  send(index: number, bytes: Buffer): boolean {
    if (this.#closed) {
      return false;
    }
    const port = (this.#ports[index] ??= this.#open(index));
    port.up += 1;
    if (this.#isLost(index, "datagram up", port.up)) {
      return false;
    }
    port.socket.send(bytes, this.#options.address.port, this.#options.address.host);
    return true;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const open = this.#ports.filter((port) => port !== null);
    this.#ports.fill(null);
    await Promise.all(open.map(({ socket }) => new Promise<void>((resolve) => socket.close(() => resolve()))));
  }

  #open(index: number): Port {
    const { host } = this.#options.address;
    const family = isIPv6(host) ? 6 : 4;
    const socket = createSocket({ type: family === 6 ? "udp6" : "udp4", lookup: (name, _options, done) => done(null, name, family), recvBufferSize: socketBuffer });
    const port: Port = { socket, up: 0, down: 0 };
    socket.on("message", (bytes) => {
      port.down += 1;
      if (this.#isLost(index, "datagram down", port.down)) {
        this.#options.lost(index);
      } else if (!this.#closed) {
        this.#options.received(index, bytes);
      }
    });
    // A host that is not there: the retransmissions find out.
    socket.on("error", this.#options.failed);
    return port;
  }

  #isLost(index: number, direction: string, number: number): boolean {
    const { loss, seed } = this.#options;
    return loss > 0 && draw(seed, this.#ids[index] as DeviceId, direction, number) < loss;
  }
}
