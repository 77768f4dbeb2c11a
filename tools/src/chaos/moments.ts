// SPDX-License-Identifier: Apache-2.0
// When `serve` is killed. Each moment waits for a phase of the rollout, so that every phase is hit whatever the machine's
// speed; how far into the phase is drawn from the seed.
import { draw } from "@coalmine/world";
import type { Ledger, StageLedger } from "./ledger.ts";

export interface Moment {
  readonly phase: string;
  /** True when it is time; looked at after every new entry of the log. */
  readonly due: (ledger: Ledger) => boolean;
  /** Real milliseconds from then to the kill. */
  readonly delay: number;
  /** Kill it a second time, so many milliseconds into its start. */
  readonly again?: number;
  /** Real milliseconds before it is started again. */
  readonly outage?: number;
  /** SIGKILL without one. */
  readonly signal?: "SIGTERM";
}

interface Wanted {
  readonly phase: string;
  readonly due: (ledger: Ledger, share: number) => boolean;
  /** Longest delay, real milliseconds. */
  readonly within: number;
  readonly twice?: true;
  readonly outage?: true;
  readonly clean?: true;
}

/** Silence of this many device minutes is longer than a plan's floor: whoever listens again must not take it for the devices'. */
const outageMinutes = 17;

type Progress = "offered" | "downloading" | "trying" | "confirmed";

const over = (ledger: Ledger): boolean => ledger.status !== "running" && ledger.status !== "none";

/** Some share of the stage has come so far; or it never will, because the rollout went on. */
function share(stage: number, progress: Progress): Wanted["due"] {
  return (ledger, drawn) => {
    const at = ledger.stages[stage];
    return over(ledger) || isPast(ledger, stage) || (at !== undefined && at[progress].size >= Math.max(1, Math.ceil(drawn * at.size)));
  };
}

const isPast = (ledger: Ledger, stage: number): boolean => ledger.stages[stage + 1]?.opened === true;

const opened = (ledger: Ledger, stage: number): boolean => ledger.stages[stage]?.opened === true;

const whole = (stage: StageLedger | undefined): boolean => stage !== undefined && stage.confirmed.size === stage.size;

/** A clean stop leaves a snapshot, so what follows starts from that. It is not counted as a kill. */
const cleanStop = (stage: number): Wanted => ({ phase: `clean stop in stage ${stage}`, due: share(stage, "downloading"), within: 50, clean: true });

/** What a rollout to the whole fleet passes through, in order, `spread` being the real milliseconds of a soak. */
function goodPhases(spread: number): Wanted[] {
  const start: Wanted = { phase: "before the first offer", due: () => true, within: 25 };
  const stages = [0, 1, 2].flatMap((stage): Wanted[] => [
    { phase: `offers of stage ${stage}`, due: share(stage, "offered"), within: 10 },
    { phase: `offers of stage ${stage}`, due: share(stage, "offered"), within: 30, ...(stage === 1 ? { twice: true } : {}) },
    { phase: `downloads of stage ${stage}`, due: share(stage, "downloading"), within: 50 },
    ...(stage === 0 ? [] : [cleanStop(stage)]),
    { phase: `trials of stage ${stage}`, due: share(stage, "trying"), within: 200, ...(stage === 1 ? { outage: true } : {}) },
    { phase: `soak of stage ${stage}`, due: (ledger) => over(ledger) || isPast(ledger, stage) || whole(ledger.stages[stage]), within: spread },
    { phase: stage === 2 ? "completion" : `between stages ${stage} and ${stage + 1}`, due: (ledger) => over(ledger) || (stage < 2 && opened(ledger, stage + 1)), within: 3 },
  ]);
  return [start, ...stages];
}

/** The same for a release that is halted among its canaries. */
function badPhases(spread: number): Wanted[] {
  const reverted = (count: number): Wanted["due"] => (ledger) => over(ledger) || ledger.reverted.size >= count;
  const after = (twice: boolean): Wanted => ({ phase: "after the halt", due: over, within: spread / 4, ...(twice ? { twice: true } : {}) });
  return [
    { phase: "before the first offer", due: () => true, within: 25 },
    { phase: "offers of stage 0", due: share(0, "offered"), within: 10 },
    { phase: "offers of stage 0", due: share(0, "offered"), within: 30 },
    { phase: "downloads of stage 0", due: share(0, "downloading"), within: 50 },
    cleanStop(0),
    { phase: "trials of stage 0", due: share(0, "trying"), within: 200 },
    { phase: "trials of stage 0", due: share(0, "trying"), within: spread / 8 },
    { phase: "trials of stage 0", due: share(0, "trying"), within: spread / 8, outage: true },
    { phase: "first revert", due: reverted(1), within: 3 },
    { phase: "second revert", due: reverted(2), within: 3 },
    { phase: "halt", due: over, within: 1 },
    after(false),
    after(true),
    after(false),
  ];
}

/** The clean stops, and `count` kills in the order of the phases: each phase once before any is hit twice, but the first is hit only once. */
export function killMoments(kind: "good" | "bad", options: { readonly count: number; readonly seed: number; readonly speed: number }): Moment[] {
  const { count, seed, speed } = options;
  const minute = 60_000 / speed;
  const phases = kind === "good" ? goodPhases(6 * minute) : badPhases(8 * minute);
  const chosen = phases.keys().filter((index) => phases[index]?.clean === true).toArray();
  const most = count + chosen.length;
  const [first, ...rest] = phases.keys().filter((index) => phases[index]?.clean !== true);
  for (let lap = 0; chosen.length < most; lap += 1) {
    const candidates = (lap === 0 ? [first as number, ...rest] : rest).map((index) => ({ index, rank: draw(seed, "kill", kind, lap, index) }));
    candidates.sort((a, b) => a.rank - b.rank);
    chosen.push(...candidates.slice(0, most - chosen.length).map(({ index }) => index));
  }
  const moments: Moment[] = [];
  for (const [number, index] of chosen.sort((a, b) => a - b).entries()) {
    const { phase, due, within, twice, outage, clean } = phases[index] as Wanted;
    const drawn = draw(seed, "kill", kind, number, "share");
    moments.push({
      phase,
      due: (ledger) => due(ledger, drawn),
      delay: draw(seed, "kill", kind, number, "delay") * within,
      ...(twice === true ? { again: 50 + draw(seed, "kill", kind, number, "again") * 500 } : {}),
      ...(clean === true ? { signal: "SIGTERM" as const } : {}),
      ...(outage === true ? { outage: outageMinutes * minute } : {}),
    });
  }
  return moments;
}
