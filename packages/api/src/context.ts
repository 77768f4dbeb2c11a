// SPDX-License-Identifier: Apache-2.0
import type { ArchiveStore, ArtifactStore, AuditFeed, Clock, CrashCatalogue, EventLog, Host } from "@coalmine/orchestrator";
import type { FastifyBaseLogger, FastifyInstance, RawReplyDefaultExpression, RawRequestDefaultExpression, RawServerDefault } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import type { z } from "zod";
import type { DoorMeter, newIngestMeter } from "./metrics.ts";
import { failure } from "./schemas.ts";

/** What the routes answer from. */
export interface ApiContext {
  readonly host: Host;
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
  /** Verifies the log's hash chain; by default in this thread. */
  readonly verify?: (() => Promise<LogVerification>) | undefined;
}

/** What verifying the whole log came to. `sha256` is over all entries; `brokenAt` the first bad sequence. */
export type LogVerification =
  | { readonly ok: true; readonly entries: number; readonly sha256: string }
  | { readonly ok: false; readonly brokenAt: number; readonly reason: string };

/** Verifies a log in this thread. A long log takes a while: a process that serves devices does it beside. */
export function verifyLog(log: EventLog): LogVerification {
  const result = log.verify();
  return result.ok ? { ...result, sha256: log.digest().sha256 } : result;
}

/** An application whose routes take their types from zod schemas. */
export type ZodApp = FastifyInstance<RawServerDefault, RawRequestDefaultExpression, RawReplyDefaultExpression, FastifyBaseLogger, ZodTypeProvider>;

type Failures = "400" | "401" | "404" | "409" | "412" | "413" | "428" | "429" | "503";

/** The answers of a route for the API's description: its own, and how it can fail. */
export function answers<T extends z.ZodType, S extends number = 200>(schema: T, options: { readonly status?: S; readonly failures?: readonly Failures[] } = {}) {
  const failures = Object.fromEntries([...(options.failures ?? []), "401" as const, "429" as const].map((status) => [status, failure]));
  return { response: { ...failures, [options.status ?? 200]: schema } };
}
