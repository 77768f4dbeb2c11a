// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import { openSqlite, resultCode, SQLITE_BUSY } from "./sqlite.ts";

/** A held lock. The operating system takes it back when the process dies, however it dies. */
export interface WriterLock {
  release(): void;
}

/**
 * Takes the lock that makes this process the only writer of a log (I9).
 *
 * Node has no file locks, SQLite has: an exclusive transaction on a small file beside the log holds one for as long as
 * the connection lives. The log itself stays readable by others. Throws `store/locked`.
 * @param owner tells who holds the log when somebody does
 */
export function lockWriter(path: string, owner: () => string): WriterLock {
  const database = openSqlite(path);
  try {
    database.exec("begin exclusive");
  } catch (cause) {
    database.close();
    if (resultCode(cause) !== SQLITE_BUSY) {
      throw new CoalmineError("store/open-failed", `${path} cannot be locked: ${(cause as Error).message}`, { cause });
    }
    throw new CoalmineError(
      "store/locked",
      `another coalmine (${owner()}) has this data directory open (lock ${path}); stop it first, or choose another --data`,
      { cause, retry: "later" },
    );
  }
  return { release: () => database.close() };
}
