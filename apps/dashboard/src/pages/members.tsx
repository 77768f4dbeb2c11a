// SPDX-License-Identifier: Apache-2.0
import type { MemberPageView, RolloutView } from "@coalmine/api";
import type { JSX } from "preact";
import { useLive } from "../live.ts";
import { Card, Empty, StateMark, Table, Wait } from "../parts.tsx";
import { link } from "../router.ts";
import { count, moment } from "../words.ts";

const pageSize = 100;

/** The members of a rollout, by state and stage. */
export function MembersPage({ id, query }: { readonly id: string; readonly query: URLSearchParams }): JSX.Element {
  const url = `/rollouts/${encodeURIComponent(id)}`;
  const state = query.get("state") ?? undefined;
  const stage = query.get("stage") ?? undefined;
  const skip = Number(query.get("skip") ?? 0) || 0;
  const asked = new URLSearchParams({ limit: String(pageSize), after: String(skip), ...(state === undefined ? {} : { state }), ...(stage === undefined ? {} : { stage }) });
  const { data: rollout, problem, again } = useLive<RolloutView>(url);
  const { data: page } = useLive<MemberPageView>(`${url}/members?${asked.toString()}`);
  if (rollout === undefined) {
    return <Wait problem={problem} again={again} />;
  }
  const to = (change: Record<string, string | undefined>): string => link(["rollouts", id, "members"], { state, stage, ...change });
  return (
    <>
      <header class="title">
        <p class="eyebrow">
          <a href="#/rollouts">Rollouts</a> / <a href={link(["rollouts", id])}>{id}</a>
        </p>
        <h1>Members</h1>
      </header>
      <Card title={`${page === undefined ? "" : count(page.total)} of ${count(rollout.population)} devices`}>
        <nav class="filters" aria-label="Filter by state">
          <a class={`chip ${state === undefined ? "" : "plain"}`} aria-current={state === undefined} href={to({ state: undefined })}>
            all
          </a>
          {Object.entries(rollout.states).map(([name, devices]) => (
            <a key={name} class={`chip ${state === name ? "" : "plain"}`} aria-current={state === name} href={to({ state: name })}>
              <StateMark state={name} /> {count(devices)}
            </a>
          ))}
        </nav>
        {page?.members.length === 0 ? <Empty title="No member matches." /> : null}
        <Table
          label="Members"
          columns={[{ title: "device" }, { title: "state" }, { title: "since" }, { title: "stage" }, { title: "kind" }, { title: "crashes", number: true }, { title: "why" }]}
          rows={(page?.members ?? []).map((member) => [
            <a key="device" href={link(["devices", member.device])}>
              {member.device}
            </a>,
            <StateMark key="state" state={member.state} />,
            moment(member.since),
            member.stage,
            member.stratum.replaceAll("|", " · "),
            count(member.crashes),
            member.reason,
          ])}
        />
        <div class="buttons">
          {skip === 0 ? null : <a href={to({ skip: String(Math.max(0, skip - pageSize)) })}>Before</a>}
          {page?.next === null || page === undefined ? null : <a href={to({ skip: String(page.next) })}>Next {pageSize}</a>}
        </div>
      </Card>
    </>
  );
}
