// SPDX-License-Identifier: Apache-2.0
import { CoalmineError, deviceId, memberOf } from "@coalmine/core";
import { type DeviceRecord, deviceTimeline, type HostState } from "@coalmine/orchestrator";
import { createHash } from "node:crypto";
import type { z } from "zod";
import { answers, type ApiContext, type ZodApp } from "../context.ts";
import { iso, presentDevice, releaseOn } from "../present.ts";
import { checkIfMatch, etag } from "../revision.ts";
import { device, devicePage, deviceQuery, name, tagBody, timeline, timelineQuery } from "../schemas.ts";

export function deviceRoutes(app: ZodApp, { host, log, clock }: ApiContext): void {
  const { state } = host.conductor;

  app.get("/devices", { schema: { tags: ["devices"], summary: "Devices, by id", querystring: deviceQuery, ...answers(devicePage, { failures: ["400"] }) } }, async ({ query }) => {
    const found: DeviceRecord[] = [];
    for (const one of state.devices.values()) {
      if (matches(state, one, query)) {
        found.push(one);
      }
    }
    found.sort((a, b) => (a.id < b.id ? -1 : 1));
    const { after } = query;
    const begin = after === undefined ? 0 : found.findIndex((one) => one.id > after);
    const page = begin < 0 ? [] : found.slice(begin, begin + query.limit);
    const more = begin >= 0 && begin + page.length < found.length;
    return { devices: page.map((one) => presentDevice(state, one)), total: found.length, next: more ? (page.at(-1)?.id ?? null) : null };
  });

  app.get("/devices/:id", { schema: { tags: ["devices"], summary: "One device", params: name, ...answers(device, { failures: ["400", "404"] }) } }, async ({ params }, reply) => {
    const one = known(state, params.id);
    reply.header("etag", tagsTag(one));
    return presentDevice(state, one);
  });

  app.get(
    "/devices/:id/timeline",
    {
      schema: {
        tags: ["devices"],
        summary: "What a device said and what was decided about it, newest first, and what its heartbeats measured. A page may be short and yet have a next",
        params: name,
        querystring: timelineQuery,
        ...answers(timeline, { failures: ["400", "404"] }),
      },
    },
    async ({ params, query }) => {
      const { events, samples, next } = await deviceTimeline(log, known(state, params.id).id, query);
      return { now: iso(clock.now()), events: [...events], samples: [...samples], next };
    },
  );

  app.post(
    "/devices/:id/tags",
    { schema: { tags: ["devices"], summary: "Add and remove tags. If-Match is honoured", params: name, body: tagBody, ...answers(device, { failures: ["400", "404", "412"] }) } },
    async ({ params, body, headers }, reply) => {
      checkIfMatch(headers["if-match"], tagsTag(known(state, params.id)), { required: false, what: `device ${params.id}` });
      const { by, reason, add, remove } = body;
      await host.tagDevice({ device: params.id, add, remove, authority: { by, reason } });
      const one = known(state, params.id);
      reply.header("etag", tagsTag(one));
      return presentDevice(state, one);
    },
  );
}

function known(state: HostState, id: string): DeviceRecord {
  const found = state.devices.get(deviceId(id));
  if (found === undefined) {
    throw new CoalmineError("device/unknown", `no device ${id} has reported yet`);
  }
  return found;
}

/** The part of a device that people change is its tags; reports do not outdate a view of them. */
function tagsTag(one: DeviceRecord): string {
  return etag(createHash("sha256").update(JSON.stringify(one.tags)).digest("hex").slice(0, 16));
}

function matches(state: HostState, one: DeviceRecord, query: z.output<typeof deviceQuery>): boolean {
  if (query.text !== undefined && !one.id.includes(query.text)) {
    return false;
  }
  if (query.tag !== undefined && !one.tags.includes(query.tag)) {
    return false;
  }
  if (query.hardware !== undefined && one.hardware?.board !== query.hardware && one.hardware?.revision !== query.hardware) {
    return false;
  }
  if (query.version !== undefined && one.running?.version !== query.version) {
    return false;
  }
  if (query.release !== undefined && releaseOn(state, one) !== query.release) {
    return false;
  }
  if (query.state !== undefined) {
    const active = state.active.get(one.id);
    const rollout = active === undefined ? undefined : state.rollouts.get(active);
    return rollout !== undefined && memberOf(rollout, one.id)?.state === query.state;
  }
  return true;
}
