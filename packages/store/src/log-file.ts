// SPDX-License-Identifier: Apache-2.0
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { CoalmineError } from "@coalmine/core";
import { lockWriter, type WriterLock } from "./lock.ts";
import { ensureSchema } from "./schema.ts";
import { openSqlite, readFailure, type Sqlite } from "./sqlite.ts";
import { readWitness, rolledBack, writeWitness } from "./witness.ts";

/** Newest committed entry, and the writer that holds the log. */
export interface Head {
  readonly sequence: number;
  readonly link: Uint8Array;
  readonly epoch: number;
}

/** An opened log file. `lock` is null for readers. */
export interface LogFile {
  readonly path: string;
  readonly database: Sqlite;
  readonly lock: WriterLock | null;
  readonly head: Head;
}

export type OpenDatabase = typeof openSqlite;

const BUSY_MILLIS = 2_000;

/** Opens the file for writing: takes the lock, checks that nothing is older than its witness, raises the epoch. */
export function openForWriting(path: string, open: OpenDatabase): LogFile {
  mkdirSync(dirname(path), { recursive: true });
  const lock = lockWriter(`${path}-lock`, () => ownerOf(path));
  let database: Sqlite | undefined;
  try {
    database = open(path, { busyMillis: BUSY_MILLIS });
    configure(database);
    ensureSchema(database, { path, readOnly: false });
    checkTail(path, database);
    const head = raiseEpoch(path, database);
    return { path, database, lock, head };
  } catch (error) {
    database?.close();
    lock.release();
    throw readFailure(path, error);
  }
}

/** Opens the file for reading beside a writer or without one. */
export function openForReading(path: string, open: OpenDatabase): LogFile {
  let database: Sqlite | undefined;
  try {
    database = open(path, { readOnly: true, busyMillis: BUSY_MILLIS });
    ensureSchema(database, { path, readOnly: true });
    return { path, database, lock: null, head: readHead(database) };
  } catch (error) {
    database?.close();
    throw readFailure(path, error);
  }
}

export function witnessPath(path: string): string {
  return `${path}-head.json`;
}

export function readHead(database: Sqlite): Head {
  const row = database.prepare("select sequence, link, epoch from head where id = 1").get();
  const { sequence, link, epoch } = row ?? {};
  if (typeof sequence !== "number" || !(link instanceof Uint8Array) || typeof epoch !== "number") {
    throw new CoalmineError("store/corrupt-log", "the log's head record is gone or unreadable; restore the log from a backup");
  }
  return { sequence, link, epoch };
}

/** WAL with an fsync at each commit: what was committed survives power loss. https://sqlite.org/pragma.html#pragma_synchronous */
function configure(database: Sqlite): void {
  database.exec("pragma journal_mode = wal");
  database.exec("pragma synchronous = full");
  // macOS only flushes the drive's own cache when asked this way.
  database.exec("pragma fullfsync = on");
  database.exec("pragma checkpoint_fullfsync = on");
  database.exec("pragma trusted_schema = off");
}

/** Head and last entry agree, or somebody cut the log. The whole chain is `verify`'s work: it takes seconds per million. */
function checkTail(path: string, database: Sqlite): void {
  const head = readHead(database);
  const last = database.prepare("select sequence, link from entry order by sequence desc limit 1").get();
  const sequence = last?.["sequence"] ?? 0;
  const link = last?.["link"];
  if (sequence !== head.sequence || (link instanceof Uint8Array && link.toHex() !== head.link.toHex())) {
    throw new CoalmineError(
      "store/corrupt-log",
      `${path} ends at entry ${String(sequence)} and its head record says ${head.sequence}: it was cut or edited. ` +
        `"coalmine audit verify" shows where; restore it from a backup`,
    );
  }
}

function raiseEpoch(path: string, database: Sqlite): Head {
  const witness = readWitness(witnessPath(path));
  database.exec("begin immediate");
  const before = readHead(database);
  if (witness !== null) {
    const reject = (detail: string): CoalmineError => rolledBack(path, witnessPath(path), detail);
    if (before.epoch < witness.epoch) {
      throw reject(`epoch ${before.epoch}, seen ${witness.epoch}`);
    }
    if (before.sequence < witness.sequence) {
      throw reject(`${before.sequence} entries, seen ${witness.sequence}`);
    }
    const link = database.prepare("select link from entry where sequence = ?").get(witness.sequence)?.["link"];
    if (witness.sequence > 0 && !(link instanceof Uint8Array && link.toHex() === witness.link)) {
      throw reject(`entry ${witness.sequence} is another than the one seen`);
    }
  }
  const head = { ...before, epoch: before.epoch + 1 };
  database.prepare("update head set epoch = ?, owner = ? where id = 1").run(head.epoch, `process ${process.pid}`);
  database.exec("commit");
  writeWitness(witnessPath(path), { epoch: head.epoch, sequence: head.sequence, link: head.link.toHex() });
  return head;
}

function ownerOf(path: string): string {
  try {
    const database = openSqlite(path, { readOnly: true });
    const owner = database.prepare("select owner from head where id = 1").get()?.["owner"];
    database.close();
    return typeof owner === "string" && owner !== "" ? owner : "unknown process";
  } catch {
    return "unknown process";
  }
}
