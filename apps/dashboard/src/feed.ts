// SPDX-License-Identifier: Apache-2.0
// Whether the orchestrator is there, and its events: that something changed is all that is taken from them.
//
// F1. When nothing answers, every request of the page stops but one: /session, asked again ever more rarely until it answers.
// F2. When it answers again, everything on screen is asked for anew.
import { onNoAnswer, session } from "./api.ts";

/**
 * `live`: events come. `connecting`: it answers, and events do not come (yet), so what is shown is asked for now and then.
 * `lost`: nothing answers.
 */
export type Connection = "connecting" | "live" | "lost";

type Listener = () => void;

/** At most so often is anything asked again because of events. */
export const pauseMs = 1_000;
/** Waits between tries while nothing answers; the last one stays. */
const tryAgainMs: readonly number[] = [1_000, 2_000, 4_000, 8_000, 15_000, 30_000];
/** A stream that was refused, by an orchestrator that is there, is opened again after this long. */
const refusedMs = 5_000;
const answerMs = 10_000;

class Feed {
  #source: EventSource | undefined;
  #connection: Connection = "connecting";
  #since = 0;
  #tries = 0;
  #timer: number | undefined;
  #probing = false;
  #waiting = false;
  readonly #onChange = new Set<Listener>();
  readonly #onConnection = new Set<Listener>();

  get connection(): Connection {
    return this.#connection;
  }

  /** Since when it is so, in milliseconds since 1970 by the browser's clock. */
  get since(): number {
    return this.#since;
  }

  /** Begins; gives what ends it. */
  start(): () => void {
    onNoAnswer(() => void this.#probe());
    const now = (): void => this.#tryNow();
    addEventListener("online", now);
    document.addEventListener("visibilitychange", now);
    this.#open();
    return () => {
      onNoAnswer(() => undefined);
      removeEventListener("online", now);
      document.removeEventListener("visibilitychange", now);
      clearTimeout(this.#timer);
      this.#source?.close();
      this.#source = undefined;
    };
  }

  /** Tries at once what would be tried later. */
  tryNow(): void {
    this.#tries = 0;
    clearTimeout(this.#timer);
    void this.#probe();
  }

  listen(listener: Listener): () => void {
    this.#onChange.add(listener);
    return () => this.#onChange.delete(listener);
  }

  listenConnection(listener: Listener): () => void {
    this.#onConnection.add(listener);
    return () => this.#onConnection.delete(listener);
  }

  #open(): void {
    this.#source?.close();
    const source = new EventSource("/events?brief=true");
    this.#source = source;
    source.addEventListener("open", () => {
      this.#become("live");
      this.#tell();
    });
    // Left to itself a browser tries for ever, every few seconds: whether anything answers is found out first.
    source.addEventListener("error", () => {
      source.close();
      if (this.#source === source) {
        this.#source = undefined;
        void this.#probe();
      }
    });
    for (const name of ["audit", "changed"]) {
      source.addEventListener(name, () => this.#tell());
    }
  }

  /** Asks whether anything answers; opens the stream again when it does. */
  async #probe(): Promise<void> {
    if (this.#probing) {
      return;
    }
    this.#probing = true;
    clearTimeout(this.#timer);
    const answers = await session({ patience: answerMs }).then(
      ({ open }) => (open ? "yes" : "closed"),
      (error: unknown) => (error instanceof Error && "status" in error && error.status === 0 ? "no" : "yes"),
    );
    this.#probing = false;
    if (answers === "closed") {
      return; // the page asks for the token now
    }
    if (answers === "no") {
      this.#source?.close();
      this.#source = undefined;
      this.#become("lost");
      this.#later(tryAgainMs[Math.min(this.#tries, tryAgainMs.length - 1)] as number, () => void this.#probe());
      this.#tries += 1;
      return;
    }
    const wasLost = this.#connection === "lost";
    this.#tries = 0;
    if (this.#source === undefined) {
      this.#become("connecting");
      this.#later(wasLost ? 0 : refusedMs, () => this.#open());
    }
    if (wasLost) {
      this.#onChange.forEach((listener) => listener());
    }
  }

  #later(wait: number, then: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(then, wait);
  }

  #tryNow(): void {
    if (!document.hidden && this.#connection === "lost") {
      this.tryNow();
    }
  }

  #become(connection: Connection): void {
    if (this.#connection !== connection) {
      this.#connection = connection;
      this.#since = Date.now();
      this.#onConnection.forEach((listener) => listener());
    }
  }

  #tell(): void {
    if (this.#waiting) {
      return;
    }
    this.#waiting = true;
    setTimeout(() => {
      this.#waiting = false;
      if (!document.hidden) {
        this.#onChange.forEach((listener) => listener());
      }
    }, pauseMs);
  }
}

export const feed = new Feed();
