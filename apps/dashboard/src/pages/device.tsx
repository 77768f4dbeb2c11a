// SPDX-License-Identifier: Apache-2.0
// One device: what it is and runs, what its slots hold, what its heartbeats measured, and all that happened to it.
import type { DeviceTimelineView, DeviceView } from "@coalmine/api";
import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { get, type Problem } from "../api.ts";
import { Chart } from "../chart.tsx";
import { useLive } from "../live.ts";
import { Badge, Card, Empty, Facts, StateMark, Table, Trouble, Wait } from "../parts.tsx";
import { link } from "../router.ts";
import { ago, count, duration, exactMoment, moment, percent, short } from "../words.ts";

type Event = DeviceTimelineView["events"][number];

export function DevicePage({ id }: { readonly id: string }): JSX.Element {
  const url = `/devices/${encodeURIComponent(id)}`;
  const { data: device, problem, again } = useLive<DeviceView>(url);
  const { data: timeline } = useLive<DeviceTimelineView>(`${url}/timeline?limit=50`);
  if (device === undefined) {
    return <Wait problem={problem} again={again} />;
  }
  return (
    <>
      <header class="title">
        <p class="eyebrow">
          <a href="#/">Fleet</a> / device
        </p>
        <h1>{device.id}</h1>
      </header>
      <div class="columns two">
        <Identity device={device} now={timeline?.now} />
        <Slots device={device} />
      </div>
      {timeline === undefined ? null : <Metrics timeline={timeline} />}
      <Timeline url={url} newest={timeline} />
    </>
  );
}

function Identity({ device, now }: { readonly device: DeviceView; readonly now: string | undefined }): JSX.Element {
  const { hardware, rollout } = device;
  const attributes = Object.entries(device.attributes);
  return (
    <Card title="What it is" aside={rollout === null ? null : <a href={link(["rollouts", rollout.id])}>in {rollout.id}</a>}>
      <Facts
        facts={[
          ["heard", `${ago(device.lastSeen, now)} (${exactMoment(device.lastSeen)})`],
          ["reports every", duration(device.interval_s * 1_000)],
          ["known since", moment(device.firstSeen)],
          ["by", device.door],
          ["hardware", hardware === null ? "has not said" : [hardware.board, hardware.revision].filter((part) => part !== "").join(" ")],
          ["partition map", hardware?.partitionMap ?? "–"],
          ["bootloader", hardware === null ? "–" : hardware.mode],
          ["battery", device.battery === null ? "none reported" : `${device.battery} %`],
          ["last reset", device.resetCause],
          ["crashes", count(device.crashes)],
          ["reports", count(device.reports)],
          ...(rollout === null ? [] : ([["in its rollout", <StateMark key="state" state={rollout.state} />]] as const)),
          ...(device.quarantined.length === 0 ? [] : ([["barred from", device.quarantined.join(", ")]] as const)),
        ]}
      />
      <p class="links">
        {device.tags.length === 0 ? "No tags. " : "Tags: "}
        {device.tags.map((tag) => (
          <a key={tag} class="chip" href={link([], { tag })}>
            {tag}
          </a>
        ))}
        {attributes.map(([name, value]) => (
          <a key={name} class="chip plain" href={link([], { attribute: `${name}=${value}` })}>
            {name}={value}
          </a>
        ))}
      </p>
    </Card>
  );
}

function Slots({ device }: { readonly device: DeviceView }): JSX.Element {
  const { running, slot1, attempt, bootloader } = device;
  const hash = (text: string): JSX.Element => <code title={text}>{text.slice(0, 16)}</code>;
  const rows = [
    [<span key="slot" class="nowrap">0, running</span>, running === null ? "unknown" : (<>{running.version || "unknown"} {running.confirmed ? <Badge word="confirmed" /> : <Badge word="on trial" />}</>), running === null ? "–" : hash(running.imageHash), running === null || running.buildId === "" ? "–" : hash(running.buildId)],
    ["1", slot1 === null ? "no image" : slot1.version, slot1 === null ? "–" : hash(slot1.imageHash), "–"],
  ];
  return (
    <Card title="Slots" aside={device.release === null ? null : <a href={link(["releases", device.release])}>release {device.release}</a>}>
      <Table label="Slots" columns={[{ title: "slot" }, { title: "version" }, { title: "image" }, { title: "build" }]} rows={rows} />
      <ul class="advice">
        {attempt === null ? null : (
          <li>
            Last attempt: {attempt.outcome}, {attempt.ran ? "the new image ran" : "the new image never ran"}, last reset: {attempt.resetCause}.
          </li>
        )}
        {bootloader === null ? null : (
          <li>
            {bootloader.keepsRollbackImage ? "Its bootloader keeps the image before; " : "Its bootloader keeps no image to go back to; "}
            {bootloader.swapBackWorks ? "it can be ordered back to it without a download." : "going back needs a download."}
          </li>
        )}
      </ul>
    </Card>
  );
}

