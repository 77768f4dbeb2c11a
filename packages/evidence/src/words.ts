// SPDX-License-Identifier: Apache-2.0
// Evidence in sentences: what was seen, against what, and how sure.

import type { GateSpec, ShareEvent } from "./gate-spec.ts";
import type { GateReading, Tripped } from "./judge.ts";
import type { StageProgress, StageVerdict } from "./verdict.ts";

/** A short number: three significant digits, no exponent for everyday sizes. */
function short(x: number): string {
  if (!Number.isFinite(x)) return x > 0 ? "unbounded" : x < 0 ? "-unbounded" : "unknown";
  const size = Math.abs(x);
  if (size !== 0 && (size < 1e-4 || size >= 1e6)) return x.toExponential(1);
  return String(Number(x.toPrecision(3)));
}

const percent = (x: number): string => `${short(100 * x)} %`;

/** An e-value in words: "evidence 210 of 80". */
function odds(lnE: number): string {
  return lnE > 700 ? `e^${short(lnE)}` : short(Math.exp(lnE));
}

function range(lower: string | null, upper: string | null): string {
  return lower === null && upper === null ? "no bounds yet" : `between ${lower ?? "?"} and ${upper ?? "?"}`;
}

/** What a gate still lacks to pass, from what every look knows already. */
function explainLack(gate: GateReading): string {
  const { canary, control, clean } = gate;
  const few = gate.tooFew ? "; too few devices to pass" : "";
  const seen =
    canary.events === null
      ? `${canary.devices} canaries with data${control === null ? "" : `, ${control.devices} controls`}`
      : `${canary.events} events on ${canary.devices} canaries${control === null ? "" : `, ${control.events} on ${control.devices} controls`}`;
  const quiet = clean === null ? "" : `; or ${clean.devices} canaries without one in their first hours, where less than ${percent(clean.share)} with one must be shown`;
  return `${gate.name}: ${seen}; evidence against the margin ${odds(gate.lnEPass)}, passes at ${odds(gate.passThreshold)}${quiet}${few}`;
}

const happened: Readonly<Record<ShareEvent, string>> = {
  reverted: "started updates reverted",
  looped: "devices restarted over and over",
  overdue: "devices fell silent",
};

/** One gate in one sentence. */
export function explainGate(gate: Omit<GateReading, "words">, spec: GateSpec): string {
  const evidence = `evidence of harm ${odds(gate.lnEHalt)}, halts at ${odds(gate.threshold)}`;
  const { effect, canary, control } = gate;
  if (spec.kind === "boot" || spec.kind === "share") {
    if (canary.devices === 0) return `${gate.name}: no update has started`;
    const what = spec.kind === "boot" ? "started updates failed" : happened[spec.event];
    const seen = `${canary.events} of ${canary.devices} ${what} (${percent(canary.estimate ?? 0)}, limit ${percent(spec.limit)})`;
    const bounds = range(percent(effect.lower ?? 0), percent(effect.upper ?? 1));
    return `${gate.name}: ${seen}; true share ${bounds}; ${evidence}`;
  }
  const size = (arm: typeof canary): string =>
    `${arm.devices} devices${arm.exposureHours === null ? "" : ` over ${short(arm.exposureHours)} device-hours`}`;
  if (spec.kind === "bound") {
    const show = (x: number | null): string | null => {
      const signed = x === null ? null : spec.worse === "higher" ? x : -x;
      return signed === null ? null : short(spec.scale === "ln" ? Math.exp(signed) : signed);
    };
    const ends = [show(effect.lower), show(effect.upper)] as const;
    const [low, high] = spec.worse === "higher" ? ends : [ends[1], ends[0]];
    const bound = `${spec.worse === "higher" ? "at most" : "at least"} ${short(spec.scale === "ln" ? Math.exp(spec.bound) : spec.bound)}`;
    const mean = effect.estimate === null ? "too few devices with data" : `${spec.metric} of ${show(effect.estimate) as string} (${range(low, high)})`;
    return `${gate.name}: ${mean}, ${bound} is asked for, on ${size(canary)}; ${evidence}`;
  }
  if (spec.kind === "metric") {
    const show = (x: number | null): string | null =>
      x === null ? null : spec.scale === "ln" ? percent(Math.expm1(spec.worse === "higher" ? x : -x)) : short(spec.worse === "higher" ? x : -x);
    const ends = [show(effect.lower), show(effect.upper)] as const;
    const [low, high] = spec.worse === "higher" ? ends : [ends[1], ends[0]];
    const change = effect.estimate === null ? "too few samples to compare" : `${spec.metric} changed by ${show(effect.estimate) as string} (${range(low, high)})`;
    return `${gate.name}: ${change} on ${size(canary)} against ${control === null ? "no controls" : size(control)}; ${evidence}`;
  }
  const noun = spec.kind === "crash" ? "crash episodes" : "devices fallen silent";
  const ratio = effect.estimate === null ? "rate ratio not estimable yet" : `rate ratio ${short(effect.estimate)}`;
  const bounds = range(effect.lower === null ? null : short(effect.lower), effect.upper === null ? null : short(effect.upper));
  return (
    `${gate.name}: ${canary.events} ${noun} on ${size(canary)} against ${control?.events ?? 0} on ` +
    `${control === null ? "no controls" : size(control)}; ${ratio} (${bounds}); ${evidence}`
  );
}

/** A stage's verdict in sentences, the decisive one first. */
export function explainVerdict(
  verdict: StageVerdict, progress: StageProgress, gates: readonly GateReading[], tripped: readonly Tripped[],
): string[] {
  const named = (names: readonly string[]): string[] => gates.filter((gate) => names.includes(gate.name)).map((gate) => gate.words);
  switch (verdict.kind) {
    case "halt":
      return [
        ...tripped.map((wire) => `${wire.name}: ${wire.hit} of ${wire.of} started devices ${wire.event}, which halts at once`),
        ...named(verdict.gates),
      ];
    case "advance":
      return [
        `every gate excludes its margin after ${short(progress.elapsedHours)} h on ${progress.started} devices`,
        ...gates.filter((gate) => gate.enforced).map((gate) => gate.words),
      ];
    case "wait":
    case "hold":
      return [lateness(verdict.reason, progress, verdict.kind), ...gates.filter((gate) => verdict.gates?.includes(gate.name) === true).map(explainLack)];
  }
}

function lateness(reason: string, progress: StageProgress, kind: "wait" | "hold"): string {
  const end = kind === "hold" ? `the longest soak of ${short(progress.maxSoakHours)} h is over` : `${short(progress.elapsedHours)} h of at most ${short(progress.maxSoakHours)} h`;
  switch (reason) {
    case "min-soak":
      return `${short(progress.elapsedHours)} of ${short(progress.minSoakHours)} h of the shortest soak have passed`;
    case "min-devices":
      return `only ${progress.started} of at least ${progress.minDevices} devices have started (${end})`;
    case "unresolved":
      return (
        `${progress.started - progress.resolved} of ${progress.started} started devices are neither confirmed nor failed; ` +
        `at least ${percent(progress.minResolvedFraction)} must be (${end})`
      );
    case "not-representative":
      return "the canary does not represent the fleet; a person must decide";
    default:
      return `not enough evidence yet to rule out harm (${end})`;
  }
}
