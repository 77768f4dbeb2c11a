// SPDX-License-Identifier: Apache-2.0
import { Socket } from "node:net";
import type { BrokerAddress } from "./address.ts";
import type { PacketSink } from "./wire.ts";

export interface SocketOwner<C> extends PacketSink<C> {
  opened(connection: C): void;
  read(connection: C, bytes: Buffer): void;
  /** After an error or an end; `reason` is empty when there was none to name. */
  lost(connection: C, reason: string): void;
}

/** Every socket reads into this buffer: reading is synchronous, and what stays is copied. */
const shared = Buffer.allocUnsafeSlow(64 * 1024);

const onread = {
  buffer: shared,
  callback(this: unknown, count: number, buffer: Uint8Array): boolean {
    (this as DeviceSocket<unknown>).received(count, buffer as Buffer);
    return true;
  },
};

/** A socket that knows its connection, so that all sockets share three listeners and one read buffer. */
export class DeviceSocket<C> extends Socket {
  readonly #owner: SocketOwner<C>;
  readonly #connection: C;
  #reason = "";

  constructor(owner: SocketOwner<C>, connection: C, address: BrokerAddress) {
    super({ onread, noDelay: true });
    this.#owner = owner;
    this.#connection = connection;
    this.on("connect", onConnect);
    this.on("error", onError);
    this.on("close", onClose);
    this.connect({ port: address.port, host: address.host });
  }

  received(count: number, buffer: Buffer): void {
    this.#owner.read(this.#connection, buffer.subarray(0, count));
  }

  established(): void {
    this.#owner.opened(this.#connection);
  }

  fail(error: Error): void {
    this.#reason = error.message;
  }

  gone(): void {
    this.#owner.lost(this.#connection, this.#reason);
  }
}

function onConnect(this: unknown): void {
  (this as DeviceSocket<unknown>).established();
}

function onError(this: unknown, error: Error): void {
  (this as DeviceSocket<unknown>).fail(error);
}

function onClose(this: unknown): void {
  (this as DeviceSocket<unknown>).gone();
}
