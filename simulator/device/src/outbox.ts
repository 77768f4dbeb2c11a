// SPDX-License-Identifier: Apache-2.0
// Reports on their way. Heartbeats are sent or lost; everything else is kept until it is acknowledged.
import type { Crash, ReportBody } from "@coalmine/protocol";
import type { CrashEntry, Device, Turn, Waiting } from "./device.ts";
import { uptime, write } from "./device.ts";
import { encodeAttempt, encodeCrashes, isFinal } from "./records.ts";
import { RecordKind } from "./storage.ts";

/** Reports kept at most; a full outbox loses progress first, then its oldest report. Results and crashes are in storage anyway. */
const outboxMax = 16;

/** True when what is sent now has a chance to arrive. */
export function isConnected(device: Device): boolean {
  return device.linkUp && !device.radioDown && !device.mute;
}

/** Makes a report of this boot and sends it, now or when there is a link. Returns its sequence. */
export function send(turn: Turn, body: ReportBody): number {
  const { device, now, out } = turn;
  const report = { boot: device.boot, sequence: device.sequence, uptime_s: uptime(device, now), body };
  device.sequence += 1;
  const connected = isConnected(device);
  if (body.kind !== "heartbeat") {
    keep(device, { report, sentAt: connected ? now : 0 });
  }
  if (connected) {
    out.push({ kind: "report", report });
  }
  return report.sequence;
}

function keep(device: Device, waiting: Waiting): void {
  const { outbox } = device;
  if (waiting.report.body.kind === "hello") {
    // Only the newest says how things are.
    const older = outbox.findIndex((entry) => entry.report.body.kind === "hello");
    if (older >= 0) {
      outbox.splice(older, 1);
    }
  }
  outbox.push(waiting);
  if (outbox.length > outboxMax) {
    const progress = outbox.findIndex((entry) => entry.report.body.kind === "progress");
    outbox.splice(Math.max(0, progress), 1);
  }
}

/** Sends again what has waited for its acknowledgement for longer than `patience` milliseconds. */
export function sendAgain(turn: Turn, patience: number): void {
  const { device, now, out } = turn;
  if (!isConnected(device)) {
    return;
  }
  for (const entry of device.outbox) {
    if (now - entry.sentAt >= patience) {
      entry.sentAt = now;
      out.push({ kind: "report", report: entry.report });
    }
  }
}

/** The boot has another number by now: what waits is sent again under it, since the host took it for old. */
export function renumber(device: Device): void {
  for (const [index, { report }] of device.outbox.entries()) {
    device.outbox[index] = { report: { ...report, boot: device.boot }, sentAt: 0 };
  }
}

/** Takes an acknowledgement. True when it is for a report of this boot. */
export function acknowledge(device: Device, boot: number, sequence: number): boolean {
  if (boot !== device.boot) {
    return false;
  }
  const index = device.outbox.findIndex((entry) => entry.report.sequence === sequence);
  if (index < 0) {
    return sequence < device.sequence;
  }
  const [entry] = device.outbox.splice(index, 1) as [Waiting];
  const { body } = entry.report;
  if (body.kind === "result") {
    const { attempt } = device;
    if (attempt !== null && attempt.offer === body.attempt.offer && isFinal(attempt.stage) && !attempt.acknowledged) {
      device.attempt = { ...attempt, acknowledged: true };
      write(device, RecordKind.attempt, encodeAttempt(device.attempt));
    }
  } else if (body.kind === "crash") {
    keepCrashes(device, device.crashes.filter((crash) => crash.sequence !== sequence));
  }
  return true;
}

/** Stores the crashes that still wait to be reported. */
export function keepCrashes(device: Device, crashes: readonly CrashEntry[]): void {
  device.crashes = crashes;
  write(device, RecordKind.crashes, crashes.length === 0 ? new Uint8Array(0) : encodeCrashes(crashes.map((entry) => entry.crash)));
}

/** Reports the crashes found in storage. Whatever image runs now sends them, with the build id that crashed (R19). */
export function sendCrashes(turn: Turn): void {
  for (const entry of turn.device.crashes) {
    const body: Crash = entry.crash;
    entry.sequence = send(turn, body);
  }
}
