// SPDX-License-Identifier: Apache-2.0
// Every device of the fleet in a list of which only the visible part exists. Rows are asked for by their place.
import type { FleetPageView } from "@coalmine/api";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Card, Empty, StateMark, Trouble } from "./parts.tsx";
import { link } from "./router.ts";
import { RowList, useRows } from "./row-list.tsx";
import { SearchField } from "./search-field.tsx";
import { ago, count } from "./words.ts";

export type Filter = Readonly<Record<string, string>>;

const labels: Readonly<Record<string, string>> = { text: "id has", tag: "tag", attribute: "attribute", hardware: "hardware", connectivity: "connectivity", release: "release", version: "version", state: "state", silent: "silent", crashed: "crashed", unconfirmed: "on trial" };

export function DeviceList({ filter, tags }: { readonly filter: Filter; readonly tags: readonly string[] }): JSX.Element {
  const rows = useRows<FleetPageView>("/fleet/rows", filter);
  const { page, problem, again } = rows;
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
        <SearchField value={filter["text"] ?? ""} onSearch={(text) => location.replace(link([], { ...filter, text: text === "" ? undefined : text }))} />
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
        <RowList
          label="Devices"
          columns={["device", "state", "runs", "hardware", "connectivity", "heard", "tags"]}
          rows={rows}
          idOf={(row) => row.id}
          tone={(row) => (row.silent ? "silent" : "")}
          cells={cells}
        />
      )}
    </Card>
  );
}

function cells(row: FleetPageView["rows"][number], now: string): readonly (JSX.Element | string)[] {
  return [
    <a key="device" href={link(["devices", row.id])}>{row.id}</a>,
    row.state === null ? <span key="state" class="soft">–</span> : <StateMark key="state" state={row.state} />,
    <>
      {row.version}
      {row.confirmed ? "" : <span class="mark warn">on trial</span>}
      {row.crashes === 0 ? "" : <span class="mark">{count(row.crashes)} crash{row.crashes === 1 ? "" : "es"}</span>}
    </>,
    row.hardware,
    row.connectivity,
    row.silent ? <strong key="heard" class="warn-text">silent, {ago(row.lastSeen, now)}</strong> : ago(row.lastSeen, now),
    row.tags.join(", "),
  ];
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
