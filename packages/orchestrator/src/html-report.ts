// SPDX-License-Identifier: Apache-2.0
// A rollout as one page that stands by itself: no script, nothing loaded, readable in print and in dark mode (R22, R31).
// Everything that devices or operators said passes through `escapeHtml`.
import type { Criterion, GateReading, Plan } from "@coalmine/core";
import type { EvidenceSample } from "./evidence-series.ts";
import { effectChart, type EffectRow, escapeHtml, evidenceChart, exposureChart, oddsText, type TimeMark } from "./html-chart.ts";
import { reportStyle } from "./html-style.ts";
import { listed } from "./listed.ts";
import { coverRows, coverSentence, coverTitles } from "./report-cover.ts";
import { doorCells, doorTitles } from "./report-doors.ts";
import { crashWords, type RolloutReport } from "./report.ts";
import { crashFreeCells } from "./report-markdown.ts";

export interface HtmlReportInput {
  readonly report: RolloutReport;
  readonly plan: Plan;
  /** From `evidenceSeries`; empty leaves those charts out. */
  readonly series: readonly EvidenceSample[];
  /** ISO 8601: when the page was made. */
  readonly madeAt: string;
}

const rowsMax = 300;
const verdictWords: Readonly<Record<string, string>> = { pass: "pass", fail: "fail", inconclusive: "inconclusive" };

/** The page. */
export function reportHtml(input: HtmlReportInput): string {
  const { report } = input;
  const { rollout } = report;
  const title = `Rollout ${rollout.id}: release ${rollout.release}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title>
<style>${reportStyle}</style>
</head>
<body>
<main>
${[head(input), verdict(report), exposure(input), evidence(input), effects(input), arms(input), stages(report), doors(report), cover(report), overrides(report), crashes(report), devices(report), history(report)].filter((part) => part !== "").join("\n")}
<footer>Made ${escapeHtml(input.madeAt)} from the event log, revision ${rollout.revision}. Evidence is an e-value: how many times likelier the data are if the release does harm; ${percent(input.plan.alpha)} of good releases may be halted, however often anybody looks.</footer>
</main>
</body>
</html>
`;
}

function head({ report, plan }: HtmlReportInput): string {
  const { rollout } = report;
  const facts: (readonly [string, string])[] = [
    ["release", `${rollout.release}${rollout.version === rollout.release ? "" : ` (${rollout.version})`}`],
    ["plan", plan.name],
    ["started", moment(rollout.startedAt)],
    ["ended", rollout.endedAt === null ? "not yet" : moment(rollout.endedAt)],
    ["devices", rollout.population.toLocaleString("en")],
    ["offered", rollout.offered.toLocaleString("en")],
    ["exposed", rollout.exposed.toLocaleString("en")],
    ["seed", String(rollout.seed)],
  ];
  return `<header><p class="eyebrow">Rollout ${escapeHtml(rollout.id)}</p><h1>${escapeHtml(rollout.release)} <span class="badge ${outcomeTone(rollout.outcome)}">${escapeHtml(rollout.outcome)}</span></h1>
<dl class="facts">${facts.map(([name, value]) => `<div><dt>${name}</dt><dd>${escapeHtml(value)}</dd></div>`).join("")}</dl></header>`;
}

/** What came of it and why, in words. */
function verdict(report: RolloutReport): string {
  const { rollout, haltedBy } = report;
  const sentences: string[] = [];
  if (haltedBy !== null) {
    sentences.push(`<p><strong>Halted by ${escapeHtml(haltedBy.gate)}</strong>${haltedBy.stage === null ? "" : ` in stage ${escapeHtml(haltedBy.stage)}`} at ${moment(haltedBy.at)}.</p><blockquote>${escapeHtml(haltedBy.reason)}</blockquote>`);
  } else if (rollout.outcome === "complete") {
    sentences.push(`<p><strong>Complete, verdict ${escapeHtml(verdictWords[rollout.verdict] ?? rollout.verdict)}.</strong> The release reached ${rollout.exposed.toLocaleString("en")} of ${rollout.population.toLocaleString("en")} devices.</p>`);
  } else if (rollout.outcome === "held") {
    sentences.push("<p><strong>On hold: a person must decide.</strong> The evidence neither shows harm nor excludes it.</p>");
  } else {
    sentences.push(`<p><strong>${escapeHtml(sentence(rollout.outcome))}, verdict ${escapeHtml(rollout.verdict)}.</strong></p>`);
  }
  if (rollout.missing.length > 0) {
    sentences.push(`<ul>${rollout.missing.map((text) => `<li>${escapeHtml(text)}</li>`).join("")}</ul>`);
  }
  const [crash] = report.crashes;
  if (crash !== undefined) {
    sentences.push(`<p>First crash signature of the release: <code>${escapeHtml(crashWords(crash))}</code>, ${crash.count} times on ${crash.devices.length} device${crash.devices.length === 1 ? "" : "s"}.</p>`);
  }
  return section("Verdict", sentences.join(""), `verdict ${outcomeTone(rollout.outcome)}`);
}

