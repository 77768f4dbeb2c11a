// SPDX-License-Identifier: Apache-2.0
import type { Command } from "commander";
import { type ClientFlags, clientOf, clientOptions, path } from "../client.ts";
import { output } from "../output/output.ts";
import { facts, table } from "../output/table.ts";
import { printable, tone } from "../output/text.ts";
import { whole } from "./arguments.ts";
import { example } from "./example.ts";

interface Arm {
  readonly devices: number;
  readonly crashes: number;
  readonly of: number;
}

interface Issue {
  readonly id: string;
  readonly signature: string;
  readonly count: number;
  readonly devices: number;
  readonly dumps: number;
  readonly firstSeen: string;
  readonly lastSeen: string;
  readonly releases: readonly { readonly release: string | null; readonly version: string | null; readonly buildId: string; readonly count: number; readonly devices: number; readonly symbols: boolean }[];
  readonly arms: readonly { readonly rollout: string; readonly exposed: Arm; readonly control: Arm }[];
}

interface Frame {
  readonly address: string;
  readonly function: string | null;
  readonly from: string;
  readonly certainty: string;
}

interface Whole extends Issue {
  readonly affected: readonly { readonly device: string; readonly count: number }[];
  readonly files: readonly { readonly id: number; readonly device: string; readonly total: number; readonly lastSeen: string }[];
  readonly newest: {
    readonly file: { readonly id: number; readonly device: string };
    readonly examined: { readonly kind: string; readonly reason?: string; readonly thread?: string | null; readonly registers?: Readonly<Record<string, string>>; readonly frames?: readonly Frame[]; readonly notes?: readonly string[] };
    readonly log: string | null;
  } | null;
}

interface ListFlags extends ClientFlags {
  readonly release?: string;
  readonly rollout?: string;
  readonly limit: number;
}

export function register(program: Command): void {
  const crash = program.command("crash").description("crashes by issue: the same reason in the same functions");
  example(
    clientOptions(crash.command("list").description("issues, most devices first"))
      .option("--release <id>", "only issues seen on this release")
      .option("--rollout <id>", "only issues that an arm of this rollout had")
      .option("--limit <n>", "at most this many", whole(1), 30)
      .action(list),
    "coalmine crash list --rollout r2",
  );
  example(clientOptions(crash.command("show").description("one issue: devices, builds, and what its newest dump says").argument("<issue>")).action(show), "coalmine crash show 4f0c1d2e3a4b");
  example(
    clientOptions(crash.command("file").description("save a dump or a log of a device (its number stands in `crash show`)").argument("<number>").requiredOption("--out <file>", "where to")).action(file),
    "coalmine crash file 12 --out dump.bin",
  );
}

async function list(flags: ListFlags): Promise<void> {
  const query = new URLSearchParams({ ...(flags.release === undefined ? {} : { release: flags.release }), ...(flags.rollout === undefined ? {} : { rollout: flags.rollout }) });
  const found = await clientOf(flags).get<{ issues: readonly Issue[]; totals: Readonly<Record<string, number>> }>(`/crashes?${query.toString()}`);
  const shown = found.issues.slice(0, flags.limit);
  output(flags).result({ ...found, issues: shown }, () =>
    shown.length === 0
      ? "no crashes"
      : table(
          [{ title: "ISSUE" }, { title: "DEVICES", align: "right" }, { title: "CRASHES", align: "right" }, { title: "DUMPS", align: "right" }, { title: "RELEASES" }, { title: "LAST" }, { title: "WHERE", flexible: true }],
          shown.map((issue) => [issue.id, issue.devices, issue.count, issue.dumps, releasesOf(issue), issue.lastSeen, printable(issue.signature)]),
        ),
  );
}

async function show(id: string, flags: ClientFlags): Promise<void> {
  const issue = await clientOf(flags).get<Whole>(path`/crashes/${id}`);
  output(flags).result(issue, () => describe(issue));
}

async function file(number: string, flags: ClientFlags & { readonly out: string }): Promise<void> {
  const { writeFileSync } = await import("node:fs");
  const bytes = await clientOf(flags).bytes(path`/crashes/files/${number}`);
  writeFileSync(flags.out, bytes);
  output(flags).result({ file: flags.out, bytes: bytes.length }, () => `${bytes.length} bytes in ${flags.out}`);
}

function releasesOf(issue: Issue): string {
  return [...new Set(issue.releases.map((one) => one.version ?? `build ${one.buildId.slice(0, 8)}`))].join(", ");
}

function describe(issue: Whole): string {
  const parts = [
    facts([
      ["issue", issue.id],
      ["where", tone("strong", printable(issue.signature))],
      ["devices", `${issue.devices}, ${issue.count} crashes, ${issue.dumps} dumps`],
      ["first, last", `${issue.firstSeen}, ${issue.lastSeen}`],
      ["devices hit", `${issue.affected.slice(0, 8).map((one) => one.device).join(", ")}${issue.affected.length > 8 ? ` and ${issue.affected.length - 8} more` : ""}`],
    ]),
    table([{ title: "BUILD" }, { title: "RELEASE" }, { title: "DEVICES", align: "right" }, { title: "CRASHES", align: "right" }, { title: "SYMBOLS" }], issue.releases.map((one) => [one.buildId.slice(0, 16), one.release ?? "none of ours", one.devices, one.count, one.symbols ? "yes" : "no"])),
  ];
  if (issue.arms.length > 0) {
    parts.push(
      table([{ title: "ROLLOUT" }, { title: "EXPOSED", align: "right" }, { title: "CONTROLS", align: "right" }], issue.arms.map((arm) => [arm.rollout, `${arm.exposed.devices} of ${arm.exposed.of}`, `${arm.control.devices} of ${arm.control.of}`])),
    );
  }
  const { newest } = issue;
  if (newest !== null) {
    const { reason, thread, registers = {}, frames = [], notes = [] } = newest.examined;
    parts.push(
      `newest dump: file ${newest.file.id} of ${newest.file.device}: ${reason ?? ""}, thread ${printable(thread ?? "unknown")}`,
      table([{ title: "FRAME", align: "right" }, { title: "ADDRESS" }, { title: "FUNCTION", flexible: true }, { title: "FROM" }, { title: "CERTAINTY" }], frames.map((frame, at) => [at, frame.address, printable(frame.function ?? "?"), frame.from, frame.certainty])),
      Object.entries(registers).map(([name, value]) => `${name}=${value}`).join(" "),
      ...notes.map((note) => `note: ${printable(note)}`),
    );
    if (newest.log !== null) {
      parts.push(`log before the crash:\n${printable(newest.log.trimEnd())}`);
    }
  }
  return parts.join("\n\n");
}
