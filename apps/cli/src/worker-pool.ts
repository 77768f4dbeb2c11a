// SPDX-License-Identifier: Apache-2.0
// Independent tasks on several processor cores. Results do not depend on how tasks fall on workers: every task carries
// its own seed.
import { CoalmineError } from "@coalmine/core";
import { availableParallelism } from "node:os";
import { parentPort, Worker } from "node:worker_threads";

export interface WorkerTasks<Task, Result> {
  /** The worker's file beside the caller, without extension: `new URL("./rehearse-worker", import.meta.url)`. */
  readonly module: URL;
  /** Plain data each. */
  readonly tasks: readonly Task[];
  readonly workers?: number | undefined;
  /** Called as tasks end, in any order. */
  readonly done?: (result: Result, ended: number) => void;
}

interface Answer<Result> {
  readonly index: number;
  readonly result?: Result;
  readonly error?: { readonly code: string; readonly message: string };
}

/** Runs every task and gives the results in the order of the tasks. A task that fails ends them all. */
export async function inWorkers<Task, Result>(options: WorkerTasks<Task, Result>): Promise<Result[]> {
  const { tasks } = options;
  const results = new Array<Result>(tasks.length);
  const count = Math.min(tasks.length, options.workers ?? Math.max(1, availableParallelism()));
  // Sources run as they are, built files as JavaScript; either way packages resolve as they do for this thread.
  const source = import.meta.url.endsWith(".ts");
  const file = new URL(`${options.module.href}${source ? ".ts" : ".js"}`);
  const workers = Array.from({ length: count }, () => new Worker(file, { execArgv: source ? ["--conditions=source"] : [] }));
  let next = 0;
  let ended = 0;
  try {
    await Promise.all(
      workers.map(
        (worker) =>
          new Promise<void>((resolve, reject) => {
            const give = (): void => {
              if (next >= tasks.length) {
                resolve();
                return;
              }
              worker.postMessage({ index: next, task: tasks[next] });
              next += 1;
            };
            worker.on("error", reject);
            worker.on("exit", (code) => reject(new CoalmineError("cli/worker", `a worker ended with ${code} before its tasks were done`)));
            worker.on("message", (answer: Answer<Result>) => {
              if (answer.error !== undefined) {
                reject(new CoalmineError(answer.error.code, answer.error.message));
                return;
              }
              results[answer.index] = answer.result as Result;
              ended += 1;
              options.done?.(answer.result as Result, ended);
              give();
            });
            give();
          }),
      ),
    );
  } finally {
    await Promise.all(
      workers.map((worker) => {
        worker.removeAllListeners("exit");
        return worker.terminate();
      }),
    );
  }
  return results;
}

/** A worker's side: answers each task. Trouble travels back by code and message; a bug ends the worker. */
export function serveTasks<Task, Result>(run: (task: Task) => Result | Promise<Result>): void {
  const port = parentPort;
  if (port === null) {
    throw new Error("serveTasks: this file runs in worker threads only");
  }
  port.on("message", (message: { readonly index: number; readonly task: Task }) => {
    void (async () => {
      try {
        port.postMessage({ index: message.index, result: await run(message.task) });
      } catch (error) {
        if (!(error instanceof CoalmineError)) {
          // Outside of the promise, so that it is an error event of the worker.
          setImmediate(() => {
            throw error;
          });
          return;
        }
        port.postMessage({ index: message.index, error: { code: error.code, message: error.message } });
      }
    })();
  });
}