function exposure({ report }: HtmlReportInput): string {
  const times = (name: "startedAt" | "confirmedAt"): number[] =>
    report.devices.flatMap((device) => (device[name] === null ? [] : [Date.parse(device[name])])).sort((a, b) => a - b);
  const started = times("startedAt");
  if (started.length === 0) {
    return section("Who was exposed when", "<p>No update has begun.</p>");
  }
  const { from, to } = span(report);
  const legend = `<p class="legend"><span class="key canary"></span>update begun <span class="key confirmed"></span>confirmed</p>`;
  return section("Who was exposed when", legend + exposureChart({ started, confirmed: times("confirmedAt"), from, to, marks: marks(report) }));
}

function span(report: RolloutReport): { readonly from: number; readonly to: number } {
  const from = Date.parse(report.rollout.startedAt);
  const ends = [report.rollout.endedAt, ...report.history.map((line) => line.at), ...report.devices.map((device) => device.confirmedAt ?? device.startedAt)].map((at) => (at === null ? from : Date.parse(at)));
  return { from, to: Math.max(from + 60_000, ...ends) };
}

function marks(report: RolloutReport): TimeMark[] {
  const stages = report.rollout.stages.flatMap((stage): TimeMark[] => (stage.openedAt === null ? [] : [{ at: Date.parse(stage.openedAt), label: stage.name }]));
  return report.haltedBy === null ? stages : [...stages, { at: Date.parse(report.haltedBy.at), label: "halted", tone: "halt" }];
}

function evidence({ report, series }: HtmlReportInput): string {
  const last = series.at(-1);
  const weighed = (last?.gates ?? []).flatMap(({ gate, evidence: found }) => (found === undefined ? [] : [{ gate, ...found }]));
  if (last === undefined || weighed.length === 0) {
    return "";
  }
  const from = Date.parse(report.rollout.startedAt);
  const to = Math.max(last.at, from + 60_000);
  const charts = weighed.map(({ gate, lnEHalt, haltAt }) => {
    const points = series.flatMap((sample) => {
      const found = sample.gates.find((candidate) => candidate.gate === gate)?.evidence;
      return found === undefined ? [] : [{ at: sample.at, lnE: found.lnEHalt }];
    });
    const state = lnEHalt >= haltAt ? "halt" : "";
    return `<figure><figcaption><strong>${escapeHtml(gate)}</strong> <span class="${state}">${oddsText(lnEHalt)} of ${oddsText(haltAt)}</span></figcaption>${evidenceChart({ gate, points, haltAt, from, to, marks: marks(report).filter((mark) => mark.at <= to) })}</figure>`;
  });
  return section("Evidence of harm over time", `<p>Each gate's e-value on a logarithmic scale. It may be looked at at any moment: crossing the line halts, and a good release crosses it with the gate's share of the error budget at most.</p><div class="pair">${charts.join("")}</div>`);
}

function effects({ report, plan }: HtmlReportInput): string {
  const rows = report.gates.flatMap((reading) => effectRow(reading, plan.gates.find((gate) => gate.metric === reading.metric)));
  return rows.length === 0 ? "" : section("How large the effect is", `<p>Estimate and interval (95 % on each side, valid at any moment) against what counts as harmless and what a pass must exclude.</p>${effectChart(rows)}`);
}

function effectRow(reading: GateReading, criterion: Criterion | undefined): EffectRow[] {
  const { evidence: weighed } = reading;
  if (weighed === undefined) {
    return [];
  }
  const { effect, margin, kind } = weighed;
  const common = { label: reading.gate, halted: reading.verdict === "fail" };
  if (kind === "share") {
    const limit = reading.metric === "boot-confirmation" ? 1 - (criterion?.min ?? 0.995) : (criterion?.max ?? 0.005);
    return [{ ...common, ...effect, reference: limit, referenceLabel: `limit ${percent(limit)}`, margin, marginLabel: `excludes ${percent(margin)}`, format: percent }];
  }
  if (kind === "ratio") {
    const log = (value: number | null): number | null => (value === null || value <= 0 ? null : Math.log(value));
    const format = (value: number): string => `${short(Math.exp(value))}x`;
    return [
      { ...common, estimate: log(effect.estimate), lower: log(effect.lower), upper: log(effect.upper), reference: 0, referenceLabel: "as the controls", margin: Math.log(margin), marginLabel: `excludes ${short(margin)}x`, format },
    ];
  }
  const isLog = criterion?.scale === "ln";
  if (kind === "bound") {
    // Effects are turned so that higher is worse; people read the metric as it is reported.
    const sign = (criterion?.worse ?? "higher") === "higher" ? 1 : -1;
    const format = (value: number): string => short(isLog ? Math.exp(sign * value) : sign * value);
    return [{ ...common, ...effect, reference: sign * margin, referenceLabel: `${sign > 0 ? "at most" : "at least"} ${format(sign * margin)}`, margin: sign * margin, marginLabel: "", format }];
  }
  const format = (value: number): string => (isLog ? `${value >= 0 ? "+" : ""}${percent(Math.expm1(value))}` : short(value));
  return [{ ...common, ...effect, reference: 0, referenceLabel: "as the controls", margin, marginLabel: `excludes ${format(margin)}`, format }];
}

