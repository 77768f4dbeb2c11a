// SPDX-License-Identifier: Apache-2.0
// One rollout. First what a person woken at night must know: what it is, why it stands where it stands, how many devices
// have it, what to press. Then stages, gates, exposure, whom the canaries stand for, and the history.
import type { AuditPageView, PowerView, RolloutProgressView, RolloutSeriesView, RolloutView } from "@coalmine/api";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Chart, Legend, type Mark } from "../chart.tsx";
import { GateCard } from "../gate-card.tsx";
import { useLive } from "../live.ts";
import { OrderDialog } from "../order-dialog.tsx";
import { Badge, Card, Empty, Facts, StateMark, Table, Wait } from "../parts.tsx";
import { link } from "../router.ts";
import { RollbackDialog } from "../rollback-dialog.tsx";
import { Stages } from "../stages.tsx";
import { type Press, Verdict } from "../verdict.tsx";
import { count, duration, exactMoment, moment, percent } from "../words.ts";

export function RolloutPage({ id }: { readonly id: string }): JSX.Element {
  const url = `/rollouts/${encodeURIComponent(id)}`;
  const { data: rollout, etag, problem, again } = useLive<RolloutView>(url, 5_000);
  const { data: progress } = useLive<RolloutProgressView>(`${url}/progress`, 5_000, 2_000);
  const [order, setOrder] = useState<Press>();
  const [given, setGiven] = useState<Press>();
  if (rollout === undefined) {
    return <Wait problem={problem} again={again} />;
  }
  const done = (carriedOut: boolean): void => {
    setGiven(carriedOut ? order : undefined);
    setOrder(undefined);
    again();
  };
  return (
    <>
      <header class="title">
        <p class="eyebrow">
          <a href="#/rollouts">Rollouts</a> / {rollout.id}
        </p>
        <h1>
          {rollout.rollback === null ? "" : "Back to "}
          {rollout.release} <Badge word={rollout.status} big />
        </h1>
      </header>
      <Verdict rollout={rollout} progress={progress} onOrder={setOrder} />
      <p class="hidden" role="status">
        {given === undefined ? "" : `The order to ${given} was carried out.`}
      </p>
      {order !== "rollback" ? null : (
        <RollbackDialog
          rollout={rollout}
          etag={etag}
          onDone={(begun) => {
            done(begun !== undefined);
            if (begun !== undefined) {
              location.hash = link(["rollouts", begun]);
            }
          }}
        />
      )}
      {order === undefined || order === "rollback" ? null : <OrderDialog key={order} order={order} rollout={rollout} etag={etag} onDone={done} />}
      {progress === undefined ? null : <Stages progress={progress} rollout={rollout} />}
      <Gates rollout={rollout} url={url} />
      {progress === undefined ? null : <ExposureCard rollout={rollout} progress={progress} />}
      <div class="columns two">
        <Population rollout={rollout} />
        {progress === undefined ? null : <Representativeness progress={progress} />}
      </div>
      <History id={id} />
      <Power url={url} />
      <Card title="The plan">
        <Facts
          facts={[
            ["plan", rollout.plan.name],
            ["shortest soak", duration(rollout.soak.min_s * 1_000)],
            ["longest soak", duration(rollout.soak.max_s * 1_000)],
            ["started", exactMoment(rollout.startedAt)],
            ["seed", String(rollout.seed)],
            ["revision", String(rollout.revision)],
          ]}
        />
        <details>
          <summary>All of it</summary>
          <pre>{JSON.stringify(rollout.plan, null, 2)}</pre>
        </details>
        <p class="links">
          The whole report: <a href={`${url}/report?format=html`}>page</a>, <a href={`${url}/report?format=markdown`}>Markdown</a>, <a href={`${url}/report`}>JSON</a>
        </p>
      </Card>
    </>
  );
}

/** Moments that every chart of the rollout marks. */
function marksOf(rollout: RolloutView): Mark[] {
  const opened = rollout.stages.flatMap((stage): Mark[] => (stage.openedAt === null ? [] : [{ at: Date.parse(stage.openedAt), label: stage.name }]));
  return rollout.status === "halted" && rollout.endedAt !== null ? [...opened, { at: Date.parse(rollout.endedAt), label: "halted", bad: true }] : opened;
}

function Gates({ rollout, url }: { readonly rollout: RolloutView; readonly url: string }): JSX.Element {
  const { data: series, problem, again } = useLive<RolloutSeriesView>(`${url}/series`, 10_000, 5_000);
  if (rollout.gates.length === 0) {
    return (
      <Card title="Gates">
        <Empty title="No stage has opened yet, so nothing is weighed." />
      </Card>
    );
  }
  const marks = marksOf(rollout);
  const failing = rollout.haltedBy?.gate;
  // The one that decided comes first.
  const gates = rollout.gates.toSorted((a, b) => Number(b.gate === failing || b.verdict === "fail") - Number(a.gate === failing || a.verdict === "fail"));
  return (
    <section aria-labelledby="gates-title">
      <h2 id="gates-title" class="between">
        Gates
      </h2>
      {series === undefined && problem !== undefined ? <Wait problem={problem} again={again} /> : null}
      <div class="gates">
        {gates.map((gate) => (
          <GateCard key={gate.gate} gate={gate} series={series} marks={marks} overridden={rollout.overrides.includes(gate.gate)} criterion={criterionOf(rollout, gate.metric)} />
        ))}
      </div>
    </section>
  );
}

