// SPDX-License-Identifier: Apache-2.0
import { type DeviceId, deviceId, type Plan, rolloutId } from "@coalmine/core";
import {
  describeDoor,
  type DoorEvidence,
  type DeviceRecord,
  evidenceSeries,
  gatesNow,
  linkIssues,
  measuredRates,
  type Membership,
  parsePlan,
  planFromData,
  planPower,
  reportHtml,
  reportMarkdown,
  type RolloutInput,
  type RolloutOrder,
  rolloutReport,
  sizesOf,
} from "@coalmine/orchestrator";
import type { z } from "zod";
import { answers, type ApiContext, type ZodApp } from "../context.ts";
import { presentMember, presentPower, presentRollout } from "../present.ts";
import { checkIfMatch, etag } from "../revision.ts";
import { applied, excuseBody, memberPage, memberQuery, membership, name, orderBody, promoteBody, report, reportQuery, rollout, rolloutBody, rolloutList, rolloutPlanBody, started } from "../schemas.ts";

/** Orders on a rollout. A halt must never wait for a fresh look; everything else names the revision it was decided on. */
const orders = {
  promote: { summary: "Open the next stage without a pass", ifMatch: true },
  hold: { summary: "Open no further stage until resumed", ifMatch: true },
  halt: { summary: "Stop all offers now. Needs no If-Match", ifMatch: false },
  resume: { summary: "Go on after a hold or a halt", ifMatch: true },
  abort: { summary: "End the rollout for good", ifMatch: true },
} as const;

