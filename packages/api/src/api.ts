// SPDX-License-Identifier: Apache-2.0
import { CoalmineError, coalmineVersion } from "@coalmine/core";
import type { ArchiveStore, AuditFeed, ArtifactStore, Clock, CrashCatalogue, EventLog, Host } from "@coalmine/orchestrator";
import swagger from "@fastify/swagger";
import { fastify, type FastifyInstance } from "fastify";
import { jsonSchemaTransform, type ZodTypeProvider } from "fastify-type-provider-zod";
import type { ApiContext, LogVerification } from "./context.ts";
import { errorHandler, reportOf } from "./errors.ts";
import { guard, securityHeaders } from "./guard.ts";
import { idempotency, rawBodies } from "./idempotency.ts";
import type { DoorMeter, newIngestMeter } from "./metrics.ts";
import { type Pages, pageRoutes } from "./pages.ts";
import { archiveRoutes } from "./routes/archives.ts";
import { artifactRoutes } from "./routes/artifacts.ts";
import { auditRoutes } from "./routes/audit.ts";
import { cohortRoutes } from "./routes/cohorts.ts";
import { crashRoutes } from "./routes/crashes.ts";
import { deviceRoutes } from "./routes/devices.ts";
import { eventRoutes } from "./routes/events.ts";
import { fleetRoutes } from "./routes/fleet.ts";
import { metricsRoutes } from "./routes/metrics.ts";
import { progressRoutes } from "./routes/progress.ts";
import { releaseRoutes } from "./routes/releases.ts";
import { rollbackRoutes } from "./routes/rollbacks.ts";
import { rolloutRoutes } from "./routes/rollouts.ts";
import { sessionRoutes } from "./routes/session.ts";
import { systemRoutes } from "./routes/system.ts";
import { Sessions } from "./sessions.ts";
import { validatorCompiler } from "./validation.ts";

export interface ApiOptions {
  readonly log: EventLog;
  readonly artifacts: ArtifactStore;
  /** Where closed releases went; without it no archive is handed out. */
  readonly archive?: ArchiveStore | undefined;
  readonly clock: Clock;
  /** Tells of audit lines as they become durable; without one `/events` is not served. */
  readonly feed?: AuditFeed | undefined;
  /** What is known of crashes; without it `/crashes` is not served. */
  readonly crashes?: CrashCatalogue | undefined;
  /** Times of ingest and counts of doors for `/metrics`. */
  readonly ingest?: ReturnType<typeof newIngestMeter> | undefined;
  readonly doors?: readonly DoorMeter[] | undefined;
  /** The dashboard's files; without them only the API is served. */
  readonly pages?: Pages | undefined;
  /** Bearer token that every request but `/healthz` and the page's own files must carry, if not the cookie of a session. */
  readonly token?: string | undefined;
  /** Names accepted in the Host header; undefined accepts any. Give `loopbackHosts` for a loopback listener. */
  readonly hosts?: readonly string[] | undefined;
  /** Requests one address may send per second, in the long run. Default 200. */
  readonly requestsPerSecond?: number | undefined;
  /** Verifies the log's hash chain; by default in this thread. */
  readonly verify?: (() => Promise<LogVerification>) | undefined;
  /** Told of bugs: errors that are no trouble of the world. */
  readonly onBug?: ((error: Error, request: string) => void) | undefined;
}

/** Largest JSON body, in bytes. */
export const bodyBytesMax = 1024 * 1024;

/**
 * The HTTP API over a host. The caller listens and closes; `/openapi.json` describes every route.
 *
 * Every error is `{error: {code, message}}` with the code of the CoalmineError; 5xx other than 503 are bugs.
 */
export function buildApi(host: Host, options: ApiOptions): FastifyInstance {
  const onError = errorHandler(options.onBug ?? (() => undefined));
  const app = fastify({
    bodyLimit: bodyBytesMax,
    requestTimeout: 60_000,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 128 },
    // A URL that cannot be decoded never reaches a route or a hook.
    frameworkErrors: (error, request, reply) => {
      reply.headers(securityHeaders);
      onError(error, request, reply);
    },
    clientErrorHandler: (error: NodeJS.ErrnoException, socket) => {
      if (error.code !== "ECONNRESET" && socket.writable) {
        const body = JSON.stringify(reportOf("http/malformed", "the request is not HTTP as it should be"));
        const headers = Object.entries(securityHeaders).map(([name, value]) => `${name}: ${value}\r\n`);
        socket.end(`HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n${headers.join("")}connection: close\r\n\r\n${body}`);
      } else {
        socket.destroy();
      }
    },
  });
  app.setValidatorCompiler(validatorCompiler as never);
  // Answers are built field by field and tested against their schemas; checking them again here could only turn them into errors.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.setErrorHandler(onError);
  app.setNotFoundHandler((request, reply) => {
    reply.code(404).send(reportOf("http/no-route", `there is no ${request.method} ${request.url.split("?")[0]}; /openapi.json lists what there is`));
  });
  // Without these a form of a foreign page could send what a browser lets through without asking.
  app.removeAllContentTypeParsers();
  const parseJson = app.getDefaultJsonParser("error", "error");
  app.addContentTypeParser("application/json", { parseAs: "string" }, (request, body, done) => {
    rawBodies.set(request, body as string);
    void parseJson(request, body as string, (error, value) => done(error === null ? null : jsonTrouble(body as string), value));
  });
  app.addHook("onRequest", (_request, reply, done) => {
    reply.header("coalmine-version", coalmineVersion);
    done();
  });
  const sessions = new Sessions();
  guard(app, { token: options.token, sessions, hosts: options.hosts, requestsPerSecond: options.requestsPerSecond ?? 200 });
  idempotency(app);
  app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "coalmine", version: "1", description: "Canary OTA for Zephyr/MCUboot fleets. Times are ISO 8601; errors are {error: {code, message}}." },
      tags: ["devices", "cohorts", "artifacts", "releases", "rollouts", "crashes", "audit", "fleet", "system"].map((name) => ({ name })),
      ...(options.token === undefined ? {} : { components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } }, security: [{ token: [] }] }),
    },
    transform: jsonSchemaTransform,
  });
  const context: ApiContext = { host, log: options.log, artifacts: options.artifacts, archive: options.archive, clock: options.clock, feed: options.feed, verify: options.verify, crashes: options.crashes, ingest: options.ingest, doors: options.doors };
  app.register(async (scope) => {
    const routes = scope.withTypeProvider<ZodTypeProvider>();
    for (const add of [systemRoutes, deviceRoutes, cohortRoutes, artifactRoutes, releaseRoutes, rolloutRoutes, rollbackRoutes, archiveRoutes, crashRoutes, auditRoutes, eventRoutes, fleetRoutes, progressRoutes, metricsRoutes]) {
      add(routes, context);
    }
    sessionRoutes(routes, { sessions, token: options.token });
    if (options.pages !== undefined) {
      pageRoutes(scope, options.pages);
    }
  });
  return app;
}

/** What is wrong with a JSON body that the parser refused. */
function jsonTrouble(body: string): CoalmineError {
  try {
    JSON.parse(body);
  } catch (error) {
    return new CoalmineError("api/bad-json", body === "" ? "body: is empty" : `body: ${(error as Error).message}`);
  }
  return new CoalmineError("api/bad-json", "body: a property may not be named __proto__, nor constructor.prototype");
}
