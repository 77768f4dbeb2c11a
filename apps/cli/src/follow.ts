// SPDX-License-Identifier: Apache-2.0
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { type Client, path } from "./client.ts";
import { isTrouble } from "./output/exit.ts";
import { progress } from "./output/progress.ts";
import { endedCount, type Rollout } from "./rollout-view.ts";

export interface FollowOptions {
  readonly interval_ms: number;
  readonly timeout_s?: number | undefined;
  /** A rollout on hold waits for a person: stop there. */
  readonly untilHeld: boolean;
}

/** How long the orchestrator may be away, for a restart, before following gives up. */
const awayMs = 30_000;

/** Looks at a rollout again and again, shows progress, and ends when it ends. */
export async function followRollout(client: Client, id: string, options: FollowOptions): Promise<{ readonly rollout: Rollout; readonly timedOut: boolean }> {
  const shown = progress(`rollout ${id}`);
  const begin = performance.now();
  let before: Rollout | undefined;
  let awaySince: number | undefined;
  const interrupted = (): void => {
    shown.end();
    // Without this handler the signal ends the process, and the shell sees why it ended.
    process.kill(process.pid, "SIGINT");
  };
  process.once("SIGINT", interrupted);
  try {
    for (;;) {
      let now: Rollout | undefined;
      try {
        now = await client.get<Rollout>(path`/rollouts/${id}`);
        awaySince = undefined;
      } catch (error) {
        awaySince ??= performance.now();
        // The first look must succeed; later the orchestrator may be restarting.
        if (before === undefined || !isTrouble(error) || error.retry !== "later" || performance.now() - awaySince > awayMs) {
          throw error;
        }
      }
      if (now !== undefined) {
        for (const line of changes(before, now)) {
          shown.line(line);
        }
        shown.update(endedCount(now), now.population, `${now.status}, stage ${now.stages.findLast((stage) => stage.openedAt !== null)?.name ?? "-"}: ${states(now)}`);
        before = now;
        if (now.status === "complete" || now.status === "aborted" || now.status === "halted" || (options.untilHeld && now.status === "held")) {
          return { rollout: now, timedOut: false };
        }
      }
      if (before !== undefined && options.timeout_s !== undefined && performance.now() - begin >= options.timeout_s * 1_000) {
        return { rollout: before, timedOut: true };
      }
      await wait(options.interval_ms);
    }
  } finally {
    process.off("SIGINT", interrupted);
    shown.end();
  }
}

function changes(before: Rollout | undefined, now: Rollout): string[] {
  const lines: string[] = [];
  for (const [index, stage] of now.stages.entries()) {
    const old = before?.stages[index];
    if (stage.openedAt !== null && (old?.openedAt ?? null) === null) {
      lines.push(`${stage.openedAt.slice(0, 19)} stage ${stage.name} opened: ${stage.size} devices`);
    }
    if (stage.closedAt !== null && (old?.closedAt ?? null) === null) {
      lines.push(`${stage.closedAt.slice(0, 19)} stage ${stage.name} closed: ${stage.verdict}`);
    }
  }
  if (before !== undefined && before.status !== now.status) {
    lines.push(`rollout ${now.id} is ${now.status}${now.haltedBy === null ? "" : `: ${now.haltedBy.gate}: ${now.haltedBy.reason}`}`);
  }
  return lines;
}

function states(one: Rollout): string {
  return Object.entries(one.states)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${state}`)
    .join(", ");
}
