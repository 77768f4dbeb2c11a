// SPDX-License-Identifier: Apache-2.0
// One crash issue: what its newest dump says, what the device wrote before, where and on whom it was seen.
import type { CrashIssueView, FleetView } from "@coalmine/api";
import type { JSX } from "preact";
import { useLive } from "../live.ts";
import { Card, Empty, Facts, Table, Wait } from "../parts.tsx";
import { link } from "../router.ts";
import { count, moment } from "../words.ts";
import { IssueFacts, Side } from "./crashes.tsx";

/** A dump as the API examined it; every field is checked before it is shown. */
interface Examined {
  readonly kind?: unknown;
  readonly reason?: unknown;
  readonly thread?: unknown;
  readonly integrity?: unknown;
  readonly detail?: unknown;
  readonly registers?: Readonly<Record<string, unknown>>;
  readonly frames?: readonly { readonly address?: unknown; readonly function?: unknown; readonly certainty?: unknown }[];
  readonly notes?: readonly unknown[];
}

/** What vouches for the bytes of a dump; nothing does for most. */
const integrityWords: Readonly<Record<string, string>> = { none: "", checksum: "checksum right", crc: "CRC right" };

const text = (value: unknown): string => (typeof value === "string" ? value : typeof value === "number" ? String(value) : "");

export function CrashPage({ id, fleet }: { readonly id: string; readonly fleet: FleetView | undefined }): JSX.Element {
  const { data: issue, problem, again } = useLive<CrashIssueView>(`/crashes/${encodeURIComponent(id)}`);
  if (issue === undefined) {
    return <Wait problem={problem} again={again} />;
  }
  return (
    <>
      <header class="title">
        <p class="eyebrow">
          <a href="#/crashes">Crashes</a>
        </p>
        <h1 class="signature">
          <code>{issue.signature}</code> <Side arms={issue.arms} />
        </h1>
      </header>
      <Card title="How often, on whom">
        <IssueFacts issue={issue} now={fleet?.now} />
      </Card>
      <Dump issue={issue} />
      <div class="columns two">
        <Card title="Devices" aside={<span class="soft">{count(issue.devices)}</span>}>
          <Table
            label="Devices"
            columns={[{ title: "device" }, { title: "crashes", number: true }, { title: "first" }, { title: "last" }]}
            rows={issue.affected.map((one) => [
              <a key="device" href={link(["devices", one.device])}>
                {one.device}
              </a>,
              count(one.count),
              moment(one.firstSeen),
              moment(one.lastSeen),
            ])}
          />
        </Card>
        <Card title="Places and builds">
          <Table label="Places" columns={[{ title: "pc" }, { title: "lr" }, { title: "build" }, { title: "crashes", number: true }]} rows={issue.sites.map((site) => [<code key="pc">{site.pc}</code>, <code key="lr">{site.lr}</code>, <code key="build" title={site.buildId}>{site.buildId.slice(0, 12)}</code>, count(site.count)])} />
          <Table
            label="Builds"
            columns={[{ title: "build" }, { title: "release" }, { title: "symbols" }, { title: "devices", number: true }]}
            rows={issue.releases.map((one) => [<code key="build" title={one.buildId}>{one.buildId.slice(0, 12)}</code>, one.release ?? "none of ours", one.symbols ? "kept" : "missing", count(one.devices)])}
          />
        </Card>
      </div>
    </>
  );
}

function Dump({ issue }: { readonly issue: CrashIssueView }): JSX.Element {
  const { newest } = issue;
  if (newest === null) {
    const build = issue.releases.find(({ release }) => release !== null);
    return (
      <Card title="Backtrace">
        <Empty title="No dump of it has arrived whole.">
          <p>Devices send one when their firmware has coredumps to flash. Names come with the build's ELF:</p>
          <pre>npx coalmine release symbols {build?.release ?? "RELEASE"} zephyr.elf</pre>
        </Empty>
      </Card>
    );
  }
  const examined: Examined = newest.examined;
  const registers = Object.entries(examined.registers ?? {});
  return (
    <Card
      title={examined.kind === "broken" ? "Dump, damaged" : `Backtrace of ${newest.file.device}`}
      aside={
        <a href={`/crashes/files/${newest.file.id}`} download>
          The dump itself
        </a>
      }
    >
      {examined.kind === "broken" ? <p>{text(examined.detail)}</p> : <p class="soft">{[text(examined.reason), text(examined.thread) === "" ? "" : `thread ${text(examined.thread)}`, integrityWords[text(examined.integrity)] ?? text(examined.integrity)].filter((part) => part !== "").join(" · ")}</p>}
      {examined.frames === undefined ? null : (
        <ol class="backtrace">
          {examined.frames.map((frame, index) => (
            <li key={`${index} ${text(frame.address)}`}>
              <code>
                {text(frame.function) === "" ? text(frame.address) : text(frame.function)} <span class="soft">{text(frame.function) === "" ? "" : text(frame.address)} {frame.certainty === "certain" ? "" : text(frame.certainty)}</span>
              </code>
            </li>
          ))}
        </ol>
      )}
      {registers.length === 0 ? null : (
        <details>
          <summary>Registers</summary>
          <Facts facts={registers.map(([name, value]) => [name, <code key={name}>{text(value)}</code>] as const)} />
        </details>
      )}
      {newest.log === null ? null : (
        <>
          <h3 class="apart">Log before it</h3>
          <pre>{newest.log}</pre>
        </>
      )}
      {examined.notes === undefined || examined.notes.length === 0 ? null : <p class="hint">{examined.notes.map(text).join("; ")}</p>}
    </Card>
  );
}
