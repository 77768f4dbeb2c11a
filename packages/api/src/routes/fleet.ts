// SPDX-License-Identifier: Apache-2.0
// The fleet for people who look at it: counts, and rows by their place in the list.
import { isActive, memberOf } from "@coalmine/core";
import { type DeviceRecord, dimension, fleetCounts, fleetInventory, hardwareName, type HostState, isOverdue, releasesByImage } from "@coalmine/orchestrator";
import type { z } from "zod";
import { answers, type ApiContext, type ZodApp } from "../context.ts";
import { lately } from "../lately.ts";
import { iso, presentRollout } from "../present.ts";
import { fleet, fleetPage, fleetQuery, markdownText } from "../schemas.ts";

/** The page asks a second after an event, and must not see what was before it. */
const countsStand = { min: 500, max: 900 };

export function fleetRoutes(app: ZodApp, { host, clock }: ApiContext): void {
  const { state } = host.conductor;
  const roster = new Roster(state);
  const counted = lately(() => {
    const now = clock.now();
    const rollouts = [...state.rollouts.values()].filter(isActive).map((one) => presentRollout(one, host.conductor.judge, now));
    return { now: iso(now), ...fleetCounts(state, now), rollouts } as typeof fleet._output;
  }, countsStand);

  app.get("/fleet", { schema: { tags: ["fleet"], summary: "Counts of the fleet: releases, hardware, connectivity, who is silent", ...answers(fleet) } }, async () => counted());

  app.get("/fleet/inventory", { schema: { tags: ["fleet"], summary: "The whole fleet as Markdown: versions, hardware, who can go back, every device", ...answers(markdownText) } }, async (_request, reply) => {
    reply.type("text/markdown; charset=utf-8").serializer((sent: unknown) => String(sent));
    return reply.send(fleetInventory(state, clock.now()));
  });

  app.get(
    "/fleet/rows",
    { schema: { tags: ["fleet"], summary: "Devices by id, in short; `skip` gives any part of the list", querystring: fleetQuery, ...answers(fleetPage, { failures: ["400"] }) } },
    async ({ query }) => {
      const now = clock.now();
      const byImage = releasesByImage(state);
      const wanted = filterOf(state, query, byImage, now);
      const devices = roster.devices();
      const found = wanted === undefined ? devices : devices.filter(wanted);
      const page = found.slice(query.skip, query.skip + query.limit);
      return { now: iso(now), total: found.length, skip: query.skip, rows: page.map((one) => row(state, one, byImage, now)) };
    },
  );
}

/** The devices in the order of their ids. Sorted again only when devices have come. */
class Roster {
  readonly #state: HostState;
  #sorted: DeviceRecord[] = [];

  constructor(state: HostState) {
    this.#state = state;
  }

  devices(): readonly DeviceRecord[] {
    if (this.#sorted.length !== this.#state.devices.size) {
      this.#sorted = [...this.#state.devices.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    }
    return this.#sorted;
  }
}

type Wanted = (device: DeviceRecord) => boolean;

/** One test for all that the query asks; undefined when it asks nothing. */
function filterOf(state: HostState, query: z.output<typeof fleetQuery>, byImage: ReadonlyMap<string, string>, now: Parameters<typeof isOverdue>[1]): Wanted | undefined {
  const tests: Wanted[] = [];
  const when = <T>(value: T | undefined, test: (value: T) => Wanted): void => {
    if (value !== undefined) {
      tests.push(test(value));
    }
  };
  when(query.text, (text) => (device) => device.id.includes(text));
  when(query.tag, (tag) => (device) => device.tags.includes(tag));
  when(query.attribute, (attribute) => {
    const [name = "", value] = attribute.split(/=(.*)/s, 2);
    return value === undefined ? (device) => dimension(device, name) !== "unknown" : (device) => dimension(device, name) === value;
  });
  when(query.hardware, (hardware) => (device) => hardwareName(device) === hardware);
  when(query.connectivity, (connectivity) => (device) => dimension(device, "connectivity") === connectivity);
  when(query.release, (release) => (device) => (byImage.get(device.running?.imageHash ?? "") ?? "") === release);
  when(query.version, (version) => (device) => dimension(device, "firmware") === version);
  when(query.state, (wanted) => (device) => memberState(state, device)?.state === wanted);
  when(query.silent, (silent) => (device) => isOverdue(device, now) === (silent === "true"));
  when(query.crashed, (crashed) => (device) => device.crashes > 0 === (crashed === "true"));
  when(query.unconfirmed, (unconfirmed) => (device) => (device.running?.confirmed === false) === (unconfirmed === "true"));
  return tests.length === 0 ? undefined : (device) => tests.every((test) => test(device));
}

function memberState(state: HostState, device: DeviceRecord): { readonly rollout: string; readonly state: string } | undefined {
  const id = state.active.get(device.id);
  const rollout = id === undefined ? undefined : state.rollouts.get(id);
  const member = rollout === undefined ? undefined : memberOf(rollout, device.id);
  return rollout === undefined || member === undefined ? undefined : { rollout: rollout.id, state: member.state };
}

function row(state: HostState, device: DeviceRecord, byImage: ReadonlyMap<string, string>, now: Parameters<typeof isOverdue>[1]) {
  const member = memberState(state, device);
  return {
    id: device.id,
    hardware: hardwareName(device),
    connectivity: dimension(device, "connectivity"),
    version: dimension(device, "firmware"),
    release: byImage.get(device.running?.imageHash ?? "") ?? null,
    confirmed: device.running?.confirmed !== false,
    rollout: member?.rollout ?? null,
    state: member?.state ?? null,
    lastSeen: iso(device.lastSeen),
    silent: isOverdue(device, now),
    crashes: device.crashes,
    tags: device.tags,
  };
}
