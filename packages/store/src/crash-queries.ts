// SPDX-License-Identifier: Apache-2.0
// What the index of crashes answers. Lists are remembered until the index has taken in more.
import type { DeviceId } from "@coalmine/core";
import type { CrashCatalogue, CrashFile, CrashIssue, CrashSite, DeviceCrash, Examined, IssueTally } from "@coalmine/orchestrator";
import type { Sqlite, SqlRow } from "./sqlite.ts";

interface Source {
  readonly position: () => number;
  readonly bytes: (file: number) => Uint8Array;
}

const issuesMax = 1_000;
const deviceRows = 200;

const fileColumns = `file.id, file.device, file.stream, file.build, file.number, file.total, file.received, file.state, file.first_at, file.last_at, file.trouble, place.issue
  from file left join place on place.id = file.place`;

export class CrashQueries implements CrashCatalogue {
  readonly #database: Sqlite;
  readonly #source: Source;
  #known: { readonly position: number; readonly issues: readonly CrashIssue[] } | undefined;

  constructor(database: Sqlite, source: Source) {
    this.#database = database;
    this.#source = source;
  }

  get position(): number {
    return this.#source.position();
  }

  issues(): readonly CrashIssue[] {
    // Dumps are decoded a moment after their last piece came: the position alone does not tell.
    const version = this.position + this.#count("select count(*) as n from file where place is not null");
    if (this.#known?.position !== version) {
      this.#known = { position: version, issues: this.#readIssues() };
    }
    return this.#known.issues;
  }

  issue(id: string): CrashIssue | undefined {
    return this.issues().find((issue) => issue.id === id);
  }

