// SPDX-License-Identifier: Apache-2.0
import type { Judge } from "@coalmine/core";
import { Conductor } from "./conductor.ts";
import { readRecord, reportBytes } from "./entry.ts";
import type { LogEntry } from "./ports.ts";

export type ReplayResult =
  | { readonly ok: true; readonly facts: number; readonly decisions: number; readonly conductor: Conductor }
  | { readonly ok: false; readonly at: number; readonly expected: string; readonly got: string };

/** Records that people make, restarts, and links that went and came; everything else in the log is a report or was decided by the machine. */
const orders = new Set(["restarted", "link-lost", "link-restored", "device-tagged", "cohort-created", "release-created", "release-unbarred", "release-archived", "release-restored", "symbols-added", "release-attested", "rollout-started"]);

/** What a person's promotion brings with it, at the same moment. */
const consequences = new Set(["stage-opened", "moved", "completed"]);

/**
 * Runs the facts of a log through the machine again and compares what it decides with what the log says it decided.
 * Decisions of people (promote, halt, resume ...) are folded as they stand. `at` is the position of the first difference,
 * counted from 1. A difference means other code than the one that wrote the log, or a log that was changed.
 */
export function replay(entries: Iterable<LogEntry>, judge: Judge): ReplayResult {
  const conductor = new Conductor(judge);
  const pending: LogEntry[] = [];
  let position = 0;
  let facts = 0;
  let decisions = 0;
  let promotedAt: number | undefined;
  for (const entry of entries) {
    position += 1;
    if (pending.length === 0 && entry.type !== "report" && entry.type !== "undecodable") {
      const record = readRecord(entry);
      const byPerson = "authority" in record && record.authority.by !== "coalmine";
      const ofPromotion = entry.at === promotedAt && consequences.has(entry.type);
      if (orders.has(entry.type) || byPerson || ofPromotion) {
        promotedAt = entry.type === "promoted" || ofPromotion ? entry.at : undefined;
        conductor.fold(entry);
        facts += 1;
        continue;
      }
      pending.push(...conductor.tick(entry.at).entries);
    }
    const expected = pending.shift();
    if (expected !== undefined) {
      if (text(expected) !== text(entry)) {
        return { ok: false, at: position, expected: text(entry), got: text(expected) };
      }
      decisions += 1;
      continue;
    }
    if (entry.type === "report" && entry.device !== null) {
      const { door, bytes } = reportBytes(entry);
      const [own, ...made] = conductor.receive(entry.device, door, bytes, entry.at).entries;
      if (own === undefined || text(own) !== text(entry)) {
        return { ok: false, at: position, expected: text(entry), got: own === undefined ? "nothing: a duplicate" : text(own) };
      }
      pending.push(...made);
      facts += 1;
    } else if (entry.type === "undecodable") {
      conductor.fold(entry);
      facts += 1;
    } else {
      return { ok: false, at: position, expected: text(entry), got: "nothing was due" };
    }
  }
  const [missing] = pending;
  return missing === undefined
    ? { ok: true, facts, decisions, conductor }
    : { ok: false, at: position + 1, expected: "the end of the log", got: text(missing) };
}

function text(entry: LogEntry): string {
  const body = entry.type === "report" ? entry.body.toHex() : new TextDecoder().decode(entry.body);
  return `${entry.type} ${entry.device ?? ""} at ${entry.at}: ${body.length > 300 ? `${body.slice(0, 300)}...` : body}`;
}
