// SPDX-License-Identifier: Apache-2.0
import type { Command } from "commander";
import process from "node:process";
import { type ClientFlags, clientOf, clientOptions } from "../client.ts";
import { exitCodes } from "../output/exit.ts";
import { output } from "../output/output.ts";
import { table } from "../output/table.ts";
import { tone } from "../output/text.ts";
import { gather, whole } from "./arguments.ts";
import { example } from "./example.ts";

interface Line {
  readonly sequence: number;
  readonly at: string;
  readonly type: string;
  readonly device: string | null;
  readonly rollout: string | null;
  readonly by: string;
  readonly reason: string;
  readonly detail: { readonly release?: string; readonly name?: string };
}

interface Page {
  readonly records: readonly Line[];
  readonly next: number | null;
}

interface ListFlags extends ClientFlags {
  readonly limit: number;
  readonly after?: number;
  readonly type?: readonly string[];
  readonly device?: string;
  readonly rollout?: string;
  readonly brief?: true;
}

export function register(program: Command): void {
  const audit = program.command("audit").description("the audit log: who changed what, when and why");
  example(
    clientOptions(audit.command("list").description("the newest records, oldest first; or those after a sequence"))
      .option("--limit <n>", "at most this many", whole(1), 50)
      .option("--after <sequence>", "records after this one, instead of the newest", whole(0))
      .option("--type <type>", "only this type, such as halted or release-created (repeatable)", gather)
      .option("--device <id>", "only records about this device")
      .option("--rollout <id>", "only records about this rollout")
      .option("--brief", "leave out offers and moves of single devices")
      .action(list),
    "coalmine audit list --rollout r2 --brief",
  );
  example(
    clientOptions(audit.command("verify").description("verify the log's hash chain; ends with 1 when it is broken")).action(verify),
    "coalmine audit verify --json",
  );
}

async function list(flags: ListFlags): Promise<void> {
  const client = clientOf(flags);
  const query = new URLSearchParams();
  for (const type of flags.type ?? []) {
    query.append("type", type);
  }
  for (const [name, value] of Object.entries({ device: flags.device, rollout: flags.rollout, brief: flags.brief === true ? "true" : undefined })) {
    if (value !== undefined) {
      query.set(name, value);
    }
  }
  const records: Line[] = [];
  const newest = flags.after === undefined;
  let next: number | null = newest ? null : (flags.after ?? 0);
  let first = true;
  while ((first || next !== null) && records.length < flags.limit) {
    first = false;
    query.set("limit", String(Math.min(1_000, flags.limit - records.length)));
    if (next !== null) {
      query.set(newest ? "before" : "after", String(next));
    }
    const page: Page = await client.get<Page>(`/audit?${query.toString()}`);
    records.push(...page.records);
    next = page.next;
  }
  if (newest) {
    records.reverse();
  }
  output(flags).result({ records, next: newest ? null : next }, () =>
    records.length === 0
      ? "no records"
      : table(
          [{ title: "#", align: "right" }, { title: "AT" }, { title: "WHAT" }, { title: "ABOUT" }, { title: "BY" }, { title: "WHY", flexible: true }],
          records.map((line) => [line.sequence, line.at.slice(0, 19), line.type, [line.rollout, line.device, line.detail.release, line.detail.name].filter((part) => typeof part === "string").join(" "), line.by, line.reason]),
        ),
  );
}

async function verify(flags: ClientFlags): Promise<void> {
  const result = await clientOf(flags).get<{ ok: boolean; entries: number; sha256: string | null; brokenAt: number | null; reason: string | null }>("/audit/verify");
  output(flags).result(result, () =>
    result.ok
      ? `${tone("good", "intact")}: ${result.entries} entries, sha256 ${result.sha256}`
      : `${tone("bad", "broken")} at entry ${result.brokenAt}: ${result.reason}`,
  );
  process.exitCode = result.ok ? exitCodes.done : exitCodes.failed;
}
