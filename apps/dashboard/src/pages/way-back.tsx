// SPDX-License-Identifier: Apache-2.0
// The rollback inventory: which devices could go back now, how, and what stands against it; of the fleet or of one release.
import type { RollbackInventoryView, WayBackPageView } from "@coalmine/api";
import type { JSX } from "preact";
import { useLive } from "../live.ts";
import { Card, Empty, Table, Trouble, Wait } from "../parts.tsx";
import { link } from "../router.ts";
import { RowList, useRows } from "../row-list.tsx";
import { SearchField } from "../search-field.tsx";
import { count, devices, percent } from "../words.ts";
import { LastWayBack, WayBackCounts, type WayBackKind, wayBackWords } from "../way-back.tsx";

const filterNames = ["release", "way", "last", "text"] as const;
const dimensions = ["hardware", "connectivity", "site", "board"] as const;

export function WayBackPage({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const filter: Readonly<Record<string, string>> = Object.fromEntries(filterNames.flatMap((name) => (query.get(name) === null ? [] : [[name, query.get(name) as string]])));
  const strata = query.get("by") ?? "hardware";
  const at: Readonly<Record<string, string>> = { ...filter, ...(strata === "hardware" ? {} : { by: strata }) };
  const of: Readonly<Record<string, string>> = filter["release"] === undefined ? {} : { release: filter["release"] };
  const fleet = useLive<RollbackInventoryView>("/rollbacks/inventory", 30_000, 5_000);
  const { data: inventory, problem, again } = useLive<RollbackInventoryView>(`/rollbacks/inventory?${new URLSearchParams({ ...of, strata }).toString()}`, 30_000, 5_000);
  const rows = useRows<WayBackPageView>("/rollbacks/inventory/devices", filter);
  const { page } = rows;
  return (
    <>
      <header class="title">
        <p class="eyebrow">
          <a href="#/releases">Releases</a>
        </p>
        <h1>Rollback inventory{of["release"] === undefined ? "" : ` of ${of["release"]}`}</h1>
      </header>
      <p class="filters">
        <label class="inline">
          Devices that run
          <select value={of["release"] ?? ""} onChange={(event) => (location.hash = link(["way-back"], { ...at, release: event.currentTarget.value, way: undefined, last: undefined }))}>
            <option value="">any release</option>
            {[...new Set([...(of["release"] === undefined ? [] : [of["release"]]), ...(fleet.data?.byRelease.map(({ release }) => release) ?? [])])].map((release) => (
              <option key={release} value={release}>
                {release}
              </option>
            ))}
          </select>
        </label>
      </p>
      {inventory === undefined || page === undefined ? (
        <Wait problem={problem ?? rows.problem} again={problem === undefined ? rows.again : again} />
      ) : (
        <Overview inventory={inventory} page={page} query={of} strata={strata} at={at} />
      )}
      <Card title="Devices" aside={<span class="soft" role="status">{page === undefined ? "" : `${count(page.total)}${page.total === page.devices ? "" : ` of ${count(page.devices)}`}`}</span>}>
        <div class="filters">
          <SearchField value={filter["text"] ?? ""} onSearch={(text) => location.replace(link(["way-back"], { ...at, text }))} />
          {filter["way"] === undefined ? null : <Chip label={wayBackWords[filter["way"] as WayBackKind]?.title ?? filter["way"]} without={link(["way-back"], { ...at, way: undefined })} />}
          {filter["last"] === undefined ? null : <Chip label="next upload destroys the last way back" without={link(["way-back"], { ...at, last: undefined })} />}
        </div>
        {rows.problem === undefined || page === undefined ? null : <Trouble problem={rows.problem} again={rows.again} />}
        {page?.total === 0 ? (
          <Empty title={page.devices === 0 && of["release"] !== undefined ? `No device runs ${of["release"]}.` : "No device matches."}>
            <a href="#/way-back">Show all</a>
          </Empty>
        ) : (
          <RowList label="Devices and their way back" name="ways" columns={["device", "way back", "to", "runs", "other slot", "why"]} rows={rows} idOf={(row) => row.device} tone={(row) => (row.last === null ? "" : "silent")} cells={cells} />
        )}
      </Card>
    </>
  );
}

function Overview({ inventory, page, query, strata, at }: { readonly inventory: RollbackInventoryView; readonly page: WayBackPageView; readonly query: Readonly<Record<string, string>>; readonly strata: string; readonly at: Readonly<Record<string, string>> }): JSX.Element {
  return (
    <>
      <LastWayBack last={page.last} query={query} />
      <div class="columns two">
        <Card title="How they would go back now" aside={<span class="soft">{devices(page.devices)}</span>}>
          <WayBackCounts page={page} query={at} />
        </Card>
        <Card
          title="Keep an earlier image"
          aside={
            <label class="inline">
              by
              <select value={strata} onChange={(event) => (location.hash = link(["way-back"], { ...at, by: event.currentTarget.value }))}>
                {dimensions.map((name) => (
                  <option key={name} value={name}>
                    {name}
                  </option>
                ))}
              </select>
            </label>
          }
        >
          <p class="soft small">Slot 1 holds an intact earlier image, and an order brings it back without a download.</p>
          <Table
            label="Share that keeps an earlier image"
            columns={[{ title: strata }, { title: "devices", number: true }, { title: "keep one", number: true }, { title: "share", number: true }]}
            rows={[...inventory.byStratum.map((one) => [one.stratum, count(one.devices), count(one.able), shareText(one)]), ...(inventory.byStratum.length > 1 ? [["all", count(inventory.devices), count(inventory.able), shareText(inventory)]] : [])]}
          />
          {inventory.reasons.length === 0 ? null : <Table label="Why others do not" columns={[{ title: "devices", number: true }, { title: "do not, because" }]} rows={inventory.reasons.map(({ reason, devices: many }) => [count(many), reason])} />}
        </Card>
      </div>
    </>
  );
}

function shareText({ share }: { readonly share: number | null }): JSX.Element | string {
  return share === null ? "–" : share < 0.5 ? <strong class="warn-text">{percent(share)}</strong> : percent(share);
}

function Chip({ label, without }: { readonly label: string; readonly without: string }): JSX.Element {
  return (
    <a class="chip" href={without} aria-label={`Remove the filter ${label}`}>
      {label} <span aria-hidden="true">×</span>
    </a>
  );
}

function cells(row: WayBackPageView["rows"][number]): readonly (JSX.Element | string)[] {
  const { title, group } = wayBackWords[row.way];
  const why = row.last === null ? row.reason : `${row.last.why}: the next upload destroys ${row.last.keeps}`;
  return [
    <a key="device" href={link(["devices", row.device])}>{row.device}</a>,
    <span key="way" class="state">
      <i class={`swatch ${group}`} aria-hidden="true" />
      {title}
    </span>,
    row.to ?? "–",
    row.release ?? row.version,
    row.slot1 === null ? (
      <span key="slot" class="soft">no intact image</span>
    ) : (
      <span key="slot" title={row.slot1.imageHash}>
        {row.slot1.release ?? row.slot1.version} <code class="soft">{row.slot1.imageHash.slice(0, 8)}</code>
      </span>
    ),
    <span key="why" title={why} class={row.last === null ? "" : "warn-text"}>{why}</span>,
  ];
}
