// SPDX-License-Identifier: Apache-2.0
import type { ApiContext, ZodApp } from "../context.ts";
import { metricsRegistry } from "../metrics.ts";

export function metricsRoutes(app: ZodApp, context: ApiContext): void {
  const registry = metricsRegistry(context);
  app.get("/metrics", { schema: { tags: ["system"], summary: "Fleet, rollouts, gates, ingest, crashes and doors for Prometheus (text)" } }, async (_request, reply) => {
    reply.header("content-type", registry.contentType);
    return registry.metrics();
  });
}
