// SPDX-License-Identifier: Apache-2.0
// Plans as code: what a plan file would change, and making it so, as often as anybody likes (R32).
//
// P1. Applying what runs already changes nothing and writes nothing.
// P2. A plan is frozen while its rollout runs. After a halt or a hold another plan is a new revision: the old rollout ends, with who
//     and why, and a new one begins with the devices that are left. History is not rewritten.
import { CoalmineError, type Instant, isActive, type Plan, type Rollout, type RolloutId } from "@coalmine/core";
import type { Conductor, Outcome } from "./conductor.ts";
import type { Membership } from "./membership.ts";
import { checkAuthority, planRollout, refuseBarred, refuseUnproven, releaseOf, type RolloutInput, startRollout } from "./operations.ts";

/** One field in which two plans differ; null where one has none. Values as JSON. */
export interface PlanChange {
  readonly field: string;
  readonly runs: string | null;
  readonly would: string | null;
}

/** A plan's fields by path: gates by their metric, stages by their place. */
function fieldsOf(plan: Plan): Map<string, string> {
  const fields = new Map<string, string>();
  const walk = (path: string, value: unknown): void => {
    if (path === "gates") {
      for (const gate of value as Plan["gates"]) {
        walk(`gates.${gate.metric}`, gate);
      }
    } else if (typeof value === "object" && value !== null) {
      for (const [name, part] of Object.entries(value)) {
        if (!(name === "metric" && path.startsWith("gates."))) {
          walk(path === "" ? name : `${path}.${name}`, part);
        }
      }
    } else if (value !== undefined) {
      fields.set(path, JSON.stringify(value));
    }
  };
  walk("", plan);
  return fields;
}

/** Where two plans differ, in the order of the fields; empty when they ask for the same. */
export function planChanges(runs: Plan, would: Plan): PlanChange[] {
  const [a, b] = [fieldsOf(runs), fieldsOf(would)];
  return [...new Set([...a.keys(), ...b.keys()])].flatMap((field) => {
    const [x = null, y = null] = [a.get(field), b.get(field)];
    return x === y ? [] : [{ field, runs: x, would: y }];
  });
}

/** The newest rollout of a release that has not been given up: what a plan file is compared with. */
function standingRollout(conductor: Conductor, release: string): Rollout | undefined {
  return [...conductor.state.rollouts.values()].findLast((rollout) => rollout.release === release && rollout.rollback === null && rollout.status !== "aborted");
}

/** What runs, and how a plan differs from it. */
export interface PlanAgainst {
  readonly rollout: RolloutId;
  readonly status: Rollout["status"];
  readonly changes: readonly PlanChange[];
}

export function planAgainst(conductor: Conductor, input: Pick<RolloutInput, "release" | "plan">): PlanAgainst | null {
  const standing = standingRollout(conductor, input.release);
  return standing === undefined ? null : { rollout: standing.id, status: standing.status, changes: planChanges(standing.plan, input.plan) };
}

export type Applied =
  | { readonly action: "unchanged"; readonly rollout: RolloutId; readonly against: PlanAgainst }
  | { readonly action: "started"; readonly rollout: RolloutId; readonly membership: Membership }
  | { readonly action: "revised"; readonly rollout: RolloutId; readonly replaces: RolloutId; readonly membership: Membership; readonly against: PlanAgainst };

const fieldsShown = 6;

/**
 * Makes a plan file true (P1, P2): starts the rollout, leaves it alone, or replaces a halted or held one by its next revision.
 * Throws `rollout/plan-frozen` for another plan while it runs, and all that a start throws; then nothing has changed.
 */
export function applyRollout(conductor: Conductor, input: RolloutInput, at: Instant): { readonly applied: Applied; readonly outcome: Outcome } {
  checkAuthority(input.authority, "applying a plan");
  const release = releaseOf(conductor, input.release);
  const standing = standingRollout(conductor, release.id);
  const against = planAgainst(conductor, input);
  if (standing === undefined || against === null) {
    const { id, membership, outcome } = startRollout(conductor, input, at);
    return { applied: { action: "started", rollout: id, membership }, outcome };
  }
  if (against.changes.length === 0 || standing.status === "complete") {
    return { applied: { action: "unchanged", rollout: standing.id, against }, outcome: { entries: [], effects: [] } };
  }
  if (standing.status === "running") {
    const named = against.changes.slice(0, fieldsShown).map((change) => change.field).join(", ");
    throw new CoalmineError(
      "rollout/plan-frozen",
      `rollout ${standing.id} runs with another plan: ${named}${against.changes.length > fieldsShown ? " and more" : ""} differ${against.changes.length === 1 ? "s" : ""}; ` +
        "a plan is frozen while it runs: hold or halt the rollout, then apply again",
    );
  }
  // Everything that could refuse the new one is asked before the old one ends.
  refuseBarred(release, input.override);
  refuseUnproven(conductor, release, input);
  planRollout(conductor, { ...input, replaces: standing.id }, at);
  const reason = `replaced by the next revision of its plan (${against.changes.map((change) => change.field).slice(0, fieldsShown).join(", ")})${input.authority.reason === "" ? "" : `: ${input.authority.reason}`}`;
  const ended = conductor.order(standing.id, { kind: "abort", authority: { by: input.authority.by, reason: reason.slice(0, 500) } }, at);
  const { id, membership, outcome } = startRollout(conductor, input, at);
  return {
    applied: { action: "revised", rollout: id, replaces: standing.id, membership, against },
    outcome: { entries: [...ended.entries, ...outcome.entries], effects: [...ended.effects, ...outcome.effects] },
  };
}

/** `rollout plan` of a release that is under way looks at the devices that are left. */
export function replacedBy(conductor: Conductor, release: string): RolloutId | undefined {
  const standing = standingRollout(conductor, release);
  return standing !== undefined && isActive(standing) ? standing.id : undefined;
}
