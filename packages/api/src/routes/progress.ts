// SPDX-License-Identifier: Apache-2.0
// A rollout over time, for the page that shows it: stages and soak clocks, exposure, and how the evidence grew.
import { type Millis, type Rollout, rolloutId } from "@coalmine/core";
import { countBounds, EvidenceHistory, type EvidenceSample, type HostState, measuredRates, planPower, type PlanPower, rolloutProgress, shareBounds } from "@coalmine/orchestrator";
import { answers, type ApiContext, type ZodApp } from "../context.ts";
import { iso, presentPower } from "../present.ts";
import { name, power as powerShape, rolloutProgress as progressShape, rolloutSeries } from "../schemas.ts";

/** An accelerated clock passes hours in a second; on a real one most looks find nothing due. */
const noteEveryMs = 250;

export function progressRoutes(app: ZodApp, { host, log, clock }: ApiContext): void {
  const { conductor } = host;
  const history = new EvidenceHistory(conductor, log, clock.now());
  const noting = setInterval(() => history.note(clock.now()), noteEveryMs).unref();
  app.addHook("onClose", async () => clearInterval(noting));

  app.get(
    "/rollouts/:id/progress",
    { schema: { tags: ["rollouts"], summary: "Stages with their soak clocks, exposure over time, whom the canaries stand for", params: name, ...answers(progressShape, { failures: ["400", "404"] }) } },
    async ({ params }) => {
      const now = clock.now();
      const rollout = conductor.rollout(rolloutId(params.id));
      const { stages, exposure, representativeness: cover } = rolloutProgress(rollout, now);
      const { verdict, tv, uncovered, neff, dimensions, strata } = cover;
      return {
        now: iso(now),
        revision: rollout.revision,
        stages: stages.map((stage) => ({ ...stage, states: stage.states as Record<string, number> })),
        exposure: { at: [...exposure.at], started: [...exposure.started], confirmed: [...exposure.confirmed] },
        representativeness: { verdict, tv, uncovered, neff, dimensions: [...dimensions], strata: strata.map(({ stratum, fleet, canary, control, depth }) => ({ stratum, fleet, canary, control, depth })) },
      };
    },
  );

  app.get(
    "/rollouts/:id/power",
    { schema: { tags: ["rollouts"], summary: "What the plan of a rollout can and cannot see, and how long a good release takes", params: name, ...answers(powerShape, { failures: ["400", "404"] }) } },
    async ({ params }) => presentPower(powerOf(conductor.rollout(rolloutId(params.id)), conductor.state)),
  );

  app.get(
    "/rollouts/:id/series",
    { schema: { tags: ["rollouts"], summary: "Every gate's evidence and both arms' estimates since the rollout's start", params: name, ...answers(rolloutSeries, { failures: ["400", "404"] }) } },
    async ({ params }) => {
      const now = clock.now();
      return { now: iso(now), ...columns(await history.series(rolloutId(params.id), now)) };
    },
  );
}

/** The statement for the members it has, at the rates their reports show. */
function powerOf(rollout: Rollout, state: HostState): PlanPower {
  const stages = rollout.stages.map(({ name: stage, size }, index) => ({ name: stage, size, controls: rollout.members.reduce((sum, member) => sum + (member.control === index ? 1 : 0), 0) }));
  const slowest = rollout.members.reduce((longest, member) => Math.max(longest, member.interval), 0) as Millis;
  return planPower(rollout.plan, { stages, slowest }, measuredRates(rollout.members.flatMap((member) => state.devices.get(member.device) ?? [])));
}

type Reading = EvidenceSample["gates"][number];
type Arm = Reading["canary"];

/** Samples as curves: one list for each number, which is a third of the bytes of a list of records. */
function columns(samples: readonly EvidenceSample[]) {
  const gates = samples.findLast((sample) => sample.gates.length > 0)?.gates ?? [];
  return {
    at: samples.map((sample) => sample.at as number),
    gates: gates.map(({ gate, metric, evidence, control }) => {
      const readings = samples.map((sample) => sample.gates.find((one) => one.gate === gate));
      const curve = (value: (reading: Reading) => number | null | undefined): (number | null)[] => readings.map((reading) => short(reading === undefined ? null : value(reading)));
      const arm = (of: (reading: Reading) => Arm | null) => {
        const bounds = readings.map((reading) => (reading === undefined ? null : boundsOf(reading, of(reading))));
        return {
          estimate: curve((reading) => of(reading)?.estimate),
          lower: bounds.map((one) => short(one?.lower)),
          upper: bounds.map((one) => short(one?.upper)),
        };
      };
      return {
        gate,
        metric,
        haltAt: evidence?.haltAt ?? null,
        passAt: evidence?.passAt ?? null,
        lnEHalt: curve((reading) => reading.evidence?.lnEHalt),
        lnEPass: curve((reading) => reading.evidence?.lnEPass),
        canary: arm((reading) => reading.canary),
        control: control === null ? null : arm((reading) => reading.control),
      };
    }),
  };
}

/** The 95 % interval of one arm's own rate at its moment; none for the mean of a metric. */
function boundsOf({ evidence }: Reading, arm: Arm | null): { readonly lower: number; readonly upper: number } | null {
  if (arm === null) {
    return null;
  }
  if (evidence === undefined) {
    // A fixed bound is on the share that did well; its events are those that did not.
    return arm.devices === 0 ? null : shareBounds(arm.devices - arm.events, arm.devices);
  }
  if (evidence.kind === "share") {
    return arm.devices === 0 ? null : shareBounds(arm.events, arm.devices);
  }
  if (evidence.kind !== "ratio" || arm.exposure_h <= 0) {
    return null;
  }
  const days = arm.exposure_h / 24;
  const { lower, upper } = countBounds(arm.events);
  return { lower: lower / days, upper: upper / days };
}

const short = (value: number | null | undefined): number | null => (value === null || value === undefined || !Number.isFinite(value) ? null : Number(value.toPrecision(5)));