const named: Readonly<Record<string, readonly [title: string, format: (value: number) => string]>> = {
  battery: ["Battery", (value) => `${short(value)} %`],
  linkUptime: ["Link up", percent],
};

function Metrics({ timeline }: { readonly timeline: DeviceTimelineView }): JSX.Element | null {
  const { at, curves } = useMemo(() => {
    const names = [...new Set(timeline.samples.flatMap((sample) => Object.keys(sample.values)))].sort();
    return { at: timeline.samples.map((sample) => sample.at), curves: names.map((name) => ({ name, curve: [{ label: name, colour: "canary", values: timeline.samples.map((sample) => sample.values[name] ?? null) }] })) };
  }, [timeline]);
  if (at.length < 2) {
    return null;
  }
  return (
    <Card title="Metrics" aside={<span class="soft">{count(at.length)} heartbeats</span>}>
      <div class="metrics">
        {curves.map(({ name, curve }) => {
          const [title, format] = named[name] ?? [name, short];
          const last = curve[0]?.values.findLast((value) => value !== null);
          return (
            <figure key={name}>
              <figcaption>
                <span>{title}</span>
                <span class="soft">{typeof last === "number" ? format(last) : ""}</span>
              </figcaption>
              <Chart label={`${title} over time, ${typeof last === "number" ? format(last) : "unknown"} now`} at={at} curves={curve} format={format} height={130} {...(name === "linkUptime" ? { reach: [0, 1] } : name === "battery" ? { reach: [0, 100] } : {})} />
            </figure>
          );
        })}
      </div>
    </Card>
  );
}

/** Of a download's many reports only the newest. */
function folded(events: readonly Event[]): Event[] {
  return events.filter((event, index) => !(event.title === "update: downloading" && events[index - 1]?.title === event.title));
}

const kinds: Readonly<Record<Event["kind"], string>> = { boot: "boot", update: "update", crash: "crash", log: "log", decision: "decision", undecodable: "bad" };

function Timeline({ url, newest }: { readonly url: string; readonly newest: DeviceTimelineView | undefined }): JSX.Element {
  const [older, setOlder] = useState<{ readonly events: readonly Event[]; readonly next: number | null }>();
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  const next = older === undefined ? (newest?.next ?? null) : older.next;
  const more = async (): Promise<void> => {
    setBusy(true);
    try {
      const { data } = await get<DeviceTimelineView>(`${url}/timeline?limit=100&before=${next}`);
      setOlder({ events: [...(older?.events ?? []), ...data.events], next: data.next });
      setProblem(undefined);
    } catch (error) {
      setProblem(error as Problem);
    }
    setBusy(false);
  };
  const events = folded([...new Map([...(newest?.events ?? []), ...(older?.events ?? [])].map((event) => [event.sequence, event])).values()].sort((a, b) => b.sequence - a.sequence));
  return (
    <Card title="Timeline" aside={<a href={link(["audit"], { device: decodeURIComponent(url.slice("/devices/".length)) })}>Its audit</a>}>
      {newest !== undefined && events.length === 0 && next === null ? <Empty title="Nothing but heartbeats." /> : null}
      <ol class="timeline">
        {events.map((event) => (
          <li key={event.sequence} class={event.kind}>
            <time dateTime={event.at} title={exactMoment(event.at)}>
              {moment(event.at)}
            </time>
            <span class="kind">{kinds[event.kind]}</span>
            <span class="what">
              <strong>{event.title}</strong>
              {event.by === null ? "" : ` by ${event.by}`}
              {event.detail === "" ? null : event.kind === "log" ? <pre>{event.detail}</pre> : <span class="soft"> {event.detail}</span>}
            </span>
          </li>
        ))}
      </ol>
      {problem === undefined ? null : <Trouble problem={problem} />}
      {next === null ? null : (
        <button type="button" class="quiet" disabled={busy} onClick={() => void more()}>
          {busy ? "Reading …" : "Earlier"}
        </button>
      )}
    </Card>
  );
}
