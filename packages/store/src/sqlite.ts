// SPDX-License-Identifier: Apache-2.0
// The only file that knows node:sqlite. Another SQLite binding replaces it here.
import { DatabaseSync } from "node:sqlite";
import { CoalmineError } from "@coalmine/core";

export type SqlValue = null | number | bigint | string | Uint8Array;
export type SqlRow = Record<string, SqlValue>;

export interface Statement {
  run(...values: readonly SqlValue[]): void;
  get(...values: readonly SqlValue[]): SqlRow | undefined;
  all(...values: readonly SqlValue[]): SqlRow[];
}

/** What the store needs of a SQLite connection. Synchronous; errors are SQLite's own. */
export interface Sqlite {
  exec(sql: string): void;
  prepare(sql: string): Statement;
  close(): void;
}

/**
 * Opens a database file.
 * @param busyMillis how long a statement waits for another connection's lock
 */
export function openSqlite(path: string, options: { readonly readOnly?: boolean; readonly busyMillis?: number } = {}): Sqlite {
  const database = new DatabaseSync(path, {
    readOnly: options.readOnly ?? false,
    timeout: options.busyMillis ?? 0,
    allowExtension: false,
  });
  return {
    exec: (sql) => database.exec(sql),
    prepare: (sql) => {
      const statement = database.prepare(sql);
      return {
        run: (...values) => void statement.run(...values),
        get: (...values) => statement.get(...values),
        all: (...values) => statement.all(...values),
      };
    },
    close: () => database.close(),
  };
}

/** SQLite's primary result code of an error, or undefined when the error is not SQLite's. https://sqlite.org/rescode.html */
export function resultCode(error: unknown): number | undefined {
  if (error instanceof Error && "errcode" in error && typeof error.errcode === "number") {
    return error.errcode & 0xff;
  }
  return undefined;
}

export const SQLITE_BUSY = 5;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

/** True when SQLite says that the file itself is damaged. */
function isCorruption(error: unknown): boolean {
  const code = resultCode(error);
  return code === SQLITE_CORRUPT || code === SQLITE_NOTADB;
}

/** Says in our words why a database could not be opened or read. */
export function readFailure(path: string, cause: unknown): CoalmineError {
  if (cause instanceof CoalmineError) {
    return cause;
  }
  const detail = cause instanceof Error ? cause.message : String(cause);
  if (isCorruption(cause)) {
    return new CoalmineError("store/corrupt-log", `${path} is damaged (${detail}); restore it from a backup`, { cause });
  }
  return new CoalmineError("store/open-failed", `${path} cannot be read: ${detail}`, { cause, retry: "later" });
}
