// SPDX-License-Identifier: Apache-2.0
// What a stage's evidence means (evidence.md 3.6).

/** One gate as the verdict sees it. */
export interface GateStanding {
  readonly name: string;
  readonly lnEHalt: number;
  readonly threshold: number;
  readonly passed: boolean;
  /** Proven to be within the plan's tightest margin, so a real but tolerable change does not halt a huge fleet. */
  readonly withinMargin: boolean;
}

/** How far a stage has come. */
export interface StageProgress {
  readonly elapsedHours: number;
  readonly minSoakHours: number;
  readonly maxSoakHours: number;
  readonly started: number;
  readonly minDevices: number;
  readonly resolved: number;
  readonly minResolvedFraction: number;
  readonly representative: "yes" | "warn" | "no";
}

export type LateReason = "min-devices" | "unresolved" | "insufficient-evidence";

/** `advance` is R23's pass, `halt` its fail; `wait` and `hold` are inconclusive, before and after the longest soak. */
export type StageVerdict =
  | { readonly kind: "halt"; readonly gates: readonly string[] }
  | { readonly kind: "advance" }
  | { readonly kind: "wait"; readonly reason: "min-soak" | LateReason; readonly gates?: readonly string[] }
  | { readonly kind: "hold"; readonly reason: "not-representative" | LateReason; readonly gates?: readonly string[] };

/** Judges one stage. HALT is for the rollout to latch; PASS holds only at the moment of advancing and is asked again next time. */
export function judgeStage(gates: readonly GateStanding[], stage: StageProgress): StageVerdict {
  const halting = gates.filter((gate) => gate.lnEHalt >= gate.threshold && !gate.withinMargin);
  if (halting.length > 0) return { kind: "halt", gates: halting.map((gate) => gate.name) };
  if (stage.elapsedHours < stage.minSoakHours) return { kind: "wait", reason: "min-soak" };
  const late = stage.elapsedHours >= stage.maxSoakHours ? ("hold" as const) : ("wait" as const);
  if (stage.started < stage.minDevices) return { kind: late, reason: "min-devices" };
  if (stage.resolved < stage.minResolvedFraction * stage.started) return { kind: late, reason: "unresolved" };
  if (stage.representative === "no") return { kind: "hold", reason: "not-representative" };
  const lacking = gates.filter((gate) => !gate.passed).map((gate) => gate.name);
  if (lacking.length === 0) return { kind: "advance" };
  return { kind: late, reason: "insufficient-evidence", gates: lacking };
}
