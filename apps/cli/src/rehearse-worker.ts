// SPDX-License-Identifier: Apache-2.0
import { type Rehearsed, rehearse, type RehearsalTask } from "./rehearse-run.ts";
import { serveTasks } from "./worker-pool.ts";

serveTasks<RehearsalTask, Rehearsed[]>(rehearse);
