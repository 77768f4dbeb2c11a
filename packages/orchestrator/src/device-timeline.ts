// SPDX-License-Identifier: Apache-2.0
// What happened to one device, newest first: its own reports and what was decided about it, in words.
import { type DeviceId, formatDuration, Seconds } from "@coalmine/core";
import { decodeReport, type Report } from "@coalmine/protocol";
import { setImmediate } from "node:timers/promises";
import { auditLine } from "./audit.ts";
import { hex, reportBytes } from "./entry.ts";
import type { EventLog, StoredEntry } from "./ports.ts";

export type TimelineKind = "boot" | "update" | "crash" | "log" | "decision" | "undecodable";

export interface TimelineEvent {
  readonly sequence: number;
  readonly at: string;
  readonly kind: TimelineKind;
  readonly title: string;
  readonly detail: string;
  /** Who, of a decision. */
  readonly by: string | null;
}

/** What a heartbeat measured. */
export interface TimelineSample {
  readonly at: number;
  readonly values: Readonly<Record<string, number>>;
}

export interface DeviceTimeline {
  readonly events: readonly TimelineEvent[];
  readonly samples: readonly TimelineSample[];
  /** Where to go on; null at the start of the log. */
  readonly next: number | null;
}

const windowEntries = 100_000;
/** Entries looked at for one answer at most. */
const scanMax = 1_000_000;
const samplesMax = 500;
const logCharsMax = 4_096;

/** Reads in windows from the newest entry back, and lets others have their turn between them. */
export async function deviceTimeline(log: EventLog, device: DeviceId, options: { readonly before?: number | undefined; readonly limit: number }): Promise<DeviceTimeline> {
  const events: TimelineEvent[] = [];
  const samples: TimelineSample[] = [];
  let end = Math.min(options.before ?? Number.POSITIVE_INFINITY, log.length + 1);
  for (let scanned = 0; end > 1 && scanned < scanMax && events.length < options.limit && samples.length < samplesMax; scanned += windowEntries) {
    const after = Math.max(0, end - 1 - windowEntries);
    const entries = entriesOf(log, device, { after, upTo: end - 1 });
    end = after + 1;
    for (const entry of entries.toReversed()) {
      const told = tell(entry);
      if (told === undefined) {
        continue;
      }
      if ("values" in told) {
        samples.push(told);
      } else {
        events.push(told);
      }
      if (events.length >= options.limit || samples.length >= samplesMax) {
        end = entry.sequence;
        break;
      }
    }
    await setImmediate();
  }
  return { events, samples: samples.reverse(), next: end > 1 ? end : null };
}

function entriesOf(log: EventLog, device: DeviceId, range: { readonly after: number; readonly upTo: number }): readonly StoredEntry[] {
  if (log.readDevice !== undefined) {
    return log.readDevice(device, range);
  }
  const found: StoredEntry[] = [];
  for (const entry of log.read(range.after)) {
    if (entry.sequence > range.upTo) {
      break;
    }
    if (entry.device === device) {
      found.push(entry);
    }
  }
  return found;
}

function tell(entry: StoredEntry): TimelineEvent | TimelineSample | undefined {
  const at = new Date(entry.at).toISOString();
  if (entry.type === "undecodable") {
    return { sequence: entry.sequence, at, kind: "undecodable", title: "said something undecodable", detail: "", by: null };
  }
  if (entry.type === "report") {
    const decoded = decodeReport(reportBytes(entry).bytes);
    return decoded.kind === "undecodable" ? undefined : ofReport(decoded.value, entry.sequence, { at, time: entry.at });
  }
  const line = auditLine(entry, entry.sequence);
  if (line === undefined) {
    return undefined;
  }
  const where = line.rollout === null ? "" : ` in ${line.rollout}`;
  return { sequence: entry.sequence, at, kind: "decision", title: `${line.type.replaceAll("-", " ")}${where}`, detail: line.reason, by: line.by };
}

function ofReport({ boot, body }: Report, sequence: number, when: { readonly at: string; readonly time: number }): TimelineEvent | TimelineSample {
  const event = (kind: TimelineKind, title: string, detail = ""): TimelineEvent => ({ sequence, at: when.at, kind, title, detail, by: null });
  switch (body.kind) {
    case "hello": {
      const slot1 = body.slot1 === null ? "the other slot holds no image" : `the other slot holds ${body.slot1.version}`;
      return event("boot", `boot ${boot}: runs ${body.running.version}${body.running.confirmed ? "" : ", on trial"}`, `reset by ${body.resetCause}; ${slot1}`);
    }
    case "heartbeat":
      return { at: when.time, values: { ...(body.battery === null ? {} : { battery: body.battery }), linkUptime: body.linkUptime, ...body.metrics } };
    case "progress":
      return event("update", `update: ${body.state}`, `offer ${body.offer}${body.offset > 0 ? `, ${body.offset.toLocaleString("en")} bytes` : ""}`);
    case "deferred":
      return event("update", `update deferred for ${formatDuration(Seconds(body.until_s))}`, body.reason);
    case "result":
      return event("update", `update ${body.attempt.outcome}`, [body.reason, body.attempt.ran ? "the new image ran" : "the new image never ran", `last reset: ${body.attempt.resetCause}`].filter((part) => part !== "").join("; "));
    case "crash":
      return event("crash", `crash: ${body.reason} at 0x${body.pc.toString(16)}`, `link register 0x${body.lr.toString(16)}, ${formatDuration(Seconds(body.uptime_s))} after boot, build ${hex(body.buildId).slice(0, 12)}`);
    case "log":
      return event("log", `${body.stream} ${body.id}, ${body.data.length} bytes from ${body.offset}`, body.stream === "log" ? new TextDecoder().decode(body.data).slice(0, logCharsMax) : "");
  }
}
