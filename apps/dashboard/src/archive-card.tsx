// SPDX-License-Identifier: Apache-2.0
// Closing a release out: whether it may be, what would be lost of it, and what the archive of a closed one holds.
import type { ArchiveContentView, ReleaseView } from "@coalmine/api";
import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { post } from "./api.ts";
import { AuthorityDialog } from "./authority-dialog.tsx";
import { useLive } from "./live.ts";
import { Card, Facts, Table, Wait } from "./parts.tsx";
import { bytes, count, exactMoment, plural } from "./words.ts";

interface Shown {
  readonly release: ReleaseView;
  readonly etag: string | null;
  readonly again: () => void;
}

type Order = "archive" | "restore";

/** Reading an archive back costs as much as it is large: once, until somebody asks again. */
const readAgainMs = 3_600_000;

export function ArchiveCard(shown: Shown): JSX.Element {
  const { release } = shown;
  const [order, setOrder] = useState<Order>();
  const { archived, neededBy } = release;
  const dialog = order === undefined ? null : <ArchiveDialog order={order} shown={shown} onDone={() => setOrder(undefined)} />;
  if (archived !== null) {
    return (
      <Card title="Archive" aside={<span class="soft">archived {exactMoment(archived.at)}</span>}>
        <p>Its files are in the archive, and it is not offered. A restore compares every checksum and brings them back.</p>
        <Content key={archived.at} id={release.id} />
        <div class="buttons">
          <button type="button" onClick={() => setOrder("restore")}>
            Restore …
          </button>
        </div>
        {dialog}
      </Card>
    );
  }
  return (
    <Card title="Archive">
      {neededBy.length === 0 ? (
        <>
          <p>Nothing needs it any more: no rollout, no device, no release that is reached through it. It may be archived.</p>
          <div class="buttons">
            <button type="button" onClick={() => setOrder("archive")}>
              Archive …
            </button>
          </div>
        </>
      ) : (
        <>
          <p>It cannot be archived while this needs it:</p>
          <ul class="advice">
            {neededBy.map((need) => (
              <li key={need}>{need}</li>
            ))}
          </ul>
        </>
      )}
      {dialog}
    </Card>
  );
}

function Content({ id }: { readonly id: string }): JSX.Element {
  const url = `/releases/${encodeURIComponent(id)}/archive`;
  const { data, problem, again } = useLive<ArchiveContentView>(url, readAgainMs, readAgainMs);
  if (data === undefined) {
    return <Wait problem={problem} again={again} />;
  }
  return (
    <>
      <Facts
        facts={[
          ["download", <a key="file" href={`${url}.tar`} download>{data.tar.name}</a>],
          ["size", bytes(data.tar.size)],
          ["sha256", <code key="sum" class="sum">{data.tar.sha256}</code>],
          ["compared", `${plural(data.files.length, "file", "files")} read back, all as written`],
        ]}
      />
      <details>
        <summary>{plural(data.files.length, "file", "files")} with their checksums</summary>
        <Table label="Files of the archive" columns={[{ title: "file" }, { title: "bytes", number: true }, { title: "sha256" }]} rows={data.files.map((file) => [file.name, count(file.size), <code key="sum">{file.sha256}</code>])} />
      </details>
    </>
  );
}

function ArchiveDialog({ order, shown, onDone }: { readonly order: Order; readonly shown: Shown; readonly onDone: () => void }): JSX.Element {
  // What was on screen when the dialog opened, whatever has come in since.
  const seen = useRef(shown);
  const { release, etag } = seen.current;
  const isArchive = order === "archive";
  return (
    <AuthorityDialog
      title={isArchive ? `Archive release ${release.id}` : `Restore release ${release.id}`}
      does={
        isArchive
          ? "Its images, symbols, notes and the reports and logs of its rollouts go into one archive, which is read back and compared. Then its files leave the store: until a restore it cannot be offered, nor gone back to."
          : "Every checksum of the archive is compared, then its files return to the store, and it can be offered again."
      }
      button={isArchive ? "Archive" : "Restore"}
      danger={isArchive}
      give={async (authority) => {
        await post(`/releases/${encodeURIComponent(release.id)}/${order}`, authority, { ifMatch: etag });
        onDone();
        shown.again();
      }}
      onLeave={onDone}
      final={({ status }) => (status === 412 ? "Nothing was changed: the release is no longer as you saw it. Close this, look again, then decide." : undefined)}
    />
  );
}
