// SPDX-License-Identifier: Apache-2.0
// How far a rollout is: its stages with their soak clocks, who was exposed when, and whom its canaries stand for.
import { after, type AssignmentState, type Instant, listenedSince, type Rollout } from "@coalmine/core";
import { type Representativeness, representativeness } from "@coalmine/evidence";

export { countBounds, shareBounds } from "@coalmine/evidence";

export interface StageProgress {
  readonly name: string;
  readonly size: number;
  readonly openedAt: string | null;
  readonly closedAt: string | null;
  readonly verdict: string;
  readonly states: Readonly<Partial<Record<AssignmentState, number>>>;
  /** Earliest moment at which the stage may pass, and the one at which it holds when it has not; null before it opens. */
  readonly soak: { readonly minAt: string; readonly maxAt: string } | null;
}

/** Devices that had begun, and that had confirmed, at moments in milliseconds since 1970. */
export interface Exposure {
  readonly at: readonly number[];
  readonly started: readonly number[];
  readonly confirmed: readonly number[];
}

export interface RolloutProgress {
  readonly stages: readonly StageProgress[];
  readonly exposure: Exposure;
  readonly representativeness: Omit<Representativeness, "strata"> & {
    readonly dimensions: readonly string[];
    readonly strata: readonly { readonly stratum: string; readonly fleet: number; readonly canary: number; readonly control: number; readonly depth: number }[];
  };
}

const pointsMax = 160;

/** In one pass over the members. */
export function rolloutProgress(rollout: Rollout, now: Instant): RolloutProgress {
  const started: number[] = [];
  const confirmed: number[] = [];
  const fleet: Record<string, number> = {};
  const canary: Record<string, number> = {};
  const control: Record<string, number> = {};
  for (const member of rollout.members) {
    if (member.startedAt !== null) {
      started.push(member.startedAt);
    }
    if (member.confirmedAt !== null) {
      confirmed.push(member.confirmedAt);
    }
    const { stratum } = member;
    fleet[stratum] = (fleet[stratum] ?? 0) + 1;
    if (member.stage === 0) {
      canary[stratum] = (canary[stratum] ?? 0) + 1;
    } else if (member.control === 0) {
      control[stratum] = (control[stratum] ?? 0) + 1;
    }
  }
  const cover = representativeness(fleet, canary);
  return {
    stages: rollout.stages.map((stage) => ({
      name: stage.name,
      size: stage.size,
      openedAt: iso(stage.openedAt),
      closedAt: iso(stage.closedAt),
      verdict: stage.verdict.kind,
      states: Object.fromEntries(Object.entries(stage.counts).filter(([, count]) => count > 0)),
      soak: stage.openedAt === null ? null : soakOf(rollout, stage.openedAt, now),
    })),
    exposure: exposureOf(started, confirmed, { from: rollout.startedAt, to: rollout.endedAt ?? now }),
    representativeness: {
      ...cover,
      dimensions: rollout.plan.strata,
      strata: cover.strata.map((one) => ({ ...one, control: control[one.stratum] ?? 0 })).sort((a, b) => b.fleet - a.fleet || (a.stratum < b.stratum ? -1 : 1)),
    },
  };
}

function soakOf(rollout: Rollout, openedAt: Instant, now: Instant): NonNullable<StageProgress["soak"]> {
  const from = listenedSince(rollout, openedAt, now);
  return { minAt: new Date(after(from, rollout.soakMin)).toISOString(), maxAt: new Date(after(from, rollout.soakMax)).toISOString() };
}

function exposureOf(started: number[], confirmed: number[], span: { readonly from: number; readonly to: number }): Exposure {
  started.sort((a, b) => a - b);
  confirmed.sort((a, b) => a - b);
  // What comes after the end of a rollout that ended, such as reverts seen late, still belongs to it.
  const to = Math.max(span.to, started.at(-1) ?? 0, confirmed.at(-1) ?? 0, span.from + 1);
  const at = Array.from({ length: pointsMax }, (_, index) => Math.round(span.from + (index / (pointsMax - 1)) * (to - span.from)));
  return { at, started: countsAt(at, started), confirmed: countsAt(at, confirmed) };
}

/** How many of the sorted times are at or before each moment. */
function countsAt(moments: readonly number[], times: readonly number[]): number[] {
  let index = 0;
  return moments.map((moment) => {
    while (index < times.length && (times[index] as number) <= moment) {
      index += 1;
    }
    return index;
  });
}

function iso(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}
