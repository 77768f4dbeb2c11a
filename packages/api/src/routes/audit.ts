// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import { auditAfter, auditBefore } from "@coalmine/orchestrator";
import { answers, type ApiContext, verifyLog, type ZodApp } from "../context.ts";
import { auditPage, auditQuery, verification } from "../schemas.ts";

export function auditRoutes(app: ZodApp, { log, verify }: ApiContext): void {
  app.get(
    "/audit",
    {
      schema: {
        tags: ["audit"],
        summary: "Every change with who, when and why. A page may be short and yet have a next: searching goes on there",
        querystring: auditQuery,
        ...answers(auditPage, { failures: ["400"] }),
      },
    },
    async ({ query }) => {
      const { after, before, limit, type, device, rollout, brief } = query;
      if (after !== undefined && before !== undefined) {
        throw new CoalmineError("api/bad-query", "query.after and query.before exclude each other");
      }
      const filter = { limit, device, rollout, types: typeof type === "string" ? [type] : type, brief: brief === "true" };
      return after === undefined ? auditBefore(log, { ...filter, before }) : auditAfter(log, { ...filter, after });
    },
  );

  app.get("/audit/verify", { schema: { tags: ["audit"], summary: "Verify the hash chain over the whole log", ...answers(verification) } }, async () => {
    const result = verify === undefined ? verifyLog(log) : await verify();
    return result.ok
      ? { ...result, brokenAt: null, reason: null }
      : { ok: false, entries: log.length, sha256: null, brokenAt: result.brokenAt, reason: result.reason };
  });
}
