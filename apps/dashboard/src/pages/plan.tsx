// SPDX-License-Identifier: Apache-2.0
// Before a rollout starts: what its plan would do, what it can and cannot see, and how it went in a rehearsal.
import type { MembershipView, ReleaseView } from "@coalmine/api";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { post, Problem } from "../api.ts";
import { useLive } from "../live.ts";
import { Card, Empty, Icon, Table, Trouble } from "../parts.tsx";
import { Rehearsal } from "../rehearsal.tsx";
import { link } from "../router.ts";
import { StartDialog } from "../start-dialog.tsx";
import { count, duration, percent } from "../words.ts";

const usual = `stages: [{ name: canary, percent: 5 }, 25%, 100%]
strata: [hardware, connectivity]
soak: { min: 6h, max: 72h, dutyCycles: 3 }
gates: default
`;

interface Cohorts {
  readonly cohorts: readonly { readonly name: string }[];
}

export interface Wanted {
  readonly release: string;
  readonly cohort?: string;
  readonly plan: string;
}

export function PlanPage({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const { data: releases } = useLive<{ readonly releases: readonly ReleaseView[] }>("/releases", 60_000);
  const { data: cohorts } = useLive<Cohorts>("/cohorts", 60_000);
  const [release, setRelease] = useState(query.get("release") ?? "");
  const [cohort, setCohort] = useState("");
  const [plan, setPlan] = useState(usual);
  const [made, setMade] = useState<{ readonly wanted: Wanted; readonly membership: MembershipView }>();
  const [problem, setProblem] = useState<Problem>();
  const [starting, setStarting] = useState(false);
  const chosen = release === "" ? ((releases?.releases.findLast(({ barred }) => barred === null) ?? releases?.releases.at(-1))?.id ?? "") : release;
  const ask = (event: Event): void => {
    event.preventDefault();
    const wanted: Wanted = { release: chosen, plan, ...(cohort === "" ? {} : { cohort }) };
    setProblem(undefined);
    post<MembershipView>("/rollouts/plan", wanted).then(
      ({ data }) => setMade({ wanted, membership: data }),
      (error: unknown) => {
        setMade(undefined);
        setProblem(error instanceof Problem ? error : new Problem(0, "page/bug", String(error)));
      },
    );
  };
  if (releases !== undefined && releases.releases.length === 0) {
    return (
      <>
        <h1>Plan</h1>
        <Card title="No release to plan for">
          <Empty title="A plan is for a release.">
            <pre>npx coalmine release create 1.1.0 --artifact BOARD/REVISION/MAP=app.signed.bin</pre>
          </Empty>
        </Card>
      </>
    );
  }
  return (
    <>
      <h1>Plan</h1>
      <Card title="What is to go out, to whom, how">
        <form class="plan" onSubmit={ask}>
          <label>
            Release
            <select value={chosen} onChange={(event) => setRelease(event.currentTarget.value)}>
              {releases?.releases.toReversed().map(({ id, barred }) => (
                <option key={id} value={id}>
                  {id}
                  {barred === null ? "" : " (barred)"}
                </option>
              ))}
            </select>
          </label>
          <label>
            Devices
            <select value={cohort} onChange={(event) => setCohort(event.currentTarget.value)}>
              <option value="">all that can install it</option>
              {cohorts?.cohorts.map(({ name }) => (
                <option key={name} value={name}>
                  cohort {name}
                </option>
              ))}
            </select>
          </label>
          <label class="text">
            Plan (YAML)
            <textarea class="code" rows={8} spellcheck={false} maxLength={65_536} value={plan} onInput={(event) => setPlan(event.currentTarget.value)} />
          </label>
          <div class="buttons">
            <button type="submit" class="primary">
              What would it do?
            </button>
          </div>
        </form>
        {problem === undefined ? null : <Trouble problem={problem} />}
      </Card>
      {made === undefined ? null : <Forecast membership={made.membership} />}
      <Rehearsal />
      {made === undefined ? null : (
        <Card title="Start it">
          <p>
            Release {made.wanted.release} goes to {count(made.membership.stages[0]?.size ?? 0)} canaries at once, and to {count(made.membership.members)} devices in all when every gate passes.
          </p>
          <div class="buttons">
            <button type="button" class="primary" onClick={() => setStarting(true)}>
              Start …
            </button>
          </div>
        </Card>
      )}
      {starting && made !== undefined ? (
        <StartDialog
          wanted={made.wanted}
          onDone={(id) => {
            setStarting(false);
            if (id !== undefined) {
              location.hash = link(["rollouts", id]);
            }
          }}
        />
      ) : null}
    </>
  );
}

interface Cover {
  readonly verdict: string;
  readonly uncovered: number;
  readonly strata: readonly { readonly stratum: string; readonly fleet: number; readonly canary: number; readonly depth: number }[];
}

function Forecast({ membership }: { readonly membership: MembershipView }): JSX.Element {
  const { power, warnings, excluded } = membership;
  const cover = membership.representativeness as unknown as Cover;
  return (
    <>
      {warnings.length === 0 ? null : (
        <section class="verdict warn" aria-label="Warnings">
          <div class="verdict-words">
            <h2>
              <Icon name="warn" />
              <span>Think about these first</span>
            </h2>
            <ul class="advice">
              {warnings.map((line) => (
                <li key={line}>{line}</li>
              ))}
            </ul>
          </div>
        </section>
      )}
      <Card title="What it can see" aside={<span class="soft">{power.hoursToComplete === null ? "some stage cannot pass" : `a good release takes about ${duration(power.hoursToComplete * 3_600_000)}`}</span>}>
        <ul class="advice">
          {power.statement.map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
        <Table
          label="Stages"
          columns={[{ title: "stage" }, { title: "devices by its end", number: true }, { title: "controls", number: true }, { title: "excludes harm to over", number: true }, { title: "harmed at worst after it", number: true }, { title: "a good release takes", number: true }]}
          rows={power.stages.map((stage) => [stage.stage, count(stage.devices), count(stage.controls), percent(stage.margin), count(stage.harmedAtWorst), stage.hours === null ? <strong key="never" class="warn-text">cannot pass</strong> : duration(stage.hours * 3_600_000)])}
        />
      </Card>
      <div class="columns two">
        <Card title="Whom the canaries stand for" aside={<span class="soft">{cover.uncovered > 0 ? `${percent(cover.uncovered)} without a canary` : "every kind has one"}</span>}>
          <Table
            label="Representativeness"
            columns={[{ title: "kind" }, { title: "fleet", number: true }, { title: "canaries", number: true }, { title: "rules out", number: true }]}
            rows={cover.strata.map(({ stratum, fleet, canary, depth }) => [stratum.replaceAll("|", " · "), count(fleet), canary === 0 ? <strong key="none" class="warn-text">none</strong> : count(canary), canary === 0 ? "nothing" : `over ${percent(depth)}`])}
          />
        </Card>
        <Card title="Left out" aside={<span class="soft">{count(excluded.length)} devices</span>}>
          {excluded.length === 0 ? (
            <Empty title="Nobody." />
          ) : (
            <Table
              label="Left out"
              columns={[{ title: "device" }, { title: "why" }]}
              rows={excluded.slice(0, 20).map(({ device, reason }) => [
                <a key="device" href={link(["devices", device])}>
                  {device}
                </a>,
                reason,
              ])}
            />
          )}
        </Card>
      </div>
    </>
  );
}