interface Criterion {
  readonly metric: string;
  readonly min?: number;
}

function criterionOf(rollout: RolloutView, metric: string): Criterion | undefined {
  const gates = rollout.plan["gates"];
  return Array.isArray(gates) ? (gates as Criterion[]).find((gate) => gate.metric === metric) : undefined;
}

function ExposureCard({ rollout, progress }: { readonly rollout: RolloutView; readonly progress: RolloutProgressView }): JSX.Element {
  const { at, started, confirmed } = progress.exposure;
  const curves = [
    { label: "update begun", values: started, colour: "canary", steps: true },
    { label: "confirmed", values: confirmed, colour: "control", dashed: true, steps: true },
  ];
  return (
    <Card title="Who was exposed when" aside={<Legend curves={curves} />}>
      {rollout.exposed === 0 ? (
        <Empty title="No device has begun the update." />
      ) : (
        <Chart label={`Devices over time: ${count(rollout.exposed)} of ${count(rollout.population)} have begun the update.`} at={at} curves={curves} format={count} whole reach={[0]} marks={marksOf(rollout)} />
      )}
    </Card>
  );
}

function Power({ url }: { readonly url: string }): JSX.Element | null {
  const { data } = useLive<PowerView>(`${url}/power`, 600_000);
  return data === undefined ? null : (
    <Card title="What this plan can see">
      <ul class="advice">
        {data.statement.map((line) => (
          <li key={line}>{line}</li>
        ))}
      </ul>
    </Card>
  );
}

function Population({ rollout }: { readonly rollout: RolloutView }): JSX.Element {
  const rows = Object.entries(rollout.states).map(([state, devices]) => [
    <StateMark key={state} state={state} />,
    <a key="members" href={link(["rollouts", rollout.id, "members"], { state })}>
      {count(devices)}
    </a>,
    percent(devices / Math.max(1, rollout.population)),
  ]);
  return (
    <Card title="Population by state" aside={<a href={link(["rollouts", rollout.id, "members"])}>all {count(rollout.population)} devices</a>}>
      <Table label="Population by state" columns={[{ title: "state" }, { title: "devices", number: true }, { title: "share", number: true }]} rows={rows} />
    </Card>
  );
}

const coverWords = { yes: "The canaries stand for the fleet.", warn: "The canaries stand for most of the fleet.", no: "The canaries do not stand for the fleet." } as const;

function Representativeness({ progress }: { readonly progress: RolloutProgressView }): JSX.Element {
  const { representativeness: cover } = progress;
  const total = cover.strata.reduce((sum, one) => sum + one.fleet, 0);
  const rows = cover.strata.map(({ stratum, fleet, canary, control, depth }) => [
    stratum.replaceAll("|", " · "),
    count(fleet),
    percent(fleet / Math.max(1, total)),
    canary === 0 ? <strong class="warn-text">none</strong> : count(canary),
    count(control),
    canary === 0 ? "nothing" : `over ${percent(depth)}`,
  ]);
  return (
    <Card title="Whom the canaries stand for">
      <p>
        {coverWords[cover.verdict]} {cover.uncovered > 0 ? `${percent(cover.uncovered)} of the fleet is of a kind without a canary.` : "Every kind of device has one."}
      </p>
      <p class="soft small">Rules out: the share of failures that its canaries exclude when none of them fails, at 95 %.</p>
      <Table
        label="Representativeness"
        columns={[{ title: cover.dimensions.join(" · ") || "kind" }, { title: "fleet", number: true }, { title: "share", number: true }, { title: "canaries", number: true }, { title: "controls", number: true }, { title: "rules out", number: true }]}
        rows={rows}
      />
    </Card>
  );
}

function History({ id }: { readonly id: string }): JSX.Element {
  const { data } = useLive<AuditPageView>(`/audit?brief=true&limit=50&rollout=${encodeURIComponent(id)}`);
  const rows = (data?.records ?? []).map((line) => [<time key="at" dateTime={line.at} class="nowrap">{moment(line.at)}</time>, <span key="what" class="nowrap">{line.type.replaceAll("-", " ")}</span>, line.by, line.reason]);
  return (
    <Card title="History" aside={<a href={link(["audit"], { rollout: id })}>All of the audit</a>}>
      <Table label="History" stacked columns={[{ title: "at" }, { title: "what" }, { title: "by" }, { title: "why" }]} rows={rows} />
    </Card>
  );
}