  tallies(issue: string): readonly IssueTally[] {
    const rows = this.#all(
      `select tally.device, place.build, build.image, sum(tally.count) as count, min(tally.first_at) as first, max(tally.last_at) as last
       from place join tally on tally.place = place.id left join build on build.build = place.build where place.issue = ?
       group by tally.device, place.build order by first, tally.device`,
      issue,
    );
    return rows.map((row) => ({
      device: row["device"] as DeviceId,
      buildId: row["build"] as string,
      imageHash: row["image"] as string | null,
      count: row["count"] as number,
      firstAt: row["first"] as number,
      lastAt: row["last"] as number,
    }));
  }

  sites(issue: string): readonly (CrashSite & { readonly count: number })[] {
    const rows = this.#all(
      "select build, reason, pc, lr, coalesce(sum(tally.count), 0) as count from place left join tally on tally.place = place.id where issue = ? group by place.id order by count desc, place.id limit 50",
      issue,
    );
    return rows.map((row) => ({ ...siteOf(row), count: row["count"] as number }));
  }

  dumps(issue: string, most: number): readonly CrashFile[] {
    return this.#all(`select ${fileColumns} where place.issue = ? order by file.last_at desc, file.id desc limit ?`, issue, most).map(fileOf);
  }

  examined(file: number): Examined | undefined {
    const text = this.#database.prepare("select examined from file where id = ?").get(file)?.["examined"];
    return typeof text === "string" ? (JSON.parse(text) as Examined) : undefined;
  }

  file(id: number): CrashFile | undefined {
    const row = this.#database.prepare(`select ${fileColumns} where file.id = ?`).get(id);
    return row === undefined ? undefined : fileOf(row);
  }

  bytes(file: number): Uint8Array | undefined {
    const known = this.file(file);
    return known === undefined || known.state === "refused" ? undefined : this.#source.bytes(file);
  }

  logBefore(device: DeviceId, buildId: string): CrashFile | undefined {
    const row = this.#database.prepare(`select ${fileColumns} where file.device = ? and file.build = ? and file.stream = 'log' and file.state <> 'refused' order by file.last_at desc limit 1`).get(device, buildId);
    return row === undefined ? undefined : fileOf(row);
  }

  ofDevice(device: DeviceId): { readonly crashes: readonly DeviceCrash[]; readonly files: readonly CrashFile[] } {
    const crashes = this.#all(
      "select at, boot, uptime_s, issue, build, reason, pc, lr from crash join place on place.id = crash.place where device = ? order by sequence desc limit ?",
      device,
      deviceRows,
    );
    return {
      crashes: crashes.map((row) => ({ at: row["at"] as number, boot: row["boot"] as number, uptime_s: row["uptime_s"] as number, issue: row["issue"] as string, site: siteOf(row) })),
      files: this.#all(`select ${fileColumns} where file.device = ? order by file.last_at desc, file.id desc`, device).map(fileOf),
    };
  }

  issueAt({ buildId, reason, pc, lr }: CrashSite): string | undefined {
    return this.#database.prepare("select issue from place where build = ? and reason = ? and pc = ? and lr = ?").get(buildId, reason, pc, lr)?.["issue"] as string | undefined;
  }

  totals(): ReturnType<CrashCatalogue["totals"]> {
    const row = this.#database
      .prepare(
        `select (select count(distinct issue) from place) as issues, (select coalesce(sum(count), 0) from tally) as crashes,
         (select count(*) from file where state = 'complete' and stream = 'coredump') as dumps, (select count(*) from file where state = 'open') as open,
         (select count(*) from file where state = 'refused') as refused, (select coalesce(sum(received), 0) from file where state <> 'refused') as bytes`,
      )
      .get() as SqlRow;
    return { issues: row["issues"] as number, crashes: row["crashes"] as number, dumps: row["dumps"] as number, open: row["open"] as number, refused: row["refused"] as number, bytes: row["bytes"] as number };
  }

  #readIssues(): CrashIssue[] {
    const builds = new Map<string, CrashIssue["builds"][number][]>();
    for (const row of this.#all(
      `select place.issue, place.build, build.image, coalesce(sum(tally.count), 0) as count, count(distinct tally.device) as devices
       from place left join tally on tally.place = place.id left join build on build.build = place.build group by place.issue, place.build order by count desc, place.build`,
    )) {
      const issue = row["issue"] as string;
      builds.set(issue, [...(builds.get(issue) ?? []), { buildId: row["build"] as string, imageHash: row["image"] as string | null, count: row["count"] as number, devices: row["devices"] as number }]);
    }
    const dumps = new Map(
      this.#all("select place.issue, count(*) as n, count(distinct file.device) as devices, min(file.first_at) as first, max(file.last_at) as last from file join place on place.id = file.place group by place.issue").map((row) => [row["issue"] as string, row]),
    );
    const rows = this.#all(
      `select issue, min(signature) as signature, min(reason) as reason, max(symbolised) as symbolised, coalesce(sum(tally.count), 0) as count, count(distinct tally.device) as devices,
       min(tally.first_at) as first, max(tally.last_at) as last from place left join tally on tally.place = place.id group by issue`,
    );
    const issues = rows.map((row): CrashIssue => {
      const id = row["issue"] as string;
      const own = dumps.get(id);
      const whole = (own?.["n"] as number | undefined) ?? 0;
      return {
        id,
        signature: row["signature"] as string,
        reason: row["reason"] as string,
        symbolised: row["symbolised"] === 1,
        count: Math.max(row["count"] as number, whole),
        devices: Math.max(row["devices"] as number, (own?.["devices"] as number | undefined) ?? 0),
        dumps: whole,
        firstAt: (row["first"] as number | null) ?? (own?.["first"] as number),
        lastAt: (row["last"] as number | null) ?? (own?.["last"] as number),
        builds: builds.get(id) ?? [],
      };
    });
    return issues.filter((issue) => issue.count > 0).sort((a, b) => b.devices - a.devices || b.count - a.count || (a.id < b.id ? -1 : 1)).slice(0, issuesMax);
  }

  #count(sql: string): number {
    return this.#database.prepare(sql).get()?.["n"] as number;
  }

  #all(sql: string, ...values: readonly (string | number)[]): SqlRow[] {
    return this.#database.prepare(sql).all(...values);
  }
}

function siteOf(row: SqlRow): CrashSite {
  return { buildId: row["build"] as string, reason: row["reason"] as string, pc: row["pc"] as number, lr: row["lr"] as number };
}

function fileOf(row: SqlRow): CrashFile {
  return {
    id: row["id"] as number,
    device: row["device"] as DeviceId,
    stream: row["stream"] as CrashFile["stream"],
    buildId: row["build"] as string,
    number: row["number"] as number,
    total: row["total"] as number,
    received: row["received"] as number,
    state: row["state"] as CrashFile["state"],
    firstAt: row["first_at"] as number,
    lastAt: row["last_at"] as number,
    issue: row["issue"] as string | null,
    trouble: row["trouble"] as string | null,
  };
}
