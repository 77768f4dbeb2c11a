// SPDX-License-Identifier: Apache-2.0
// A network with delay, loss, duplicates and partitions, all drawn by name (seed, device, message, n).
//
// N1. A report or a command is delivered at least once (QoS 1, CON): a lost one is sent again until it gets through or
//     the retries are used up; a lost acknowledgement makes a duplicate.
// N2. A block request or answer is sent once: what is lost stays lost, and the device asks again.
// N3. Nothing crosses a partition; what waits for it arrives after it heals.
import type { DeviceId, Instant, Millis } from "@coalmine/core";
import type { Draw } from "./draw.ts";
import { draw } from "./draw.ts";

/** What travels between a device and the host. Pieces of dumps have numbers of their own: reports fare as without them. */
export type MessageKind = "report" | "piece" | "request" | "command" | "block";

/** How one device's connection behaves. */
export interface LinkConditions {
  /** Mean time one way. Half of it is fixed, the rest exponential, so messages of one device may overtake each other. */
  readonly latency: Millis;
  /** Chance that one sending of a message (or its acknowledgement) is lost, 0 to below 1. */
  readonly loss: number;
  /** Chance that a message is delivered twice without any loss. */
  readonly duplicate?: number;
  /** Chance that a message is held back by up to `lateBy`, so that later ones overtake it. */
  readonly late?: number;
  readonly lateBy?: Millis;
}

/** A time without connection, for some devices, in one direction or both. */
export interface Partition {
  readonly from: Instant;
  /** When it heals; `Infinity` for never. */
  readonly until: Instant;
  readonly devices: "all" | ReadonlySet<DeviceId>;
  /** `up`: from devices to the host. */
  readonly direction: "both" | "up" | "down";
}

export interface NetworkOptions {
  readonly seed: number;
  /** The conditions of a device's connection. */
  readonly conditions: (device: DeviceId) => LinkConditions;
  /** Wait before an unacknowledged report or command is sent again. */
  readonly retryAfter?: Millis;
  /** Sendings of one report or command at most; 0 loss needs one. */
  readonly sendingsMax?: number;
  readonly draw?: Draw;
}

const none: readonly number[] = [];

/** Says when messages arrive. Holds no message itself. */
export class Network {
  readonly #seed: number;
  readonly #draw: Draw;
  readonly #conditions: (device: DeviceId) => LinkConditions;
  readonly #retryAfter: number;
  readonly #sendingsMax: number;
  readonly #partitions: Partition[] = [];
  readonly #extra: { readonly from: Instant; readonly until: Instant; readonly devices: "all" | ReadonlySet<DeviceId>; readonly conditions: Partial<LinkConditions> }[] = [];

  constructor(options: NetworkOptions) {
    this.#seed = options.seed;
    this.#draw = options.draw ?? draw;
    this.#conditions = options.conditions;
    this.#retryAfter = options.retryAfter ?? 5_000;
    this.#sendingsMax = options.sendingsMax ?? 100;
  }

  /** Adds a partition. */
  cut(partition: Partition): void {
    this.#partitions.push(partition);
  }

  /** Worsens (or betters) the connections of some devices for a time: a storm of duplicates, late messages, losses. */
  disturb(disturbance: { from: Instant; until: Instant; devices: "all" | ReadonlySet<DeviceId>; conditions: Partial<LinkConditions> }): void {
    this.#extra.push(disturbance);
  }

  /** True when nothing gets from (`up`) or to (`down`) a device at this time. */
  isCut(device: DeviceId, direction: "up" | "down", at: Instant): boolean {
    return this.#healsAt(device, direction, at) > at;
  }

