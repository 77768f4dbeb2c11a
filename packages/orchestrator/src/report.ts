// SPDX-License-Identifier: Apache-2.0
// What happened in a rollout and why it stopped: metric, both arms, the devices, first crash signatures, what the
// devices said (R31). Read from the state and from the part of the event log since the rollout started.
import { type Assignment, type GateReading, type Instant, type Judge, judgementOf, memberOf, type Rollout, type RolloutId, settled } from "@coalmine/core";
import { type Crash, decodeReport, type LogChunk } from "@coalmine/protocol";
import { setImmediate } from "node:timers/promises";
import { type AuditLine, auditLine } from "./audit.ts";
import type { Conductor } from "./conductor.ts";
import { hex, readRecord, reportBytes } from "./entry.ts";
import { type Representativeness, representativeness } from "@coalmine/evidence";
import { crashFreeArms, type PlanEvidence, planJudge } from "./gates.ts";
import type { DeviceRecord } from "./inventory.ts";
import type { EventLog, StoredEntry } from "./ports.ts";
import { type DoorReport, doorsOf } from "./report-doors.ts";
import { type RolloutSummary, summarise } from "./summary.ts";
import { shareOf, type WayBackShare } from "./way-back.ts";

export interface ReportedDevice {
  readonly device: string;
  readonly stage: string;
  readonly stratum: string;
  readonly state: string;
  readonly reason: string;
  readonly offeredAt: string | null;
  readonly startedAt: string | null;
  readonly confirmedAt: string | null;
  readonly crashes: number;
  readonly lastSeen: string | null;
  /** Version that runs now, and whether it is confirmed. */
  readonly running: string | null;
  /** The device's own record of its last attempt, in words. */
  readonly attempt: string | null;
  /** What it said about the end of its attempt, oldest first. */
  readonly said: readonly string[];
}

/** Crashes with one signature, of images of the release. */
export interface CrashGroup {
  readonly signature: string;
  readonly buildId: string;
  readonly reason: string;
  readonly pc: string;
  readonly lr: string;
  readonly count: number;
  readonly devices: readonly string[];
  readonly first: { readonly device: string; readonly at: string; readonly uptime_s: number };
  /** The issue it belongs to, with the names of functions where symbols are known; absent where nobody keeps issues. */
  readonly issue?: { readonly id: string; readonly signature: string; readonly dumps: number };
}

/** Where a group of crashes happened, in words: by functions where they are known. */
export function crashWords({ signature, issue }: CrashGroup): string {
  return issue === undefined ? signature : `${issue.signature} (issue ${issue.id}${issue.dumps === 0 ? "" : `, ${issue.dumps} dump${issue.dumps === 1 ? "" : "s"}`})`;
}

export interface LogGroup {
  readonly buildId: string;
  readonly stream: LogChunk["stream"];
  readonly chunks: number;
  readonly bytes: number;
  readonly devices: readonly string[];
}

export interface StageGates {
  readonly stage: string;
  readonly at: string;
  readonly gates: readonly GateReading[];
}

export interface RolloutReport {
  readonly rollout: RolloutSummary & { readonly version: string; readonly seed: number; readonly startedAt: string; readonly endedAt: string | null; readonly revision: number };
  readonly haltedBy: (NonNullable<RolloutSummary["haltedBy"]> & { readonly stage: string | null; readonly at: string }) | null;
  /** The gates as they stood at the halt; of a rollout that runs, as they stand now. */
  readonly gates: readonly GateReading[];
  /** The gates of each stage as it closed. */
  readonly stageGates: readonly StageGates[];
  /** Crash-free devices and hours of both arms (R20); null when no gate weighs evidence. */
  readonly crashFree: ReturnType<typeof crashFreeArms>;
  /** How the canary covers the population, by the strata of the plan (R6). */
  readonly representativeness: Representativeness;
  /** All members by door, with what such devices can tell. */
  readonly doors: readonly DoorReport[];
  /** Devices that began the update, or ended it badly. */
  readonly devices: readonly ReportedDevice[];
  /** Devices that hold or held an offer and never began. */
  readonly offeredOnly: readonly string[];
  /** Devices on the release that keep an intact earlier image which an order brings back (R40). */
  readonly wayBack: WayBackShare;
  readonly crashes: readonly CrashGroup[];
  readonly logs: readonly LogGroup[];
  /** Decisions about the rollout as a whole, oldest first. */
  readonly history: readonly AuditLine[];
}

