// SPDX-License-Identifier: Apache-2.0
// A rollout as the API tells it, and as people see it.
import type { RolloutSummary } from "@coalmine/orchestrator";
import { type ExitCode, exitCodes } from "./output/exit.ts";
import { bar } from "./output/progress.ts";
import { facts, table } from "./output/table.ts";
import { tone, toneOf } from "./output/text.ts";

interface Arm {
  readonly devices: number;
  readonly events: number;
  readonly exposure_h: number;
  readonly estimate: number | null;
}

export interface Gate {
  readonly gate: string;
  readonly metric: string;
  readonly verdict: string;
  readonly canary: Arm;
  readonly control: Arm | null;
  readonly bound: string;
  readonly reason: string;
}

export interface Rollout extends RolloutSummary {
  readonly revision: number;
  readonly seed: number;
  readonly startedAt: string;
  readonly endedAt: string | null;
  /** Absent in lists. */
  readonly gates?: readonly Gate[];
}

export interface Membership {
  readonly release: string;
  readonly seed: number;
  readonly plan: string;
  readonly members: number;
  readonly stages: readonly { readonly name: string; readonly size: number; readonly devices: readonly string[] }[];
  readonly excluded: readonly { readonly device: string; readonly reason: string }[];
  readonly representativeness: {
    readonly verdict: "yes" | "warn" | "no";
    readonly tv: number;
    readonly uncovered: number;
    /** Null for what is beyond any number: a level on one side only. */
    readonly maxSmd: number | null;
    readonly js: number;
    readonly chi2: number | null;
    readonly p: number;
    readonly neff: number;
    readonly strata?: readonly { readonly stratum: string; readonly fleet: number; readonly canary: number; readonly depth: number }[];
  };
  readonly power?: { readonly statement: readonly string[] };
  readonly evidence?: { readonly all: readonly { readonly cannotTell: readonly string[]; readonly words: string }[] };
  readonly against?: { readonly rollout: string; readonly status: string; readonly changes: readonly PlanChange[] } | null;
  readonly warnings: readonly string[];
}

/** A field in which a plan file differs from the plan that runs. */
export interface PlanChange {
  readonly field: string;
  readonly runs: string | null;
  readonly would: string | null;
}

/** 0 for a pass, 1 for a fail, halt or abort, 2 for everything undecided. */
export function rolloutExitCode(one: Rollout): ExitCode {
  if (one.status === "halted" || one.status === "aborted" || one.verdict === "fail") {
    return exitCodes.failed;
  }
  return one.status === "complete" && one.verdict === "pass" ? exitCodes.done : exitCodes.inconclusive;
}

/** Members that ended, one way or the other. */
export function endedCount(one: RolloutSummary): number {
  const ended = ["healthy", "failed", "reverted", "refused", "missing", "excused", "quarantined", "rolled_back"];
  return ended.reduce((sum, state) => sum + (one.states[state] ?? 0), 0);
}

export function describeRollout(one: Rollout): string {
  const parts = [
    facts([
      ["rollout", one.id],
      ["release", one.release],
      ["status", { text: one.status, tone: toneOf(one.status) }],
      ["verdict", { text: one.verdict, tone: toneOf(one.verdict) }],
      ["devices", `${one.population}, ${one.offered} offered, ${one.exposed} exposed`],
      ["time", `${one.startedAt} to ${one.endedAt ?? "now"}`],
      ["seed", one.seed],
      ...(one.haltedBy === null ? [] : [["halted by", { text: `${one.haltedBy.gate}: ${one.haltedBy.reason}`, tone: "bad" as const }] as const]),
      ...(one.missing.length === 0 ? [] : [["still missing", one.missing.join("; ")] as const]),
    ]),
    table(
      [{ title: "STAGE", flexible: true }, { title: "DEVICES", align: "right" }, { title: "OPENED" }, { title: "CLOSED" }, { title: "VERDICT" }],
      one.stages.map((stage) => [stage.name, stage.size, short(stage.openedAt), short(stage.closedAt), stage.openedAt === null ? "-" : { text: stage.verdict, tone: toneOf(stage.verdict) }]),
    ),
    table(
      [{ title: "STATE" }, { title: "DEVICES", align: "right" }, { title: "" }],
      Object.entries(one.states).map(([state, count]) => [{ text: state, tone: toneOf(state) }, count, bar(count, one.population)]),
    ),
  ];
  if (one.gates !== undefined && one.gates.length > 0) {
    parts.push(
      table(
        [{ title: "GATE" }, { title: "VERDICT" }, { title: "CANARY" }, { title: "CONTROL" }, { title: "BOUND" }, { title: "REASON", flexible: true }],
        one.gates.map((gate) => [gate.gate, { text: gate.verdict, tone: toneOf(gate.verdict) }, arm(gate.canary), arm(gate.control), gate.bound, gate.reason]),
      ),
    );
  }
  return parts.join("\n\n");
}