function arms({ report, plan }: HtmlReportInput): string {
  const arm = (counts: GateReading["canary"] | null, reading: GateReading): string[] =>
    counts === null ? ["", "", "", ""] : [counts.devices.toLocaleString("en"), counts.exposure_h > 0 ? `${short(counts.exposure_h)} h` : "", counts.events.toLocaleString("en"), estimateText(counts.estimate, reading, plan)];
  const rows = (gates: readonly GateReading[]): string =>
    gates
      .map((reading) => {
        const { evidence: weighed } = reading;
        const odds = weighed === undefined ? "" : `${oddsText(weighed.lnEHalt)} of ${oddsText(weighed.haltAt)}`;
        const cells = [...arm(reading.canary, reading), ...arm(reading.control, reading), odds].map((text) => `<td class="number">${escapeHtml(text)}</td>`).join("");
        return `<tr><th scope="row">${escapeHtml(reading.gate)}</th><td><span class="badge ${verdictTone(reading.verdict)}">${reading.verdict}</span></td>${cells}</tr><tr class="words"><td></td><td colspan="10">${escapeHtml(reading.reason)}</td></tr>`;
      })
      .join("");
  const table = (gates: readonly GateReading[]): string =>
    `<div class="wide"><table class="arms"><thead><tr><th></th><th></th><th colspan="4" class="group">canary</th><th colspan="4" class="group">control</th><th class="group">evidence</th></tr><tr><th>gate</th><th>verdict</th>${"<th>n</th><th>exposure</th><th>events</th><th>estimate</th>".repeat(2).replaceAll("<th>", '<th class="number">')}<th class="number">of halt</th></tr></thead><tbody>${rows(gates)}</tbody></table></div>`;
  const closed = report.stageGates.map(({ stage, at, gates }) => `<details><summary>Stage ${escapeHtml(stage)} as it closed at ${moment(at)}</summary>${table(gates)}</details>`);
  return section("Gates, both arms", (report.gates.length === 0 ? "<p>No readings.</p>" : table(report.gates)) + closed.join(""));
}

function stages(report: RolloutReport): string {
  const { rollout } = report;
  const rows = rollout.stages.map((stage) => [stage.name, stage.size.toLocaleString("en"), stage.openedAt === null ? "" : moment(stage.openedAt), stage.closedAt === null ? "" : moment(stage.closedAt), stage.openedAt === null ? "" : stage.verdict]);
  const total = Object.values(rollout.states).reduce((sum, count) => sum + count, 0);
  const bars = Object.entries(rollout.states)
    .map(([state, count]) => `<tr><th scope="row">${escapeHtml(state)}</th><td class="number">${count.toLocaleString("en")}</td><td class="bar"><span style="width:${((100 * count) / Math.max(1, total)).toFixed(1)}%"></span></td></tr>`)
    .join("");
  return section("Stages and devices", `<div class="pair">${table(["stage", "devices", "opened", "closed", "verdict"], rows, [1])}<div class="wide"><table><thead><tr><th>state</th><th class="number">devices</th><th></th></tr></thead><tbody>${bars}</tbody></table></div></div>`);
}

/** What is behind a state: a hash that a device said, or no more than its word. */
function doors(report: RolloutReport): string {
  return section("Evidence by door", table(doorTitles, report.doors.map(doorCells), [1, 3]));
}

function cover(report: RolloutReport): string {
  const { representativeness: found } = report;
  return section("Canary against the fleet", `<p>${escapeHtml(coverSentence(found))}</p>${table(coverTitles, coverRows(found), [1, 2, 3])}`);
}

/** What people did against, or without, the evidence. */
function overrides(report: RolloutReport): string {
  const lines = report.history.filter((line) => line.by !== "coalmine" && line.type !== "rollout-started");
  const body = lines.length === 0 ? "<p>Nothing: every stage followed the plan.</p>" : table(["at", "what", "by", "why"], lines.map((line) => [moment(line.at), line.type, line.by, line.reason]));
  return section("What people overrode", body);
}

