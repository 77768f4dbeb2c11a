// SPDX-License-Identifier: Apache-2.0
import { formatDuration, type Millis } from "@coalmine/core";
import type { Expectation } from "@coalmine/fleet";
import type { RolloutSummary } from "@coalmine/orchestrator";
import type { CutTally } from "./boards.ts";

export interface Checked {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** Of the rollbacks of a rollout: the last, or the last to a version. Undefined: the rollout itself. */
export type Back = Expectation["rollback"];

/** The last rollout of a release, or the last rollback of it that is meant. */
export function whichOf<R extends { readonly release: string; readonly rollback: { readonly from: string } | null }>(rollouts: readonly R[], release: string, rollback: Back): R | undefined {
  return rollouts.findLast((one) =>
    rollback === undefined ? (one.rollback ?? null) === null && one.release === release : one.rollback?.from === release && (rollback === true || one.release === rollback),
  );
}

/** What only somebody who sees the boards and every assignment can say. */
export interface Findings {
  /** Devices by the version that runs at the end. */
  readonly runs: Readonly<Record<string, number>>;
  /** Devices on which nothing runs. */
  readonly stopped: number;
  /** Devices whose identity or credentials are gone. */
  readonly mute: number;
  /** Whether the recorded migration matrix of a release is green; undefined without one. */
  readonly matrix?: (release: string) => boolean | undefined;
  readonly cuts: readonly CutTally[];
  /** Devices by the version that the other slot holds at the end. */
  readonly keeps?: Readonly<Record<string, number>>;
  /** Reasons of the assignments in the rollout of a release, or in its rollback. */
  readonly reasons: (release: string, rollback: Back) => readonly string[];
  /** How each device that was offered something was to get it. */
  readonly ways?: (release: string, rollback: Back) => readonly string[];
  /** Why the rollout of a release, or its rollback, was refused. */
  readonly refusal?: (release: string, rollback: Back) => string | undefined;
}

/** Holds what came out against what a scenario expects; one line each (R49). */
export function checkExpectations(expected: readonly Expectation[], rollouts: readonly RolloutSummary[], found?: Findings): Checked[] {
  return expected.map((expectation) => {
    const { rollback } = expectation;
    const rollout = whichOf(rollouts, expectation.rollout, rollback);
    const name = expectation.name ?? describe(expectation);
    const refusal = found?.refusal?.(expectation.rollout, rollback);
    if (rollout === undefined) {
      const ok = expectation.refused !== undefined && refusal?.includes(expectation.refused) === true;
      return { name, ok, detail: refusal === undefined ? `the ${rollback === undefined ? "rollout" : "rollback"} of ${expectation.rollout} never started` : `refused: ${refusal}` };
    }
    const wrong = [...differences(expectation, rollout), ...differencesOnBoards(expectation, found)];
    const outcome = `${rollout.outcome}, ${rollout.verdict}, ${rollout.offered} offered, ${rollout.exposed} exposed, ${JSON.stringify(rollout.states)}`;
    return { name, ok: wrong.length === 0, detail: wrong.length === 0 ? outcome : `${wrong.join("; ")} (${outcome})` };
  });
}

function differences(expectation: Expectation, rollout: RolloutSummary): string[] {
  const wrong: string[] = [];
  const compare = (what: string, wanted: string | undefined, got: string | undefined): void => {
    if (wanted !== undefined && wanted !== got) {
      wrong.push(`${what} is ${got ?? "nothing"}, expected ${wanted}`);
    }
  };
  if (expectation.refused !== undefined) {
    wrong.push(`it started, expected to be refused with "${expectation.refused}"`);
  }
  compare("outcome", expectation.outcome, rollout.outcome);
  compare("verdict", expectation.verdict, rollout.verdict);
  if (expectation.missing !== undefined && !rollout.missing.some((line) => line.includes(expectation.missing as string))) {
    wrong.push(`what is missing does not say "${expectation.missing}" but "${rollout.missing.join("; ")}"`);
  }
  compare("halted by", expectation.haltedBy, rollout.haltedBy?.metric);
  if (expectation.exposedMax !== undefined && rollout.exposed > expectation.exposedMax) {
    wrong.push(`${rollout.exposed} devices exposed, at most ${expectation.exposedMax} expected`);
  }
  if (expectation.offeredMax !== undefined && rollout.offered > expectation.offeredMax) {
    wrong.push(`${rollout.offered} devices offered, at most ${expectation.offeredMax} expected`);
  }
  for (const [state, bounds] of Object.entries(expectation.states ?? {})) {
    wrong.push(...outside(rollout.states[state] ?? 0, bounds, state));
  }
  for (const [name, bounds] of Object.entries(expectation.predicted ?? {})) {
    wrong.push(...outside(rollout.rollback?.predicted[name] ?? 0, bounds, `predicted as ${name}`));
  }
  const from = Date.parse(rollout.stages[0]?.openedAt ?? "");
  const to = Date.parse(rollout.endedAt ?? "");
  if (expectation.notBefore !== undefined && !(to - from >= expectation.notBefore)) {
    wrong.push(`did not last ${formatDuration(expectation.notBefore)}${Number.isFinite(to) ? ` but ${formatDuration((to - from) as Millis)}` : ": it has not ended"}`);
  }
  if (expectation.within !== undefined) {
    if (!(to - from <= expectation.within)) {
      wrong.push(`did not end within ${formatDuration(expectation.within)}${Number.isFinite(to) ? ` but after ${formatDuration((to - from) as Millis)}` : ""}`);
    }
  }
  return wrong;
}

type Bounds = NonNullable<Expectation["stopped"]>;

function outside(count: number, bounds: Bounds | undefined, what: string): string[] {
  if (bounds === undefined || (count >= bounds.min && count <= bounds.max)) {
    return [];
  }
  return [`${count} ${what}, expected ${bounds.min === bounds.max ? bounds.min : `${bounds.min} to ${bounds.max}`}`];
}

function differencesOnBoards(expectation: Expectation, found: Findings | undefined): string[] {
  const { runs = {}, keeps = {}, ways = {}, reasons = {}, stopped, mute, matrix, everyOperationCut, rollout, rollback } = expectation;
  if (found === undefined) {
    const asked = [runs, keeps, ways, reasons].flatMap(Object.keys).length > 0 || [stopped, mute, matrix, everyOperationCut].some((one) => one !== undefined);
    return asked ? ["runs, keeps, ways, reasons, stopped, mute, matrix and everyOperationCut need somebody who sees the boards"] : [];
  }
  const said = found.reasons(rollout, rollback);
  const went = found.ways?.(rollout, rollback) ?? [];
  return [
    ...Object.entries(runs).flatMap(([version, bounds]) => outside(found.runs[version] ?? 0, bounds, `devices run ${version}`)),
    ...Object.entries(keeps).flatMap(([version, bounds]) => outside(found.keeps?.[version] ?? 0, bounds, `devices keep ${version}`)),
    ...Object.entries(ways).flatMap(([way, bounds]) => outside(went.filter((one) => one === way).length, bounds, `devices sent back by ${way}`)),
    ...Object.entries(reasons).flatMap(([text, bounds]) => outside(said.filter((reason) => reason.includes(text)).length, bounds, `with the reason "${text}"`)),
    ...outside(found.stopped, stopped, "devices stopped"),
    ...outside(found.mute, mute, "devices that cannot speak"),
    ...matrixDifference(matrix, found.matrix?.(rollout)),
    ...(everyOperationCut === true ? found.cuts.flatMap(uncut) : []),
  ];
}

function matrixDifference(wanted: Expectation["matrix"], green: boolean | undefined): string[] {
  const got = green === undefined ? "not there" : green ? "green" : "red";
  return wanted === undefined || wanted === got ? [] : [`the migration matrix is ${got}, expected ${wanted}`];
}

/** Why a tally does not show that every operation was cut. */
function uncut(tally: CutTally): string[] {
  if (!tally.each || tally.complete) {
    return [];
  }
  return [
    `fault ${tally.fault}, ${tally.hardware}: ${tally.cut} of ${tally.planned} devices cut, ${tally.passed} past the last operation, ${tally.armed} never met` +
      (tally.passed === 0 ? "; more devices than operations are needed to know that none was left out" : ""),
  ];
}

function describe(expectation: Expectation): string {
  const { rollout, rollback, outcome, verdict, haltedBy, exposedMax } = expectation;
  const parts = [outcome, verdict, haltedBy === undefined ? undefined : `by ${haltedBy}`, exposedMax === undefined ? undefined : `at most ${exposedMax} exposed`];
  return `${rollback === undefined ? "" : "rollback of "}${rollout}: ${parts.filter((part) => part !== undefined).join(", ") || "as expected"}`;
}
