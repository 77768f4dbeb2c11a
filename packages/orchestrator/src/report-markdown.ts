// SPDX-License-Identifier: Apache-2.0
import type { GateReading } from "@coalmine/core";
import { coverRows, coverSentence, coverTitles } from "./report-cover.ts";
import { doorCells, doorTitles } from "./report-doors.ts";
import { listed } from "./listed.ts";
import { escape, list, table } from "./markdown.ts";
import { crashWords, type RolloutReport } from "./report.ts";

const rowsMax = 200;

/** The report as Markdown, for an issue or an archive. Whatever devices said is escaped: it cannot become markup. */
export function reportMarkdown(report: RolloutReport): string {
  const { rollout, haltedBy } = report;
  const lines: string[] = [`# Rollout ${escape(rollout.id)}: release ${escape(rollout.release)} (${escape(rollout.version)})`, ""];
  lines.push(
    ...list([
      ["Outcome", rollout.outcome],
      ["Verdict", rollout.verdict],
      ["Started", rollout.startedAt],
      ["Ended", rollout.endedAt ?? "not yet"],
      ["Population", `${rollout.population} devices, ${rollout.offered} offered, ${rollout.exposed} exposed`],
      ["Seed", String(rollout.seed)],
    ]),
  );
  if (haltedBy !== null) {
    lines.push("", "## Why it stopped", "", `Gate **${escape(haltedBy.gate)}** (metric ${escape(haltedBy.metric)}) in stage ${escape(haltedBy.stage ?? "-")} at ${haltedBy.at}:`, "", `> ${escape(haltedBy.reason)}`);
  }
  if (rollout.missing.length > 0) {
    lines.push("", "## Still missing for a verdict", "", ...rollout.missing.map((text) => `- ${escape(text)}`));
  }
  lines.push("", "## Stages", "", ...table(["stage", "devices", "opened", "closed", "verdict"], rollout.stages.map((stage) => [stage.name, String(stage.size), stage.openedAt ?? "-", stage.closedAt ?? "-", stage.openedAt === null ? "-" : stage.verdict])));
  lines.push("", "## Devices by state", "", ...table(["state", "devices"], Object.entries(rollout.states).map(([state, count]) => [state, String(count)])));
  lines.push("", "## Evidence by door", "", ...table(doorTitles, report.doors.map(doorCells)));
  lines.push("", "## Gates", "", ...gateTable(report.gates));
  for (const { stage, at, gates } of report.stageGates) {
    lines.push("", `### Stage ${escape(stage)} as it closed at ${at}`, "", ...gateTable(gates));
  }
  if (report.crashFree !== null) {
    const { canary, control } = report.crashFree;
    lines.push("", "## Crash-free", "", ...table(["arm", "devices", "crash-free devices", "device-hours", "crash-free hours"], [["canary", ...crashFreeCells(canary)], ["control", ...crashFreeCells(control)]]));
  }
  lines.push("", "## Canary against the fleet", "", escape(coverSentence(report.representativeness)), "", ...table(coverTitles, coverRows(report.representativeness)));
  lines.push("", "## Way back", "", ...wayBackLines(report));
  lines.push("", "## Crashes of the release", "");
  lines.push(
    ...(report.crashes.length === 0
      ? ["None reported."]
      : table(
          ["signature", "build", "crashes", "devices", "first seen"],
          report.crashes.map((group) => [crashWords(group), group.buildId, String(group.count), listed(group.devices, 10), `${group.first.device} at ${group.first.at}, ${group.first.uptime_s} s after boot`]),
        )),
  );
  if (report.logs.length > 0) {
    lines.push("", "## Logs and coredumps", "", ...table(["build", "stream", "pieces", "bytes", "devices"], report.logs.map((group) => [group.buildId, group.stream, String(group.chunks), String(group.bytes), listed(group.devices, 10)])));
  }
  lines.push("", "## Exposed devices and what they said", "");
  lines.push(
    ...(report.devices.length === 0
      ? ["None."]
      : table(
          ["device", "stage", "stratum", "state", "why", "runs", "attempt", "said"],
          report.devices.slice(0, rowsMax).map((device) => [device.device, device.stage, device.stratum, device.state, device.reason, device.running ?? "-", device.attempt ?? "-", device.said.join("; ") || "-"]),
        )),
  );
  if (report.devices.length > rowsMax) {
    lines.push("", `${report.devices.length - rowsMax} more: ask for the report as JSON.`);
  }
  if (report.offeredOnly.length > 0) {
    lines.push("", `Offered and never begun: ${listed(report.offeredOnly, 10)}.`);
  }
  lines.push("", "## History", "", ...table(["at", "what", "by", "why"], report.history.map((line) => [line.at, line.type, line.by, line.reason])), "");
  return lines.join("\n");
}

/** Counts of an arm with their shares, for tables. */
export function crashFreeCells(arm: NonNullable<RolloutReport["crashFree"]>["canary"]): string[] {
  const share = (part: number, of: number): string => (of === 0 ? "-" : `${part} (${((100 * part) / of).toFixed(1)} %)`);
  return [String(arm.devices), share(arm.crashFreeDevices, arm.devices), String(arm.hours), share(arm.crashFreeHours, arm.hours)];
}

function gateTable(gates: readonly GateReading[]): string[] {
  if (gates.length === 0) {
    return ["No readings."];
  }
  const arm = (reading: GateReading["control"]): string =>
    reading === null ? "-" : `${reading.events} of ${reading.devices} devices${reading.exposure_h > 0 ? `, ${reading.exposure_h.toFixed(1)} h` : ""}${reading.estimate === null ? "" : `, ${formatEstimate(reading.estimate)}`}`;
  return table(
    ["gate", "verdict", "canary", "control", "bound", "reason"],
    gates.map((reading) => [reading.gate, reading.verdict, arm(reading.canary), arm(reading.control), reading.bound, reading.reason]),
  );
}

function formatEstimate(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** R40, and what a rollback has to do with this rollout. */
function wayBackLines({ rollout, wayBack }: RolloutReport): string[] {
  const { devices, able, share } = wayBack;
  const lines = [share === null ? "No device holds the release." : `${able} of ${devices} devices that hold the release keep an intact earlier image and could go back by an order (${Math.round(share * 100)} %).`];
  if (rollout.rollback !== null) {
    const predicted = Object.entries(rollout.rollback.predicted).flatMap(([name, count]) => (count === 0 ? [] : [`${count} ${name}`]));
    lines.push("", `This is the rollback of rollout ${escape(rollout.rollback.of)}, from release ${escape(rollout.rollback.from)}${rollout.rollback.emergency ? ", an emergency" : ""}. Predicted before its start: ${predicted.join(", ")}.`);
  }
  if (rollout.rolledBackBy.length > 0) {
    lines.push("", `Rolled back by ${rollout.rolledBackBy.map(escape).join(", ")}.`);
  }
  return lines;
}
