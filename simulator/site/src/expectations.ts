// SPDX-License-Identifier: Apache-2.0
import { formatDuration, type Millis } from "@coalmine/core";
import type { Expectation } from "@coalmine/fleet";
import type { RolloutSummary } from "@coalmine/orchestrator";

export interface Checked {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** Holds what came out against what a scenario expects; one line each (R49). */
export function checkExpectations(expected: readonly Expectation[], rollouts: readonly RolloutSummary[]): Checked[] {
  return expected.map((expectation) => {
    const rollout = rollouts.findLast((candidate) => candidate.release === expectation.rollout);
    const name = expectation.name ?? describe(expectation);
    if (rollout === undefined) {
      return { name, ok: false, detail: `the rollout of ${expectation.rollout} never started` };
    }
    const wrong = differences(expectation, rollout);
    const found = `${rollout.outcome}, ${rollout.verdict}, ${rollout.offered} offered, ${rollout.exposed} exposed, ${JSON.stringify(rollout.states)}`;
    return { name, ok: wrong.length === 0, detail: wrong.length === 0 ? found : `${wrong.join("; ")} (${found})` };
  });
}

function differences(expectation: Expectation, rollout: RolloutSummary): string[] {
  const wrong: string[] = [];
  const compare = (what: string, wanted: string | undefined, got: string | undefined): void => {
    if (wanted !== undefined && wanted !== got) {
      wrong.push(`${what} is ${got ?? "nothing"}, expected ${wanted}`);
    }
  };
  compare("outcome", expectation.outcome, rollout.outcome);
  compare("verdict", expectation.verdict, rollout.verdict);
  compare("halted by", expectation.haltedBy, rollout.haltedBy?.metric);
  if (expectation.exposedMax !== undefined && rollout.exposed > expectation.exposedMax) {
    wrong.push(`${rollout.exposed} devices exposed, at most ${expectation.exposedMax} expected`);
  }
  if (expectation.offeredMax !== undefined && rollout.offered > expectation.offeredMax) {
    wrong.push(`${rollout.offered} devices offered, at most ${expectation.offeredMax} expected`);
  }
  for (const [state, bounds] of Object.entries(expectation.states ?? {})) {
    const count = rollout.states[state] ?? 0;
    if (bounds !== undefined && (count < bounds.min || count > bounds.max)) {
      wrong.push(`${count} ${state}, expected ${bounds.min === bounds.max ? bounds.min : `${bounds.min} to ${bounds.max}`}`);
    }
  }
  if (expectation.within !== undefined) {
    const from = Date.parse(rollout.stages[0]?.openedAt ?? "");
    const to = Date.parse(rollout.endedAt ?? "");
    if (!(to - from <= expectation.within)) {
      wrong.push(`did not end within ${formatDuration(expectation.within)}${Number.isFinite(to) ? ` but after ${formatDuration((to - from) as Millis)}` : ""}`);
    }
  }
  return wrong;
}

function describe(expectation: Expectation): string {
  const { rollout, outcome, verdict, haltedBy, exposedMax } = expectation;
  const parts = [outcome, verdict, haltedBy === undefined ? undefined : `by ${haltedBy}`, exposedMax === undefined ? undefined : `at most ${exposedMax} exposed`];
  return `${rollout}: ${parts.filter((part) => part !== undefined).join(", ") || "as expected"}`;
}
