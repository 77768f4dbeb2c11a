// SPDX-License-Identifier: Apache-2.0
// Numbers with their units, times with their zone, states and verdicts in words.
import type { RolloutView } from "@coalmine/api";

export type GateView = RolloutView["gates"][number];

export function count(value: number): string {
  return value.toLocaleString("en");
}

export function plural(value: number, one: string, many: string): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function devices(value: number): string {
  return plural(value, "device", "devices");
}

/** Three significant digits, no exponent for everyday sizes. */
export function short(value: number): string {
  if (!Number.isFinite(value)) {
    return "unbounded";
  }
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-4 || size >= 1e7) ? value.toExponential(1) : Number(value.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 6 });
}

export function percent(share: number): string {
  return `${short(100 * share)} %`;
}

/** A size with its unit: 512 bytes, 12.3 KiB, 4 MiB. */
export function bytes(size: number): string {
  return size < 1_024 ? plural(size, "byte", "bytes") : size < 1_024 ** 2 ? `${short(size / 1_024)} KiB` : `${short(size / 1_024 ** 2)} MiB`;
}

/** An e-value from its natural log: 0.3, 12, 2.1 × 10⁹. */
export function odds(lnE: number): string {
  const log10 = lnE / Math.LN10;
  if (log10 >= 6) {
    const power = Math.floor(log10);
    return `${(10 ** (log10 - power)).toFixed(1)} × 10${superscript(power)}`;
  }
  return log10 < -4 ? "under 0.0001" : Number(Math.exp(lnE).toPrecision(2)).toLocaleString("en", { maximumFractionDigits: 6 });
}

