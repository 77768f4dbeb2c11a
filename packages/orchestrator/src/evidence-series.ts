// SPDX-License-Identifier: Apache-2.0
// How the evidence of a rollout grew: the event log is folded again, and the gates are read at moments along the way.
import { type Instant, judgementOf, memberOf, type RolloutId } from "@coalmine/core";
import { setImmediate } from "node:timers/promises";
import { Conductor, type HostState, newHostState } from "./conductor.ts";
import type { EventLog } from "./ports.ts";
import { firstAt } from "./report.ts";

export interface GateSample {
  readonly gate: string;
  /** Natural logs of the e-value against harm and of what it halts at. */
  readonly lnEHalt: number;
  readonly haltAt: number;
}

export interface EvidenceSample {
  readonly at: Instant;
  readonly gates: readonly GateSample[];
}

const pauseEvery = 2_000;

/**
 * Readings of every gate that weighs evidence at about `points` moments of a rollout, from its start to `end`. Reads the
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
    const gates = judgementOf(rollout, judge, at).gates.flatMap(({ gate, evidence }): GateSample[] =>
      evidence === undefined ? [] : [{ gate, lnEHalt: evidence.lnEHalt, haltAt: evidence.haltAt }],
    );
    samples.push({ at, gates });
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

/** What was known before the rollout, near enough for its evidence: who the devices are. Reports seen since are forgotten, or all would be duplicates. */
function before(now: Conductor): HostState {
  const state = newHostState();
  for (const [id, device] of now.state.devices) {
    state.devices.set(id, { ...device, boots: [] });
  }
  for (const [id, release] of now.state.releases) {
    state.releases.set(id, { ...release });
  }
  return state;
}
