// SPDX-License-Identifier: Apache-2.0
// Virtual time: one heap of (time, sequence), synchronous.
//
// W1. Events happen in the order of their times; of equal times, in the order in which they were planned.
// W2. Time never goes back: what is planned in the past happens now, after everything already planned for now.
// W3. A timer is planned at most once; planning it again replaces the earlier plan and takes a new place in the order.
import type { Instant } from "@coalmine/core";

/** Takes what happens. Both may plan further events. */
export interface WorldHandler<T> {
  /** The timer with this number, usually a device's index, has come due. */
  timer(timer: number, now: Instant): void;
  /** A posted item has arrived. */
  item(item: T, now: Instant): void;
}

const idle = -1;

/**
 * A clock and everything that is planned on it: one timer per device, and any number of items (messages, faults, ticks).
 *
 * An indexed 4-ary heap over typed arrays: replacing or clearing a timer moves its entry in place, so nothing stale stays
 * behind. A popped root is left as a hole that the next event planned fills, which is what a device does at each wake.
 */
export class World<T> {
  #now: Instant;
  #events = 0;
  #sequence = 0;
  /** Entries in the heap, the hole included. */
  #size = 0;
  #hole = false;
  #at: Float64Array;
  #order: Float64Array;
  /** Timer number, or `~slot` of an item. */
  #what: Int32Array;
  /** Heap position by timer number. */
  #position: Int32Array;
  readonly #items: (T | undefined)[] = [];
  #freeSlots: number[] = [];

  /** `timers`: how many timers are expected; the arrays grow when there are more. */
  constructor(options: { readonly start: Instant; readonly timers?: number }) {
    this.#now = options.start;
    const capacity = Math.max(64, options.timers ?? 0);
    this.#at = new Float64Array(capacity);
    this.#order = new Float64Array(capacity);
    this.#what = new Int32Array(capacity);
    this.#position = new Int32Array(capacity).fill(idle);
  }

  get now(): Instant {
    return this.#now;
  }

  /** Events that have happened. */
  get events(): number {
    return this.#events;
  }

  /** Events that are planned. */
  get pending(): number {
    return this.#hole ? this.#size - 1 : this.#size;
  }

  /** When the next event happens; `Infinity` when nothing is planned. */
  get nextAt(): number {
    this.#close();
    return this.#size === 0 ? Number.POSITIVE_INFINITY : (this.#at[0] as number);
  }

  /** Plans an item. */
  post(at: Instant, item: T): void {
    const slot = this.#freeSlots.pop() ?? this.#items.length;
    this.#items[slot] = item;
    this.#insert(at, ~slot);
  }

