// SPDX-License-Identifier: Apache-2.0
// Release notes and the fleet inventory as Markdown, from what the event log says (R41). What people and devices said is escaped.
import type { Instant } from "@coalmine/core";
import { setImmediate } from "node:timers/promises";
import { type AuditLine, auditLine } from "./audit.ts";
import type { Conductor, HostState } from "./conductor.ts";
import { buildIdOf } from "./crash/symbols.ts";
import { readRecord } from "./entry.ts";
import { type DeviceRecord, dimension } from "./inventory.ts";
import { escape, list, table } from "./markdown.ts";
import type { ReleaseRecord } from "./membership.ts";
import type { EventLog } from "./ports.ts";
import { summarise } from "./summary.ts";

const iso = (at: number): string => new Date(at).toISOString();
const pauseEvery = 2_000;

/** Notes of a release: what it is, how its rollouts went, what people decided about it. Reads the log in pieces. */
export async function releaseNotes(conductor: Conductor, log: EventLog, release: ReleaseRecord, now: Instant): Promise<string> {
  const rollouts = [...conductor.state.rollouts.values()].filter((rollout) => rollout.release === release.id);
  const ids = new Set<string>(rollouts.map((rollout) => rollout.id));
  const decisions = await decisionsAbout(log, release.id, ids);
  const lines = [`# Release ${escape(release.id)}`, "", ...list([["Version", release.version], ["Barred", release.barred ?? "no"], ["As of", iso(now)]])];
  if (release.notes.trim() !== "") {
    lines.push("", "## What changed", "", ...release.notes.trim().split("\n").map((line) => escape(line)));
  }
  lines.push("", "## Artifacts", "", ...table(["variant", "version", "bytes", "image hash", "build", "SHA-256"], release.artifacts.map((one) => [`${one.variant.board}/${one.variant.revision}/${one.variant.partitionMap}`, one.version, String(one.size), one.imageHash, buildIdOf(release, one) ?? "-", one.digest])));
  if (release.storage !== null) {
    const { minRead, maxRead, writes } = release.storage;
    lines.push("", `Reads storage schemas ${minRead} to ${maxRead} and writes ${writes}${release.migration ? ": a migration" : ""}.`);
  }
  lines.push("", "## Rollouts", "");
  if (rollouts.length === 0) {
    lines.push("None.");
  } else {
    lines.push(
      ...table(
        ["rollout", "plan", "outcome", "verdict", "devices", "exposed", "healthy", "started", "ended", "stopped by"],
        rollouts.map((rollout) => {
          const summary = summarise(rollout);
          return [rollout.id, rollout.plan.name, summary.outcome, summary.verdict, String(summary.population), String(summary.exposed), String(summary.states["healthy"] ?? 0), iso(rollout.startedAt), rollout.endedAt === null ? "-" : iso(rollout.endedAt), rollout.haltedBy === null ? "-" : `${rollout.haltedBy.gate}: ${rollout.haltedBy.reason}`];
        }),
      ),
    );
  }
  const byPeople = decisions.filter((line) => line.by !== "coalmine");
  lines.push("", "## What people decided", "", ...(byPeople.length === 0 ? ["Nothing is on record."] : table(["at", "what", "by", "why"], byPeople.map((line) => [line.at, line.type, line.by, line.reason]))));
  return `${lines.join("\n")}\n`;
}

/** Decisions about a release and its rollouts as a whole, oldest first. */
async function decisionsAbout(log: EventLog, release: string, rollouts: ReadonlySet<string>): Promise<AuditLine[]> {
  const found: AuditLine[] = [];
  let read = 0;
  for (const entry of log.read(0)) {
    read += 1;
    if (read % pauseEvery === 0) {
      await setImmediate();
    }
    if (entry.type === "report" || entry.type === "undecodable" || entry.device !== null) {
      continue;
    }
    const record = readRecord(entry);
    if (("release" in record && record.release === release) || ("rollout" in record && rollouts.has(record.rollout))) {
      const line = auditLine(entry, entry.sequence);
      if (line !== undefined) {
        found.push(line);
      }
    }
  }
  return found;
}

/** The fleet as it stands: counts by version, hardware and connectivity, who can go back, and every device. */
export function fleetInventory(state: HostState, now: Instant): string {
  const devices = [...state.devices.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  const releases = new Map([...state.releases.values()].flatMap((release) => release.artifacts.map((artifact) => [artifact.imageHash, release.id] as const)));
  const counts = (keyOf: (device: DeviceRecord) => string): string[][] => {
    const groups = new Map<string, number>();
    for (const device of devices) {
      const key = keyOf(device);
      groups.set(key, (groups.get(key) ?? 0) + 1);
    }
    return [...groups].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).map(([key, count]) => [key, String(count)]);
  };
  const keepers = devices.filter((device) => device.slot1 !== null && device.slot1.imageHash !== device.running?.imageHash).length;
  const lines = ["# Fleet inventory", "", ...list([["As of", iso(now)], ["Devices", String(devices.length)], ["With an intact previous image", `${keepers} of ${devices.length}`], ["Reports taken in", String(state.counters.reports)]])];
  for (const [title, keyOf] of [
    ["version", (device: DeviceRecord) => dimension(device, "firmware")],
    ["hardware", (device: DeviceRecord) => dimension(device, "hardware")],
    ["connectivity", (device: DeviceRecord) => dimension(device, "connectivity")],
    ["site", (device: DeviceRecord) => dimension(device, "site")],
  ] as const) {
    lines.push("", `## By ${title}`, "", ...table([title, "devices"], counts(keyOf)));
  }
  lines.push(
    "",
    "## Devices",
    "",
    ...table(
      ["device", "board", "revision", "runs", "release", "confirmed", "other slot", "storage schema", "battery", "crashes", "tags", "last seen"],
      devices.map((device) => [
        device.id,
        device.hardware?.board ?? "-",
        device.hardware?.revision ?? "-",
        device.running?.version || "-",
        releases.get(device.running?.imageHash ?? "") ?? "-",
        device.running === null ? "-" : device.running.confirmed ? "yes" : "no",
        device.slot1?.version ?? "-",
        device.storageSchema === 0 ? "-" : String(device.storageSchema),
        device.battery === null ? "-" : `${device.battery} %`,
        String(device.crashes),
        device.tags.join(" ") || "-",
        iso(device.lastSeen),
      ]),
    ),
  );
  return `${lines.join("\n")}\n`;
}