/** What a plan file changes, for people. */
export function describeChanges(changes: readonly PlanChange[]): string {
  return table([{ title: "FIELD" }, { title: "RUNS" }, { title: "FILE" }], changes.map((change) => [change.field, change.runs ?? "-", change.would ?? "-"]));
}

export function describeMembership(membership: Membership): string {
  const parts = [
    facts([
      ["release", membership.release],
      ["plan", membership.plan],
      ["members", membership.members],
      ["left out", membership.excluded.length],
      ["seed", membership.seed],
    ]),
    table(
      [{ title: "STAGE" }, { title: "DEVICES", align: "right" }, { title: "FIRST OF THEM", flexible: true }],
      membership.stages.map((stage) => [stage.name, stage.size, stage.devices.slice(0, 6).join(" ") + (stage.devices.length > 6 ? " ..." : "")]),
    ),
  ];
  const { strata, ...cover } = membership.representativeness;
  if (strata !== undefined && strata.length > 0) {
    parts.push(
      table(
        [{ title: "STRATUM", flexible: true }, { title: "DEVICES", align: "right" }, { title: "CANARIES", align: "right" }, { title: "FAILURES UP TO", align: "right" }],
        strata.map((cell) => [cell.stratum, cell.fleet, cell.canary === 0 ? { text: "0", tone: "warn" as const } : cell.canary, `${(100 * cell.depth).toFixed(cell.depth < 0.1 ? 1 : 0)} %`]),
      ),
      coverWords(cover),
    );
  }
  if (membership.excluded.length > 0) {
    const reasons = new Map<string, number>();
    for (const { reason } of membership.excluded) {
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
    parts.push(table([{ title: "LEFT OUT", align: "right" }, { title: "BECAUSE" }], [...reasons].map(([reason, count]) => [count, reason])));
  }
  if (membership.power !== undefined) {
    parts.push(membership.power.statement.join("\n"));
  }
  // Where every device tells everything there is nothing to say.
  if (membership.evidence?.all.some((door) => door.cannotTell.length > 0) === true) {
    parts.push(membership.evidence.all.map((door) => door.words).join("\n"));
  }
  const { against } = membership;
  if (against !== undefined && against !== null) {
    const same = against.changes.length === 0;
    parts.push(`against rollout ${against.rollout} (${against.status}): ${same ? "the same plan" : `${against.changes.length} fields differ`}${same ? "" : `\n${describeChanges(against.changes)}`}`);
  }
  for (const warning of membership.warnings) {
    parts.push(`${tone("warn", "warning")}: ${warning}`);
  }
  return parts.join("\n\n");
}

/** How well the canary covers the fleet, in a sentence (evidence.md 5). */
function coverWords(cover: Omit<Membership["representativeness"], "strata">): string {
  const { verdict, tv, uncovered, maxSmd, js, chi2, p, neff } = cover;
  const said = { yes: "represents the fleet", warn: "represents the fleet with gaps", no: "does not represent the fleet" }[verdict];
  const number = (value: number | null): string => (value === null ? "unbounded" : value.toFixed(3));
  return (
    `the canary ${tone(verdict === "yes" ? "good" : "warn", said)}: total variation ${number(tv)}, uncovered ${(100 * uncovered).toFixed(1)} %, max |SMD| ${number(maxSmd)}, ` +
    `JS ${number(js)} bits, chi2 ${number(chi2)} (p ${number(p)}), effective size ${neff.toFixed(1)}; FAILURES UP TO: share that no failure among its canaries leaves possible (95 %)`
  );
}

function arm(counts: Arm | null): string {
  if (counts === null) {
    return "-";
  }
  return `${counts.events}/${counts.devices}${counts.estimate === null ? "" : ` (${counts.estimate.toPrecision(3)})`}`;
}

function short(time: string | null): string {
  return time === null ? "-" : time.slice(0, 19);
}
