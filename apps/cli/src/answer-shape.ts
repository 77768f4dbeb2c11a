// SPDX-License-Identifier: Apache-2.0
// Says what an answer lacks that a command tripped over: most often it came from an orchestrator of another version. Looked at only
// then, against the description of the API as this version has it.
import { buildApi } from "@coalmine/api";
import { coalmineVersion, type CoalmineError, instant } from "@coalmine/core";
import { Host, planJudge } from "@coalmine/orchestrator";
import { memoryArtifactStore, memoryEventLog } from "@coalmine/store";
import type { Exchange } from "./client.ts";
import { badEnvironment } from "./output/exit.ts";

interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

interface Description {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly responses?: Readonly<Record<string, { readonly content?: Readonly<Record<string, { readonly schema?: Schema }>> }>> }>>>>;
  readonly components?: { readonly schemas?: Readonly<Record<string, Schema>> };
}

/** The trouble instead of a bug, when an answer is other than this version expects it; undefined when all are as they should be. */
export async function misfit(exchanges: readonly Exchange[], cause: unknown): Promise<CoalmineError | undefined> {
  if (exchanges.length === 0) {
    return undefined;
  }
  const api = await describe();
  for (const exchange of exchanges.toReversed()) {
    const lacks = lacking(api, exchange);
    if (lacks.length > 0) {
      const { method, path, url, server } = exchange;
      const said = server === null ? "a coalmine that does not say its version, so an older one" : `coalmine ${server}`;
      return badEnvironment(`${url} is ${said}, and this is coalmine ${coalmineVersion}: its answer to ${method} ${path.split("?")[0]} has no ${lacks.slice(0, 3).join(", ")}; use one version for both`, cause);
    }
  }
  return undefined;
}

/** What the API says of itself, without an orchestrator behind it. */
async function describe(): Promise<Description> {
  const clock = { now: () => instant(0) };
  const [log, artifacts] = [memoryEventLog(), memoryArtifactStore()];
  const host = Host.open({ log, artifacts, clock, judge: planJudge, keys: [] });
  const app = buildApi(host, { log, artifacts, clock });
  try {
    return JSON.parse((await app.inject({ method: "GET", url: "/openapi.json", headers: { host: "localhost" } })).body) as Description;
  } finally {
    await app.close();
    await host.close();
  }
}

/** Names of what an answer lacks, as paths: `artifacts[].size`. Empty for a route that is not described. */
function lacking(api: Description, { method, path, body }: Pick<Exchange, "method" | "path" | "body">): string[] {
  const asked = path.split("?")[0] ?? "";
  const described = Object.entries(api.paths).find(([pattern, methods]) => methods[method.toLowerCase()] !== undefined && new RegExp(`^${pattern.replaceAll(/\{[^}]+\}/g, "[^/]+")}$`).test(asked))?.[1];
  const responses = described?.[method.toLowerCase()]?.responses ?? {};
  const schema = Object.entries(responses).find(([status]) => status.startsWith("2"))?.[1].content?.["application/json"]?.schema;
  return schema === undefined ? [] : missing(api, schema, body, "");
}

function missing(api: Description, schema: Schema, value: unknown, where: string): string[] {
  const meant = schema.$ref === undefined ? schema : api.components?.schemas?.[schema.$ref.split("/").at(-1) ?? ""];
  if (meant === undefined) {
    return [];
  }
  if (meant.type === "array") {
    return Array.isArray(value) ? (value.length === 0 ? [] : missing(api, meant.items ?? {}, value[0], `${where}[]`)) : [where];
  }
  if (meant.properties === undefined || meant.type !== "object") {
    return [];
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return [where === "" ? "object in it" : where];
  }
  const parts = value as Readonly<Record<string, unknown>>;
  const at = (name: string): string => (where === "" ? name : `${where}.${name}`);
  return [
    ...(meant.required ?? []).filter((name) => !(name in parts)).map(at),
    ...Object.entries(meant.properties).flatMap(([name, part]) => (parts[name] === undefined ? [] : missing(api, part, parts[name], at(name)))),
  ];
}
