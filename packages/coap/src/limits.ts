// SPDX-License-Identifier: Apache-2.0

/** A token bucket's shape: `perSecond` on average, `burst` at once. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** What one peer, one device, and all of them may take of the server. Times are in seconds. */
export interface CoapLimits {
  /** Bytes of a datagram that is taken in: an Ethernet frame's worth, which RFC 7252 section 4.6 stays below. */
  readonly datagramBytes: number;
  /** Peers (address and port) that are remembered; the one silent for longest goes first. */
  readonly peers: number;
  /** Datagrams of one peer; more are dropped without an answer, and the peer's retransmission slows it down. */
  readonly datagrams: Rate;
  /** Reports of one device; more are answered 4.29 with the time to wait. */
  readonly reports: Rate;
  /** Remembered exchanges of one peer and of all, bytes of kept answers, and how long (EXCHANGE_LIFETIME). */
  readonly exchangesOfPeer: number;
  readonly exchanges: number;
  readonly exchangeBytes: number;
  readonly exchangeLifetime_s: number;
  /** Bytes of unfinished Block1 uploads of one device and of all, their number, and how long one may pause. */
  readonly uploadBytes: number;
  readonly uploadsBytes: number;
  readonly uploads: number;
  readonly uploadPause_s: number;
  /** Observers of one resource of one device, and of all. */
  readonly observersOfDevice: number;
  readonly observers: number;
  /** Commands that wait for a device. */
  readonly commands: number;
  /** Time after which an answer that is not ready is announced by an empty acknowledgement and sent separately. */
  readonly separateAfter_s: number;
  /** Answers waiting to be sent separately to one peer, NSTART = 1 being on its way. */
  readonly separateWaiting: number;
  /** Retransmission (RFC 7252 section 4.8). */
  readonly ackTimeout_s: number;
  readonly ackRandomFactor: number;
  readonly maxRetransmit: number;
  /** Bytes of an answer per byte of the request, for an address that has not been validated. */
  readonly amplification: number;
  /** How long an Echo value proves an address. */
  readonly echoLifetime_s: number;
  /** Devices whose replay windows are kept; one that was dropped proves its freshness again. */
  readonly windows: number;
}

export const defaultLimits: CoapLimits = {
  datagramBytes: 1_472,
  peers: 20_000,
  datagrams: { perSecond: 2_000, burst: 20_000 },
  reports: { perSecond: 10, burst: 50 },
  exchangesOfPeer: 128,
  exchanges: 65_536,
  exchangeBytes: 8 * 1_048_576,
  exchangeLifetime_s: 247,
  uploadBytes: 65_536,
  uploadsBytes: 32 * 1_048_576,
  uploads: 4_096,
  uploadPause_s: 120,
  observersOfDevice: 4,
  observers: 100_000,
  commands: 32,
  separateAfter_s: 1,
  separateWaiting: 16,
  ackTimeout_s: 2,
  ackRandomFactor: 1.5,
  maxRetransmit: 4,
  amplification: 3,
  echoLifetime_s: 60,
  windows: 200_000,
};

/** Rates for devices whose clock runs faster than ours, and for benchmarks. */
export const unlimited: Rate = { perSecond: Number.POSITIVE_INFINITY, burst: Number.POSITIVE_INFINITY };

/** A token bucket. */
export class Bucket {
  #tokens: number;
  #filledAt: number;

  constructor(rate: Rate, now_s: number) {
    this.#tokens = rate.burst;
    this.#filledAt = now_s;
  }

  /** Takes a token and returns 0, or returns the seconds until there is one. */
  take(rate: Rate, now_s: number): number {
    if (rate.perSecond === Number.POSITIVE_INFINITY) {
      return 0;
    }
    this.#tokens = Math.min(rate.burst, this.#tokens + (now_s - this.#filledAt) * rate.perSecond);
    this.#filledAt = now_s;
    if (this.#tokens < 1) {
      return (1 - this.#tokens) / rate.perSecond;
    }
    this.#tokens -= 1;
    return 0;
  }
}
