// SPDX-License-Identifier: Apache-2.0
import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { SerialDecoder, encodeSerial } from "../serial-frame.ts";
import type { SmpTransport, Timers, TransportListener } from "../transport.ts";
import type { SmpServer } from "./server.ts";

/** What happens to one packet on the way. */
export type Fate = "arrives" | "lost" | "twice";

/** Decides a packet's fate; called in order, for both directions. */
export type Weather = (packet: Uint8Array, direction: "to-board" | "to-client") => Fate;

export const calm: Weather = () => "arrives";

/** Loses and doubles packets with fixed chances, reproducibly (xorshift over the seed). */
export function stormy(seed: number, chances: { readonly loss: number; readonly double?: number }): Weather {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    const draw = state / 2 ** 32;
    return draw < chances.loss ? "lost" : draw < chances.loss + (chances.double ?? 0) ? "twice" : "arrives";
  };
}

/**
 * Time that jumps to the next due timer as soon as nothing else is left to do.
 *
 * One turn of the event loop passes between jumps, in which promises settle and packets arrive.
 */
export class JumpingTimers implements Timers {
  #now = 0;
  #due: { at: number; run: () => void }[] = [];
  #jumping = false;

  after(delay: number, run: () => void): { cancel(): void } {
    const timer = { at: this.#now + delay, run };
    this.#due.push(timer);
    this.#jump();
    return {
      cancel: () => {
        this.#due = this.#due.filter((one) => one !== timer);
      },
    };
  }

  now(): number {
    return this.#now;
  }

  #jump(): void {
    if (this.#jumping) {
      return;
    }
    this.#jumping = true;
    setImmediate(() => {
      this.#jumping = false;
      const next = this.#due.toSorted((a, b) => a.at - b.at)[0];
      if (next !== undefined) {
        this.#due = this.#due.filter((one) => one !== next);
        this.#now = next.at;
        next.run();
        this.#jump();
      }
    });
  }
}

/** A link in memory to a simulated board. Packets pass within the call; a requested reset follows the answer. */
export function inMemory(server: SmpServer, weather: Weather = calm): SmpTransport {
  let listener: TransportListener | undefined;
  let open = true;
  const arrivals = (packet: Uint8Array, direction: "to-board" | "to-client"): number => ({ arrives: 1, lost: 0, twice: 2 })[weather(packet, direction)];
  return {
    name: "the simulated board",
    packetMax: 2048,
    overhead: 0,
    listen(one) {
      listener = one;
    },
    send(packet) {
      for (let i = arrivals(packet, "to-board"); i > 0; i--) {
        const answer = server.handle(packet);
        for (let j = answer === undefined ? 0 : arrivals(answer, "to-client"); j > 0 && open; j--) {
          listener?.packet((answer as Uint8Array).slice());
        }
        if (server.resetRequested) {
          server.reboot();
        }
      }
    },
    async close() {
      if (open) {
        open = false;
        listener?.closed(undefined);
      }
    },
  };
}

/** A simulated board behind a UDP port of the loopback interface. */
export async function serveUdp(server: SmpServer, weather: Weather = calm): Promise<{ readonly port: number; close(): Promise<void> }> {
  const socket = createSocket("udp4");
  socket.on("message", (packet, peer) => {
    if (weather(packet, "to-board") === "lost") {
      return;
    }
    const answer = server.handle(new Uint8Array(packet));
    if (answer !== undefined && weather(answer, "to-client") !== "lost") {
      socket.send(answer, peer.port, peer.address);
    }
    if (server.resetRequested) {
      server.reboot();
    }
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return {
    port: socket.address().port,
    close: () =>
      new Promise((resolve) => {
        socket.close(() => resolve());
      }),
  };
}

/** A simulated board at the other end of a serial line. `chatter` is written before each answer, as a shared console does. */
export function serveStream(server: SmpServer, stream: Duplex, options: { readonly chatter?: string } = {}): void {
  const decoder = new SerialDecoder(server.bufferBytes);
  stream.on("error", () => undefined);
  stream.on("data", (bytes: Uint8Array) =>
    decoder.push(bytes, (packet) => {
      const answer = server.handle(packet);
      if (options.chatter !== undefined) {
        stream.write(options.chatter);
      }
      if (answer !== undefined) {
        stream.write(encodeSerial(answer));
      }
      if (server.resetRequested) {
        server.reboot();
      }
    }),
  );
}
