// SPDX-License-Identifier: Apache-2.0
// Calls to an orchestrator that may be dead at any moment.
import { setTimeout as sleep } from "node:timers/promises";

const retryEvery = 50;
const patience = 60_000;

/** Thrown for an answer that says no; not for one that never came. */
export class Refused extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(`${status}: ${text}`);
    this.status = status;
  }
}

export class Api {
  readonly url: string;

  constructor(port: number) {
    this.url = `http://127.0.0.1:${port}`;
  }

  /** One try. Rejects with `Refused`, or with whatever the connection died of. */
  async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const raw = body instanceof Uint8Array;
    const response = await fetch(`${this.url}${path}`, {
      method,
      ...(body === undefined ? {} : { headers: { "content-type": raw ? "application/octet-stream" : "application/json" }, body: raw ? Buffer.from(body) : JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) {
      throw new Refused(response.status, text);
    }
    return JSON.parse(text) as T;
  }

  /** Tries until somebody answers. */
  async get<T>(path: string): Promise<T> {
    const deadline = performance.now() + patience;
    for (;;) {
      try {
        return await this.call<T>("GET", path);
      } catch (error) {
        if (error instanceof Refused || performance.now() > deadline) {
          throw error;
        }
        await sleep(retryEvery);
      }
    }
  }
}
