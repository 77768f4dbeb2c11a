// SPDX-License-Identifier: Apache-2.0
// Every device of the fleet in a list of which only the visible part exists. Rows are asked for by their place.
import type { FleetPageView } from "@coalmine/api";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useLive } from "./live.ts";
import { Card, Empty, StateMark, Trouble } from "./parts.tsx";
import { link } from "./router.ts";
import { ago, count } from "./words.ts";

export type Filter = Readonly<Record<string, string>>;

const rowHeight = 40;
const margin = 15;
/** Windows begin at multiples of this, so that scrolling by a row asks for nothing. */
const stride = 25;

const labels: Readonly<Record<string, string>> = { text: "id has", tag: "tag", attribute: "attribute", hardware: "hardware", connectivity: "connectivity", release: "release", version: "version", state: "state", silent: "silent", crashed: "crashed", unconfirmed: "on trial" };

export function DeviceList({ filter, tags }: { readonly filter: Filter; readonly tags: readonly string[] }): JSX.Element {
  const [text, setText] = useState(filter["text"] ?? "");
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(480);
  const scroller = useRef<HTMLDivElement>(null);
  const asked = JSON.stringify(filter);

  useEffect(() => setText(filter["text"] ?? ""), [asked]);
  useEffect(() => {
    if (scroller.current !== null) {
      scroller.current.scrollTop = 0;
      setHeight(scroller.current.clientHeight || 480);
    }
    setTop(0);
  }, [asked]);
  // Search begins when typing pauses.
  useEffect(() => {
    if (text === (filter["text"] ?? "")) {
      return undefined;
    }
    const timer = setTimeout(() => location.replace(link([], { ...filter, text: text === "" ? undefined : text })), 250);
    return () => clearTimeout(timer);
  }, [text, asked]);

  const skip = Math.max(0, Math.floor((Math.floor(top / rowHeight) - margin) / stride) * stride);
  const limit = Math.ceil(height / rowHeight) + 2 * margin + stride;
  const url = useMemo(() => `/fleet/rows?${new URLSearchParams({ ...filter, skip: String(skip), limit: String(limit) }).toString()}`, [asked, skip, limit]);
  const { data, problem, again } = useLive<FleetPageView>(url, 10_000, 2_000);
  // While the next window is asked for, the last one stays.
  const shown = useRef<{ readonly asked: string; readonly page: FleetPageView } | undefined>(undefined);
  if (data !== undefined) {
    shown.current = { asked, page: data };
  }
  const page = shown.current?.asked === asked ? shown.current.page : undefined;
  const filters = Object.entries(filter);

  return (
    <Card
      title="Devices"
      aside={
        <span class="soft" role="status">
          {page === undefined ? "" : `${count(page.total)}${filters.length === 0 ? "" : " match"}`}
        </span>
      }
    >
      <div class="filters">
        <label class="search">
          <span class="hidden">Search by id</span>
          <input type="search" placeholder="Search by id" value={text} maxLength={64} onInput={(event) => setText(event.currentTarget.value)} />
        </label>
        <AddFilter filter={filter} tags={tags} />
        {filters
          .filter(([name]) => name !== "text")
          .map(([name, value]) => (
            <a key={name} class="chip" href={link([], { ...filter, [name]: undefined })} aria-label={`Remove the filter ${labels[name] ?? name} ${value}`}>
              {labels[name] ?? name}
              {value === "true" ? "" : `: ${value}`} <span aria-hidden="true">×</span>
            </a>
          ))}
        {filters.length > 1 ? <a href="#/">Clear all</a> : null}
      </div>
      {problem === undefined ? null : <Trouble problem={problem} again={again} />}
      {page !== undefined && page.total === 0 ? (
        <Empty title="No device matches.">
          <a href="#/">Show all</a>
        </Empty>
      ) : (
        <div class="device-list" role="table" aria-label="Devices" aria-rowcount={page?.total ?? -1}>
          <div class="device-row head" role="row">
            {["device", "state", "runs", "hardware", "connectivity", "heard", "tags"].map((title) => (
              <span key={title} role="columnheader" class={title}>
                {title}
              </span>
            ))}
          </div>
          <div class="scroller" ref={scroller} role="rowgroup" tabIndex={0} onScroll={(event) => setTop(event.currentTarget.scrollTop)}>
            <div class="tall" role="presentation" style={{ height: `${(page?.total ?? 0) * rowHeight}px` }}>
              <div class="window" role="presentation" style={{ transform: `translateY(${(page?.skip ?? 0) * rowHeight}px)` }}>
                {page?.rows.map((row, index) => <DeviceRow key={row.id} row={row} now={page.now} index={page.skip + index + 1} />)}
              </div>
            </div>
          </div>
        </div>
      )}
    </Card>
  );
}

function DeviceRow({ row, now, index }: { readonly row: FleetPageView["rows"][number]; readonly now: string; readonly index: number }): JSX.Element {
  return (
    <div class={`device-row ${row.silent ? "silent" : ""}`} role="row" aria-rowindex={index}>
      <span role="cell" class="device">
        <a href={link(["devices", row.id])}>{row.id}</a>
      </span>
      <span role="cell" class="state">
        {row.state === null ? <span class="soft">–</span> : <StateMark state={row.state} />}
      </span>
      <span role="cell" class="runs">
        {row.version}
        {row.confirmed ? "" : <span class="mark warn">on trial</span>}
        {row.crashes === 0 ? "" : <span class="mark">{count(row.crashes)} crash{row.crashes === 1 ? "" : "es"}</span>}
      </span>
      <span role="cell" class="hardware">{row.hardware}</span>
      <span role="cell" class="connectivity">{row.connectivity}</span>
      <span role="cell" class="heard">
        {row.silent ? <strong class="warn-text">silent, {ago(row.lastSeen, now)}</strong> : ago(row.lastSeen, now)}
      </span>
      <span role="cell" class="tags">{row.tags.join(", ")}</span>
    </div>
  );
}

/** A filter by tag or by an attribute that devices report. */
function AddFilter({ filter, tags }: { readonly filter: Filter; readonly tags: readonly string[] }): JSX.Element {
  const [value, setValue] = useState("");
  const add = (event: Event): void => {
    event.preventDefault();
    const given = value.trim();
    if (given !== "") {
      location.hash = link([], given.includes("=") ? { ...filter, attribute: given } : { ...filter, tag: given });
      setValue("");
    }
  };
  return (
    <form class="add-filter" onSubmit={add}>
      <label>
        <span class="hidden">Tag, or attribute as NAME=VALUE</span>
        <input type="text" list="tags" placeholder="Tag, or site=lab" value={value} maxLength={321} onInput={(event) => setValue(event.currentTarget.value)} />
      </label>
      <datalist id="tags">
        {tags.map((tag) => (
          <option key={tag} value={tag} />
        ))}
      </datalist>
      <button type="submit">Filter</button>
    </form>
  );
}
