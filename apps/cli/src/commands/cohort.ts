// SPDX-License-Identifier: Apache-2.0
import type { Command } from "commander";
import { authorityOf, type AuthorityFlags, authorityOptions, type ClientFlags, clientOf, clientOptions, path } from "../client.ts";
import { output } from "../output/output.ts";
import { table } from "../output/table.ts";
import { example } from "./example.ts";
import { type SelectorFlags, selectorOf, selectorOptions } from "./selector.ts";

interface Cohort {
  readonly name: string;
  readonly selector: { readonly ids?: readonly string[]; readonly tags?: readonly string[]; readonly attributes?: Readonly<Record<string, string>> };
}

export function register(program: Command): void {
  const cohort = program.command("cohort").description("named selectors of devices");
  example(
    selectorOptions(authorityOptions(clientOptions(cohort.command("create").description("save a selector under a name; without one it means every device").argument("<name>")), { reason: "optional" })).action(create),
    "coalmine cohort create field --attribute site=field",
    "coalmine cohort create beta --tag beta --attribute hardware=revB",
  );
  example(clientOptions(cohort.command("list").description("list cohorts")).action(list), "coalmine cohort list --json");
  example(clientOptions(cohort.command("resolve").description("the devices a cohort means now").argument("<name>")).action(resolve), "coalmine cohort resolve beta");
}

async function create(name: string, flags: ClientFlags & AuthorityFlags & SelectorFlags): Promise<void> {
  const made = await clientOf(flags).post<Cohort>("/cohorts", { name, selector: selectorOf(flags) ?? {}, ...authorityOf(flags) });
  output(flags).result(made, () => `cohort ${made.name}: ${describe(made)}`);
}

async function list(flags: ClientFlags): Promise<void> {
  const found = await clientOf(flags).get<{ cohorts: readonly Cohort[] }>("/cohorts");
  output(flags).result(found, () =>
    found.cohorts.length === 0 ? "no cohorts" : table([{ title: "COHORT" }, { title: "DEVICES THAT", flexible: true }], found.cohorts.map((one) => [one.name, describe(one)])),
  );
}

async function resolve(name: string, flags: ClientFlags): Promise<void> {
  const found = await clientOf(flags).get<{ name: string; count: number; devices: readonly string[] }>(path`/cohorts/${name}/devices`);
  output(flags).result(found, () => [`${found.count} devices`, ...found.devices].join("\n"));
}

function describe({ selector }: Cohort): string {
  const parts = [
    ...(selector.ids === undefined ? [] : [`are ${selector.ids.slice(0, 5).join(", ")}${selector.ids.length > 5 ? ` and ${selector.ids.length - 5} more` : ""}`]),
    ...(selector.tags ?? []).map((tag) => `have tag ${tag}`),
    ...Object.entries(selector.attributes ?? {}).map(([name, value]) => `report ${name}=${value}`),
  ];
  return parts.join(" and ") || "exist";
}