export function rolloutRoutes(app: ZodApp, context: ApiContext): void {
  const { host, log, clock, crashes } = context;
  const { conductor } = host;
  const find = (id: string) => conductor.rollout(rolloutId(id));
  const whole = (id: string) => {
    const one = find(id);
    return {
      ...presentRollout(one, conductor.judge, clock.now()),
      overrides: one.overrides,
      soak: { min_s: one.soakMin / 1_000, max_s: one.soakMax / 1_000 },
      plan: one.plan,
      gates: gatesNow(one, conductor.judge, clock.now()),
    };
  };

  app.get("/rollouts", { schema: { tags: ["rollouts"], summary: "All rollouts, oldest first", ...answers(rolloutList) } }, async () => ({
    rollouts: [...conductor.state.rollouts.values()].map((one) => presentRollout(one, conductor.judge, clock.now())),
  }));

  app.post(
    "/rollouts/plan",
    { schema: { tags: ["rollouts"], summary: "What starting would do: members, stages, who is left out. Changes nothing", body: rolloutPlanBody, ...answers(membership, { failures: ["400", "404", "409"] }) } },
    async ({ body }) => {
      const input = inputOf(body);
      const against = host.planAgainst(input);
      return { ...presentMembership(input, host.planRollout(input), conductor.state.devices), against: against === null ? null : { ...against, changes: [...against.changes] } };
    },
  );

  app.post(
    "/rollouts/apply",
    {
      schema: {
        tags: ["rollouts"],
        summary: "Make a plan true: start its rollout, leave it alone when it runs already, or follow a halted or held one with the next revision of its plan",
        body: rolloutBody,
        ...answers(applied, { failures: ["400", "404", "409", "503"] }),
      },
    },
    async ({ body }) => {
      const input = inputOf(body);
      const done = await host.applyRollout(input);
      return {
        action: done.action,
        rollout: done.rollout,
        replaces: done.action === "revised" ? done.replaces : null,
        changes: done.action === "started" ? [] : [...done.against.changes],
        membership: done.action === "unchanged" ? null : presentMembership(input, done.membership, conductor.state.devices),
      };
    },
  );

  app.post(
    "/rollouts",
    { schema: { tags: ["rollouts"], summary: "Start a rollout", body: rolloutBody, ...answers(started, { status: 201, failures: ["400", "404", "409", "503"] }) } },
    async ({ body }, reply) => {
      const input = inputOf(body);
      const { id, membership: members } = await host.startRollout(input);
      reply.code(201).headers({ location: `/rollouts/${encodeURIComponent(id)}`, etag: etag(find(id).revision) });
      return { id, membership: presentMembership(input, members, conductor.state.devices) };
    },
  );

  app.get(
    "/rollouts/:id",
    { schema: { tags: ["rollouts"], summary: "One rollout with its gates as they stand. The ETag is its revision", params: name, ...answers(rollout, { failures: ["400", "404"] }) } },
    async ({ params }, reply) => {
      reply.header("etag", etag(find(params.id).revision));
      return whole(params.id);
    },
  );

  app.get(
    "/rollouts/:id/members",
    { schema: { tags: ["rollouts"], summary: "Members in the order of the rollout", params: name, querystring: memberQuery, ...answers(memberPage, { failures: ["400", "404"] }) } },
    async ({ params, query }) => {
      const one = find(params.id);
      const wanted = one.members.filter(
        (member) => (query.state === undefined || member.state === query.state) && (query.stage === undefined || one.stages[member.stage]?.name === query.stage),
      );
      const members = wanted.slice(query.after, query.after + query.limit);
      const next = query.after + members.length;
      return { members: members.map((member) => presentMember(one, member)), total: wanted.length, next: members.length > 0 && next < wanted.length ? next : null };
    },
  );

  app.get(
    "/rollouts/:id/report",
    {
      schema: {
        tags: ["rollouts"],
        summary: "Why it stands where it stands: gates with both arms, devices, crash signatures. JSON, Markdown or an HTML page",
        params: name,
        querystring: reportQuery,
        ...answers(report, { failures: ["400", "404"] }),
      },
    },
    async ({ params, query, headers }, reply) => {
      const one = find(params.id);
      const told = await rolloutReport(conductor, log, one.id, clock.now());
      const made = crashes === undefined ? told : linkIssues(told, crashes);
      if (query.format === "markdown" || (query.format === undefined && headers.accept?.includes("text/markdown") === true)) {
        reply.type("text/markdown; charset=utf-8").serializer((text: unknown) => String(text));
        return reply.send(reportMarkdown(made));
      }
      if (query.format === "html") {
        const series = await evidenceSeries(conductor, log, one.id, { end: one.endedAt ?? clock.now() });
        reply
          .type("text/html; charset=utf-8")
          .header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'")
          .serializer((text: unknown) => String(text));
        return reply.send(reportHtml({ report: made, plan: one.plan, series, madeAt: new Date(clock.now()).toISOString() }));
      }
      return made;
    },
  );

  const give = async (id: string, command: RolloutOrder, check: { readonly header: string | undefined; readonly required: boolean }) => {
    const one = find(id);
    checkIfMatch(check.header, etag(one.revision), { required: check.required, what: `rollout ${id}` });
    await host.orderRollout(id, command);
    return one;
  };

  for (const [kind, { summary, ifMatch }] of Object.entries(orders) as [keyof typeof orders, (typeof orders)[keyof typeof orders]][]) {
    app.post(
      `/rollouts/:id/${kind}`,
      { schema: { tags: ["rollouts"], summary, params: name, body: kind === "promote" ? promoteBody : orderBody, ...answers(rollout, { failures: ["400", "404", "409", "412", "428", "503"] }) } },
      async ({ params, body, headers }, reply) => {
        const { by, reason } = body;
        const one = await give(params.id, { kind, ...("override" in body && body.override ? { override: true } : {}), authority: { by, reason } }, { header: ifMatch ? headers["if-match"] : undefined, required: ifMatch });
        reply.header("etag", etag(one.revision));
        return whole(params.id);
      },
    );
  }

  app.post(
    "/rollouts/:id/excuse",
    { schema: { tags: ["rollouts"], summary: "Take one device out of the count", params: name, body: excuseBody, ...answers(rollout, { failures: ["400", "404", "409", "412", "428", "503"] }) } },
    async ({ params, body, headers }, reply) => {
      const { device, by, reason } = body;
      const one = await give(params.id, { kind: "excuse", device: deviceId(device), authority: { by, reason } }, { header: headers["if-match"], required: true });
      reply.header("etag", etag(one.revision));
      return whole(params.id);
    },
  );
}

function inputOf(body: z.output<typeof rolloutBody>): RolloutInput {
  const plan: Plan = typeof body.plan === "string" ? parsePlan(body.plan) : planFromData(body.plan);
  const { id, release, cohort, selector, seed, override, by, reason } = body;
  return { id: id === undefined ? undefined : rolloutId(id), release, cohort, selector, plan, seed, override, authority: { by, reason } };
}

function presentMembership(input: RolloutInput, made: Membership, devices: ReadonlyMap<DeviceId, DeviceRecord>) {
  const records = made.members.flatMap((member) => devices.get(member.device) ?? []);
  const power = planPower(input.plan, sizesOf(made), measuredRates(records));
  return {
    release: input.release,
    seed: input.seed,
    plan: input.plan.name,
    members: made.members.length,
    stages: made.stages.map((stage, index) => ({
      ...stage,
      devices: made.members.filter((member) => member.stage === index).map((member) => member.device as string),
    })),
    excluded: [...made.excluded],
    representativeness: { ...made.representativeness },
    power: presentPower(power),
    evidence: { all: made.evidence.all.map(presentDoor), canary: made.evidence.canary.map(presentDoor) },
    warnings: [...made.warnings, ...power.warnings],
  };
}

/** What devices of one door can tell, with the sentence for people. */
function presentDoor(door: DoorEvidence) {
  return { ...door, cannotTell: [...door.cannotTell], words: describeDoor(door) };
}
