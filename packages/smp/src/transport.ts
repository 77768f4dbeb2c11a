// SPDX-License-Identifier: Apache-2.0

/** Who hears what a transport receives. */
export interface TransportListener {
  /** One SMP packet, or what claims to be one. */
  packet(bytes: Uint8Array): void;
  /** No packet will come any more. */
  closed(cause: Error | undefined): void;
}

/** Carries SMP packets to one board and back. A packet may be lost, doubled or late; it is never cut. */
export interface SmpTransport {
  /** Where the board is, for messages. */
  readonly name: string;
  /** Bytes of one packet, header included. */
  readonly packetMax: number;
  /** Bytes of the board's buffer that the transport needs beside the packet. */
  readonly overhead: number;
  listen(listener: TransportListener): void;
  /** Loss is silence: trouble with one packet is not reported. */
  send(packet: Uint8Array): void;
  close(): Promise<void>;
}

/** Time, as the client and the updater need it. Delays in milliseconds. */
export interface Timers {
  after(delay: number, run: () => void): { cancel(): void };
  now(): number;
}

export const realTimers: Timers = {
  after(delay, run) {
    const timer = setTimeout(run, delay);
    return { cancel: () => clearTimeout(timer) };
  },
  now: () => performance.now(),
};