const pauseEvery = 2_000;
const saidMax = 10;

/** Gathers the report. Reads in pieces, so that devices are served meanwhile. Throws `rollout/unknown`. */
export async function rolloutReport(conductor: Conductor, log: EventLog, id: RolloutId, now: Instant): Promise<RolloutReport> {
  const rollout = conductor.rollout(id);
  const release = conductor.state.releases.get(rollout.release);
  const targets = new Set(release?.artifacts.map((artifact) => artifact.imageHash));
  const crashes = new Map<string, CrashTally>();
  const logs = new Map<string, LogTally>();
  const said = new Map<string, string[]>();
  const history: AuditLine[] = [];
  const stageGates: StageGates[] = [];
  let halt: { readonly gates: readonly GateReading[]; readonly at: string } | undefined;
  let read = 0;
  for (const entry of log.read(firstAt(log, rollout.startedAt))) {
    read += 1;
    if (read % pauseEvery === 0) {
      await setImmediate();
    }
    if (entry.type === "report") {
      const member = entry.device === null ? undefined : memberOf(rollout, entry.device);
      if (member !== undefined && member.offer !== 0) {
        hear(entry, member, { targets, crashes, logs, said });
      }
      continue;
    }
    if (entry.type === "undecodable" || entry.device !== null) {
      continue;
    }
    const record = readRecord(entry);
    if (!("rollout" in record) || record.rollout !== id) {
      continue;
    }
    const line = auditLine(entry, entry.sequence);
    if (line !== undefined) {
      history.push(line);
    }
    if (record.type === "stage-closed") {
      stageGates.push({ stage: rollout.stages[record.stage]?.name ?? String(record.stage), at: iso(entry.at), gates: record.gates });
    } else if (record.type === "halted") {
      halt = { gates: record.gates, at: iso(entry.at) };
    }
  }
  const halted = rollout.haltedBy === null ? undefined : halt;
  const active = rollout.members.filter((member) => member.startedAt !== null || (member.offer !== 0 && settled.has(member.state)));
  const activeSet = new Set(active.map((member) => member.device));
  return {
    rollout: {
      ...summarise(rollout),
      version: release?.version ?? "",
      seed: rollout.seed,
      startedAt: iso(rollout.startedAt),
      endedAt: rollout.endedAt === null ? null : iso(rollout.endedAt),
      revision: rollout.revision,
    },
    wayBack: shareOf(rollout),
    haltedBy:
      rollout.haltedBy === null
        ? null
        : { ...rollout.haltedBy, stage: rollout.stages[rollout.stage]?.name ?? null, at: halted?.at ?? iso(rollout.endedAt ?? now) },
    gates: halted !== undefined && halted.gates.length > 0 ? halted.gates : gatesNow(rollout, conductor.judge, now),
    stageGates,
    crashFree: conductor.judge === planJudge ? crashFreeArms(rollout.evidence as PlanEvidence, rollout.endedAt ?? now) : null,
    representativeness: coverOf(rollout),
    doors: doorsOf(rollout, conductor.state.devices),
    devices: active.map((member) => describe(rollout, member, conductor.state.devices.get(member.device), said.get(member.device) ?? [])),
    offeredOnly: rollout.members.filter((member) => member.offer !== 0 && !activeSet.has(member.device)).map((member) => member.device),
    crashes: [...crashes.values()].map(({ devices, ...group }) => ({ ...group, devices: [...devices].sort() })).sort((a, b) => b.devices.length - a.devices.length || b.count - a.count),
    logs: [...logs.values()].map(({ devices, ...group }) => ({ ...group, devices: [...devices].sort() })),
    history,
  };
}

function coverOf(rollout: Rollout): Representativeness {
  const count = (members: readonly Assignment[]): Record<string, number> => {
    const counts: Record<string, number> = {};
    for (const { stratum } of members) {
      counts[stratum] = (counts[stratum] ?? 0) + 1;
    }
    return counts;
  };
  return representativeness(count(rollout.members), count(rollout.members.filter((member) => member.stage === 0)));
}

/** The gates of the newest open stage as they stand; empty before the first stage opens. Changes nothing. */
export function gatesNow(rollout: Rollout, judge: Judge, now: Instant): readonly GateReading[] {
  const stage = rollout.stages[rollout.stage];
  if (stage === undefined || stage.openedAt === null) {
    return [];
  }
  return judgementOf(rollout, judge, rollout.endedAt ?? now).gates;
}

