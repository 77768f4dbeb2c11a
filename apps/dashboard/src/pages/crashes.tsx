// SPDX-License-Identifier: Apache-2.0
import type { CrashListView, FleetView } from "@coalmine/api";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { useLive } from "../live.ts";
import { Card, Empty, Facts, Icon, Wait } from "../parts.tsx";
import { link } from "../router.ts";
import { ago, count, exactMoment, percent, plural } from "../words.ts";

type Issue = CrashListView["issues"][number];

const shownMax = 50;

/** Crashes of the fleet, those of one signature as one issue; the ones on most devices first. */
export function CrashesPage({ query, fleet }: { readonly query: URLSearchParams; readonly fleet: FleetView | undefined }): JSX.Element {
  const release = query.get("release");
  const { data, problem, again } = useLive<CrashListView>(`/crashes${release === null ? "" : `?${new URLSearchParams({ release }).toString()}`}`);
  const [all, setAll] = useState(false);
  if (data === undefined) {
    return <Wait problem={problem} again={again} />;
  }
  const { issues, totals } = data;
  return (
    <>
      <h1>Crashes</h1>
      <p class="soft">
        {plural(totals.crashes, "crash", "crashes")} in {plural(totals.issues, "issue", "issues")}, {plural(totals.dumps, "dump", "dumps")}{totals.open === 0 ? "" : `, ${count(totals.open)} still arriving`}
        {totals.refused === 0 ? "" : `, ${count(totals.refused)} refused`}
      </p>
      {release === null ? null : (
        <p class="filters">
          <a class="chip" href="#/crashes" aria-label={`Remove the filter release ${release}`}>
            release: {release} <span aria-hidden="true">×</span>
          </a>
        </p>
      )}
      {issues.length === 0 ? (
        <Card title="None">
          <Empty title={release === null ? "No device has reported a crash." : `No device has reported a crash of ${release}.`}>
            <p>Firmware with the coalmine module reports each one with its program counter. A coredump adds the backtrace, the build's ELF the names in it:</p>
            <pre>npx coalmine release symbols 1.1.0 zephyr.elf</pre>
          </Empty>
        </Card>
      ) : null}
      {issues.slice(0, all ? issues.length : shownMax).map((issue) => (
        <IssueRow key={issue.id} issue={issue} now={fleet?.now} />
      ))}
      {all || issues.length <= shownMax ? null : (
        <button type="button" onClick={() => setAll(true)}>
          Show all {count(issues.length)}
        </button>
      )}
    </>
  );
}

function IssueRow({ issue, now }: { readonly issue: Issue; readonly now: string | undefined }): JSX.Element {
  return (
    <article class="card issue">
      <header>
        <h2>
          <a href={link(["crashes", issue.id])}>
            <code>{issue.signature}</code>
          </a>
        </h2>
        <Side arms={issue.arms} />
      </header>
      <IssueFacts issue={issue} now={now} />
    </article>
  );
}

export function IssueFacts({ issue, now }: { readonly issue: Issue; readonly now: string | undefined }): JSX.Element {
  const releases = [...new Set(issue.releases.map(({ release }) => release))];
  return (
    <Facts
      facts={[
        ["crashes", count(issue.count)],
        ["devices", count(issue.devices)],
        ["dumps", count(issue.dumps)],
        [
          "releases",
          releases.map((release) =>
            release === null ? (
              <span key="none">none of ours </span>
            ) : (
              <a key={release} href={link(["releases", release])}>
                {release}{" "}
              </a>
            ),
          ),
        ],
        ["first seen", <span key="first" title={exactMoment(issue.firstSeen)}>{ago(issue.firstSeen, now)}</span>],
        ["last seen", <span key="last" title={exactMoment(issue.lastSeen)}>{ago(issue.lastSeen, now)}</span>],
        ...telling(issue.arms).map(
          (arm) =>
            [
              `in ${arm.rollout}`,
              <span key="arm">
                <a href={link(["rollouts", arm.rollout])}>{share(arm.exposed)} canaries</a>, {share(arm.control)} controls
              </span>,
            ] as const,
        ),
      ]}
    />
  );
}

/** Of rollouts whose release had it; where none had, of those whose controls did. */
function telling(arms: Issue["arms"]): Issue["arms"] {
  const exposed = arms.filter((arm) => arm.exposed.devices > 0);
  return (exposed.length > 0 ? exposed : arms).slice(-3);
}

function share(arm: { readonly devices: number; readonly of: number }): string {
  return `${count(arm.devices)} of ${count(arm.of)}${arm.of > 0 && arm.devices > 0 ? ` (${percent(arm.devices / arm.of)})` : ""}`;
}

/** Whether it came with the release: the first question of everybody. */
export function Side({ arms }: { readonly arms: Issue["arms"] }): JSX.Element | null {
  const newest = arms.findLast((arm) => arm.exposed.devices > 0);
  if (newest === undefined) {
    return null;
  }
  return newest.control.devices === 0 ? (
    <span class="badge bad">
      <Icon name="bad" />
      only on release {newest.release}
    </span>
  ) : (
    <span class="badge warn">
      <Icon name="warn" />
      on canaries and controls
    </span>
  );
}
