// SPDX-License-Identifier: Apache-2.0
// Server-sent events (HTML Living Standard, section 9.2): audit lines as they become durable.
import { auditAfter, type AuditLine } from "@coalmine/orchestrator";
import type { ServerResponse } from "node:http";
import type { ApiContext, ZodApp } from "../context.ts";
import { HttpTrouble } from "../errors.ts";
import { securityHeaders } from "../guard.ts";
import { eventQuery } from "../schemas.ts";

const listenersMax = 64;
const keepAliveMs = 15_000;
/** A reader that is this far behind is let go; it comes back with Last-Event-ID. */
const bufferedMax = 1024 * 1024;
const catchUpPage = 500;
/** Between two notes that single devices moved on. */
const changedEveryMs = 1_000;

export function eventRoutes(app: ZodApp, { feed, log }: ApiContext): void {
  if (feed === undefined) {
    return;
  }
  const streams = new Set<ServerResponse>();

  app.get(
    "/events",
    { schema: { tags: ["audit"], summary: "Audit lines as they happen (text/event-stream). Last-Event-ID goes on where a connection ended", querystring: eventQuery } },
    async (request, reply) => {
      const brief = request.query.brief === "true";
      if (streams.size >= listenersMax) {
        throw new HttpTrouble(429, "events/too-many", `${listenersMax} listeners are connected`);
      }
      const header = request.headers["last-event-id"];
      let sent = typeof header === "string" && /^\d{1,15}$/.test(header) ? Math.min(Number(header), log.length) : log.length;
      const stream = reply.raw;
      reply.hijack();
      stream.writeHead(200, { ...securityHeaders, "content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no" });
      stream.write(": audit lines of coalmine\n\n");
      streams.add(stream);

      let live = false;
      let noted: NodeJS.Timeout | undefined;
      const changed = (): void => {
        noted ??= setTimeout(() => {
          noted = undefined;
          stream.write(`id: ${sent}\nevent: changed\ndata: {"sequence":${sent}}\n\n`);
        }, changedEveryMs);
      };
      const write = (line: AuditLine): void => {
        if (line.sequence <= sent) {
          return;
        }
        sent = line.sequence;
        if (brief && line.device !== null && line.rollout !== null) {
          changed();
          return;
        }
        stream.write(`id: ${line.sequence}\nevent: audit\ndata: ${JSON.stringify(line)}\n\n`);
        if (stream.writableLength > bufferedMax) {
          stream.destroy();
        }
      };
      const unlisten = feed.listen((line) => {
        if (live) {
          write(line);
        }
      });
      const keepAlive = setInterval(() => stream.write(": still here\n\n"), keepAliveMs);
      stream.once("close", () => {
        unlisten();
        clearInterval(keepAlive);
        clearTimeout(noted);
        streams.delete(stream);
      });
      for (let next: number | null = sent; next !== null && !stream.destroyed; ) {
        const page = auditAfter(log, { after: next, limit: catchUpPage });
        for (const line of page.records) {
          write(line);
        }
        next = page.next;
        if (next !== null) {
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
      // Nothing awaited since the last page was read: no line falls between the two.
      live = true;
    },
  );

  app.addHook("preClose", async () => {
    for (const stream of streams) {
      stream.end();
    }
  });
}
