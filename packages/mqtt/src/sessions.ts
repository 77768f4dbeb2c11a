// SPDX-License-Identifier: Apache-2.0
// What the embedded broker remembers of devices: the retained command, subscriptions, commands waiting (MQTT 3.1.1 4.1).
// It is the broker's `persistence`. Every device has its own small record, so nothing here costs more as the fleet grows.
import { Readable } from "node:stream";
import { type DeviceId, isDeviceId } from "@coalmine/core";
import { maySubscribe, parseTopic } from "@coalmine/protocol";
import type { AedesPublishPacket } from "aedes";

export interface Filter {
  readonly topic: string;
  readonly qos: number;
}

/** A command on its way to a device. The broker numbers it when it is first sent. */
type Waiting = Omit<AedesPublishPacket, "messageId"> & { messageId?: number | undefined };

interface Session {
  readonly filters: Map<string, Filter>;
  waiting: Waiting[];
}

interface Client {
  readonly id: string;
}

/** The QoS at which a device's subscriptions cover one of its topics; undefined when none does. */
export function grantedQos(filters: Iterable<Filter>, topic: string): number | undefined {
  const parent = topic.slice(0, topic.lastIndexOf("/") + 1);
  let granted: number | undefined;
  for (const filter of filters) {
    if (filter.topic === topic || filter.topic === `${parent}#` || filter.topic === `${parent}+`) {
      granted = Math.max(granted ?? 0, filter.qos);
    }
  }
  return granted;
}

export class Sessions {
  readonly #sessionsMax: number;
  readonly #waitingMax: number;
  readonly #retained = new Map<DeviceId, AedesPublishPacket>();
  readonly #sessions = new Map<string, Session>();

  constructor(limits: { readonly sessions: number; readonly waitingCommands: number }) {
    this.#sessionsMax = limits.sessions;
    this.#waitingMax = limits.waitingCommands;
  }

  get retained(): number {
    return this.#retained.size;
  }

  /** The filters of a device's session that outlives its connection. */
  filtersOf(device: string): Iterable<Filter> {
    return this.#sessions.get(device)?.filters.values() ?? [];
  }

  /** Keeps a command for a device that is away. */
  wait(device: string, packet: AedesPublishPacket): void {
    const session = this.#sessions.get(device);
    if (session !== undefined) {
      session.waiting.push({ ...packet });
      if (session.waiting.length > this.#waitingMax) {
        session.waiting.shift();
      }
    }
  }

  /** Takes out what was never sent: it came while the device's connection was being set up. */
  takeUnsent(device: string): AedesPublishPacket[] {
    const session = this.#sessions.get(device);
    if (session === undefined) {
      return [];
    }
    const unsent = session.waiting.filter(({ messageId }) => messageId === undefined);
    session.waiting = session.waiting.filter(({ messageId }) => messageId !== undefined);
    return unsent as AedesPublishPacket[];
  }

  // From here on: the interface that aedes calls.

  async setup(): Promise<void> {}

  async storeRetained(packet: AedesPublishPacket): Promise<void> {
    const device = parseTopic(packet.topic)?.device;
    if (device === undefined) {
      return;
    }
    if (packet.payload.length === 0) {
      this.#retained.delete(device);
    } else {
      this.#retained.set(device, { ...packet });
    }
  }

  /** The retained commands that filters cover. The filters passed the access rules, so each names its device. */
  createRetainedStreamCombi(filters: readonly string[]): Readable {
    const found = new Set<AedesPublishPacket>();
    for (const filter of filters) {
      const device = filter.split("/")[3] ?? "";
      const packet = isDeviceId(device) ? this.#retained.get(device) : undefined;
      if (packet !== undefined && grantedQos([{ topic: filter, qos: 0 }], packet.topic) !== undefined) {
        found.add(packet);
      }
    }
    return Readable.from(found);
  }

  /** aedes hands over all filters of a SUBSCRIBE when the first is allowed, so the refused ones are taken out here. */
  async addSubscriptions({ id }: Client, filters: readonly Filter[]): Promise<void> {
    const allowed = filters.filter(({ topic, qos }) => qos <= 1 && maySubscribe(id, topic));
    if (allowed.length === 0) {
      return;
    }
    const session = this.#sessions.get(id) ?? { filters: new Map<string, Filter>(), waiting: [] };
    for (const { topic, qos } of allowed) {
      session.filters.set(topic, { topic, qos });
    }
    // The newest goes last, so the first of the map is the one that subscribed longest ago.
    this.#sessions.delete(id);
    this.#sessions.set(id, session);
    if (this.#sessions.size > this.#sessionsMax) {
      const [oldest] = this.#sessions.keys();
      this.#sessions.delete(oldest as string);
    }
  }

  async removeSubscriptions({ id }: Client, topics: readonly string[]): Promise<void> {
    const session = this.#sessions.get(id);
    for (const topic of topics) {
      session?.filters.delete(topic);
    }
  }

  async subscriptionsByClient({ id }: Client): Promise<Filter[]> {
    return [...this.filtersOf(id)].map((filter) => ({ ...filter }));
  }

  /** A clean session forgets subscriptions and what waits [MQTT-3.1.2-6]. */
  async cleanSubscriptions({ id }: Client): Promise<void> {
    this.#sessions.delete(id);
  }

  async outgoingEnqueue({ clientId }: { readonly clientId: string }, packet: AedesPublishPacket): Promise<void> {
    this.wait(clientId, packet);
  }

  /** Notes the packet identifier under which a waiting command was sent. */
  async outgoingUpdate({ id }: Client, packet: Waiting): Promise<void> {
    for (const waiting of this.#sessions.get(id)?.waiting ?? []) {
      if (waiting.brokerCounter === packet.brokerCounter) {
        waiting.messageId = packet.messageId;
      }
    }
  }

  async outgoingClearMessageId({ id }: Client, { messageId }: { readonly messageId?: number }): Promise<Waiting | undefined> {
    const session = this.#sessions.get(id);
    const index = messageId === undefined ? -1 : (session?.waiting.findIndex((waiting) => waiting.messageId === messageId) ?? -1);
    return index < 0 ? undefined : session?.waiting.splice(index, 1)[0];
  }

  outgoingStream({ id }: Client): Readable {
    return Readable.from([...(this.#sessions.get(id)?.waiting ?? [])]);
  }

  /** QoS 2 is refused before anything is stored, so there is never an inbound packet. */
  async incomingGetPacket(): Promise<never> {
    throw new Error("no such packet");
  }

  async incomingDelPacket(): Promise<never> {
    throw new Error("no such packet");
  }

  async incomingStorePacket(): Promise<never> {
    throw new Error("QoS 2 is not offered");
  }

  async cleanIncoming(): Promise<void> {}

  /** Wills live in the connection alone: one process is one broker, and nobody else's wills wait here. */
  async putWill(): Promise<void> {}

  async delWill(): Promise<undefined> {
    return undefined;
  }

  streamWill(): Readable {
    return Readable.from([]);
  }
}
