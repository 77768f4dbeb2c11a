// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { z } from "zod";
import * as schemas from "./schemas.ts";
import { plan, Site } from "./testing/site.ts";

interface Operation {
  readonly summary?: string;
  readonly responses?: Readonly<Record<string, unknown>>;
}

describe("the description of the API", () => {
  test("is OpenAPI 3.1, names every route, and every route says what it does and how it fails", async () => {
    const site = new Site();
    const { body } = await site.call("GET", "/openapi.json");
    expect(body["openapi"]).toMatch(/^3\.1/);
    const paths = body["paths"] as Record<string, Record<string, Operation>>;
    const routes = Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
    for (const route of ["GET /devices", "POST /devices/{id}/tags", "PUT /artifacts", "POST /releases", "GET /releases/{id}/preflight", "POST /rollouts", "POST /rollouts/{id}/halt", "GET /audit/verify", "GET /events", "GET /counters"]) {
      expect(routes).toContain(route);
    }
    for (const [path, methods] of Object.entries(paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        expect([method, path, operation.summary]).toEqual([method, path, expect.stringMatching(/./)]);
      }
    }
    expect(Object.keys(paths["/rollouts/{id}/resume"]?.["post"]?.responses ?? {})).toEqual(expect.arrayContaining(["200", "409", "412", "428"]));
    expect(JSON.stringify(body)).not.toContain("__proto__");
  });

  test("tells the truth: answers have the shape it names", async () => {
    const site = await new Site().rollout();
    const canary = site.sent[0]?.device ?? "";
    await site.pass(5);
    await site.crashAndRevert(canary);
    await site.call("POST", "/cohorts", { body: { name: "all", selector: {}, by: "ada", reason: "" } });
    const shapes: readonly (readonly [string, z.ZodType])[] = [
      ["/healthz", schemas.health],
      ["/counters", schemas.counters],
      ["/devices", schemas.devicePage],
      [`/devices/${canary}`, schemas.device],
      ["/cohorts", schemas.cohortList],
      ["/cohorts/all", schemas.cohort],
      ["/cohorts/all/devices", schemas.resolved],
      ["/artifacts", schemas.artifactList],
      ["/releases", schemas.releaseList],
      ["/releases/1.1.0", schemas.release],
      ["/releases/1.1.0/preflight", schemas.preflight],
      ["/rollouts", schemas.rolloutList],
      ["/rollouts/r1", schemas.rollout],
      ["/rollouts/r1/members", schemas.memberPage],
      ["/rollouts/r1/report", schemas.report],
      ["/rollouts/r1/progress", schemas.rolloutProgress],
      ["/rollouts/r1/series", schemas.rolloutSeries],
      ["/rollouts/r1/power", schemas.power],
      ["/fleet", schemas.fleet],
      ["/fleet/rows", schemas.fleetPage],
      [`/devices/${canary}/timeline`, schemas.timeline],
      ["/session", schemas.session],
      ["/audit", schemas.auditPage],
      ["/audit/verify", schemas.verification],
      ["/rollouts/none", schemas.failure],
    ];
    for (const [url, shape] of shapes) {
      const { body } = await site.call("GET", url);
      const result = strict(shape).safeParse(body);
      expect([url, result.error?.issues]).toEqual([url, undefined]);
    }
    const planned = await site.call("POST", "/rollouts/plan", { body: { release: "1.1.0", plan, selector: { ids: [] } } });
    expect(schemas.failure.safeParse(planned.body).success).toBe(true);
  });
});

/** The same shape, with fields the description does not name refused. */
function strict(shape: z.ZodType): z.ZodType {
  return shape instanceof z.ZodObject && !(shape.def.catchall instanceof z.ZodUnknown) ? shape.strict() : shape;
}
