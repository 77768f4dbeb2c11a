// SPDX-License-Identifier: Apache-2.0
// Reads the event log of a running `serve` from outside: only what is committed is visible, so what is seen is durable.
import { type AuditRecord, readRecord, type StoredEntry } from "@coalmine/orchestrator";
import { openEventLog } from "@coalmine/store";
import { existsSync } from "node:fs";

export class LogTail {
  readonly #path: string;
  readonly #listeners: ((entry: StoredEntry, record: AuditRecord | undefined) => void)[] = [];
  sequence = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** Tells of every entry, once, in order. */
  follow(listener: (entry: StoredEntry, record: AuditRecord | undefined) => void): void {
    this.#listeners.push(listener);
  }

  /** Takes in what is new. False while the file cannot be read: nobody serves it, and its shared memory is stale. */
  catchUp(): boolean {
    if (!existsSync(this.#path)) {
      return false;
    }
    try {
      const log = openEventLog(this.#path, { readOnly: true });
      try {
        for (const entry of log.read(this.sequence)) {
          this.sequence = entry.sequence;
          const record = entry.type === "report" || entry.type === "undecodable" ? undefined : readRecord(entry);
          for (const listener of this.#listeners) {
            listener(entry, record);
          }
        }
      } finally {
        void log.close();
      }
      return true;
    } catch {
      return false;
    }
  }
}
