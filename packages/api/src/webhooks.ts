// SPDX-License-Identifier: Apache-2.0
// Tells other systems of what a rollout decides: halted, held, promoted, complete (Standard Webhooks 1.0, standardwebhooks.com).
//
// W1. Nothing is told before it is durable, and what is durable is told at least once: the position of what was delivered is kept.
// W2. One target's trouble delays nobody else; its own events stay in order.
// W3. A delivery that fails is tried again, longer and longer apart, and given up after a day; that is said.
import { CoalmineError } from "@coalmine/core";
import { type AuditFeed, auditLine, type AuditLine, type EventLog } from "@coalmine/orchestrator";
import { createHmac } from "node:crypto";

/** Decisions that are told, and what they are called outside. */
const webhookEvents = {
  "rollout-started": "rollout.started",
  promoted: "rollout.promoted",
  "stage-opened": "rollout.stage-opened",
  held: "rollout.held",
  halted: "rollout.halted",
  resumed: "rollout.resumed",
  aborted: "rollout.aborted",
  completed: "rollout.complete",
} as const;

export interface WebhookTarget {
  readonly url: string;
  /** Key of the signatures. */
  readonly secret: Uint8Array;
}

/** Where the position of each target is kept between runs. */
export interface WebhookPositions {
  /** Sequence of the newest entry that is settled for a target; undefined for one that was never seen. */
  get(url: string): number | undefined;
  set(url: string, sequence: number): void;
}

export interface WebhookOptions {
  readonly targets: readonly WebhookTarget[];
  readonly log: EventLog;
  readonly feed: AuditFeed;
  readonly positions: WebhookPositions;
  /** What goes into the body's `data` beside the decision: population, exposed devices, the address of the report. */
  readonly describe: (line: AuditLine) => Readonly<Record<string, unknown>>;
  readonly warn?: (message: string) => void;
  /** Waits before another try; rejects never. Tests give their own. */
  readonly wait?: (seconds: number, signal: AbortSignal) => Promise<void>;
}

/** Seconds before each further try; a day in all. */
export const retrySeconds: readonly number[] = [5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 28_800];
const answerMs = 10_000;
const pageEntries = 5_000;

interface Worker {
  readonly target: WebhookTarget;
  position: number;
  running: Promise<void> | undefined;
}

/** Checks a target's address. Plain HTTP is for this machine only. Throws `webhook/url`. */
export function webhookUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw new CoalmineError("webhook/url", `webhook ${JSON.stringify(text)} is not a URL`, { cause });
  }
  const isLocal = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isLocal)) {
    throw new CoalmineError("webhook/url", `webhook ${url.protocol}//${url.host}: use https, or http to this machine`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new CoalmineError("webhook/url", `webhook ${url.protocol}//${url.host}: no user and password in the address; deliveries are signed`);
  }
  return url.href;
}

/** The signature of a delivery: HMAC-SHA256 over `id.timestamp.body`, base64 behind the scheme's version. */
function webhookSignature(secret: Uint8Array, delivery: { readonly id: string; readonly timestamp: number; readonly body: string }): string {
  return `v1,${createHmac("sha256", secret).update(`${delivery.id}.${delivery.timestamp}.${delivery.body}`).digest("base64")}`;
}

export class Webhooks {
  readonly #options: WebhookOptions;
  readonly #workers: readonly Worker[];
  readonly #stop = new AbortController();
  readonly #unlisten: () => void;
  /** Events delivered, given up, and tries that failed, since the start. */
  readonly stats = { delivered: 0, failed: 0, givenUp: 0 };

