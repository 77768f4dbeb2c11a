// SPDX-License-Identifier: Apache-2.0
// Requests to the orchestrator that served this page. No other origin is ever asked.
import type { SessionView } from "@coalmine/api";

/** What went wrong, in the API's words. `status` is 0 when nothing answered. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export interface Answer<T> {
  readonly data: T;
  readonly etag: string | null;
}

let csrf: string | null = null;
let needToken: () => void = () => undefined;
let noAnswer: () => void = () => undefined;

/** Called when a request was refused for want of a token. */
export function onTokenNeeded(listener: () => void): void {
  needToken = listener;
}

/** Called when nothing answered a request. */
export function onNoAnswer(listener: () => void): void {
  noAnswer = listener;
}

async function request<T>(method: string, url: string, options: { readonly body?: unknown; readonly headers?: Record<string, string>; readonly patience?: number } = {}): Promise<Answer<T>> {
  const headers: Record<string, string> = { accept: "application/json", ...options.headers };
  if (csrf !== null && method !== "GET") {
    headers["x-csrf-token"] = csrf;
  }
  const init: RequestInit = { method, headers, credentials: "same-origin" };
  if (options.body !== undefined) {
    headers["content-type"] = "application/json";
    init.body = JSON.stringify(options.body);
  }
  if (options.patience !== undefined) {
    init.signal = AbortSignal.timeout(options.patience);
  }
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, init);
    text = await response.text();
  } catch {
    noAnswer();
    throw new Problem(0, "page/no-answer", "the orchestrator does not answer: is it running, and is this machine connected?");
  }
  if (!response.ok) {
    if (response.status === 401 && url !== "/session") {
      needToken();
    }
    throw problemOf(response.status, text);
  }
  return { data: JSON.parse(text) as T, etag: response.headers.get("etag") };
}

function problemOf(status: number, text: string): Problem {
  try {
    const { error } = JSON.parse(text) as { error: { code: string; message: string } };
    return new Problem(status, error.code, error.message);
  } catch {
    return new Problem(status, "page/answer", `the answer (status ${status}) could not be read`);
  }
}

/** `patience`: milliseconds after which no answer counts as none. */
export function get<T>(url: string, options: { readonly patience?: number } = {}): Promise<Answer<T>> {
  return request<T>("GET", url, options);
}

export function post<T>(url: string, body: unknown, options: { readonly ifMatch?: string | null } = {}): Promise<Answer<T>> {
  return request<T>("POST", url, { body, headers: typeof options.ifMatch !== "string" ? {} : { "if-match": options.ifMatch } });
}

/** Whether this browser may ask. Remembers what its orders must carry. */
export async function session(options: { readonly patience?: number } = {}): Promise<SessionView> {
  const { data } = await get<SessionView>("/session", options);
  csrf = data.csrf;
  if (!data.open) {
    needToken();
  }
  return data;
}

/** Exchanges the token for a session. The token itself is not kept. */
export async function signIn(token: string): Promise<void> {
  const { data } = await request<SessionView>("POST", "/session", { headers: { authorization: `Bearer ${token}` } });
  csrf = data.csrf;
}

export async function signOut(): Promise<void> {
  await request<SessionView>("DELETE", "/session");
  csrf = null;
}
