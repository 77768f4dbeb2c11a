// SPDX-License-Identifier: Apache-2.0
import { parentPort, workerData } from "node:worker_threads";
import type { Profile } from "@coalmine/mcuboot";
import type { Job } from "./mcuboot.ts";
import { runJobs } from "./mcuboot.ts";

const { dir, jobs, profile } = workerData as { dir: string; jobs: readonly Job[]; profile: Profile };
parentPort?.postMessage(runJobs(dir, jobs, profile));
