// SPDX-License-Identifier: Apache-2.0
// The fleet at a glance: is it well, what runs where, who is silent; and every device by search and filter.
import type { FleetView } from "@coalmine/api";
import type { JSX } from "preact";
import { DeviceList, type Filter } from "../device-list.tsx";
import type { Live } from "../live.ts";
import { Card, Empty, StateMark, Wait } from "../parts.tsx";
import { link } from "../router.ts";
import { count, percent } from "../words.ts";
import { Row } from "./rollouts.tsx";

const filterNames = ["text", "tag", "attribute", "hardware", "connectivity", "release", "version", "state", "silent", "crashed", "unconfirmed"] as const;

export function FleetPage({ fleet, query }: { readonly fleet: Live<FleetView>; readonly query: URLSearchParams }): JSX.Element {
  const { data, problem, again } = fleet;
  const filter: Filter = Object.fromEntries(filterNames.flatMap((name) => (query.get(name) === null ? [] : [[name, query.get(name) as string]])));
  if (data?.devices === 0) {
    return (
      <>
        <h1>Fleet</h1>
        <Card title="No device yet">
          <Empty title="Nothing has reported to this orchestrator.">
            <p>A device appears with its first report. Simulated ones come with:</p>
            <pre>npx coalmine sim fleet --connect mqtt://127.0.0.1:1883 --devices 50</pre>
          </Empty>
        </Card>
      </>
    );
  }
  // The list does not wait for the counts: both are asked for at once.
  return (
    <>
      <h1>Fleet</h1>
      {data === undefined ? (
        <div class="counts-to-come">
          <Wait problem={problem} again={again} />
        </div>
      ) : (
        <Counts data={data} />
      )}
      <DeviceList filter={filter} tags={data?.tags.map(({ name }) => name) ?? []} />
    </>
  );
}

function Counts({ data }: { readonly data: FleetView }): JSX.Element {
  const running = data.rollouts.filter((rollout) => rollout.status === "running");
  return (
    <>
      <ul class="tiles" aria-label="Counts">
        <Tile title="devices" value={data.devices} filter={{}} />
        <Tile title="silent" value={data.silent} of={data.devices} filter={{ silent: "true" }} alert="warn" hint="not heard for three check-ins" />
        <Tile title="on trial" value={data.unconfirmed} of={data.devices} filter={{ unconfirmed: "true" }} hint="running an image not yet confirmed" />
        <Tile title="have crashed" value={data.crashed} of={data.devices} filter={{ crashed: "true" }} alert="warn" hint="at least once since they are known" />
      </ul>
      {running.length === 0 ? null : (
        <Card title="Running now">
          <ul class="rollouts">
            {running.map((rollout) => (
              <Row key={rollout.id} rollout={rollout} />
            ))}
          </ul>
        </Card>
      )}
      <div class="columns">
        <Shares
          title="What runs"
          total={data.devices}
          shares={data.releases.map(({ name, version, devices, silent }) => ({ key: `${name} ${version}`, label: name === "" ? `${version} (no release of ours)` : name, devices, silent, filter: name === "" ? { version } : { release: name } }))}
        />
        <Shares title="Hardware" total={data.devices} shares={data.hardware.map((share) => ({ ...share, key: share.name, label: share.name, filter: { hardware: share.name } }))} />
        <Shares title="Connectivity" total={data.devices} shares={data.connectivity.map((share) => ({ ...share, key: share.name, label: share.name, filter: { connectivity: share.name } }))} />
        <Card title="In rollouts now">
          {Object.keys(data.states).length === 0 ? (
            <Empty title="No device is in a rollout." />
          ) : (
            <ul class="shares">
              {Object.entries(data.states)
                .sort((a, b) => b[1] - a[1])
                .map(([state, devices]) => (
                  <li key={state}>
                    <a href={link([], { state })}>
                      <StateMark state={state} />
                      <span class="number">{count(devices)}</span>
                    </a>
                  </li>
                ))}
            </ul>
          )}
        </Card>
      </div>
    </>
  );
}

function Tile({ title, value, of, filter, alert, hint }: { readonly title: string; readonly value: number; readonly of?: number; readonly filter: Filter; readonly alert?: "warn"; readonly hint?: string }): JSX.Element {
  return (
    <li>
      <a class={`tile ${alert !== undefined && value > 0 ? alert : ""}`} href={link([], { ...filter })} title={hint}>
        <span class="value">{count(value)}</span>
        <span class="title">{title}</span>
        {of === undefined || value === 0 ? null : <span class="soft">{percent(value / of)}</span>}
      </a>
    </li>
  );
}

interface Share {
  readonly key: string;
  readonly label: string;
  readonly devices: number;
  readonly silent: number;
  readonly filter: Filter;
}

function Shares({ title, total, shares }: { readonly title: string; readonly total: number; readonly shares: readonly Share[] }): JSX.Element {
  return (
    <Card title={title}>
      <ul class="shares">
        {shares.map(({ key, label, devices, silent, filter }) => (
          <li key={key}>
            <a href={link([], { ...filter })}>
              <span class="label">{label}</span>
              <span class="number">{count(devices)}</span>
              <span class="share-bar" aria-hidden="true">
                <span style={{ width: `${(100 * (devices - silent)) / total}%` }} />
                <span class="silent" style={{ width: `${(100 * silent) / total}%` }} />
              </span>
              {silent === 0 ? null : <span class="soft">{count(silent)} silent</span>}
            </a>
          </li>
        ))}
      </ul>
    </Card>
  );
}
