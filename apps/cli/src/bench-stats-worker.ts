// SPDX-License-Identifier: Apache-2.0
import { type CellCounts, type CellsSpec, runCells } from "@coalmine/evidence";
import { serveTasks } from "./worker-pool.ts";

serveTasks<CellsSpec, CellCounts[]>(runCells);
