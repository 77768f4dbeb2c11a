// SPDX-License-Identifier: Apache-2.0
import type { FleetView, ReleaseView, RollbackInventoryView } from "@coalmine/api";
import type { JSX } from "preact";
import { useLive } from "../live.ts";
import { Badge, Card, Empty, Table, Wait } from "../parts.tsx";
import { link } from "../router.ts";
import { count, moment, percent } from "../words.ts";

interface ReleaseList {
  readonly releases: readonly ReleaseView[];
}

/** Every release, the newest first: who runs it, whether those can go back, and whether it may be archived. */
export function ReleasesPage({ fleet }: { readonly fleet: FleetView | undefined }): JSX.Element {
  const { data, problem, again } = useLive<ReleaseList>("/releases", 30_000, 2_000);
  const { data: inventory } = useLive<RollbackInventoryView>("/rollbacks/inventory", 30_000, 5_000);
  if (data === undefined) {
    return <Wait problem={problem} again={again} />;
  }
  const running = new Map(fleet?.releases.map((share) => [share.name, share.devices]));
  const ways = new Map(inventory?.byRelease.map((share) => [share.release, share]));
  const newest = data.releases.toReversed();
  const name = ({ id }: ReleaseView): JSX.Element => (
    <a key="id" href={link(["releases", id])}>
      {id}
    </a>
  );
  const rows = newest
    .filter(({ archived }) => archived === null)
    .map((release) => {
      const devices = running.get(release.id) ?? 0;
      const share = ways.get(release.id)?.share ?? null;
      return [
        name(release),
        release.version,
        devices === 0 ? "0" : <a key="who" href={link([], { release: release.id })}>{count(devices)}</a>,
        fleet === undefined ? "" : percent(devices / Math.max(1, fleet.devices)),
        share === null ? <span key="back" class="soft">–</span> : <a key="back" href={link(["way-back"], { release: release.id })}>{percent(share)}</a>,
        count(release.artifacts.length),
        release.barred === null ? "" : <span key="barred" title={release.barred}><Badge word="barred" /></span>,
        <a key="archive" class={release.neededBy.length === 0 ? "" : "quiet"} href={link(["releases", release.id])}>
          {release.neededBy.length === 0 ? "nothing: may be archived" : release.neededBy.map(inShort).join("; ")}
        </a>,
      ];
    });
  const archived = newest.flatMap((release) => (release.archived === null ? [] : [[name(release), release.version, moment(release.archived.at), count(release.archived.files)]]));
  return (
    <>
      <h1>Releases</h1>
      <Card title="All" aside={<a href="#/way-back">Rollback inventory of the fleet</a>}>
        {newest.length === 0 ? (
          <Empty title="No release yet.">
            <p>A release is a signed image for each kind of hardware:</p>
            <pre>npx coalmine release create 1.1.0 --artifact BOARD/REVISION/MAP=app.signed.bin</pre>
          </Empty>
        ) : rows.length === 0 ? (
          <Empty title="All are archived." />
        ) : (
          <Table
            label="Releases"
            stacked
            columns={[{ title: "release" }, { title: "version" }, { title: "run it", number: true }, { title: "share", number: true }, { title: "can swap back", number: true }, { title: "images", number: true }, { title: "barred" }, { title: "needed by" }]}
            rows={rows}
          />
        )}
      </Card>
      {archived.length === 0 ? null : (
        <Card title="Archived">
          <Table label="Archived releases" columns={[{ title: "release" }, { title: "version" }, { title: "archived" }, { title: "files", number: true }]} rows={archived} />
        </Card>
      )}
    </>
  );
}

/** Without the names, which the release's own page has. */
function inShort(need: string): string {
  return need.split(": ", 1)[0] ?? need;
}
