// SPDX-License-Identifier: Apache-2.0
// The client of a running orchestrator's HTTP API.
import { CoalmineError, coalmineVersion } from "@coalmine/core";
import process from "node:process";
import { userInfo } from "node:os";
import type { Command } from "commander";
import { badEnvironment, badUsage } from "./output/exit.ts";

/** What every command that talks to an orchestrator takes. */
export interface ClientFlags {
  readonly url?: string;
  readonly token?: string;
  readonly json?: true;
}

/** Flags of commands that change something. */
export interface AuthorityFlags {
  readonly by?: string;
  readonly reason?: string;
}

const defaultUrl = "http://127.0.0.1:8080";

/** Adds --url, --token and --json. */
export function clientOptions(command: Command): Command {
  return command
    .option("--url <url>", `the orchestrator; else COALMINE_URL, else ${defaultUrl}`)
    .option("--token <token>", "its token; else COALMINE_TOKEN")
    .option("--json", "one JSON document on stdout");
}

/** Adds --by and --reason. */
export function authorityOptions(command: Command, options: { readonly reason: "needed" | "optional" }): Command {
  command.option("--by <name>", "who asks, for the audit log; else COALMINE_BY, else the user's name");
  return options.reason === "needed" ? command.requiredOption("--reason <text>", "why, for the audit log") : command.option("--reason <text>", "why, for the audit log");
}

/** Who asks and why, as the API takes it. */
export function authorityOf(flags: AuthorityFlags): { by: string; reason: string } {
  return { by: flags.by ?? process.env["COALMINE_BY"] ?? user(), reason: flags.reason ?? "" };
}

function user(): string {
  try {
    return userInfo().username;
  } catch {
    return "unknown";
  }
}

export interface Answer<T> {
  readonly body: T;
  readonly etag: string | undefined;
}

/** A question to an orchestrator, and what it answered. */
export interface Exchange {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
  readonly url: string;
  /** The version that the orchestrator says it is; null for one that does not. */
  readonly server: string | null;
}

const exchangesMax = 20;
/** The latest exchanges of this process: what a command may have tripped over. */
export const exchanges: Exchange[] = [];

interface Send {
  readonly body?: unknown;
  readonly bytes?: Uint8Array;
  readonly ifMatch?: string | undefined;
}

const answerMs = 60_000;

export function clientOf(flags: ClientFlags): Client {
  const url = flags.url ?? process.env["COALMINE_URL"] ?? defaultUrl;
  const token = flags.token ?? process.env["COALMINE_TOKEN"];
  let base: URL;
  try {
    base = new URL(url);
  } catch (cause) {
    throw badUsage(`--url ${JSON.stringify(url)} is not a URL: write ${defaultUrl}`, cause);
  }
  if (base.protocol !== "http:" && base.protocol !== "https:") {
    throw badUsage(`--url ${JSON.stringify(url)}: write http:// or https://`);
  }
  return new Client(base, token);
}

export class Client {
  readonly url: string;
  readonly #token: string | undefined;

  constructor(base: URL, token: string | undefined) {
    this.url = base.href.replace(/\/$/, "");
    this.#token = token;
  }

