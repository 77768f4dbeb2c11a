// SPDX-License-Identifier: Apache-2.0
// Group 2 (Zephyr, "Statistics management").
import type { SmpClient } from "./client.ts";
import { badAnswer, granted, listOf, mapOf } from "./fields.ts";
import { Group, Op, StatisticsCommand } from "./frame.ts";

/** Names of the statistics a board keeps. */
export async function listStatistics(client: SmpClient): Promise<readonly string[]> {
  const what = "the list of statistics";
  const list = listOf(what, granted(what, await client.request({ op: Op.read, group: Group.statistics, command: StatisticsCommand.list })), "stat_list");
  return list.map((name) => {
    if (typeof name !== "string") {
      throw badAnswer(what, "has a name that is not text");
    }
    return name;
  });
}

/** Counters by name; beyond 2^53 as bigint. They count from the boot, and wrap at their size on the board. */
export async function readStatistics(client: SmpClient, name: string): Promise<ReadonlyMap<string, number | bigint>> {
  const what = `statistics ${name}`;
  const body = granted(what, await client.request({ op: Op.read, group: Group.statistics, command: StatisticsCommand.read, body: { name } }));
  const counters = new Map<string, number | bigint>();
  for (const [field, value] of mapOf(what, body.get("fields"), "fields")) {
    if ((typeof value !== "number" && typeof value !== "bigint") || value < 0) {
      throw badAnswer(what, `has no number for ${JSON.stringify(field)}`);
    }
    counters.set(field, value);
  }
  return counters;
}