  constructor(options: WebhookOptions) {
    this.#options = options;
    // A target that is new hears of what happens from now on, not of the past.
    this.#workers = options.targets.map((target) => ({ target, position: options.positions.get(target.url) ?? options.log.length, running: undefined }));
    for (const { target, position } of this.#workers) {
      options.positions.set(target.url, position);
    }
    this.#unlisten = options.feed.listen((line) => {
      if (line.type in webhookEvents) {
        this.#wake();
      }
    });
    this.#wake();
  }

  /** Resolves when nothing is left to deliver now. */
  async settled(): Promise<void> {
    for (const worker of this.#workers) {
      while (worker.running !== undefined) {
        await worker.running;
      }
    }
  }

  /** Stops; what is not delivered is at the next start. */
  async close(): Promise<void> {
    this.#unlisten();
    this.#stop.abort();
    await this.settled();
  }

  #wake(): void {
    for (const worker of this.#workers) {
      worker.running ??= this.#work(worker)
        .catch((error: unknown) => this.#options.warn?.(`webhook ${hostOf(worker.target)}: ${(error as Error).message}`))
        .finally(() => {
          worker.running = undefined;
        });
    }
  }

  async #work(worker: Worker): Promise<void> {
    const { log, positions } = this.#options;
    // The feed speaks within the turn in which something became durable: read in the next one.
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    while (!this.#stop.signal.aborted && worker.position < log.length) {
      let read = 0;
      const end = log.length;
      await log.durable(); // W1
      for (const entry of log.read(worker.position)) {
        if (entry.sequence > end) {
          break;
        }
        read += 1;
        const line = entry.type in webhookEvents ? auditLine(entry, entry.sequence) : undefined;
        if (line !== undefined && !(await this.#deliver(worker.target, line))) {
          return; // stopped in mid-try: again at the next start
        }
        worker.position = entry.sequence;
        if (line !== undefined) {
          positions.set(worker.target.url, worker.position);
        }
        if (read >= pageEntries) {
          break;
        }
      }
      if (read === 0) {
        return;
      }
      positions.set(worker.target.url, worker.position);
      await new Promise<void>((resolve) => {
        setImmediate(resolve);
      });
    }
  }

  /** True when the event is settled: delivered, or given up. */
  async #deliver(target: WebhookTarget, line: AuditLine): Promise<boolean> {
    const { describe, warn, wait = pause } = this.#options;
    const id = `coalmine-${line.sequence}`;
    const type = webhookEvents[line.type as keyof typeof webhookEvents];
    const body = JSON.stringify({ type, timestamp: line.at, data: { sequence: line.sequence, rollout: line.rollout, by: line.by, reason: line.reason, ...describe(line) } });
    for (let tries = 0; ; tries += 1) {
      const trouble = await this.#post(target, id, body);
      if (trouble === undefined) {
        this.stats.delivered += 1;
        return true;
      }
      if (this.#stop.signal.aborted) {
        return false;
      }
      this.stats.failed += 1;
      const delay = retrySeconds[tries];
      if (delay === undefined) {
        this.stats.givenUp += 1;
        warn?.(`webhook ${hostOf(target)}: ${type} (${id}) given up after a day of tries: ${trouble}`);
        return true;
      }
      warn?.(`webhook ${hostOf(target)}: ${type} (${id}) failed: ${trouble}; again in ${delay} s`);
      await wait(delay, this.#stop.signal);
      if (this.#stop.signal.aborted) {
        return false;
      }
    }
  }

  /** What went wrong, or undefined. */
  async #post(target: WebhookTarget, id: string, body: string): Promise<string | undefined> {
    const timestamp = Math.floor(Date.now() / 1_000);
    const headers = {
      "content-type": "application/json",
      "user-agent": "coalmine-webhooks",
      "webhook-id": id,
      "webhook-timestamp": String(timestamp),
      "webhook-signature": webhookSignature(target.secret, { id, timestamp, body }),
    };
    try {
      const answer = await fetch(target.url, { method: "POST", headers, body, redirect: "manual", signal: AbortSignal.any([this.#stop.signal, AbortSignal.timeout(answerMs)]) });
      await answer.body?.cancel();
      return answer.ok ? undefined : `HTTP ${answer.status}`;
    } catch (error) {
      return ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code ?? (error as Error).message;
    }
  }
}

function hostOf({ url }: WebhookTarget): string {
  return new URL(url).host;
}

/** Waits, or less when stopped. */
function pause(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, seconds * 1_000);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done);
    if (signal.aborted) {
      done();
    }
  });
}
