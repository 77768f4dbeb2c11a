// SPDX-License-Identifier: Apache-2.0
// The dashboard's files. They are few and read once: a request names a key of a map, so no path of a request ever
// reaches a file system.
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";

export interface PageFile {
  readonly bytes: Uint8Array;
  readonly type: string;
}

/** The files of the page by the path they are asked for at: `/` and `/assets/...`. Called when first asked for. */
export type Pages = () => Promise<ReadonlyMap<string, PageFile>>;

interface Ready extends PageFile {
  readonly etag: string;
  readonly zipped: Uint8Array | undefined;
}

/** Paths that carry the page itself: no secret in them, and the page is what asks for the token. */
export function isPage(url: string): boolean {
  const [path = ""] = url.split("?", 1);
  return path === "/" || path === "/favicon.svg" || path.startsWith("/assets/");
}

const worthZipping = 1_024;

/** Serves the page. Names of assets hold the hash of what is in them, so they may be kept for ever; the page itself is asked for again. */
export function pageRoutes(app: FastifyInstance, pages: Pages): void {
  let ready: Promise<ReadonlyMap<string, Ready>> | undefined;
  const load = async (): Promise<ReadonlyMap<string, Ready>> => new Map([...(await pages())].map(([path, file]) => [path, prepare(file)]));

  const send = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    // A failure is not kept: the next request tries again.
    ready ??= load().catch((error: unknown) => {
      ready = undefined;
      throw error;
    });
    const [path = ""] = request.url.split("?", 1);
    const file = (await ready).get(path);
    if (file === undefined) {
      return reply.callNotFound();
    }
    reply.headers({ etag: file.etag, vary: "accept-encoding", "cache-control": keptFor(path) });
    if (request.headers["if-none-match"] === file.etag) {
      return reply.code(304).send();
    }
    reply.type(file.type);
    if (file.zipped !== undefined && /\bgzip\b/.test(request.headers["accept-encoding"] ?? "")) {
      return reply.header("content-encoding", "gzip").send(file.zipped);
    }
    return reply.send(file.bytes);
  };
  for (const url of ["/", "/favicon.svg", "/assets/*"]) {
    app.get(url, { schema: { hide: true } }, send);
  }
}

function keptFor(path: string): string {
  return path.startsWith("/assets/") ? "public, max-age=31536000, immutable" : path === "/" ? "no-cache" : "public, max-age=86400";
}

function prepare({ bytes, type }: PageFile): Ready {
  const zipped = bytes.length < worthZipping ? undefined : gzipSync(bytes, { level: 9 });
  return { bytes: Buffer.from(bytes), type, zipped, etag: `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"` };
}