function crashes(report: RolloutReport): string {
  const { crashFree } = report;
  const free =
    crashFree === null
      ? ""
      : table(["arm", "devices", "crash-free devices", "device-hours", "crash-free hours"], [["canary", ...crashFreeCells(crashFree.canary)], ["control", ...crashFreeCells(crashFree.control)]], [1, 2, 3, 4]);
  if (report.crashes.length === 0 && report.logs.length === 0) {
    return section("Crashes of the release", `${free}<p>None reported.</p>`);
  }
  const groups = table(
    ["signature", "build", "crashes", "devices", "first seen"],
    report.crashes.map((group) => [crashWords(group), group.buildId.slice(0, 12), String(group.count), listed(group.devices, 10), `${group.first.device}, ${moment(group.first.at)}, ${group.first.uptime_s} s after boot`]),
    [2],
  );
  const logs = report.logs.length === 0 ? "" : `<h3>Logs and coredumps</h3>${table(["build", "stream", "pieces", "bytes", "devices"], report.logs.map((group) => [group.buildId.slice(0, 12), group.stream, String(group.chunks), group.bytes.toLocaleString("en"), listed(group.devices, 10)]), [2, 3])}`;
  return section("Crashes of the release", `${free}<h3>Signatures</h3>${groups}${logs}`);
}

function devices(report: RolloutReport): string {
  const bad = new Set(["reverted", "refused", "failed", "missing", "quarantined"]);
  // Whoever reads this wants the troubled ones first.
  const ordered = [...report.devices].sort((a, b) => Number(bad.has(b.state)) - Number(bad.has(a.state)));
  const rows = ordered.slice(0, rowsMax).map((device) => [device.device, device.stage, device.stratum, device.state, device.reason, device.running ?? "", device.crashes === 0 ? "" : String(device.crashes), device.startedAt === null ? "" : moment(device.startedAt), device.said.join("; ")]);
  const more = report.devices.length > rowsMax ? `<p>${(report.devices.length - rowsMax).toLocaleString("en")} more: ask for the report as JSON.</p>` : "";
  const never = report.offeredOnly.length === 0 ? "" : `<p>Offered and never begun: ${escapeHtml(listed(report.offeredOnly, 10))}.</p>`;
  const body = rows.length === 0 ? "<p>None.</p>" : `<details${rows.length <= 40 ? " open" : ""}><summary>${report.devices.length.toLocaleString("en")} devices, the troubled ones first</summary>${table(["device", "stage", "stratum", "state", "why", "runs", "crashes", "begun", "said"], rows, [6])}</details>`;
  return section("Exposed devices", body + more + never);
}

function history(report: RolloutReport): string {
  return section("History", table(["at", "what", "by", "why"], report.history.map((line) => [moment(line.at), line.type, line.by, line.reason])));
}

function section(title: string, body: string, name = ""): string {
  return `<section${name === "" ? "" : ` class="${name}"`}><h2>${title}</h2>${body}</section>`;
}

function table(titles: readonly string[], rows: readonly (readonly string[])[], numbers: readonly number[] = []): string {
  const cell = (tag: string, text: string, column: number): string => `<${tag}${numbers.includes(column) ? ' class="number"' : ""}>${escapeHtml(text)}</${tag}>`;
  return `<div class="wide"><table><thead><tr>${titles.map((title, column) => cell("th", title, column)).join("")}</tr></thead><tbody>${rows.map((row) => `<tr>${row.map((text, column) => cell("td", text, column)).join("")}</tr>`).join("")}</tbody></table></div>`;
}

const outcomeTone = (outcome: string): string => (outcome === "complete" ? "good" : outcome === "halted" || outcome === "aborted" ? "bad" : outcome === "held" ? "warn" : "");
const verdictTone = (word: string): string => (word === "pass" ? "good" : word === "fail" ? "bad" : "");
const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1).replaceAll("_", " ");
const moment = (iso: string): string => escapeHtml(`${iso.slice(0, 10)} ${iso.slice(11, 16)} Z`);
const short = (value: number): string => Number(value.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 4 });
const percent = (share: number): string => `${short(100 * share)} %`;

/** An arm's estimate in the metric's own unit: means of logarithms are geometric means. */
function estimateText(value: number | null, { metric, evidence: weighed }: GateReading, plan: HtmlReportInput["plan"]): string {
  if (value === null) {
    return "";
  }
  switch (weighed?.kind) {
    case "share":
      return percent(value);
    case "ratio":
      return `${short(value)} / day`;
    case "bound":
    case "difference":
      return `${short(plan.gates.find((gate) => gate.metric === metric)?.scale === "ln" ? Math.exp(value) : value)}${metric === "crash-rate" ? " / h" : ""}`;
    default:
      return metric === "boot-confirmation" ? percent(value) : short(value);
  }
}
