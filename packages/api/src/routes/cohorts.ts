// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import { resolve, type Selector } from "@coalmine/orchestrator";
import { answers, type ApiContext, type ZodApp } from "../context.ts";
import { cohort, cohortBody, cohortList, name, resolved } from "../schemas.ts";

export function cohortRoutes(app: ZodApp, { host }: ApiContext): void {
  const { state } = host.conductor;
  const selectorOf = (id: string): Selector => {
    const selector = state.cohorts.get(id);
    if (selector === undefined) {
      throw new CoalmineError("cohort/unknown", `there is no cohort ${id}; known: ${[...state.cohorts.keys()].slice(0, 20).join(", ") || "none"}`);
    }
    return selector;
  };

  app.get("/cohorts", { schema: { tags: ["cohorts"], summary: "All cohorts", ...answers(cohortList) } }, async () => ({
    cohorts: [...state.cohorts].map(([id, selector]) => ({ name: id, selector })).sort((a, b) => (a.name < b.name ? -1 : 1)),
  }));

  app.post(
    "/cohorts",
    { schema: { tags: ["cohorts"], summary: "Save a selector under a name. Cohorts do not change", body: cohortBody, ...answers(cohort, { status: 201, failures: ["400", "409"] }) } },
    async ({ body }, reply) => {
      const { by, reason, selector } = body;
      await host.createCohort({ name: body.name, selector, authority: { by, reason } });
      reply.code(201).header("location", `/cohorts/${encodeURIComponent(body.name)}`);
      return { name: body.name, selector };
    },
  );

  app.get("/cohorts/:id", { schema: { tags: ["cohorts"], summary: "One cohort", params: name, ...answers(cohort, { failures: ["404"] }) } }, async ({ params }) => ({
    name: params.id,
    selector: selectorOf(params.id),
  }));

  app.get(
    "/cohorts/:id/devices",
    { schema: { tags: ["cohorts"], summary: "The devices a cohort means now", params: name, ...answers(resolved, { failures: ["404"] }) } },
    async ({ params }) => {
      const devices = resolve(selectorOf(params.id), state.devices.values());
      return { name: params.id, count: devices.length, devices };
    },
  );
}
