// SPDX-License-Identifier: Apache-2.0
import type { RolloutSummaryView } from "@coalmine/api";
import type { JSX } from "preact";
import { useLive } from "../live.ts";
import { Badge, Card, Empty, StateBar, Wait } from "../parts.tsx";
import { link } from "../router.ts";
import { count, moment } from "../words.ts";

/** Every rollout, the newest first. */
export function RolloutsPage(): JSX.Element {
  const { data, problem, again } = useLive<{ readonly rollouts: readonly RolloutSummaryView[] }>("/rollouts");
  if (data === undefined) {
    return <Wait problem={problem} again={again} />;
  }
  return (
    <>
      <h1>Rollouts</h1>
      {data.rollouts.length === 0 ? (
        <Card title="None yet">
          <Empty title="No release has been rolled out.">
            <p>Make one of a signed image, look at what its plan would do, then start it:</p>
            <pre>{"npx coalmine release create 1.1.0 --artifact BOARD/REVISION/MAP=app.signed.bin\nnpx coalmine rollout start 1.1.0 --plan plan.yaml --reason \"first release\""}</pre>
          </Empty>
        </Card>
      ) : (
        <ul class="rollouts">{data.rollouts.toReversed().map((rollout) => <Row key={rollout.id} rollout={rollout} />)}</ul>
      )}
    </>
  );
}

/** One rollout in three lines. */
export function Row({ rollout }: { readonly rollout: RolloutSummaryView }): JSX.Element {
  const open = rollout.stages.findLastIndex((stage) => stage.openedAt !== null);
  const stage = rollout.stages[open];
  return (
    <li>
      <a class="rollout-row" href={link(["rollouts", rollout.id])}>
        <span class="line">
          <strong>{rollout.release}</strong>
          <Badge word={rollout.status} />
          <span class="soft">{rollout.id}, started {moment(rollout.startedAt)}</span>
        </span>
        <StateBar states={rollout.states} size={rollout.population} label="Members" />
        <span class="line soft">
          <span>
            {count(rollout.exposed)} of {count(rollout.population)} devices exposed
          </span>
          {stage === undefined ? null : (
            <span>
              stage {open + 1} of {rollout.stages.length}, {stage.name}
            </span>
          )}
          {rollout.haltedBy === null ? (rollout.status === "running" && rollout.missing[0] !== undefined ? <span>waits: {rollout.missing[0]}</span> : null) : <span class="bad-text">halted by {rollout.haltedBy.gate}</span>}
        </span>
      </a>
    </li>
  );
}
