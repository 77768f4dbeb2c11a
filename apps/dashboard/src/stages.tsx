// SPDX-License-Identifier: Apache-2.0
import type { RolloutProgressView, RolloutView } from "@coalmine/api";
import type { JSX } from "preact";
import { Badge, Card, StateBar } from "./parts.tsx";
import { count, duration, groupOf, type Group, groupWords, moment } from "./words.ts";

type Stage = RolloutProgressView["stages"][number];

/** The stages as a track: how far each is, and how long it has soaked. */
export function Stages({ progress, rollout }: { readonly progress: RolloutProgressView; readonly rollout: RolloutView }): JSX.Element {
  const newest = progress.stages.findLastIndex((stage) => stage.openedAt !== null);
  return (
    <Card title="Stages">
      <ol class="stages">
        {progress.stages.map((stage, index) => (
          <li key={stage.name} class={index === newest ? "current" : stage.openedAt === null ? "future" : ""} aria-current={index === newest ? "step" : undefined}>
            <p class="line">
              <strong>{stage.name}</strong>
              {stage.openedAt === null ? <span class="soft">not open</span> : stage.verdict === "inconclusive" ? <span class="soft">{stage.closedAt === null ? "open" : "promoted by a person"}</span> : <Badge word={stage.verdict} />}
              <span class="soft">{count(stage.size)} devices</span>
            </p>
            <StateBar states={stage.states} size={stage.size} label={`Stage ${stage.name}`} />
            <p class="soft small">{sums(stage)}</p>
            {stage.openedAt === null ? null : <Soak stage={stage} now={progress.now} status={rollout.status} endedAt={rollout.endedAt} />}
          </li>
        ))}
      </ol>
    </Card>
  );
}

function sums(stage: Stage): string {
  const totals = new Map<Group, number>();
  for (const [state, devices] of Object.entries(stage.states)) {
    totals.set(groupOf(state), (totals.get(groupOf(state)) ?? 0) + devices);
  }
  return [...totals].map(([group, devices]) => `${count(devices)} ${groupWords[group]}`).join(", ");
}

/** The soak clock: from opening to the earliest pass, and on to where it holds. */
function Soak({ stage, now, status, endedAt }: { readonly stage: Stage; readonly now: string; readonly status: string; readonly endedAt: string | null }): JSX.Element | null {
  if (stage.soak === null || stage.openedAt === null) {
    return null;
  }
  const opened = Date.parse(stage.openedAt);
  const end = stage.closedAt ?? (status === "running" || status === "held" ? now : (endedAt ?? now));
  const least = Date.parse(stage.soak.minAt) - opened;
  const most = Date.parse(stage.soak.maxAt) - opened;
  const soaked = Math.min(Math.max(0, Date.parse(end) - opened), most);
  if (stage.closedAt !== null) {
    return (
      <p class="soft small">
        open for {duration(Date.parse(stage.closedAt) - opened)}, closed {moment(stage.closedAt)}
      </p>
    );
  }
  return (
    <div class="soak">
      <div class="soak-bar" role="progressbar" aria-label={`Soak of stage ${stage.name}`} aria-valuemin={0} aria-valuemax={Math.round(most / 60_000)} aria-valuenow={Math.round(soaked / 60_000)} aria-valuetext={`${duration(soaked)} of at least ${duration(least)}, at most ${duration(most)}`}>
        <span style={{ width: `${(100 * soaked) / most}%` }} />
        <i style={{ left: `${(100 * least) / most}%` }} title={`earliest pass after ${duration(least)}`} />
      </div>
      <p class="soft small">
        soaked {duration(soaked)} of at least {duration(least)}; {status === "running" ? (soaked < least ? `can pass from ${moment(stage.soak.minAt)}` : `holds at ${moment(stage.soak.maxAt)} without a pass`) : `stopped, ${status}`}
      </p>
    </div>
  );
}
