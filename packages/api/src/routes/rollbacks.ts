// SPDX-License-Identifier: Apache-2.0
import { rolloutId } from "@coalmine/core";
import { deviceWaysBack, parsePlan, planFromData, type RollbackInput, type RollbackPlan, wayBackInventory, type WayBackKind, wayBackKinds } from "@coalmine/orchestrator";
import type { z } from "zod";
import { answers, type ApiContext, type ZodApp } from "../context.ts";
import { lately } from "../lately.ts";
import { iso } from "../present.ts";
import { checkIfMatch, etag } from "../revision.ts";
import { rollbackBody, rollbackInventory, rollbackInventoryQuery, rollbackPlan, rollbackPlanBody, rollbackStarted } from "../schemas.ts";
import { wayBackPage, wayBackQuery } from "../way-back-schemas.ts";

export function rollbackRoutes(app: ZodApp, { host, clock }: ApiContext): void {
  const waysBack = lately(() => {
    const now = clock.now();
    return { now, devices: deviceWaysBack(host.conductor.state, now) };
  }, { min: 500 });

  app.post(
    "/rollbacks/plan",
    {
      schema: {
        tags: ["rollbacks"],
        summary: "What a rollback would do to each device that a rollout reached: swap-back, download, refused by its bootloader ... Changes nothing",
        body: rollbackPlanBody,
        ...answers(rollbackPlan, { failures: ["400", "404", "409"] }),
      },
    },
    async ({ body }) => presentRollback(host.planRollback(inputOf(body))),
  );

  app.get(
    "/rollbacks/inventory",
    {
      schema: {
        tags: ["rollbacks"],
        summary: "Which devices could go back to the image in their other slot by an order, and whose next upload would destroy the last good one",
        querystring: rollbackInventoryQuery,
        ...answers(rollbackInventory, { failures: ["400"] }),
      },
    },
    async ({ query }) => {
      const made = wayBackInventory(host.conductor.state, { release: query.release, strata: query.strata?.split(",") });
      return { ...made, byRelease: [...made.byRelease], byStratum: [...made.byStratum], reasons: [...made.reasons], lastWayBack: [...made.lastWayBack] };
    },
  );

  app.get(
    "/rollbacks/inventory/devices",
    {
      schema: {
        tags: ["rollbacks"],
        summary: "The rollback inventory device by device: slot 1, and how each would go back now. `skip` gives any part of the list",
        querystring: wayBackQuery,
        ...answers(wayBackPage, { failures: ["400"] }),
      },
    },
    async ({ query: { release, way, last, text, skip, limit } }) => {
      const { now, devices } = waysBack();
      const ofRelease = release === undefined ? devices : devices.filter((one) => (one.release ?? one.version) === release);
      const found = ofRelease.filter((one) => (way === undefined || one.way === way) && (last === undefined || (one.last !== null) === (last === "true")) && (text === undefined || one.device.includes(text)));
      const counts = Object.fromEntries(wayBackKinds.map((kind) => [kind, 0])) as Record<WayBackKind, number>;
      for (const one of ofRelease) {
        counts[one.way] += 1;
      }
      return { now: iso(now), devices: ofRelease.length, counts, last: ofRelease.filter((one) => one.last !== null).length, total: found.length, skip, rows: found.slice(skip, skip + limit) };
    },
  );

  app.post(
    "/rollbacks",
    {
      schema: {
        tags: ["rollbacks"],
        summary: "Start a rollback. The rollout it leaves ends, its release is barred and its exposed members go over, at once. Honours If-Match with that rollout's ETag",
        body: rollbackBody,
        ...answers(rollbackStarted, { status: 201, failures: ["400", "404", "409", "412", "503"] }),
      },
    },
    async ({ body, headers }, reply) => {
      const left = host.conductor.state.rollouts.get(rolloutId(body.rollout));
      if (left !== undefined) {
        checkIfMatch(headers["if-match"], etag(left.revision), { required: false, what: `rollout ${left.id}` });
      }
      const { by, reason, override, id: wanted } = body;
      const { id, planned } = await host.startRollback({ ...inputOf(body), id: wanted === undefined ? undefined : rolloutId(wanted), override, authority: { by, reason } });
      reply.code(201).headers({ location: `/rollouts/${encodeURIComponent(id)}`, etag: etag(host.conductor.rollout(id).revision) });
      return { id, rollback: presentRollback(planned) };
    },
  );
}

function inputOf({ rollout, to, plan, emergency, includeRefused, seed }: z.output<typeof rollbackPlanBody>): RollbackInput {
  return { rollout, to, plan: plan === undefined ? undefined : typeof plan === "string" ? parsePlan(plan) : planFromData(plan), emergency, includeRefused, seed };
}

function presentRollback(planned: RollbackPlan) {
  const { of, from, to, version, emergency, seed, counts, mayBeRefused, devices, membership, offer } = planned;
  return {
    of,
    from,
    to,
    version,
    emergency,
    seed,
    plan: planned.plan.name,
    counts: { ...counts },
    total: devices.length,
    mayBeRefused,
    members: membership.members.length,
    stages: membership.stages.map((stage, index) => ({ ...stage, devices: membership.members.filter((member) => member.stage === index).map((member) => member.device as string) })),
    devices: devices.map((device) => ({ ...device })),
    offer,
    warnings: [...membership.warnings],
  };
}
