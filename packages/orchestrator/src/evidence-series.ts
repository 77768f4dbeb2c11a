// SPDX-License-Identifier: Apache-2.0
// How the evidence of a rollout grew: the event log is folded again, and the gates are read at moments along the way.
import { type GateReading, type Instant, judgementOf, memberOf, type RolloutId } from "@coalmine/core";
import { setImmediate } from "node:timers/promises";
import { Conductor, type HostState, newHostState } from "./conductor.ts";
import { readRecord } from "./entry.ts";
import { newHistory } from "./history.ts";
import type { EventLog, StoredEntry } from "./ports.ts";
import { firstAt } from "./report.ts";

export interface EvidenceSample {
  readonly at: Instant;
  readonly gates: readonly GateReading[];
}

const pauseEvery = 2_000;

/**
 * Readings of every gate at about `points` moments of a rollout, from its start to `end`. Reads the
 * log from the rollout's start, in pieces, so that devices are served meanwhile. Empty when the log no longer holds it.
 */
export async function evidenceSeries(
  now: Conductor,
  log: EventLog,
  id: RolloutId,
  options: { readonly end: Instant; readonly points?: number },
): Promise<EvidenceSample[]> {
  const { judge } = now;
  const { startedAt } = now.rollout(id);
  const conductor = new Conductor(judge, before(now));
  const samples: EvidenceSample[] = [];
  const take = (at: Instant): void => {
    const rollout = conductor.state.rollouts.get(id);
    if (rollout === undefined) {
      return;
    }
    samples.push({ at, gates: rollout.stage < 0 ? [] : judgementOf(rollout, judge, at).gates });
  };
  let due = Number.POSITIVE_INFINITY;
  let step = 0;
  let read = 0;
  for (const entry of log.read(firstAt(log, startedAt))) {
    read += 1;
    if (read % pauseEvery === 0) {
      await setImmediate();
    }
    if (entry.at > options.end) {
      break;
    }
    if (entry.type === "report" && entry.device !== null && memberOf(now.rollout(id), entry.device) === undefined) {
      continue;
    }
    if (isOfAnother(entry, id)) {
      continue;
    }
    while (entry.at >= due && due <= options.end) {
      take(due as Instant);
      due += step;
    }
    conductor.fold(entry);
    if (due === Number.POSITIVE_INFINITY && conductor.state.rollouts.has(id)) {
      step = Math.max(1_000, Math.ceil((options.end - entry.at) / (options.points ?? 120)));
      due = entry.at;
    }
  }
  take(options.end);
  return samples;
}

/** A decision about a rollout that ran beside this one, or ended as it began. */
function isOfAnother(entry: StoredEntry, id: RolloutId): boolean {
  if (entry.type === "report" || entry.type === "undecodable") {
    return false;
  }
  const record = readRecord(entry);
  return "rollout" in record && record.rollout !== id;
}

/** What was known before the rollout, near enough for its evidence: who the devices are. Reports seen since are forgotten, or all would be duplicates. */
function before(now: Conductor): HostState {
  const state = newHostState();
  for (const [id, device] of now.state.devices) {
    state.devices.set(id, { ...device, boots: [], history: newHistory() });
  }
  for (const [id, release] of now.state.releases) {
    state.releases.set(id, { ...release });
  }
  return state;
}