export function superscript(power: number): string {
  return String(power).replaceAll(/[-\d]/g, (digit) => (digit === "-" ? "⁻" : ("⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)] as string)));
}

const full = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" });
const clock = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZoneName: "short" });

/** Day, time and zone of whoever looks. */
export function moment(at: string | number): string {
  return clock.format(new Date(at));
}

export function exactMoment(at: string | number): string {
  return full.format(new Date(at));
}

/** The two largest units: 2 d 3 h, 12 min, 45 s. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  const units: readonly (readonly [string, number])[] = [
    ["d", 86_400],
    ["h", 3_600],
    ["min", 60],
    ["s", 1],
  ];
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first < 0) {
    return "0 s";
  }
  const [unit, size] = units[first] as readonly [string, number];
  const whole = Math.floor(seconds / size);
  const next = units[first + 1];
  const rest = next === undefined || next[0] === "s" ? 0 : Math.floor((seconds % size) / next[1]);
  return `${whole} ${unit}${rest > 0 && next !== undefined ? ` ${rest} ${next[0]}` : ""}`;
}

/** How long ago, by the orchestrator's clock; "just now" within ten seconds. */
export function ago(at: string, now: string | undefined): string {
  if (now === undefined) {
    return moment(at);
  }
  const ms = Date.parse(now) - Date.parse(at);
  return ms < 10_000 ? "just now" : `${duration(ms)} ago`;
}

export type Group = "waiting" | "underway" | "soaking" | "good" | "bad" | "out";

/** The states of an assignment, in the order of a good update and then the ways out, with what they mean. */
export const stateWords: Readonly<Record<string, { readonly group: Group; readonly means: string }>> = {
  planned: { group: "waiting", means: "waits for its stage or its offer" },
  offered: { group: "underway", means: "has the offer" },
  downloading: { group: "underway", means: "fetches the image" },
  downloaded: { group: "underway", means: "has the image, waits to reboot" },
  applying: { group: "underway", means: "reboots into it" },
  testing: { group: "underway", means: "runs it on trial" },
  deferred: { group: "underway", means: "cannot update now and said until when" },
  confirmed: { group: "soaking", means: "made it permanent" },
  soaking: { group: "soaking", means: "runs it, under observation" },
  healthy: { group: "good", means: "soaked without trouble" },
  failed: { group: "bad", means: "did not get it running in time" },
  reverted: { group: "bad", means: "went back to its old image by itself" },
  refused: { group: "bad", means: "its bootloader refused the image" },
  missing: { group: "bad", means: "fell silent" },
  quarantined: { group: "bad", means: "had the release when it was halted, or is barred from it" },
  rolled_back: { group: "bad", means: "was ordered back to an earlier release" },
  excused: { group: "out", means: "taken out of the count by a person" },
};

export function groupOf(state: string): Group {
  return stateWords[state]?.group ?? "waiting";
}

export const groupWords: Readonly<Record<Group, string>> = {
  waiting: "waiting",
  underway: "updating",
  soaking: "soaking",
  good: "healthy",
  bad: "in trouble",
  out: "excused",
};

export type Tone = "good" | "bad" | "warn" | "live" | "plain";

export function toneOf(word: string): Tone {
  switch (word) {
    case "complete":
    case "pass":
      return "good";
    case "halted":
    case "aborted":
    case "barred":
    case "fail":
      return "bad";
    case "held":
      return "warn";
    case "running":
      return "live";
    default:
      return "plain";
  }
}

/** A gate's own margin in the unit of what it measures. */
function marginWords({ evidence }: GateView): string {
  if (evidence === undefined) {
    return "";
  }
  switch (evidence.kind) {
    case "share":
      return `a failure share of ${percent(evidence.margin)}`;
    case "ratio":
      return `${short(evidence.margin)} times the controls' rate`;
    case "bound":
      return `${short(evidence.margin)} beyond its bound`;
    case "difference":
      return `a worsening of ${short(evidence.margin)}`;
  }
}

/** What would change a gate's verdict, in sentences. */
export function changeWords(gate: GateView): readonly string[] {
  const { evidence } = gate;
  if (evidence === undefined) {
    return gate.verdict === "fail" ? [`Only devices can change it: the bound is ${gate.bound}.`] : [`It fails below its bound (${gate.bound}), and passes when enough devices have shown it.`];
  }
  const halt = `evidence of harm ${odds(evidence.lnEHalt)} of the ${odds(evidence.haltAt)} that halts`;
  const pass = `evidence that it is harmless ${odds(evidence.lnEPass)} of the ${odds(evidence.passAt)} that passes (excluding ${marginWords(gate)})`;
  switch (gate.verdict) {
    case "fail":
      return [`Nothing the devices still say takes it back: ${halt}.`, "A person who knows that the gate is wrong can override it by resuming, with a name and a reason."];
    case "pass":
      return [`New harm would: ${halt}.`];
    default:
      return [`More trouble on canaries than on controls would halt: ${halt}.`, `More devices or hours without trouble would pass: ${pass}.`];
  }
}

/** What the estimate of an arm is: a share of devices, a rate per device-day, or a mean in the metric's own unit. A fixed bound is on a share. */
export type EstimateKind = "share" | "rate" | "mean";

export function estimateKind({ evidence }: Pick<GateView, "evidence">): EstimateKind {
  return evidence === undefined || evidence.kind === "share" ? "share" : evidence.kind === "ratio" ? "rate" : "mean";
}

/** An arm's estimate in its unit. */
export function estimateWords(kind: EstimateKind, value: number | null): string {
  if (value === null) {
    return "–";
  }
  return kind === "share" ? percent(value) : kind === "rate" ? `${short(value)} / device-day` : short(value);
}

/** What a gate's curves show. */
export function curveTitle({ metric, evidence }: Pick<GateView, "metric" | "evidence">): string {
  if (evidence === undefined) {
    return "Share of devices that did well";
  }
  switch (metric) {
    case "boot-confirmation":
      return "Share of updates that failed";
    case "crash-rate":
      return "Crashes per device-day";
    case "silence":
      return "Devices fallen silent, per device-day";
    default:
      return evidence.kind === "share" ? `Share of devices that failed ${metric}` : metric.replace(/^metric:/, "");
  }
}
