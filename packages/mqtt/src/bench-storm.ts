// SPDX-License-Identifier: Apache-2.0
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import type { StormLoad } from "./bench-storm-load.ts";

/** Runs the load to its end: milliseconds from sending each report to its PUBACK. Rejects when a device fails. */
export async function crashStorm(load: StormLoad): Promise<number[]> {
  const file = new URL(`./bench-storm-load${extname(import.meta.filename)}`, import.meta.url);
  // From sources, a worker needs the export condition that the process was started with, or given by a module hook.
  const worker = new Worker(file, { workerData: load, execArgv: file.pathname.endsWith(".ts") ? ["--conditions=source"] : [] });
  try {
    return await new Promise<number[]>((resolve, reject) => {
      worker.once("error", reject);
      worker.once("exit", (code) => reject(new Error(`the load ended with ${code}`)));
      worker.once("message", resolve);
    });
  } finally {
    await worker.terminate();
  }
}
