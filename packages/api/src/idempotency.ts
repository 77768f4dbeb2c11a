// SPDX-License-Identifier: Apache-2.0
// A POST that is sent again with the same Idempotency-Key is answered again and not carried out again.
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { createHash } from "node:crypto";
import { CoalmineError } from "@coalmine/core";
import { HttpTrouble } from "./errors.ts";

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

interface Entry {
  readonly request: string;
  readonly answer: Promise<Answer | undefined>;
  readonly settle: (answer: Answer | undefined) => void;
}

const keysMax = 1_000;
const bodyCharsMax = 1024 * 1024;
const keptHeaders = ["etag", "location", "content-type"] as const;

/** The text of a JSON body as it came; set by the parser of `buildApi`. */
export const rawBodies = new WeakMap<FastifyRequest, string>();

/**
 * Keys are remembered in memory, the newest 1,000. After a restart the id of what was created and the ETag of what
 * was ordered protect from doing it twice.
 */
export function idempotency(app: FastifyInstance): void {
  const entries = new Map<string, Entry>();
  const running = new WeakMap<FastifyRequest, { readonly key: string; readonly entry: Entry }>();

  app.addHook("preHandler", async (request: FastifyRequest, reply: FastifyReply) => {
    const key = request.headers["idempotency-key"];
    if (request.method !== "POST" || key === undefined) {
      return;
    }
    if (typeof key !== "string" || !/^[!-~]{1,128}$/.test(key)) {
      throw new CoalmineError("api/bad-header", "header.idempotency-key: must be 1 to 128 printable ASCII characters");
    }
    const what = fingerprint(request);
    const known = entries.get(key);
    if (known !== undefined) {
      if (known.request !== what) {
        throw new HttpTrouble(409, "api/idempotency-key", "this Idempotency-Key was used for another request; choose a new one");
      }
      const answer = await known.answer;
      if (answer !== undefined) {
        reply.code(answer.status).headers({ ...answer.headers, "idempotent-replay": "true" });
        reply.serializer((text: unknown) => String(text));
        await reply.send(answer.body);
        return;
      }
    }
    const entry = newEntry(what);
    entries.set(key, entry);
    running.set(request, { key, entry });
    if (entries.size > keysMax) {
      entries.delete(entries.keys().next().value as string);
    }
  });

  app.addHook("onSend", async (request: FastifyRequest, reply: FastifyReply, payload: unknown) => {
    const mine = running.get(request);
    if (mine === undefined) {
      return payload;
    }
    running.delete(request);
    // A failure of the server's may go away: the next try runs again.
    if (reply.statusCode >= 500 || reply.statusCode === 429 || typeof payload !== "string" || payload.length > bodyCharsMax) {
      entries.delete(mine.key);
      mine.entry.settle(undefined);
    } else {
      const headers: Record<string, string> = {};
      for (const name of keptHeaders) {
        const value = reply.getHeader(name);
        if (typeof value === "string") {
          headers[name] = value;
        }
      }
      mine.entry.settle({ status: reply.statusCode, headers, body: payload });
    }
    return payload;
  });
}

function newEntry(request: string): Entry {
  const { promise, resolve } = Promise.withResolvers<Answer | undefined>();
  return { request, answer: promise, settle: resolve };
}

function fingerprint(request: FastifyRequest): string {
  const ifMatch = request.headers["if-match"] ?? "";
  return createHash("sha256").update(`${request.url}\n${ifMatch}\n${rawBodies.get(request) ?? ""}`).digest("hex");
}
