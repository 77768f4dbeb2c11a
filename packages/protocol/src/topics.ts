// SPDX-License-Identifier: Apache-2.0
import { isDeviceId, type DeviceId } from "@coalmine/core";
import type { Command } from "./command.ts";

// T1. A device may publish on its own up/ topics and subscribe to its own down/ topics, and nothing else.
// T2. Whatever is not understood is denied: an unknown channel, a wildcard in a topic, another device, an empty id.

/** True for commands that stand until they are taken back: the broker keeps (retains) the newest for a device that is not there. */
export function isKept(command: Pick<Command, "kind">): boolean {
  return command.kind === "offer" || command.kind === "swap-back";
}

/** What travels on a topic. */
export type Channel = "report" | "block-request" | "command" | "block-answer";

const channels = {
  report: "up/report",
  "block-request": "up/block",
  command: "down/command",
  "block-answer": "down/block",
} as const satisfies Record<Channel, string>;

/** Every topic is below this: the product, and the version of the topic layout. */
const root = "c/v1/d";

/** The topic of a device's reports. Device publishes, QoS 1, not retained. */
export function reportTopic(device: DeviceId): string {
  return `${root}/${device}/${channels.report}`;
}

/** The topic of a device's block requests. Device publishes, not retained. */
export function blockRequestTopic(device: DeviceId): string {
  return `${root}/${device}/${channels["block-request"]}`;
}

/**
 * The topic of a device's commands. Host publishes, QoS 1; an offer is retained (R52), so a device that wakes up gets
 * it. An empty payload takes the retained offer back: a device ignores it, it is not a message.
 */
export function commandTopic(device: DeviceId): string {
  return `${root}/${device}/${channels.command}`;
}

/** The topic of the answers to a device's block requests. Host publishes, not retained. */
export function blockAnswerTopic(device: DeviceId): string {
  return `${root}/${device}/${channels["block-answer"]}`;
}

/** What a device subscribes to. */
export function deviceFilter(device: DeviceId): string {
  return `${root}/${device}/down/#`;
}

/** What the host subscribes to. */
export const hostFilters: readonly string[] = [`${root}/+/${channels.report}`, `${root}/+/${channels["block-request"]}`];

/** A topic taken apart; undefined when it is none of ours, to the last character. */
export function parseTopic(topic: string): { readonly device: DeviceId; readonly channel: Channel } | undefined {
  const levels = topic.split("/");
  const [a, b, c, device, direction, leaf] = levels;
  if (levels.length !== 6 || `${a}/${b}/${c}` !== root || device === undefined || !isDeviceId(device)) {
    return undefined;
  }
  const path = `${direction}/${leaf}`;
  for (const channel of Object.keys(channels) as Channel[]) {
    if (channels[channel] === path) {
      return { device, channel };
    }
  }
  return undefined;
}

/** True when a connection that proved to be `device` may publish on `topic`; ask for its will too. */
export function mayPublish(device: string, topic: string): boolean {
  const parsed = parseTopic(topic);
  return parsed !== undefined && parsed.device === device && channels[parsed.channel].startsWith("up/");
}

/** True when a connection that proved to be `device` may subscribe to `filter`. */
export function maySubscribe(device: string, filter: string): boolean {
  if (!isDeviceId(device)) {
    return false;
  }
  const own = `${root}/${device}/down/`;
  return filter === `${own}#` || filter === `${own}+` || mayReceive(device, filter);
}

/** True when a message on `topic` may be handed to `device`: the check at forwarding, after the one at subscribing. */
export function mayReceive(device: string, topic: string): boolean {
  const parsed = parseTopic(topic);
  return parsed !== undefined && parsed.device === device && channels[parsed.channel].startsWith("down/");
}
