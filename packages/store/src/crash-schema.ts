// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import type { Sqlite } from "./sqlite.ts";

/**
 * What is folded from the event log, and could be folded again: `position` is the newest entry taken in.
 * A `place` is where builds crash, with the signature that its symbols give it; `tally` counts per device, `crash` keeps each device's
 * newest. A `file` is a log or a dump, `chunk` what arrived of it.
 */
const tables = `
  create table position (id integer primary key check (id = 1), sequence integer not null);
  insert into position values (1, 0);
  create table build (build text primary key, image text not null);
  create table symbols (build text primary key, digest text not null);
  create table place (
    id integer primary key,
    build text not null,
    reason text not null,
    pc integer not null,
    lr integer not null,
    signature text not null,
    symbolised integer not null,
    issue text not null,
    unique (build, reason, pc, lr)
  );
  create index place_issue on place (issue);
  create table tally (
    place integer not null,
    device text not null,
    count integer not null,
    first_at numeric not null,
    last_at numeric not null,
    primary key (place, device)
  ) without rowid;
  create table crash (sequence integer primary key, at numeric not null, device text not null, boot integer not null, uptime_s integer not null, place integer not null);
  create index crash_device on crash (device, sequence);
  create table file (
    id integer primary key,
    device text not null,
    stream text not null,
    build text not null,
    number integer not null,
    total integer not null,
    ranges text not null,
    received integer not null,
    state text not null,
    first_at numeric not null,
    last_at numeric not null,
    place integer,
    examined text,
    stale integer not null default 0,
    trouble text,
    unique (device, stream, build, number)
  );
  create index file_place on file (place);
  create index file_stale on file (stale) where stale = 1;
  create table chunk (file integer not null, offset integer not null, data blob not null, primary key (file, offset)) without rowid;
`;

/** Raised whenever the tables or their meaning change: an older file is thrown away and folded again. */
const SCHEMA_VERSION = 1;
/** "cras", kept in `application_id`: marks the file as ours. */
const APPLICATION_ID = 0x63726173;

/** Makes the tables, anew when they are of another version. Throws `store/not-crashes` for a foreign file. */
export function ensureCrashSchema(database: Sqlite, path: string): void {
  const pragma = (name: string): number => Number(database.prepare(`pragma ${name}`).get()?.[name]);
  const objects = database.prepare("select name, type from sqlite_schema where name not like 'sqlite_%'").all();
  if (objects.length > 0) {
    if (pragma("application_id") !== APPLICATION_ID) {
      throw new CoalmineError("store/not-crashes", `${path} is not coalmine's index of crashes; move it away`);
    }
    if (pragma("user_version") === SCHEMA_VERSION) {
      return;
    }
  }
  database.exec("begin immediate");
  for (const { name, type } of objects) {
    if (type === "table") {
      database.exec(`drop table "${String(name)}"`);
    }
  }
  database.exec(tables);
  database.exec(`pragma application_id = ${APPLICATION_ID}`);
  database.exec(`pragma user_version = ${SCHEMA_VERSION}`);
  database.exec("commit");
}
