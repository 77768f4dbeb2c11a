// SPDX-License-Identifier: Apache-2.0

/** A token bucket's shape: `perSecond` on average, `burst` at once. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** What one device, and all of them, may take of the embedded broker. */
export interface BrokerLimits {
  /** Bytes of a message's payload. */
  readonly payloadBytes: number;
  /** Reports of one device. More are taken later, not lost; `delayMax_s` behind, the connection is closed. */
  readonly reports: Rate;
  /** Block requests of one device. */
  readonly blocks: Rate;
  /** Accepted connections of one device id. */
  readonly connects: Rate;
  readonly delayMax_s: number;
  /** Open connections of all devices. */
  readonly connections: number;
  /** A device must promise to speak at least this often; 0 (never) is refused. MQTT 3.1.1 section 3.1.2.10. */
  readonly keepaliveMax_s: number;
  /** Time from the TCP connection to CONNECT. */
  readonly connect_s: number;
  /** A device that takes nothing for so long is closed. */
  readonly drain_s: number;
  /** Bytes waiting for a device that reads slowly; block answers beyond are dropped, the device asks again. */
  readonly waitingBytes: number;
  /** Commands waiting for an absent device with a session; the oldest goes first. */
  readonly waitingCommands: number;
  /** Sessions of absent devices; the one that left first goes first. */
  readonly sessions: number;
}

export const defaultLimits: BrokerLimits = {
  payloadBytes: 8_192,
  reports: { perSecond: 10, burst: 50 },
  blocks: { perSecond: 200, burst: 400 },
  connects: { perSecond: 1, burst: 5 },
  delayMax_s: 10,
  connections: 20_000,
  keepaliveMax_s: 3_600,
  connect_s: 10,
  drain_s: 3,
  waitingBytes: 262_144,
  waitingCommands: 32,
  sessions: 100_000,
};

/** Rate limits for devices whose clock runs faster than ours, and for benchmarks. */
export const unlimited: Rate = { perSecond: Number.POSITIVE_INFINITY, burst: Number.POSITIVE_INFINITY };

/** A token bucket. It lends: `take` always succeeds and tells how long the taker must wait. */
export class Bucket {
  readonly #rate: Rate;
  #tokens: number;
  #filledAt: number;

  constructor(rate: Rate, now_s: number) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#filledAt = now_s;
  }

  /** Takes one token; returns the seconds until it is really there. */
  take(now_s: number): number {
    if (this.#rate.perSecond === Number.POSITIVE_INFINITY) {
      return 0;
    }
    this.#fill(now_s);
    this.#tokens -= 1;
    return this.#tokens >= 0 ? 0 : -this.#tokens / this.#rate.perSecond;
  }

  /** Takes one token if it is there. */
  takeNow(now_s: number): boolean {
    if (this.#rate.perSecond === Number.POSITIVE_INFINITY) {
      return true;
    }
    this.#fill(now_s);
    if (this.#tokens < 1) {
      return false;
    }
    this.#tokens -= 1;
    return true;
  }

  isFull(now_s: number): boolean {
    this.#fill(now_s);
    return this.#tokens >= this.#rate.burst;
  }

  #fill(now_s: number): void {
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + (now_s - this.#filledAt) * this.#rate.perSecond);
    this.#filledAt = now_s;
  }
}
