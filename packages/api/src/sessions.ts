// SPDX-License-Identifier: Apache-2.0
// Sessions of browsers: a token once given becomes a cookie that scripts cannot read, and orders carry a second secret.
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

const cookieName = "coalmine-session";
const lifetimeMs = 12 * 3_600_000;
const sessionsMax = 1_000;

export interface Session {
  /** What orders must carry in `x-csrf-token`: a page of another site can send the cookie along, but cannot know this. */
  readonly csrf: string;
  readonly endsAt: number;
}

/** Open sessions, in memory only: a restart asks for the token again. Ids are kept as hashes. */
export class Sessions {
  readonly #sessions = new Map<string, Session>();

  /** Opens a session and gives its id, for the cookie, and its CSRF token. */
  open(): { readonly id: string; readonly session: Session } {
    const id = randomBytes(32).toString("base64url");
    const session = { csrf: randomBytes(32).toString("base64url"), endsAt: performance.now() + lifetimeMs };
    if (this.#sessions.size >= sessionsMax) {
      this.#sessions.delete(this.#sessions.keys().next().value as string);
    }
    this.#sessions.set(hashed(id), session);
    return { id, session };
  }

  /** The session that a Cookie header names; undefined when there is none or it has ended. */
  find(cookies: string | undefined): Session | undefined {
    const id = cookieOf(cookies);
    const session = id === undefined ? undefined : this.#sessions.get(hashed(id));
    return session !== undefined && session.endsAt > performance.now() ? session : undefined;
  }

  close(cookies: string | undefined): void {
    const id = cookieOf(cookies);
    if (id !== undefined) {
      this.#sessions.delete(hashed(id));
    }
  }
}

/** The Set-Cookie header of a session; of an empty id, the one that ends it. */
export function sessionCookie(id: string): string {
  return `${cookieName}=${id}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${id === "" ? 0 : lifetimeMs / 1_000}`;
}

/** Compares in a time that does not depend on where they differ. */
export function sameSecret(a: string, b: string): boolean {
  return timingSafeEqual(createHash("sha256").update(a).digest(), createHash("sha256").update(b).digest());
}

function cookieOf(cookies: string | undefined): string | undefined {
  for (const part of (cookies ?? "").split(";")) {
    const [name, value] = part.trim().split("=", 2);
    if (name === cookieName && value !== undefined && /^[A-Za-z0-9_-]{43}$/.test(value)) {
      return value;
    }
  }
  return undefined;
}

function hashed(id: string): string {
  return createHash("sha256").update(id).digest("base64url");
}
