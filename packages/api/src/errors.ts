// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";

/** Trouble that is about HTTP itself and brings its status along. */
export class HttpTrouble extends CoalmineError {
  readonly status: number;

  constructor(status: number, code: string, message: string) {
    super(code, message, { retry: status === 429 || status >= 500 ? "later" : "never" });
    this.status = status;
  }
}

/** What the state of fleet or rollout does not allow, though the request is well formed. */
const conflicts: ReadonlySet<string> = new Set([
  "rollout/status",
  "rollout/plan-frozen",
  "rollout/overlap",
  "rollout/empty",
  "rollout/canary",
  "rollout/not-representative",
  "release/barred",
  "release/needed",
  "release/archived",
  "release/not-archived",
  "archive/damaged",
  "plan/empty-stage",
  "rollback/nobody",
  "rollback/no-target",
  "rollback/no-way-back",
]);

/** The HTTP status of a CoalmineError, by its code. */
function statusOf(error: CoalmineError): number {
  if (error instanceof HttpTrouble) {
    return error.status;
  }
  const [area = "", what = ""] = error.code.split("/");
  if (what === "unknown" || what === "not-a-member") {
    return 404;
  }
  if (what === "exists" || conflicts.has(error.code)) {
    return 409;
  }
  return area === "store" || area === "link" || error.retry === "later" ? 503 : 400;
}

/** Fastify's own errors: `FST_ERR_CTP_BODY_TOO_LARGE` becomes `http/body-too-large`. */
function fastifyCode(error: FastifyError): string {
  const words = (error.code ?? "").replace(/^FST_ERR_(CTP_|VALIDATION_)?/, "").toLowerCase().replaceAll("_", "-");
  return words === "" ? "http/bad-request" : `http/${words}`;
}

export interface ErrorReport {
  readonly error: { readonly code: string; readonly message: string };
}

/** Every error is JSON `{error: {code, message}}`. A bug is told apart, reported to `onBug`, and shows nothing of the inside. */
export function errorHandler(onBug: (error: Error, request: string) => void) {
  return (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    if (error instanceof CoalmineError) {
      const status = statusOf(error);
      if (status === 429 || status === 503) {
        reply.header("retry-after", "1");
      }
      reply.code(status).send(reportOf(error.code, error.message));
      return;
    }
    const { statusCode } = error as Partial<FastifyError>;
    if (error instanceof Error && statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
      reply.code(statusCode).send(reportOf(fastifyCode(error as FastifyError), error.message));
      return;
    }
    onBug(error instanceof Error ? error : new Error(String(error)), `${request.method} ${request.url}`);
    reply.code(500).send(reportOf("api/bug", "a bug of coalmine: the server's log has the details"));
  };
}

export function reportOf(code: string, message: string): ErrorReport {
  return { error: { code, message } };
}
