// SPDX-License-Identifier: Apache-2.0
// What the page shows follows the orchestrator: its events say that something changed, and what is on screen is asked again.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { get, Problem } from "./api.ts";
import { type Connection, feed, pauseMs } from "./feed.ts";

export function useConnection(): Connection {
  const [connection, setConnection] = useState(feed.connection);
  useEffect(() => feed.listenConnection(() => setConnection(feed.connection)), []);
  return connection;
}

/** No answer for so long, and for longer than it takes until it is asked again anyway, is none. */
const patienceMs = 30_000;

export interface Live<T> {
  readonly data: T | undefined;
  readonly etag: string | null;
  readonly problem: Problem | undefined;
  /** Asks again now. */
  readonly again: () => void;
}

/**
 * What the API says at `url`, asked again when something changed, but not before `pace` milliseconds, and every `every`
 * milliseconds in any case: but not what the orchestrator does not know, before something changed. One request at a time; none while nobody sees the page, and none while nothing answers. What was
 * there stays while a request is under way or fails.
 */
export function useLive<T>(url: string | null, every = 10_000, pace = 0): Live<T> {
  const [state, setState] = useState<{ readonly url: string | null; readonly data: T | undefined; readonly etag: string | null; readonly problem: Problem | undefined }>({ url, data: undefined, etag: null, problem: undefined });
  const run = useRef<() => void>(() => undefined);
  useEffect(() => {
    if (url === null) {
      return undefined;
    }
    let over = false;
    let busy = false;
    let asked = false;
    let unknown = false;
    let last = 0;
    let later: number | undefined;
    const ask = async (): Promise<void> => {
      if (feed.connection === "lost") {
        return; // told when it is back
      }
      if (busy) {
        asked = true;
        return;
      }
      busy = true;
      last = performance.now();
      try {
        const { data, etag } = await get<T>(url, { patience: Math.max(patienceMs, every) });
        unknown = false;
        if (!over) {
          setState({ url, data, etag, problem: undefined });
        }
      } catch (error) {
        unknown = error instanceof Problem && error.status === 404;
        // That nothing answers is said once, on top of the page.
        if (!over && !(error instanceof Problem && error.status === 0)) {
          const problem = error instanceof Problem ? error : new Problem(0, "page/bug", String(error));
          setState((before) => ({ url, data: before.url === url ? before.data : undefined, etag: before.etag, problem }));
        }
      }
      busy = false;
      if (asked && !over) {
        asked = false;
        setTimeout(() => void ask(), pauseMs);
      }
    };
    run.current = () => void ask();
    void ask();
    const unlisten = feed.listen(() => {
      const wait = last + pace - performance.now();
      if (wait <= 0) {
        void ask();
      } else {
        later ??= window.setTimeout(() => {
          later = undefined;
          void ask();
        }, wait);
      }
    });
    const timer = setInterval(() => {
      if (!document.hidden && !unknown) {
        void ask();
      }
    }, every);
    const onVisible = (): void => {
      if (!document.hidden) {
        void ask();
      }
    };
    document.addEventListener("visibilitychange", onVisible);
    return () => {
      over = true;
      unlisten();
      clearInterval(timer);
      clearTimeout(later);
      document.removeEventListener("visibilitychange", onVisible);
    };
  }, [url, every, pace]);
  const again = useCallback(() => run.current(), []);
  const current = state.url === url;
  return { data: current ? state.data : undefined, etag: current ? state.etag : null, problem: current ? state.problem : undefined, again };
}