  /**
   * Milliseconds after `now` at which the `nth` message of a kind arrives: one number as a rule, more for duplicates,
   * none when it never does. Who has the device's usual conditions at hand saves the look-up.
   */
  arrivals(device: DeviceId, kind: MessageKind, nth: number, now: Instant, usual: LinkConditions = this.#conditions(device)): readonly number[] {
    const conditions = this.#at(device, now, usual);
    const direction = kind === "command" || kind === "block" ? "down" : "up";
    const assured = kind === "report" || kind === "piece" || kind === "command";
    const heals = this.#healsAt(device, direction, now);
    if (heals === now && conditions.loss === 0 && (conditions.duplicate ?? 0) === 0 && (conditions.late ?? 0) === 0) {
      return [this.#latency(conditions, device, kind, nth, 0)];
    }
    if (!assured) {
      return heals > now || this.#chance(conditions.loss, device, kind, nth, "loss", 0) ? none : [this.#delay(conditions, device, kind, nth, 0)];
    }
    if (heals === Number.POSITIVE_INFINITY) {
      return none;
    }
    const arrivals: number[] = [];
    let sent: number = now;
    for (let sending = 0; sending < this.#sendingsMax; sending++) {
      const open = this.#healsAt(device, direction, sent as Instant);
      if (open > sent) {
        if (open === Number.POSITIVE_INFINITY) {
          break;
        }
        // The first sending after the partition heals; every device keeps its own rhythm.
        sent += Math.ceil((open - sent) / this.#retryAfter) * this.#retryAfter;
      }
      if (!this.#chance(conditions.loss, device, kind, nth, "loss", sending)) {
        arrivals.push(sent - now + this.#delay(conditions, device, kind, nth, sending));
        const acknowledgementLost = this.#chance(conditions.loss, device, kind, nth, "ack", sending);
        if (!acknowledgementLost) {
          break;
        }
      }
      sent += this.#retryAfter;
    }
    const first = arrivals[0];
    if (first !== undefined && this.#chance(conditions.duplicate ?? 0, device, kind, nth, "duplicate", 0)) {
      arrivals.push(first + this.#latency(conditions, device, kind, nth, this.#sendingsMax));
    }
    return arrivals;
  }

  #at(device: DeviceId, now: Instant, usual: LinkConditions): LinkConditions {
    let conditions = usual;
    for (const extra of this.#extra) {
      if (now >= extra.from && now < extra.until && concerns(extra.devices, device)) {
        conditions = { ...conditions, ...extra.conditions };
      }
    }
    return conditions;
  }

  /** When a message sent at `at` could leave: `at` itself without a partition. Partitions that overlap add up. */
  #healsAt(device: DeviceId, direction: "up" | "down", at: Instant): number {
    let open: number = at;
    for (let again = this.#partitions.length > 0; again; ) {
      again = false;
      for (const partition of this.#partitions) {
        if (
          open >= partition.from &&
          open < partition.until &&
          (partition.direction === "both" || partition.direction === direction) &&
          concerns(partition.devices, device)
        ) {
          open = partition.until;
          again = true;
        }
      }
    }
    return open;
  }

  #delay(conditions: LinkConditions, device: DeviceId, kind: MessageKind, nth: number, sending: number): number {
    const latency = this.#latency(conditions, device, kind, nth, sending);
    return this.#chance(conditions.late ?? 0, device, kind, nth, "late", sending)
      ? latency + Math.ceil((conditions.lateBy ?? 60_000) * this.#draw(this.#seed, device, kind, nth, "late by", sending))
      : latency;
  }

  #latency(conditions: LinkConditions, device: DeviceId, kind: MessageKind, nth: number, sending: number): number {
    if (conditions.latency === 0) {
      return 0;
    }
    const spread = -Math.log1p(-this.#draw(this.#seed, device, kind, nth, "latency", sending));
    return Math.max(1, Math.round(conditions.latency * 0.5 * (1 + spread)));
  }

  #chance(probability: number, device: DeviceId, kind: MessageKind, nth: number, purpose: string, sending: number): boolean {
    return probability > 0 && this.#draw(this.#seed, device, kind, nth, purpose, sending) < probability;
  }
}

function concerns(devices: "all" | ReadonlySet<DeviceId>, device: DeviceId): boolean {
  return devices === "all" || devices.has(device);
}
