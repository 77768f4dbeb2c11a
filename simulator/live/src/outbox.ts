// SPDX-License-Identifier: Apache-2.0
import type { Report } from "@coalmine/protocol";

/** Something written to a socket that will be answered. */
export interface Flight {
  /** Device time of its latest writing. */
  sentAt: number;
  /** Real time of the same, in milliseconds. */
  writtenAt: number;
  /** Written to the connection that is up, and not yet answered. */
  flying: boolean;
}

/** A report on its way. */
export interface Posted extends Flight {
  readonly report: Report;
  /** MQTT packet id; 0 while it has not been written to a socket. */
  packetId: number;
}

/** A block request on its way. */
export interface Asked extends Flight {
  readonly request: number;
}

export function posted(report: Report): Posted {
  return { report, packetId: 0, sentAt: 0, writtenAt: 0, flying: false };
}

/** Reports that one device keeps while it cannot deliver them. */
export const outboxMax = 64;

/** Reports in flight at once on one connection. */
export const windowMax = 8;

/** True when this very report is on its way already: a board sends again what it holds when its link comes up. */
export function isPosted(outbox: readonly Posted[], { boot, sequence }: Report): boolean {
  return outbox.some(({ report }) => report.sequence === sequence && report.boot === boot);
}

/**
 * Adds a report to a device's outbox. A full one drops the oldest heartbeat that is not in flight, else the oldest
 * report that is not: newer state is worth more, and a board's storage is small. Returns how many were dropped.
 */
export function post(outbox: Posted[], item: Posted): number {
  outbox.push(item);
  if (outbox.length <= outboxMax) {
    return 0;
  }
  const waiting = (candidate: Posted): boolean => candidate.packetId === 0;
  let victim = outbox.findIndex((candidate) => waiting(candidate) && candidate.report.body.kind === "heartbeat");
  if (victim < 0) {
    victim = outbox.findIndex(waiting);
  }
  for (const dropped of outbox.splice(victim, 1)) {
    dropped.flying = false;
  }
  return 1;
}

/** Takes the report with this packet id out; undefined when none is in flight under it. */
export function settle(outbox: Posted[], packetId: number): Posted | undefined {
  const index = outbox.findIndex((item) => item.packetId === packetId);
  if (index < 0) {
    return undefined;
  }
  const [item] = outbox.splice(index, 1) as [Posted];
  item.flying = false;
  return item;
}

/** What is in flight, oldest first, so that device time can wait for it. */
export class InFlight {
  #items: Flight[] = [];
  /** Device time at which each was added: one that was sent again stands here twice, and only its latest sending counts. */
  #sentAt: number[] = [];
  #head = 0;

  add(item: Flight): void {
    this.#items.push(item);
    this.#sentAt.push(item.sentAt);
  }

  /** The oldest that is still in flight. One written before `since` (real time) counts as lost: nothing waits for it. */
  oldest(since: number): Flight | undefined {
    for (let item = this.#items[this.#head]; item !== undefined && (!item.flying || item.writtenAt < since || item.sentAt !== this.#sentAt[this.#head]); item = this.#items[this.#head]) {
      this.#head += 1;
    }
    if (this.#head > 1_024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#sentAt = this.#sentAt.slice(this.#head);
      this.#head = 0;
    }
    return this.#items[this.#head];
  }
}
