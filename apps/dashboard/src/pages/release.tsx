// SPDX-License-Identifier: Apache-2.0
import type { FleetView, PreflightView, ReleaseView, WayBackPageView } from "@coalmine/api";
import type { JSX } from "preact";
import { ArchiveCard } from "../archive-card.tsx";
import { useLive } from "../live.ts";
import { Card, Facts, Icon, Table, Wait } from "../parts.tsx";
import { link } from "../router.ts";
import { LastWayBack, WayBackCounts } from "../way-back.tsx";
import { bytes, count, percent, short } from "../words.ts";

/** One release: can the fleet install it, and what is it made of. */
export function ReleasePage({ id, fleet }: { readonly id: string; readonly fleet: FleetView | undefined }): JSX.Element {
  const url = `/releases/${encodeURIComponent(id)}`;
  const { data: release, etag, problem, again } = useLive<ReleaseView>(url, 30_000, 2_000);
  const { data: preflight } = useLive<PreflightView>(`${url}/preflight?limit=50&outcome=refused`, 60_000, 5_000);
  const { data: waysBack } = useLive<WayBackPageView>(`/rollbacks/inventory/devices?limit=1&release=${encodeURIComponent(id)}`, 30_000, 5_000);
  if (release === undefined) {
    return <Wait problem={problem} again={again} />;
  }
  const devices = fleet?.releases.find((share) => share.name === id)?.devices ?? 0;
  return (
    <>
      <header class="title">
        <p class="eyebrow">
          <a href="#/releases">Releases</a>
        </p>
        <h1>{release.id}</h1>
      </header>
      {release.barred === null ? null : (
        <section class="verdict bad">
          <div class="verdict-words">
            <h2>
              <Icon name="bad" />
              <span>Barred: it is not offered again by itself</span>
            </h2>
            <blockquote>{release.barred}</blockquote>
          </div>
        </section>
      )}
      <Card
        title="Who runs it"
        aside={
          <a href={link(["plan"], { release: id })}>Plan a rollout of it</a>
        }
      >
        <p>
          {devices === 0 ? "No device." : <a href={link([], { release: id })}>{count(devices)} devices</a>}
          {fleet === undefined || devices === 0 ? "" : `, ${percent(devices / Math.max(1, fleet.devices))} of the fleet`}
        </p>
        </Card>
      {release.notes === "" ? null : (
        <Card title="Notes">
          <p class="words">{release.notes}</p>
        </Card>
      )}
      {waysBack === undefined || waysBack.devices === 0 ? null : (
        <Card title="How they would go back now" aside={<a href={link(["way-back"], { release: id })}>Rollback inventory, device by device</a>}>
          <LastWayBack last={waysBack.last} query={{ release: id }} />
          <WayBackCounts page={waysBack} query={{ release: id }} />
        </Card>
      )}
      {preflight === undefined ? null : <Preflight preflight={preflight} />}
      <Card title="Images">
        <Table
          label="Images"
          columns={[{ title: "hardware" }, { title: "partition map" }, { title: "size", number: true }, { title: "image" }, { title: "build" }, { title: "signed" }]}
          rows={release.artifacts.map((artifact) => [
            `${artifact.variant.board} ${artifact.variant.revision}`,
            artifact.variant.partitionMap,
            bytes(artifact.size),
            <code key="image" title={artifact.imageHash}>{artifact.imageHash.slice(0, 16)}</code>,
            artifact.buildId === null ? "no symbols yet" : <code key="build" title={artifact.buildId}>{artifact.buildId.slice(0, 16)}</code>,
            artifact.sampleKey === undefined ? "by a trusted key" : <strong key="key" class="warn-text">by MCUboot's published sample key {artifact.sampleKey}</strong>,
          ])}
        />
      </Card>
      <ArchiveCard release={release} etag={etag} again={again} />
    </>
  );
}

function Preflight({ preflight }: { readonly preflight: PreflightView }): JSX.Element {
  return (
    <Card title="Preflight: who can install it">
      <Facts
        facts={[
          ["can", count(preflight.installable)],
          ["at a risk", preflight.risky === 0 ? "0" : <strong key="risky" class="warn-text">{count(preflight.risky)}</strong>],
          ["cannot", preflight.refused === 0 ? "0" : <strong key="refused" class="bad-text">{count(preflight.refused)}</strong>],
        ]}
      />
      {preflight.reasons.length === 0 ? null : <Table label="Reasons" columns={[{ title: "devices", number: true }, { title: "why" }]} rows={preflight.reasons.map(({ reason, devices }) => [count(devices), reason])} />}
      <Table
        label="From versions"
        columns={[{ title: "from" }, { title: "devices", number: true }, { title: "can install", number: true }, { title: "is" }, { title: "obstacles" }]}
        rows={preflight.fromVersions.map((from) => [from.version, count(from.devices), count(from.installable), from.direction, from.obstacles.join("; ")])}
      />
      <h3 class="apart">What it leaves behind, by hardware</h3>
      <Table
        label="Hardware"
        columns={[{ title: "hardware" }, { title: "devices", number: true }, { title: "bootloader" }, { title: "room", number: true }, { title: "goes back by itself" }, { title: "keeps the image before" }]}
        rows={preflight.hardware.map((one) => [
          `${one.board} ${one.revision}`,
          count(one.devices),
          one.mode,
          <span key="room" class={one.fits ? "" : "bad-text"}>{`${short(one.size / 1024)} of ${short(one.roomMax / 1024)} KiB`}</span>,
          one.revertWorks === null ? "unknown" : one.revertWorks ? "yes" : "no",
          one.keepsRollbackImage ? (one.swapBackWorks ? "yes, and can be ordered back" : "yes") : "no",
        ])}
      />
    </Card>
  );
}