interface CrashTally extends Omit<CrashGroup, "devices" | "count"> {
  count: number;
  readonly devices: Set<string>;
}

interface LogTally extends Omit<LogGroup, "devices" | "chunks" | "bytes"> {
  chunks: number;
  bytes: number;
  readonly devices: Set<string>;
}

interface Heard {
  readonly targets: ReadonlySet<string>;
  readonly crashes: Map<string, CrashTally>;
  readonly logs: Map<string, LogTally>;
  readonly said: Map<string, string[]>;
}

function hear(entry: StoredEntry, member: Assignment, heard: Heard): void {
  const decoded = decodeReport(reportBytes(entry).bytes);
  if (decoded.kind === "undecodable") {
    return;
  }
  const { body } = decoded.value;
  switch (body.kind) {
    case "crash":
      if (heard.targets.has(hex(body.imageHash))) {
        countCrash(heard.crashes, body, member.device, entry.at);
      }
      break;
    case "log":
      countLog(heard.logs, body, member.device);
      break;
    case "result":
      if (body.attempt.offer === member.offer) {
        const { outcome } = body.attempt;
        say(heard.said, member.device, body.reason.startsWith(outcome) ? body.reason : body.reason === "" ? outcome : `${outcome}: ${body.reason}`);
      }
      break;
    case "deferred":
      if (body.offer === member.offer) {
        say(heard.said, member.device, `deferred for ${body.until_s} s: ${body.reason}`);
      }
      break;
    default:
      break;
  }
}

function countCrash(crashes: Map<string, CrashTally>, crash: Crash, device: string, at: Instant): void {
  const signature = `${crash.reason}@${crash.pc.toString(16)}`;
  const buildId = hex(crash.buildId);
  const key = `${buildId} ${signature}`;
  const known = crashes.get(key);
  if (known === undefined) {
    crashes.set(key, {
      signature,
      buildId,
      reason: crash.reason,
      pc: `0x${crash.pc.toString(16)}`,
      lr: `0x${crash.lr.toString(16)}`,
      count: 1,
      devices: new Set([device]),
      first: { device, at: iso(at), uptime_s: crash.uptime_s },
    });
  } else {
    known.count += 1;
    known.devices.add(device);
  }
}

function countLog(logs: Map<string, LogTally>, chunk: LogChunk, device: string): void {
  const buildId = hex(chunk.buildId);
  const key = `${buildId} ${chunk.stream}`;
  const tally = logs.get(key) ?? { buildId, stream: chunk.stream, chunks: 0, bytes: 0, devices: new Set<string>() };
  tally.chunks += 1;
  tally.bytes += chunk.data.length;
  tally.devices.add(device);
  logs.set(key, tally);
}

function say(said: Map<string, string[]>, device: string, text: string): void {
  const lines = said.get(device) ?? [];
  if (lines.at(-1) !== text) {
    lines.push(text);
  }
  said.set(device, lines.slice(-saidMax));
}

function describe(rollout: Rollout, member: Assignment, device: DeviceRecord | undefined, said: readonly string[]): ReportedDevice {
  const attempt = device?.attempt ?? null;
  return {
    device: member.device,
    stage: rollout.stages[member.stage]?.name ?? "",
    stratum: member.stratum,
    state: member.state,
    reason: member.reason,
    offeredAt: member.offeredAt === null ? null : iso(member.offeredAt),
    startedAt: member.startedAt === null ? null : iso(member.startedAt),
    confirmedAt: member.confirmedAt === null ? null : iso(member.confirmedAt),
    crashes: member.crashes,
    lastSeen: device === undefined ? null : iso(device.lastSeen),
    running: device?.running === null || device === undefined ? null : `${device.running.version}${device.running.confirmed ? "" : " (unconfirmed)"}`,
    attempt:
      attempt === null || attempt.offer !== member.offer
        ? null
        : `${attempt.outcome}${attempt.ran ? "" : ", never ran"}, last reset: ${attempt.resetCause}`,
    said,
  };
}

/** The sequence before the first entry at or after a moment. Entries are in order of time. */
export function firstAt(log: EventLog, at: Instant): number {
  let low = 0;
  let high = log.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const [entry] = first(log, middle);
    if (entry !== undefined && entry.at < at) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

function first(log: EventLog, after: number): StoredEntry[] {
  for (const entry of log.read(after)) {
    return [entry];
  }
  return [];
}

function iso(at: number): string {
  return new Date(at).toISOString();
}
