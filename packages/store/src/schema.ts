// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import type { Sqlite } from "./sqlite.ts";

/**
 * `entry` is one line of the log: `link` is its place in the hash chain, `epoch` the writer that appended it.
 * `head` has one row: newest entry and current writer, so that a cut tail and an old writer are noticed.
 * `snapshot` is folded state as of an entry, whose `link` binds it to this log.
 */
const tables = `
  create table entry (
    sequence integer primary key,
    at numeric not null,
    type text not null,
    device text,
    body blob not null,
    epoch integer not null,
    link blob not null
  );
  create table head (
    id integer primary key check (id = 1),
    sequence integer not null,
    link blob not null,
    epoch integer not null,
    owner text not null
  );
  create table snapshot (
    sequence integer primary key,
    link blob not null,
    sha256 blob not null,
    state blob not null
  );
  insert into head values (1, 0, zeroblob(32), 0, '');
`;

/** Version of the tables, kept in `user_version`. */
const SCHEMA_VERSION = 1;
/** "coal", kept in `application_id`: marks the file as ours. */
const APPLICATION_ID = 0x636f616c;

/**
 * Makes the tables in an empty file, or checks that the file is one of ours and not newer.
 * Throws `store/not-a-log` or `store/newer-schema`.
 */
export function ensureSchema(database: Sqlite, options: { readonly path: string; readonly readOnly: boolean }): void {
  const version = pragma(database, "user_version");
  const application = pragma(database, "application_id");
  const objects = database.prepare("select count(*) as count from sqlite_schema").get();
  if (objects?.["count"] === 0 && application === 0 && !options.readOnly) {
    create(database);
    return;
  }
  if (application !== APPLICATION_ID) {
    throw new CoalmineError("store/not-a-log", `${options.path} is not a coalmine event log; give the path of another file`);
  }
  if (version > SCHEMA_VERSION) {
    throw new CoalmineError(
      "store/newer-schema",
      `${options.path} has schema version ${version} and this coalmine knows up to ${SCHEMA_VERSION}; use the newer coalmine that wrote it`,
    );
  }
}

function pragma(database: Sqlite, name: string): number {
  return Number(database.prepare(`pragma ${name}`).get()?.[name]);
}

function create(database: Sqlite): void {
  database.exec("begin immediate");
  database.exec(tables);
  database.exec(`pragma application_id = ${APPLICATION_ID}`);
  database.exec(`pragma user_version = ${SCHEMA_VERSION}`);
  database.exec("commit");
}
