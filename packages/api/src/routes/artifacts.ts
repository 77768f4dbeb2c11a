// SPDX-License-Identifier: Apache-2.0
import { CoalmineError, type Digest } from "@coalmine/core";
import { parseImage } from "@coalmine/mcuboot";
import { artifactBytesMax, swuVersion } from "@coalmine/orchestrator";
import { answers, type ApiContext, type ZodApp } from "../context.ts";
import { HttpTrouble } from "../errors.ts";
import { artifactBytes, artifactList, artifactName, artifactQuery, storedArtifact } from "../schemas.ts";

const uploadsAtOnce = 2;
/** Files nobody made a release of; more of them would only fill the disk. */
const unusedMax = 256;

export function artifactRoutes(app: ZodApp, { host, artifacts }: ApiContext): void {
  const { state } = host.conductor;
  let uploads = 0;
  const usedBy = (): Map<string, string[]> => {
    const used = new Map<string, string[]>();
    for (const release of state.releases.values()) {
      for (const { digest } of [...release.artifacts, ...Object.values(release.symbols)]) {
        used.set(digest, [...(used.get(digest) ?? []), release.id]);
      }
    }
    return used;
  };

  app.addContentTypeParser("application/octet-stream", { parseAs: "buffer" }, (_request, body, done) => done(null, body));

  app.get("/artifacts", { schema: { tags: ["artifacts"], summary: "Stored artifacts and the releases they are part of", ...answers(artifactList) } }, async () => {
    const used = usedBy();
    return { artifacts: artifacts.list().map(({ digest, size }) => ({ digest, size, releases: used.get(digest) ?? [] })) };
  });

  app.get(
    "/artifacts/:digest",
    { schema: { tags: ["artifacts"], summary: "The bytes of a stored file", produces: ["application/octet-stream"], params: artifactName, ...answers(artifactBytes, { failures: ["400", "404"] }) } },
    async ({ params }, reply) => {
      const bytes = artifacts.get(params.digest as Digest);
      if (bytes === null) {
        throw new CoalmineError("artifact/unknown", `no artifact ${params.digest} is stored`);
      }
      reply.type("application/octet-stream");
      return reply.send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    },
  );

  app.put(
    "/artifacts",
    {
      bodyLimit: artifactBytesMax,
      schema: {
        tags: ["artifacts"],
        summary: "Store a file: the body is its bytes (application/octet-stream, at most 16 MiB)",
        consumes: ["application/octet-stream"],
        querystring: artifactQuery,
        ...answers(storedArtifact, { status: 201, failures: ["400", "413", "503"] }),
      },
      onRequest: async (_request, reply) => {
        if (uploads >= uploadsAtOnce) {
          throw new HttpTrouble(429, "artifact/busy", `${uploadsAtOnce} uploads are under way; try again in a moment`);
        }
        uploads += 1;
        reply.raw.once("close", () => {
          uploads -= 1;
        });
      },
    },
    async ({ body, query }, reply) => {
      if (!(body instanceof Uint8Array) || body.length === 0) {
        throw new CoalmineError("artifact/body", "the body must be the artifact's bytes, sent as application/octet-stream");
      }
      const bytes = new Uint8Array(body.buffer, body.byteOffset, body.length);
      checkFormat(bytes, query.format);
      const used = usedBy();
      if (artifacts.list().filter(({ digest }) => !used.has(digest)).length >= unusedMax) {
        throw new HttpTrouble(429, "artifact/unused", `${unusedMax} stored artifacts belong to no release; create releases of them first`);
      }
      const digest = await artifacts.put(bytes);
      reply.code(201);
      return { digest, size: bytes.length };
    },
  );
}

/** Refuses what no release could be made of. */
function checkFormat(bytes: Uint8Array, format: "mcuboot" | "swu"): void {
  if (format === "swu") {
    swuVersion(bytes, "the body");
    return;
  }
  const image = parseImage(bytes);
  if (image.kind === "malformed") {
    throw new CoalmineError("artifact/malformed", `not an MCUboot image: ${image.reason} (at byte ${image.offset})`);
  }
}
