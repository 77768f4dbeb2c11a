// SPDX-License-Identifier: Apache-2.0
// What we send as confirmable: separate answers and notifications.
//
// X1. A message is sent at most 1 + MAX_RETRANSMIT times, the waits doubling from a random start (RFC 7252 section 4.2).
// X2. At most one message to a peer is on its way (NSTART = 1, section 4.7); the others wait, up to a limit.
// X3. Every message ends exactly once: acknowledged, reset, or lost.
import { TimeHeap } from "@coalmine/core";
import type { CoapLimits } from "./limits.ts";
import type { Peer } from "./peer.ts";

/** How a confirmable message ended. */
export type Outcome = "acknowledged" | "reset" | "lost";

export interface Outgoing {
  readonly peer: Peer;
  readonly id: number;
  readonly parts: readonly Buffer[];
  readonly ended: (outcome: Outcome) => void;
}

interface Flight {
  readonly outgoing: Outgoing;
  timeout_s: number;
  sendings: number;
  done: boolean;
}

interface Lane {
  flight: Flight;
  readonly waiting: Outgoing[];
}

export class Retransmission {
  readonly #limits: CoapLimits;
  readonly #random: () => number;
  readonly #send: (peer: Peer, parts: readonly Buffer[], again: boolean) => void;
  readonly #lanes = new Map<Peer, Lane>();
  readonly #due = new TimeHeap<Flight>();

  constructor(options: { readonly limits: CoapLimits; readonly random: () => number; readonly send: (peer: Peer, parts: readonly Buffer[], again: boolean) => void }) {
    this.#limits = options.limits;
    this.#random = options.random;
    this.#send = options.send;
  }

  /** When the next message has to be sent again or given up; `Infinity` for never. */
  get next_s(): number {
    return this.#due.first;
  }

  /** Peers with a message on its way. */
  get active(): number {
    return this.#lanes.size;
  }

  /** Sends a message until it is acknowledged. With too many waiting for this peer the oldest one is lost. */
  post(outgoing: Outgoing, now_s: number): void {
    const lane = this.#lanes.get(outgoing.peer);
    if (lane === undefined) {
      this.#start(outgoing, now_s);
      return;
    }
    lane.waiting.push(outgoing);
    if (lane.waiting.length > this.#limits.separateWaiting) {
      lane.waiting.shift()?.ended("lost");
    }
  }

  /** An acknowledgement or a reset came; false when it belongs to nothing. */
  settle(peer: Peer, id: number, outcome: "acknowledged" | "reset", now_s: number): boolean {
    const flight = this.#lanes.get(peer)?.flight;
    if (flight === undefined || flight.outgoing.id !== id) {
      return false;
    }
    this.#end(flight, outcome, now_s);
    return true;
  }

  /** Forgets a peer: everything for it is lost. */
  drop(peer: Peer): void {
    const lane = this.#lanes.get(peer);
    if (lane !== undefined) {
      this.#lanes.delete(peer);
      lane.flight.done = true;
      for (const outgoing of [lane.flight.outgoing, ...lane.waiting]) {
        outgoing.ended("lost");
      }
    }
  }

  /** Sends again what is due. */
  run(now_s: number): void {
    while (this.#due.first <= now_s) {
      const flight = this.#due.pop() as Flight;
      if (flight.done) {
        continue;
      }
      if (flight.sendings > this.#limits.maxRetransmit) {
        this.#end(flight, "lost", now_s);
        continue;
      }
      flight.timeout_s *= 2;
      this.#transmit(flight, now_s);
    }
  }

  #start(outgoing: Outgoing, now_s: number): void {
    const { ackTimeout_s, ackRandomFactor } = this.#limits;
    const flight: Flight = { outgoing, timeout_s: ackTimeout_s * (1 + this.#random() * (ackRandomFactor - 1)), sendings: 0, done: false };
    this.#lanes.set(outgoing.peer, { flight, waiting: [] });
    this.#transmit(flight, now_s);
  }

  #transmit(flight: Flight, now_s: number): void {
    flight.sendings += 1;
    this.#due.push(now_s + flight.timeout_s, flight);
    this.#send(flight.outgoing.peer, flight.outgoing.parts, flight.sendings > 1);
  }

  #end(flight: Flight, outcome: Outcome, now_s: number): void {
    const { outgoing } = flight;
    const lane = this.#lanes.get(outgoing.peer) as Lane;
    flight.done = true;
    this.#lanes.delete(outgoing.peer);
    const next = lane.waiting.shift();
    if (next !== undefined) {
      this.#start(next, now_s);
      this.#lanes.get(next.peer)?.waiting.push(...lane.waiting);
    }
    outgoing.ended(outcome);
  }
}
