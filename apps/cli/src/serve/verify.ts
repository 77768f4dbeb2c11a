// SPDX-License-Identifier: Apache-2.0
import type { LogVerification } from "@coalmine/api";
import { once } from "node:events";
import { Worker } from "node:worker_threads";

/** Verifies a log file in a thread of its own: devices are served meanwhile. Who asks while it runs gets the same answer. */
export function logVerifier(path: string): () => Promise<LogVerification> {
  let running: Promise<LogVerification> | undefined;
  return () => {
    running ??= verify(path).finally(() => {
      running = undefined;
    });
    return running;
  };
}

async function verify(path: string): Promise<LogVerification> {
  const source = import.meta.url.endsWith(".ts");
  const file = source ? new URL("./verify-worker.ts", import.meta.url) : new URL("./verify-worker.js", import.meta.url);
  const worker = new Worker(file, { workerData: path, execArgv: source ? ["--conditions=source"] : [] });
  try {
    // An error of the worker's rejects here as it is.
    const [result] = (await once(worker, "message")) as [LogVerification];
    return result;
  } finally {
    await worker.terminate();
  }
}
