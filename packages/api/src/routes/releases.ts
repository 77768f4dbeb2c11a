// SPDX-License-Identifier: Apache-2.0
import { CoalmineError, type Digest, releaseId } from "@coalmine/core";
import { declared, preflight as checkFleet, releaseNotes, releaseOf } from "@coalmine/orchestrator";
import { answers, type ApiContext, type ZodApp } from "../context.ts";
import { presentRelease } from "../present.ts";
import { etag } from "../revision.ts";
import { markdownText, matrixBody, name, preflight, preflightQuery, release, releaseBody, releaseList } from "../schemas.ts";

export function releaseRoutes(app: ZodApp, { host, artifacts, log, clock }: ApiContext): void {
  const { conductor } = host;

  app.get("/releases", { schema: { tags: ["releases"], summary: "All releases, oldest first", ...answers(releaseList) } }, async () => ({
    releases: [...conductor.state.releases.values()].map((one) => presentRelease(conductor.state, one)),
  }));

  app.post(
    "/releases",
    {
      schema: {
        tags: ["releases"],
        summary: "Make a release of stored artifacts (PUT /artifacts first), one for each variant. Releases do not change",
        body: releaseBody,
        ...answers(release, { status: 201, failures: ["400", "404", "409", "503"] }),
      },
    },
    async ({ body }, reply) => {
      const files = body.artifacts.map(({ digest, variant, format }) => {
        const bytes = artifacts.get(digest as Digest);
        if (bytes === null) {
          throw new CoalmineError("artifact/unknown", `no artifact ${digest} is stored: PUT /artifacts first`);
        }
        return { variant, bytes, format };
      });
      const { id, notes, override, by, reason } = body;
      const made = await host.createRelease({ id, artifacts: files, notes, ...declared(body), override, authority: { by, reason } });
      reply.code(201).header("location", `/releases/${encodeURIComponent(id)}`);
      return presentRelease(conductor.state, made);
    },
  );

  app.get("/releases/:id", { schema: { tags: ["releases"], summary: "One release; its ETag changes with everything that is decided about it", params: name, ...answers(release, { failures: ["400", "404"] }) } }, async ({ params }, reply) => {
    const found = releaseOf(conductor, releaseId(params.id));
    reply.header("etag", etag(found.revision));
    return presentRelease(conductor.state, found);
  });

  app.get(
    "/releases/:id/notes",
    { schema: { tags: ["releases"], summary: "Release notes from the event log, as Markdown", params: name, ...answers(markdownText, { failures: ["400", "404"] }) } },
    async ({ params }, reply) => {
      const text = await releaseNotes(conductor, log, releaseOf(conductor, releaseId(params.id)), clock.now());
      reply.type("text/markdown; charset=utf-8").serializer((sent: unknown) => String(sent));
      return reply.send(text);
    },
  );

  app.post(
    "/releases/:id/matrix",
    {
      schema: {
        tags: ["releases"],
        summary: "Record what its migration matrix found. A migration leaves its canary stage only with a green one; the newest counts",
        params: name,
        body: matrixBody,
        ...answers(release, { status: 201, failures: ["400", "404", "409", "503"] }),
      },
    },
    async ({ params, body }, reply) => {
      const { matrix, by, reason } = body;
      reply.code(201);
      return presentRelease(conductor.state, await host.attestRelease({ release: releaseId(params.id), matrix, authority: { by, reason } }));
    },
  );

  app.get(
    "/releases/:id/preflight",
    {
      schema: {
        tags: ["releases"],
        summary: "Which devices can install it, which cannot and why",
        params: name,
        querystring: preflightQuery,
        ...answers(preflight, { failures: ["400", "404"] }),
      },
    },
    async ({ params, query }) => {
      const result = checkFleet(conductor.state, releaseOf(conductor, releaseId(params.id)));
      const { after = "" } = query;
      const wanted = result.devices.filter((one) => one.device > after && (query.outcome === undefined || one.outcome === query.outcome));
      const devices = wanted.slice(0, query.limit);
      return { ...result, devices, next: wanted.length > devices.length ? (devices.at(-1)?.device ?? null) : null };
    },
  );
}
