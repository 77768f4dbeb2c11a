// SPDX-License-Identifier: Apache-2.0
// Who may ask at all: rate, Host header, origin, token. And what every answer carries.
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { HttpTrouble } from "./errors.ts";
import { isPage } from "./pages.ts";
import { sameSecret, type Sessions } from "./sessions.ts";

export interface GuardOptions {
  /** Bearer token that every request but the health check must carry. */
  readonly token?: string | undefined;
  /** Browsers that gave the token before. */
  readonly sessions: Sessions;
  /** Names accepted in the Host header; undefined accepts any, for listeners that a token protects. */
  readonly hosts?: readonly string[] | undefined;
  /** Requests one address may send per second, in the long run. */
  readonly requestsPerSecond: number;
}

/** Names by which a loopback listener is reached. Others are refused: a web page may have pointed its own name at 127.0.0.1. */
export const loopbackHosts: readonly string[] = ["localhost", "127.0.0.1", "[::1]"];

const policy = "default-src 'self'; script-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none'";

export const securityHeaders: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "content-security-policy": policy,
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
};

const open: ReadonlySet<string> = new Set(["/healthz", "/session"]);
const readOnly: ReadonlySet<string> = new Set(["GET", "HEAD"]);
/** Wrong tokens one address may try in a minute. */
const wrongTokensPerMinute = 10;

export function guard(app: FastifyInstance, options: GuardOptions): void {
  const rate = new Buckets(options.requestsPerSecond, options.requestsPerSecond * 2);
  const wrong = new Buckets(wrongTokensPerMinute / 60, wrongTokensPerMinute);
  const { token } = options;

  app.addHook("onRequest", async (request: FastifyRequest, reply: FastifyReply) => {
    reply.headers(securityHeaders);
    if (!rate.take(request.ip)) {
      throw new HttpTrouble(429, "api/too-many-requests", "too many requests from this address; try again in a second");
    }
    checkHost(request, options.hosts);
    checkOrigin(request);
    if (token === undefined || (open.has(request.url) && request.method !== "POST") || (readOnly.has(request.method) && isPage(request.url))) {
      return;
    }
    const session = options.sessions.find(request.headers.cookie);
    if (session !== undefined && request.headers.authorization === undefined && request.url !== "/session") {
      const csrf = request.headers["x-csrf-token"];
      if (!readOnly.has(request.method) && (typeof csrf !== "string" || !sameSecret(csrf, session.csrf))) {
        throw new HttpTrouble(403, "api/csrf", "an order with a session's cookie must carry the session's x-csrf-token (GET /session)");
      }
      return;
    }
    if (!wrong.has(request.ip)) {
      throw new HttpTrouble(429, "api/too-many-tokens", "too many wrong tokens from this address; try again in a minute");
    }
    const given = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
    if (given === undefined || !sameSecret(given, token)) {
      wrong.take(request.ip);
      reply.header("www-authenticate", "Bearer");
      throw new HttpTrouble(401, "api/token", given === undefined ? "a token is needed: send Authorization: Bearer TOKEN" : "the token is wrong");
    }
  });
}

function checkHost(request: FastifyRequest, hosts: readonly string[] | undefined): void {
  if (hosts === undefined) {
    return;
  }
  const name = (request.headers.host ?? "").replace(/:\d+$/, "").toLowerCase();
  if (!hosts.includes(name)) {
    throw new HttpTrouble(403, "api/host", `Host ${JSON.stringify(name)} is not one of ${hosts.join(", ")}`);
  }
}

/** A page of another site must not order anything, even where no token is set. */
function checkOrigin(request: FastifyRequest): void {
  if (readOnly.has(request.method)) {
    return;
  }
  const { origin, host } = request.headers;
  const site = request.headers["sec-fetch-site"];
  const foreign = origin !== undefined && origin.replace(/^https?:\/\//, "") !== host;
  if (foreign || (site !== undefined && site !== "same-origin" && site !== "none")) {
    throw new HttpTrouble(403, "api/origin", "requests from pages of another site are refused");
  }
}

const addressesMax = 10_000;

/** Token buckets by address. The wall clock does not matter here, only time passed. */
class Buckets {
  readonly #rate: number;
  readonly #size: number;
  readonly #levels = new Map<string, { level: number; at: number }>();

  constructor(perSecond: number, size: number) {
    this.#rate = perSecond;
    this.#size = size;
  }

  has(address: string): boolean {
    return this.#bucket(address).level >= 1;
  }

  take(address: string): boolean {
    const bucket = this.#bucket(address);
    if (bucket.level < 1) {
      return false;
    }
    bucket.level -= 1;
    return true;
  }

  #bucket(address: string): { level: number; at: number } {
    const now = performance.now();
    let bucket = this.#levels.get(address);
    if (bucket === undefined) {
      if (this.#levels.size >= addressesMax) {
        this.#levels.clear();
      }
      bucket = { level: this.#size, at: now };
      this.#levels.set(address, bucket);
    }
    bucket.level = Math.min(this.#size, bucket.level + ((now - bucket.at) / 1_000) * this.#rate);
    bucket.at = now;
    return bucket;
  }
}
