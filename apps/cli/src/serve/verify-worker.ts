// SPDX-License-Identifier: Apache-2.0
// Runs in a worker thread: reads the whole log beside the process that writes it.
import { verifyLog } from "@coalmine/api";
import { openEventLog } from "@coalmine/store";
import { parentPort, workerData } from "node:worker_threads";

const log = openEventLog(workerData as string, { readOnly: true });
parentPort?.postMessage(verifyLog(log));
await log.close();