  /** Plans the one event of a timer, replacing an earlier plan. `timer` is a whole number from 0. */
  setTimer(timer: number, at: Instant): void {
    if (timer >= this.#position.length) {
      this.#position = grown(this.#position, timer + 1, idle);
    }
    const position = this.#position[timer] as number;
    if (position === idle) {
      this.#insert(at, timer);
      return;
    }
    const time = at > this.#now ? at : this.#now;
    const earlier = time < (this.#at[position] as number);
    const order = this.#sequence++;
    if (earlier) {
      this.#rise(position, time, order, timer);
    } else {
      this.#sink(position, time, order, timer);
    }
  }

  clearTimer(timer: number): void {
    const position = this.#position[timer] ?? idle;
    if (position === idle) {
      return;
    }
    this.#close();
    const at = this.#position[timer] as number;
    this.#position[timer] = idle;
    const last = --this.#size;
    if (at === last) {
      return;
    }
    const time = this.#at[last] as number;
    const order = this.#order[last] as number;
    const what = this.#what[last] as number;
    if (at > 0 && this.#before(time, order, (at - 1) >> 2)) {
      this.#rise(at, time, order, what);
    } else {
      this.#sink(at, time, order, what);
    }
  }

  /** When a timer comes due; `Infinity` when it is not planned. */
  timerAt(timer: number): number {
    const position = this.#position[timer] ?? idle;
    return position === idle ? Number.POSITIVE_INFINITY : (this.#at[position] as number);
  }

  /** Lets the next event happen. False when nothing is planned. */
  step(handler: WorldHandler<T>): boolean {
    this.#close();
    if (this.#size === 0) {
      return false;
    }
    this.#happen(handler);
    return true;
  }

  /** Lets everything up to and including `until` happen, and then it is `until`. Returns the number of events. */
  runUntil(handler: WorldHandler<T>, until: Instant): number {
    const before = this.#events;
    for (;;) {
      this.#close();
      if (this.#size === 0 || (this.#at[0] as number) > until) {
        break;
      }
      this.#happen(handler);
    }
    if (until > this.#now) {
      this.#now = until;
    }
    return this.#events - before;
  }

  #happen(handler: WorldHandler<T>): void {
    this.#now = this.#at[0] as Instant;
    this.#events++;
    const what = this.#what[0] as number;
    this.#hole = true;
    if (what >= 0) {
      this.#position[what] = idle;
      handler.timer(what, this.#now);
    } else {
      const slot = ~what;
      const item = this.#items[slot] as T;
      this.#items[slot] = undefined;
      this.#freeSlots.push(slot);
      handler.item(item, this.#now);
    }
  }

  #insert(at: Instant, what: number): void {
    const time = at > this.#now ? at : this.#now;
    const order = this.#sequence++;
    if (this.#hole) {
      this.#hole = false;
      this.#sink(0, time, order, what);
      return;
    }
    const position = this.#size++;
    if (position >= this.#at.length) {
      const capacity = this.#at.length * 2;
      this.#at = grown(this.#at, capacity, 0);
      this.#order = grown(this.#order, capacity, 0);
      this.#what = grown(this.#what, capacity, 0);
    }
    this.#rise(position, time, order, what);
  }

  /** Fills a hole at the root by the last entry. */
  #close(): void {
    if (!this.#hole) {
      return;
    }
    this.#hole = false;
    const last = --this.#size;
    if (last > 0) {
      this.#sink(0, this.#at[last] as number, this.#order[last] as number, this.#what[last] as number);
    }
  }

  #before(time: number, order: number, position: number): boolean {
    const other = this.#at[position] as number;
    return time < other || (time === other && order < (this.#order[position] as number));
  }

  #rise(from: number, time: number, order: number, what: number): void {
    const at = this.#at;
    const orders = this.#order;
    const whats = this.#what;
    const positions = this.#position;
    let position = from;
    // A hole at the root counts as smaller than everything: nothing may rise into it.
    const top = this.#hole ? 4 : 0;
    while (position > top) {
      const parent = (position - 1) >> 2;
      const parentAt = at[parent] as number;
      if (time > parentAt || (time === parentAt && order >= (orders[parent] as number))) {
        break;
      }
      const moved = whats[parent] as number;
      at[position] = parentAt;
      orders[position] = orders[parent] as number;
      whats[position] = moved;
      if (moved >= 0) {
        positions[moved] = position;
      }
      position = parent;
    }
    at[position] = time;
    orders[position] = order;
    whats[position] = what;
    if (what >= 0) {
      positions[what] = position;
    }
  }

  #sink(from: number, time: number, order: number, what: number): void {
    const at = this.#at;
    const orders = this.#order;
    const whats = this.#what;
    const positions = this.#position;
    const size = this.#size;
    let position = from;
    for (;;) {
      let child = 4 * position + 1;
      if (child >= size) {
        break;
      }
      const end = child + 4 < size ? child + 4 : size;
      let childAt = at[child] as number;
      let childOrder = orders[child] as number;
      for (let other = child + 1; other < end; other++) {
        const otherAt = at[other] as number;
        if (otherAt < childAt || (otherAt === childAt && (orders[other] as number) < childOrder)) {
          child = other;
          childAt = otherAt;
          childOrder = orders[other] as number;
        }
      }
      if (time < childAt || (time === childAt && order < childOrder)) {
        break;
      }
      const moved = whats[child] as number;
      at[position] = childAt;
      orders[position] = childOrder;
      whats[position] = moved;
      if (moved >= 0) {
        positions[moved] = position;
      }
      position = child;
    }
    at[position] = time;
    orders[position] = order;
    whats[position] = what;
    if (what >= 0) {
      positions[what] = position;
    }
  }
}

function grown<A extends Float64Array | Int32Array>(old: A, length: number, fill: number): A {
  const capacity = Math.max(length, old.length * 2);
  const larger = (old instanceof Float64Array ? new Float64Array(capacity) : new Int32Array(capacity)) as A;
  larger.set(old);
  if (fill !== 0) {
    larger.fill(fill, old.length);
  }
  return larger;
}