  async get<T>(path: string): Promise<T> {
    return (await this.#send<T>("GET", path)).body;
  }

  /** The object and the ETag of what was looked at. */
  look<T>(path: string): Promise<Answer<T>> {
    return this.#send<T>("GET", path);
  }

  async post<T>(path: string, body: unknown, options: { readonly ifMatch?: string | undefined } = {}): Promise<T> {
    return (await this.#send<T>("POST", path, { body, ifMatch: options.ifMatch })).body;
  }

  async put<T>(path: string, bytes: Uint8Array): Promise<T> {
    return (await this.#send<T>("PUT", path, { bytes })).body;
  }

  async text(path: string, accept: string): Promise<string> {
    const response = await this.#fetch("GET", path, { accept });
    const text = await response.text();
    if (!response.ok) {
      throw troubleOf(response.status, text);
    }
    return text;
  }

  /** The body as it is. */
  async bytes(path: string): Promise<Uint8Array> {
    const response = await this.#fetch("GET", path, { accept: "application/octet-stream" });
    if (!response.ok) {
      throw troubleOf(response.status, await response.text());
    }
    return new Uint8Array(await response.arrayBuffer());
  }

  /** Every item of a list that comes in pages. */
  async pages<T>(path: string, key: string, most: number): Promise<{ readonly items: T[]; readonly total: number; readonly more: boolean }> {
    const items: T[] = [];
    let total = 0;
    for (let after = ""; ; ) {
      const size = Math.min(1_000, most - items.length);
      const joint = path.includes("?") ? "&" : "?";
      const page = await this.get<Record<string, unknown> & { total: number; next: string | number | null }>(`${path}${joint}limit=${size}${after === "" ? "" : `&after=${encodeURIComponent(after)}`}`);
      items.push(...(page[key] as T[]));
      total = page.total;
      if (page.next === null || items.length >= most) {
        return { items, total, more: page.next !== null };
      }
      after = String(page.next);
    }
  }

  async #send<T>(method: string, path: string, { body, bytes, ifMatch }: Send = {}): Promise<Answer<T>> {
    const headers: Record<string, string> = { accept: "application/json" };
    if (bytes !== undefined) {
      headers["content-type"] = "application/octet-stream";
    } else if (body !== undefined) {
      headers["content-type"] = "application/json";
    }
    if (ifMatch !== undefined) {
      headers["if-match"] = ifMatch;
    }
    if (method === "POST") {
      // One key per command line: a repeat after a lost answer is not carried out twice.
      headers["idempotency-key"] = crypto.randomUUID();
    }
    const response = await this.#fetch(method, path, headers, bytes ?? (body === undefined ? undefined : JSON.stringify(body)));
    const text = await this.#read(response);
    const server = response.headers.get("coalmine-version");
    if (!response.ok) {
      throw troubleOf(response.status, text, server);
    }
    try {
      const answer = JSON.parse(text) as T;
      exchanges.push({ method, path, body: answer, url: this.url, server });
      exchanges.splice(0, exchanges.length - exchangesMax);
      return { body: answer, etag: response.headers.get("etag") ?? undefined };
    } catch (cause) {
      throw badEnvironment(`${this.url} answered with something that is no JSON: is it coalmine?`, cause);
    }
  }

  async #read(response: Response): Promise<string> {
    try {
      return await response.text();
    } catch (cause) {
      throw badEnvironment(`the connection to ${this.url} broke in mid-answer`, cause);
    }
  }

  async #fetch(method: string, path: string, headers: Record<string, string>, body?: string | Uint8Array): Promise<Response> {
    if (this.#token !== undefined) {
      headers["authorization"] = `Bearer ${this.#token}`;
    }
    const signal = AbortSignal.timeout(answerMs);
    try {
      return await fetch(`${this.url}${path}`, { method, headers, signal, redirect: "error", ...(body === undefined ? {} : { body: typeof body === "string" ? body : Buffer.from(body.buffer, body.byteOffset, body.length) }) });
    } catch (cause) {
      const why = ((cause as Error).cause as NodeJS.ErrnoException | undefined)?.code ?? (cause as Error).message;
      throw badEnvironment(`cannot reach ${this.url} (${why}): is "coalmine serve" running there? Give --url or COALMINE_URL`, cause);
    }
  }
}

function troubleOf(status: number, text: string, server: string | null = coalmineVersion): CoalmineError {
  let error: { code?: unknown; message?: unknown } | undefined;
  try {
    error = (JSON.parse(text) as { error?: { code?: unknown; message?: unknown } }).error;
  } catch {
    // Not ours; said below.
  }
  if (typeof error?.code !== "string" || typeof error.message !== "string") {
    return badEnvironment(`HTTP ${status} without an explanation: is the URL that of coalmine?`);
  }
  if (error.code === "http/no-route" && server !== coalmineVersion) {
    return badEnvironment(`${error.message}. The orchestrator is ${server === null ? "a coalmine that does not say its version, so an older one" : `coalmine ${server}`}, and this is coalmine ${coalmineVersion}: use one version for both`);
  }
  return new CoalmineError(error.code, error.message, { retry: status === 429 || status === 503 ? "later" : "never" });
}

/** A path with its parts encoded. */
export function path(strings: TemplateStringsArray, ...parts: readonly string[]): string {
  return strings.map((text, index) => text + (index < parts.length ? encodeURIComponent(parts[index] as string) : "")).join("");
}
