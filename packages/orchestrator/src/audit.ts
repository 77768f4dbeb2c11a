// SPDX-License-Identifier: Apache-2.0
// Reading the audit out of the event log: every state change with who, when and why (I10).
import { unreachable } from "@coalmine/core";
import { type AuditRecord, readRecord } from "./entry.ts";
import type { Outcome } from "./conductor.ts";
import type { EventLog, LogEntry } from "./ports.ts";

/** One line of the audit, for people and programs. */
export interface AuditLine {
  readonly sequence: number;
  /** ISO 8601, the orchestrator's clock. */
  readonly at: string;
  readonly type: string;
  readonly device: string | null;
  readonly rollout: string | null;
  /** "coalmine" when the machine decided on its own. */
  readonly by: string;
  readonly reason: string;
  /** What else the record says. A start of a rollout gives the numbers of its members and of those left out instead of the lists. */
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface AuditFilter {
  readonly types?: readonly string[] | undefined;
  readonly device?: string | undefined;
  readonly rollout?: string | undefined;
  /** Leaves out what concerns one device of a rollout only: offers, moves, silence. */
  readonly brief?: boolean | undefined;
}

export interface AuditPage {
  readonly records: readonly AuditLine[];
  /** Where to go on: `after` (oldest first) or `before` (newest first); null at the end of the log. */
  readonly next: number | null;
}

/** Entries looked at for one page at most: what is searched must not keep reports waiting. */
const scanMax = 20_000;
const windowEntries = 2_000;

/** A page of the audit, oldest first, after a sequence. A page may hold fewer lines than asked for, and yet have a next. */
export function auditAfter(log: EventLog, options: AuditFilter & { readonly after: number; readonly limit: number }): AuditPage {
  const records: AuditLine[] = [];
  let scanned = 0;
  let last = options.after;
  for (const entry of log.read(options.after)) {
    if (scanned >= scanMax || records.length >= options.limit) {
      return { records, next: last };
    }
    scanned += 1;
    last = entry.sequence;
    const line = auditLine(entry, entry.sequence);
    if (line !== undefined && matches(options, line)) {
      records.push(line);
    }
  }
  return { records, next: null };
}

/** A page of the audit, newest first, before a sequence (or from the end). */
export function auditBefore(log: EventLog, options: AuditFilter & { readonly before?: number | undefined; readonly limit: number }): AuditPage {
  const records: AuditLine[] = [];
  let end = Math.min(options.before ?? Number.POSITIVE_INFINITY, log.length + 1);
  for (let scanned = 0; end > 1 && scanned < scanMax && records.length < options.limit; scanned += windowEntries) {
    const after = Math.max(0, end - 1 - windowEntries);
    const found: AuditLine[] = [];
    for (const entry of log.read(after)) {
      if (entry.sequence >= end) {
        break;
      }
      const line = auditLine(entry, entry.sequence);
      if (line !== undefined && matches(options, line)) {
        found.push(line);
      }
    }
    end = after + 1;
    for (const line of found.reverse()) {
      records.push(line);
      if (records.length === options.limit) {
        end = line.sequence;
        break;
      }
    }
  }
  return { records, next: end > 1 ? end : null };
}

/** The audit line of a log entry; undefined for reports and undecodable messages, which are facts and no decisions. */
export function auditLine(entry: LogEntry, sequence: number): AuditLine | undefined {
  if (entry.type === "report" || entry.type === "undecodable") {
    return undefined;
  }
  const record = readRecord(entry);
  const authority = "authority" in record ? record.authority : { by: "coalmine", reason: reasonOf(record) };
  return {
    sequence,
    at: new Date(entry.at).toISOString(),
    type: record.type,
    device: entry.device,
    rollout: "rollout" in record ? record.rollout : null,
    by: authority.by,
    reason: authority.reason,
    detail: detailOf(record),
  };
}

/** What a decision of the machine's own says in one line. */
function reasonOf(record: Exclude<AuditRecord, { readonly authority: unknown }>): string {
  switch (record.type) {
    case "stage-opened":
      return `stage ${record.stage + 1}`;
    case "stage-closed":
      return `stage ${record.stage + 1}: ${record.verdict.kind}`;
    case "completed":
      return `verdict ${record.verdict.kind}`;
    case "silent":
      return "a control fell silent";
    case "offered":
      return `offer ${record.offer}`;
    case "moved":
      return record.reason === "" ? record.state : `${record.state}: ${record.reason}`;
    default:
      return unreachable(record);
  }
}

const apart: ReadonlySet<string> = new Set(["type", "device", "rollout", "authority", "reason"]);

function detailOf(record: AuditRecord): Record<string, unknown> {
  const detail: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(record)) {
    if (!apart.has(name)) {
      detail[name] = (name === "members" || name === "excluded") && Array.isArray(value) ? value.length : value;
    }
  }
  return detail;
}

/** The rollout that a rollback ends with its start: a line of both. */
function leftBy(line: AuditLine): unknown {
  return (line.detail["rollback"] as { readonly of?: unknown } | undefined)?.of;
}

function matches(filter: AuditFilter, line: AuditLine): boolean {
  return (
    (filter.types === undefined || filter.types.includes(line.type)) &&
    (filter.device === undefined || filter.device === line.device) &&
    (filter.rollout === undefined || filter.rollout === line.rollout || filter.rollout === leftBy(line)) &&
    !(filter.brief === true && line.rollout !== null && line.device !== null)
  );
}

/** Tells listeners of audit lines as they become durable. Give `note` to the host as its `watch`. */
export class AuditFeed {
  readonly #listeners = new Set<(line: AuditLine) => void>();

  readonly note = (outcome: Outcome, first: number): void => {
    if (this.#listeners.size === 0) {
      return;
    }
    for (const [index, entry] of outcome.entries.entries()) {
      const line = auditLine(entry, first + index);
      if (line !== undefined) {
        for (const listener of this.#listeners) {
          listener(line);
        }
      }
    }
  };

  /** Gives the function that ends it. */
  listen(listener: (line: AuditLine) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}
