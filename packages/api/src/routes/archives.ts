// SPDX-License-Identifier: Apache-2.0
import { CoalmineError, releaseId } from "@coalmine/core";
import { type ArchivedFile, type ArchiveStore, checksumLines, checksumsName, type ReleaseRecord, releaseOf } from "@coalmine/orchestrator";
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { archiveContent, archivedRelease } from "../archive-schemas.ts";
import { answers, type ApiContext, type ZodApp } from "../context.ts";
import { iso, presentRelease } from "../present.ts";
import { checkIfMatch, etag } from "../revision.ts";
import { name, orderBody, release } from "../schemas.ts";
import { tar, type TarEntry, tarSize } from "../tar.ts";

/** Closing releases out, taking them back, and handing out what was archived. */
export function archiveRoutes(app: ZodApp, { host, archive }: ApiContext): void {
  const { conductor } = host;
  const seen = (id: string, ifMatch: string | undefined): void => {
    const found = releaseOf(conductor, releaseId(id));
    checkIfMatch(ifMatch, etag(found.revision), { required: false, what: `release ${id}` });
  };

  app.post(
    "/releases/:id/archive",
    {
      schema: {
        tags: ["releases"],
        summary: "Close a release out: archive with checksums, restore test, then its files leave the artifact store. Refused while something needs it; honours If-Match",
        params: name,
        body: orderBody,
        ...answers(archivedRelease, { failures: ["400", "404", "409", "412", "503"] }),
      },
    },
    async ({ params, body, headers }, reply) => {
      seen(params.id, headers["if-match"]);
      const files = await host.archiveRelease(releaseId(params.id), body);
      const now = releaseOf(conductor, params.id);
      reply.header("etag", etag(now.revision));
      return { release: presentRelease(conductor.state, now), files: [...files] };
    },
  );

  app.post(
    "/releases/:id/restore",
    { schema: { tags: ["releases"], summary: "Take an archived release back; every checksum is compared first; honours If-Match", params: name, body: orderBody, ...answers(release, { failures: ["400", "404", "409", "412", "503"] }) } },
    async ({ params, body, headers }, reply) => {
      seen(params.id, headers["if-match"]);
      const restored = await host.restoreRelease(releaseId(params.id), body);
      reply.header("etag", etag(restored.revision));
      return presentRelease(conductor.state, restored);
    },
  );

  if (archive === undefined) {
    return;
  }

  app.get(
    "/releases/:id/archive",
    { schema: { tags: ["releases"], summary: "What the archive of a release holds, read back and compared with its checksums", params: name, ...answers(archiveContent, { failures: ["400", "404", "409"] }) } },
    async ({ params }) => {
      const { found, at } = archived(releaseOf(conductor, releaseId(params.id)));
      const files = await archive.check(found.id);
      const digest = createHash("sha256");
      for await (const piece of tarOf(archive, { release: found.id, files, at })) {
        digest.update(piece);
      }
      return { release: found.id, at: iso(at), files: [...files], tar: { name: tarName(found.id), size: sizeOf(files), sha256: digest.digest("hex") } };
    },
  );

  app.get(
    "/releases/:id/archive.tar",
    { schema: { tags: ["releases"], summary: "The archive of a release as a tar file, with SHA256SUMS in it (application/x-tar)", params: name } },
    async ({ params }, reply) => {
      const { found, at } = archived(releaseOf(conductor, releaseId(params.id)));
      const files = await archive.check(found.id);
      reply.headers({ "content-type": "application/x-tar", "content-disposition": `attachment; filename="${tarName(found.id)}"`, "content-length": String(sizeOf(files)) });
      return reply.send(Readable.from(tarOf(archive, { release: found.id, files, at }), { objectMode: false }));
    },
  );
}

function archived(found: ReleaseRecord) {
  if (found.archived === null) {
    throw new CoalmineError("release/not-archived", `release ${found.id} is not archived`);
  }
  return { found, at: found.archived.at };
}

const tarName = (id: string): string => `${id}.tar`;

function sumsOf(files: readonly ArchivedFile[]): Uint8Array {
  return new TextEncoder().encode(checksumLines(files));
}

function sizeOf(files: readonly ArchivedFile[]): number {
  return tarSize([sumsOf(files).length, ...files.map(({ size }) => size)]);
}

function tarOf(archive: ArchiveStore, { release: id, files, at }: { readonly release: string; readonly files: readonly ArchivedFile[]; readonly at: number }): AsyncGenerator<Uint8Array> {
  const sums = sumsOf(files);
  const entries = function* (): Generator<TarEntry> {
    yield { name: `${id}/${checksumsName}`, size: sums.length, content: [sums] };
    for (const { name: file, size } of files) {
      yield { name: `${id}/${file}`, size, content: archive.open(id, file) };
    }
  };
  return tar(entries(), at / 1_000);
}
