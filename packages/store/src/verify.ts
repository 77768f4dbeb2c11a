// SPDX-License-Identifier: Apache-2.0
import type { DeviceId, Instant } from "@coalmine/core";
import type { LogEntry } from "@coalmine/orchestrator";
import { chainLink, genesis } from "./chain.ts";
import { readHead } from "./log-file.ts";
import type { Sqlite, SqlRow } from "./sqlite.ts";

export type Verification =
  | { readonly ok: true; readonly entries: number }
  | { readonly ok: false; readonly brokenAt: number; readonly reason: string };

const ROWS_PER_PAGE = 1_000;

/**
 * Recomputes the hash chain over all entries and compares it with the links stored, the head record, and what the
 * writer remembers. Finds an edit, a reorder, a gap, and a cut at either end.
 * @param writer length and link that the writing process holds in memory; absent for a reader
 */
export function verifyChain(
  database: Sqlite,
  writer: { readonly length: number | undefined; readonly link: Uint8Array | undefined },
): Verification {
  const page = database.prepare("select * from entry where sequence > ? order by sequence limit ?");
  let sequence = 0;
  let link = genesis;
  const reads = writer.length === undefined;
  try {
    if (reads) {
      // A writer beside us goes on: the head record and the entries must be of the same moment.
      database.exec("begin");
    }
    const end = writer.length ?? readHead(database).sequence;
    const endLink = writer.link ?? readHead(database).link;
    for (let from: number | bigint = Number.MIN_SAFE_INTEGER; ; ) {
      const rows = page.all(from, ROWS_PER_PAGE);
      if (rows.length === 0) {
        break;
      }
      for (const row of rows) {
        const broken = check(row, sequence, link);
        if (typeof broken === "string") {
          return { ok: false, brokenAt: sequence + 1, reason: broken };
        }
        sequence += 1;
        link = broken;
      }
      from = sequence;
    }
    if (sequence < end) {
      return { ok: false, brokenAt: sequence + 1, reason: `the log ends here, but its head record says ${end} entries` };
    }
    if (sequence > end) {
      return { ok: false, brokenAt: end + 1, reason: `the head record ends here, but ${sequence} entries are stored` };
    }
    if (link.toHex() !== endLink.toHex()) {
      return { ok: false, brokenAt: sequence, reason: "the last link is not the one of the head record" };
    }
    return { ok: true, entries: sequence };
  } catch (error) {
    return { ok: false, brokenAt: sequence + 1, reason: `cannot be read: ${(error as Error).message}` };
  } finally {
    if (reads) {
      endReading(database);
    }
  }
}

function endReading(database: Sqlite): void {
  try {
    database.exec("commit");
  } catch {
    // It never began: the file cannot be read, which is the result already.
  }
}

/** The next link, or what is wrong with the row. */
function check(row: SqlRow, previous: number, link: Uint8Array): Uint8Array | string {
  const { sequence, at, type, device, body, epoch, link: stored } = row;
  if (sequence !== previous + 1) {
    return `entry ${previous + 1} is missing; the next one stored is ${String(sequence)}`;
  }
  if (
    typeof at !== "number" ||
    typeof type !== "string" ||
    !(device === null || (typeof device === "string" && device !== "")) ||
    !(body instanceof Uint8Array) ||
    typeof epoch !== "number" ||
    !(stored instanceof Uint8Array)
  ) {
    return "a column has another type than it was written with";
  }
  const entry: LogEntry = { at: at as Instant, type, device: device as DeviceId | null, body };
  let expected: Uint8Array;
  try {
    expected = chainLink(link, epoch, previous + 1, entry);
  } catch {
    return "a column holds what no entry can hold";
  }
  return expected.toHex() === stored.toHex() ? expected : "the entry or its link was changed";
}
