// SPDX-License-Identifier: Apache-2.0
import { hash } from "node:crypto";
import type { Sqlite } from "./sqlite.ts";

const KEPT = 2;

/** Stores folded state as of an entry, in the current transaction: it becomes durable together with that entry. */
export function saveSnapshot(database: Sqlite, sequence: number, state: Uint8Array): void {
  const insert = database.prepare("insert or replace into snapshot (sequence, link, sha256, state) values (?, ?, ?, ?)");
  insert.run(sequence, linkOf(database, sequence), hash("sha256", state, "buffer"), state);
  const newest = "select sequence from snapshot order by sequence desc limit ?";
  database.prepare(`delete from snapshot where sequence not in (${newest})`).run(KEPT);
}

/** The newest snapshot that is whole and belongs to this log at or below `length`; null when there is none. */
export function loadSnapshot(database: Sqlite, length: number): { readonly sequence: number; readonly state: Uint8Array } | null {
  const rows = database.prepare("select * from snapshot where sequence <= ? order by sequence desc").all(length);
  for (const { sequence, link, sha256, state } of rows) {
    if (
      typeof sequence === "number" &&
      state instanceof Uint8Array &&
      sha256 instanceof Uint8Array &&
      link instanceof Uint8Array &&
      hash("sha256", state) === sha256.toHex() &&
      linkOf(database, sequence).toHex() === link.toHex()
    ) {
      return { sequence, state };
    }
  }
  return null;
}

/** The chain's link of an entry; 32 zero bytes before the first. */
function linkOf(database: Sqlite, sequence: number): Uint8Array {
  const link = database.prepare("select link from entry where sequence = ?").get(sequence)?.["link"];
  return link instanceof Uint8Array ? link : new Uint8Array(32);
}
