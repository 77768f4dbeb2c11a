// SPDX-License-Identifier: Apache-2.0
import type { RolloutStatus } from "@coalmine/core";
import { answers, type ApiContext, type ZodApp } from "../context.ts";
import { iso } from "../present.ts";
import { counters, health } from "../schemas.ts";

export function systemRoutes(app: ZodApp, { host, log, clock }: ApiContext): void {
  app.get("/healthz", { schema: { tags: ["system"], summary: "Whether reports are taken in. Needs no token", response: { 200: health, 503: health } } }, async (_request, reply) => {
    const { failure } = host;
    return reply.code(failure === undefined ? 200 : 503).send({ ok: failure === undefined, failure: failure?.code ?? null });
  });

  app.get("/counters", { schema: { tags: ["system"], summary: "Counts since the log began", ...answers(counters) } }, async () => {
    const { state } = host.conductor;
    const rollouts: Record<RolloutStatus, number> = { running: 0, held: 0, halted: 0, aborted: 0, complete: 0 };
    for (const rollout of state.rollouts.values()) {
      rollouts[rollout.status] += 1;
    }
    return { devices: state.devices.size, releases: state.releases.size, cohorts: state.cohorts.size, rollouts, ...state.counters, events: log.length, now: iso(clock.now()) };
  });

  app.get("/openapi.json", { schema: { hide: true } }, async () => app.swagger() as never);
}
