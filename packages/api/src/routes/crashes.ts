// SPDX-License-Identifier: Apache-2.0
import { CoalmineError, deviceId } from "@coalmine/core";
import { type CrashCatalogue, type CrashFile, type CrashIssue, type CrashSite, issueArms, symbolsBytesMax } from "@coalmine/orchestrator";
import { answers, type ApiContext, type ZodApp } from "../context.ts";
import { addedSymbols, crashIssue, crashList, crashQuery, deviceCrashes, fileParams, symbolsQuery } from "../crash-schemas.ts";
import { name } from "../schemas.ts";

const affectedMax = 200;
const filesMax = 20;
const logCharsMax = 8_192;

/** Crashes by issue, dumps and logs, and the symbols that name them. Without a catalogue only symbols are taken in. */
export function crashRoutes(app: ZodApp, { host, crashes }: ApiContext): void {
  const { state } = host.conductor;

  if (crashes !== undefined) {
    app.get(
      "/crashes",
      { schema: { tags: ["crashes"], summary: "Crashes by issue: same reason in the same functions. Most devices first", querystring: crashQuery, ...answers(crashList, { failures: ["400"] }) } },
      async ({ query }) => {
        const issues = crashes.issues().map((issue) => presentIssue(crashes, issue));
        return {
          issues: issues.filter(
            (issue) =>
              (query.release === undefined || issue.releases.some((one) => one.release === query.release)) &&
              (query.rollout === undefined || issue.arms.some((arm) => arm.rollout === query.rollout)),
          ),
          totals: crashes.totals(),
        };
      },
    );

    app.get("/crashes/:id", { schema: { tags: ["crashes"], summary: "One issue: where, who, and what its newest dump says", params: name, ...answers(crashIssue, { failures: ["404"] }) } }, async ({ params }) => {
      const issue = crashes.issue(params.id);
      if (issue === undefined) {
        throw new CoalmineError("crash/unknown", `there is no issue ${params.id}; GET /crashes lists them. Issues get another id when symbols name them`);
      }
      const files = crashes.dumps(issue.id, filesMax);
      return {
        ...presentIssue(crashes, issue),
        sites: crashes.sites(issue.id).map((site) => ({ ...presentSite(site), count: site.count })),
        affected: crashes.tallies(issue.id).slice(0, affectedMax).map(({ device, buildId, count, firstAt, lastAt }) => ({ device, buildId, count, firstSeen: iso(firstAt), lastSeen: iso(lastAt) })),
        files: files.map(presentFile),
        newest: newestOf(crashes, files[0]),
      };
    });

    app.get(
      "/crashes/files/:id",
      { schema: { tags: ["crashes"], summary: "The bytes of a log or a dump as far as they have arrived (application/octet-stream)", params: fileParams } },
      async ({ params }, reply) => {
        const file = crashes.file(params.id);
        const bytes = file === undefined ? undefined : crashes.bytes(file.id);
        if (file === undefined || bytes === undefined) {
          throw new CoalmineError("crash-file/unknown", `there is no file ${params.id}, or its bytes were not kept`);
        }
        // Never shown by a browser: what a device sends is no page of ours.
        const label = `${file.device}-${file.buildId.slice(0, 8)}-${file.number}.${file.stream === "log" ? "log" : "bin"}`;
        await reply.header("content-type", "application/octet-stream").header("content-disposition", `attachment; filename="${label}"`).send(Buffer.from(bytes));
      },
    );

    app.get("/devices/:id/crashes", { schema: { tags: ["crashes"], summary: "Crashes, dumps and logs of a device, newest first", params: name, ...answers(deviceCrashes, { failures: ["400"] }) } }, async ({ params }) => {
      const { crashes: own, files } = crashes.ofDevice(deviceId(params.id));
      return {
        crashes: own.map(({ at, boot, uptime_s, issue, site }) => ({ at: iso(at), boot, uptime_s, issue, site: presentSite(site) })),
        files: files.map(presentFile),
      };
    });
  }

  app.put(
    "/releases/:id/symbols",
    {
      bodyLimit: symbolsBytesMax,
      schema: {
        tags: ["releases"],
        summary: "Keep the ELF of a build, for the names in its crashes: the body is the file (application/octet-stream, at most 32 MiB)",
        consumes: ["application/octet-stream"],
        params: name,
        querystring: symbolsQuery,
        ...answers(addedSymbols, { status: 201, failures: ["400", "404", "413", "503"] }),
      },
    },
    async ({ params, query, body }, reply) => {
      if (!(body instanceof Uint8Array) || body.length === 0) {
        throw new CoalmineError("symbols/body", "the body must be the ELF's bytes, sent as application/octet-stream");
      }
      const { build, by, reason } = query;
      const added = await host.addSymbols({ release: params.id, bytes: new Uint8Array(body.buffer, body.byteOffset, body.length), buildId: build, authority: { by, reason } });
      reply.code(201);
      return { release: params.id, ...added };
    },
  );

  function presentIssue(catalogue: CrashCatalogue, issue: CrashIssue) {
    const { id, signature, reason, symbolised, count, devices, dumps } = issue;
    return {
      id,
      signature,
      reason,
      symbolised,
      count,
      devices,
      dumps,
      firstSeen: iso(issue.firstAt),
      lastSeen: iso(issue.lastAt),
      releases: issue.builds.map(({ buildId, imageHash, count: times, devices: many }) => {
        const release = [...state.releases.values()].find((one) => one.symbols[buildId] !== undefined || one.artifacts.some((artifact) => artifact.imageHash === imageHash));
        return { release: release?.id ?? null, version: release?.version ?? null, buildId, count: times, devices: many, symbols: release?.symbols[buildId] !== undefined };
      }),
      arms: issueArms(catalogue.tallies(id), state.rollouts.values(), state.releases),
    };
  }
}

function newestOf(crashes: CrashCatalogue, file: CrashFile | undefined) {
  const examined = file === undefined ? undefined : crashes.examined(file.id);
  if (file === undefined || examined === undefined) {
    return null;
  }
  const log = crashes.logBefore(file.device, file.buildId);
  const text = log === undefined ? undefined : crashes.bytes(log.id);
  return { file: presentFile(file), examined: { ...examined }, log: text === undefined ? null : new TextDecoder().decode(text.subarray(-logCharsMax)) };
}

function presentSite({ buildId, reason, pc, lr }: CrashSite) {
  return { buildId, reason, pc: address(pc), lr: address(lr) };
}

function presentFile({ firstAt, lastAt, ...file }: CrashFile) {
  return { ...file, firstSeen: iso(firstAt), lastSeen: iso(lastAt) };
}

function address(value: number): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}

function iso(at: number): string {
  return new Date(at).toISOString();
}
