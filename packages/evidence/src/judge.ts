// SPDX-License-Identifier: Apache-2.0
// From folded evidence to a stage's verdict, with every number a person would ask for (R22, R23, R31).
//
// J1. A gate halts only when its e-value has reached 1/(alpha w): HALT never comes before the evidence (R24).
// J2. HALT counts pending devices as healthy, PASS counts them as failed (evidence.md 2.3).
// J3. Judging reads and never writes: whoever halts on a verdict latches it.
// J4. A look costs what its verdict needs. What only people ask for (bounds, words) is worked out when it is first read;
//     read it before the next observation is folded, or it speaks of a later moment.

import { bootBounds, lnBootEvidence, passesBootStage } from "./boot.ts";
import type { BootGateSpec, BoundGateSpec, EventGateSpec, GateSpec, GatesState, MetricGateSpec, ShareGateSpec, Tripwire } from "./gate-spec.ts";
import { marginAt, shareAt } from "./gate-spec.ts";
import { type BootCounts, cachesOf, type Exposure, exposureHours, type GateCaches, noBoots, SHARE_EVENTS } from "./gates.ts";
import { type Effect, halfTBounds, lnHalfT } from "./half-t.ts";
import type { Moments } from "./live-metric.ts";
import type { AncovaFit } from "./ancova.ts";
import { logMeanExp } from "./logspace.ts";
import { haltThreshold, lnGateMixture } from "./mixture.ts";
import { bootOutcome, lowerBound } from "./device-record.ts";
import { compareCodePoints } from "./order.ts";
import { judgeStage, type StageProgress, type StageVerdict } from "./verdict.ts";
import { explainGate, explainVerdict } from "./words.ts";

/** Residual degrees of freedom below which a metric gate says nothing (evidence.md 3.3). */
export const NU_MIN = 4;

/** Where the rollout stands when it asks. */
export interface StageLook {
  /** Index of the newest open stage; devices of earlier stages are judged with it (R27). */
  readonly stage: number;
  readonly now: number;
  readonly openedAt: number;
  readonly minSoakHours: number;
  readonly maxSoakHours: number;
  /** Devices all open stages together are meant to start; PASS of the boot gate waits for 99 % of them. */
  readonly target: number;
  /** Started devices needed for a verdict; 20 by default. */
  readonly minDevices?: number;
  /** Share of started devices that must be confirmed or failed; 0.95 by default. */
  readonly minResolvedFraction?: number;
  readonly representative: "yes" | "warn" | "no";
  /** The stage was widened after a look: one-look tests no longer hold, the boot gate passes by its e-value instead. */
  readonly reopened?: boolean;
  /** Gates and tripwires a person has overridden (R32): shown, not enforced. */
  readonly overrides?: readonly string[];
}

/** One arm of one gate. */
export interface ArmReading {
  readonly devices: number;
  /** Failures, episodes, first silences; null for a metric. */
  readonly events: number | null;
  readonly exposureHours: number | null;
  /** Failure probability, events per device-day, or mean on the gate's scale (sign as reported). */
  readonly estimate: number | null;
}

/** One gate's evidence. */
export interface GateReading {
  readonly name: string;
  readonly kind: GateSpec["kind"];
  readonly enforced: boolean;
  readonly lnEHalt: number;
  readonly threshold: number;
  readonly lnEPass: number;
  readonly passThreshold: number;
  readonly margin: number;
  readonly passed: boolean;
  readonly withinMargin: boolean;
  /** Fewer canaries with data than the plan asks for: it does not pass. Evidence of harm needs no least sample, it grows with the sample. */
  readonly tooFew: boolean;
  readonly canary: ArmReading;
  /** Null where there is nothing to compare with: the boot gate tests a fixed limit. */
  readonly control: ArmReading | null;
  /** Failure probability (boot), hazard ratio (crash, silence), worsening on the gate's scale (metric), with anytime bounds each at `alphaPass`. */
  readonly effect: { readonly estimate: number | null; readonly lower: number | null; readonly upper: number | null };
  readonly byHardware: readonly { readonly hardware: string; readonly lnEHalt: number }[];
  /** Canaries that got through their first window without an event, where an event gate may pass by that share. */
  readonly clean: { readonly devices: number; readonly share: number } | null;
  readonly words: string;
}

/** A tripwire that fired. */
export interface Tripped {
  readonly name: string;
  readonly event: Tripwire["event"];
  readonly hit: number;
  readonly of: number;
}

/** A stage's verdict with its reasons. */
export interface GatesJudgement {
  readonly verdict: StageVerdict;
  /** R23's words for it. */
  readonly outcome: "pass" | "fail" | "inconclusive";
  readonly gates: readonly GateReading[];
  readonly tripped: readonly Tripped[];
  readonly started: number;
  readonly resolved: number;
  readonly reasons: readonly string[];
}

/** Judges the newest open stage by everything folded so far. */
export function judge(state: GatesState, look: StageLook): GatesJudgement {
  const cache = cachesOf(state);
  const overridden = new Set(look.overrides ?? []);
  const total = sumBoot(cache);
  const weights = state.spec.gates.reduce((sum, gate) => sum + (gate.dryRun === true ? 0 : gate.weight), 0);
  const gates = state.spec.gates.map((gate) => {
    const share = gate.dryRun === true ? Math.min(1, gate.weight / Math.max(weights, gate.weight)) : gate.weight / weights;
    const enforced = gate.dryRun !== true && !overridden.has(gate.name);
    return readGate(state, cache, gate, look, total, { threshold: haltThreshold(state.spec.alpha, share), enforced });
  });
  const tripped = (state.spec.tripwires ?? [])
    .filter((wire) => !overridden.has(wire.name))
    .flatMap((wire) => trip(state, cache, total, wire));
  const resolved = total.failed + total.confirmed;
  const progress: StageProgress = {
    elapsedHours: (look.now - look.openedAt) / 3_600_000,
    minSoakHours: look.minSoakHours,
    maxSoakHours: look.maxSoakHours,
    started: total.started,
    minDevices: look.minDevices ?? 20,
    resolved,
    minResolvedFraction: look.minResolvedFraction ?? 0.95,
    representative: look.representative,
  };
  const verdict: StageVerdict =
    tripped.length > 0
      ? { kind: "halt", gates: tripped.map((wire) => wire.name) }
      : judgeStage(gates.filter((gate) => gate.enforced), progress);
  const outcome = verdict.kind === "halt" ? "fail" : verdict.kind === "advance" ? "pass" : "inconclusive";
  let reasons: readonly string[] | undefined;
  return {
    verdict,
    outcome,
    gates,
    tripped,
    started: total.started,
    resolved,
    get reasons() {
      return (reasons ??= explainVerdict(verdict, progress, gates, tripped));
    },
  };
}

/** What every look needs of a gate. */
type Standing = Pick<GateReading, "name" | "kind" | "enforced" | "tooFew" | "lnEHalt" | "threshold" | "passThreshold" | "margin" | "canary" | "control" | "byHardware">;

/** What only some looks need, as the work that gives it. */
interface Deferred {
  readonly lnEPass: () => number;
  readonly passed: (lnEPass: number) => boolean;
  readonly withinMargin: () => boolean;
  readonly effect: () => GateReading["effect"];
  readonly clean: () => GateReading["clean"];
}

/** Whether a gate that too few devices have data for lets a stage pass all the same. */
const isIgnored = (gate: GateSpec): boolean => (gate.kind === "metric" || gate.kind === "bound") && gate.missingData === "ignore";

function readingOf(gate: GateSpec, standing: Standing, deferred: Deferred): GateReading {
  let lnEPass: number | undefined;
  let passed: boolean | undefined;
  let withinMargin: boolean | undefined;
  let effect: GateReading["effect"] | undefined;
  let clean: GateReading["clean"] | undefined;
  let words: string | undefined;
  const reading: GateReading = {
    ...standing,
    get lnEPass() {
      return (lnEPass ??= deferred.lnEPass());
    },
    get passed() {
      return (passed ??= (standing.tooFew ? isIgnored(gate) : deferred.passed(reading.lnEPass)));
    },
    get withinMargin() {
      return (withinMargin ??= deferred.withinMargin());
    },
    get effect() {
      return (effect ??= deferred.effect());
    },
    get clean() {
      return clean === undefined ? (clean = deferred.clean()) : clean;
    },
    get words() {
      return (words ??= explainGate(reading, gate));
    },
  };
  return reading;
}

interface Frame {
  readonly threshold: number;
  readonly enforced: boolean;
}

function readGate(
  state: GatesState, cache: GateCaches, gate: GateSpec, look: StageLook, total: BootCounts, frame: Frame,
): GateReading {
  if (gate.kind === "boot" || gate.kind === "share") return readShare(state, cache, gate, look, total, frame);
  if (gate.kind === "bound") return readBound(state, cache, gate, look, frame);
  if (gate.kind === "metric") return readMetric(state, cache, gate, look, frame);
  return readEvents(state, cache, gate, look, total, frame);
}

function common(state: GatesState, gate: GateSpec, look: StageLook, frame: Frame & { readonly devices: number }) {
  return {
    name: gate.name,
    kind: gate.kind,
    enforced: frame.enforced,
    threshold: frame.threshold,
    tooFew: frame.devices < (gate.devicesMin ?? 1),
    passThreshold: -Math.log(state.spec.alphaPass),
    margin: marginAt(gate, look.stage),
  };
}

/** One look at a stage is one look only once all of it has started. */
function isComplete(total: BootCounts, look: StageLook): boolean {
  return total.started > 0 && total.started >= Math.ceil(0.99 * look.target);
}

function sumBoot(cache: GateCaches): BootCounts {
  const total = noBoots();
  for (const counts of cache.boot.values()) {
    total.started += counts.started;
    total.mute += counts.mute;
    total.failed += counts.failed;
    total.confirmed += counts.confirmed;
    for (const event of SHARE_EVENTS) {
      total.hit[event] += counts.hit[event];
      total.clean[event] += counts.clean[event];
    }
  }
  return total;
}

function readShare(
  state: GatesState, cache: GateCaches, gate: BootGateSpec | ShareGateSpec, look: StageLook, total: BootCounts, frame: Frame,
): GateReading {
  // Who cannot tell of restarts is neither clean nor hit.
  const asked = (counts: BootCounts): number => counts.started - (gate.kind === "share" && gate.event === "looped" ? counts.mute : 0);
  const n = asked(total);
  const shared = common(state, gate, look, { ...frame, devices: n });
  const hits = (counts: BootCounts): number => (gate.kind === "boot" ? counts.failed : counts.hit[gate.event]);
  const k = hits(total);
  const doubtful = n - (gate.kind === "boot" ? total.confirmed : total.clean[gate.event]);
  const byHardware = [...cache.boot]
    .filter(([, counts]) => asked(counts) > 0)
    .sort(([a], [b]) => compareCodePoints(a, b))
    .map(([hardware, counts]) => ({ hardware, lnEHalt: lnBootEvidence(hits(counts), asked(counts), gate.limit).halt }));
  const pooled = lnBootEvidence(k, n, gate.limit).halt;
  const { alphaPass } = state.spec;
  return readingOf(
    gate,
    {
      ...shared,
      lnEHalt: lnGateMixture(pooled, byHardware.map((own) => own.lnEHalt)),
      canary: { devices: n, events: k, exposureHours: null, estimate: n === 0 ? null : k / n },
      control: null,
      byHardware,
    },
    {
      lnEPass: () => lnBootEvidence(doubtful, n, shared.margin).pass,
      passed: (lnEPass) =>
        n > 0 &&
        (look.reopened === true ? lnEPass >= shared.passThreshold : isComplete(total, look) && passesBootStage(doubtful, n, shared.margin, alphaPass)),
      withinMargin: () => n > 0 && lnBootEvidence(doubtful, n, Math.min(...gate.margins)).pass >= shared.passThreshold,
      effect: () =>
        n === 0
          ? { estimate: null, lower: null, upper: null }
          : { estimate: k / n, lower: bootBounds(k, n, alphaPass).lower, upper: bootBounds(doubtful, n, alphaPass).upper },
      clean: () => null,
    },
  );
}

function armOf(exposure: Exposure, state: GatesState, now: number, events: number): ArmReading {
  const hours = exposureHours(exposure, state, now);
  return { devices: exposure.devices, events, exposureHours: hours, estimate: hours > 0 ? (events * 24) / hours : null };
}

function readEvents(
  state: GatesState, cache: GateCaches, gate: EventGateSpec, look: StageLook, total: BootCounts, frame: Frame,
): GateReading {
  const shared = common(state, gate, look, { ...frame, devices: cache.exposure[1].devices });
  const live = cache.risk.get(gate.name);
  if (live === undefined) throw new Error(`gate ${gate.name} has no risk sets`);
  const reading = live.read();
  const passAt = (margin: number): number => reading.lnEPass[live.margins.indexOf(margin)] as number;
  const share = shareAt(gate, look.stage);
  const clean = (): number => cache.window.get(gate.name)?.clean(look.now) ?? 0;
  // Who cannot tell of a crash is neither clean nor harmed.
  const exposure = gate.kind === "crash" ? cache.telling : cache.exposure;
  const asked = gate.kind === "crash" ? total.started - total.mute : total.started;
  return readingOf(
    gate,
    {
      ...shared,
      lnEHalt: reading.lnEHalt,
      canary: armOf(exposure[1], state, look.now, reading.events[1]),
      control: armOf(exposure[0], state, look.now, reading.events[0]),
      byHardware: reading.byHardware,
    },
    {
      lnEPass: () => passAt(shared.margin),
      passed: (lnEPass) => lnEPass >= shared.passThreshold || (share !== undefined && passesByShare(state, look, { total, asked, share, clean: clean() })),
      withinMargin: () => passAt(Math.min(...gate.margins)) >= shared.passThreshold,
      effect: () => live.hazard(state.spec.alphaPass),
      clean: () => (share === undefined ? null : { devices: clean(), share }),
    },
  );
}

/**
 * Rare events leave a ratio undecided for months, and yet so few of them harm nobody: when the share of canaries with an
 * event in their first day is shown to lie below the stage's margin m_s, so does any increase of it (evidence.md 3.7). One
 * look once the whole stage has been through its window, as for boot failures; whoever was not is counted as harmed. Half
 * of alphaPass, since it stands beside the test of the ratio.
 */
function passesByShare(
  state: GatesState, look: StageLook, counts: { readonly total: BootCounts; readonly asked: number; readonly share: number; readonly clean: number },
): boolean {
  const { total, asked: n, share, clean } = counts;
  if (!isComplete(total, look) || n === 0) return false;
  const doubtful = n - clean;
  return look.reopened === true
    ? lnBootEvidence(doubtful, n, share).pass >= -Math.log(state.spec.alphaPass / 2)
    : passesBootStage(doubtful, n, share, state.spec.alphaPass / 2);
}

function readMetric(state: GatesState, cache: GateCaches, gate: MetricGateSpec, look: StageLook, frame: Frame): GateReading {
  const live = cache.metric.get(gate.name);
  if (live === undefined) throw new Error(`gate ${gate.name} has no samples`);
  const reading = live.read(look.now);
  const shared = common(state, gate, look, { ...frame, devices: reading.arms[1].n });
  const usable = (fit: AncovaFit | undefined): fit is AncovaFit => fit !== undefined && fit.nu >= NU_MIN;
  const halt = (fit: AncovaFit | undefined): number => (usable(fit) ? lnHalfT(fit, { side: 1, h: 0, tau: gate.tau }) : 0);
  const pass = (margin: number): number =>
    usable(reading.pooled) ? lnHalfT(reading.pooled, { side: -1, h: margin, tau: gate.tau }) : 0;
  const byHardware = reading.byHardware.map((own) => ({ hardware: own.hardware, lnEHalt: halt(own.fit) }));
  const arm = (index: 0 | 1): ArmReading => ({
    devices: reading.arms[index].n, events: null, exposureHours: exposureHours(cache.exposure[index], state, look.now), estimate: reading.arms[index].mean,
  });
  return readingOf(
    gate,
    {
      ...shared,
      lnEHalt: lnGateMixture(halt(reading.pooled), byHardware.map((own) => own.lnEHalt)),
      canary: arm(1),
      control: arm(0),
      byHardware,
    },
    {
      lnEPass: () => pass(shared.margin),
      passed: (lnEPass) => lnEPass >= shared.passThreshold,
      withinMargin: () => pass(Math.min(...gate.margins)) >= shared.passThreshold,
      effect: () =>
        usable(reading.pooled)
          ? { estimate: reading.pooled.effect, ...halfTBounds(reading.pooled, { tau: gate.tau, alpha: state.spec.alphaPass }) }
          : { estimate: null, lower: null, upper: null },
      clean: () => null,
    },
  );
}

/** One mean as an effect; a group without any scatter is given that of one device a prior scale off. Undefined for too few. */
function meanOf({ n, mean, m2 }: Moments, tau: number): Effect | undefined {
  const nu = n - 1;
  return nu < NU_MIN ? undefined : { effect: mean, V: (m2 > 0 ? m2 : tau * tau) / nu / n, nu };
}

/** How far beyond its bound a mean may lie is less known than how far from its controls: three prior scales, averaged (one filtration, so a valid e-value). */
const BOUND_SCALES = [0.5, 2, 8];

/**
 * The canaries' mean against a fixed bound: HALT rejects "within the bound", PASS rejects "beyond it". No control is needed,
 * and none excuses: what happens to the whole fleet counts too.
 */
function readBound(state: GatesState, cache: GateCaches, gate: BoundGateSpec, look: StageLook, frame: Frame): GateReading {
  const live = cache.metric.get(gate.name);
  if (live === undefined) throw new Error(`gate ${gate.name} has no samples`);
  const reading = live.read(look.now);
  const shared = common(state, gate, look, { ...frame, devices: reading.canaries.n });
  const [least, tau] = BOUND_SCALES.map((factor) => factor * gate.tau) as [number, number, number];
  const h = gate.worse === "higher" ? gate.bound : -gate.bound;
  const evidence = (side: 1 | -1, fit: Effect | undefined): number => 
    fit === undefined ? 0 : logMeanExp(BOUND_SCALES.map((factor) => lnHalfT(fit, { side, h, tau: factor * gate.tau })));
  const pooled = meanOf(reading.canaries, least);
  const byHardware = reading.byHardware.map((own) => ({ hardware: own.hardware, lnEHalt: evidence(1, meanOf(own.canaries, least)) }));
  return readingOf(
    gate,
    {
      ...shared,
      lnEHalt: lnGateMixture(evidence(1, pooled), byHardware.map((own) => own.lnEHalt)),
      canary: { devices: reading.arms[1].n, events: null, exposureHours: exposureHours(cache.exposure[1], state, look.now), estimate: reading.arms[1].mean },
      control: null,
      byHardware,
    },
    {
      lnEPass: () => evidence(-1, pooled),
      passed: (lnEPass) => lnEPass >= shared.passThreshold,
      withinMargin: () => false,
      effect: () => (pooled === undefined ? { estimate: null, lower: null, upper: null } : { estimate: pooled.effect, ...halfTBounds(pooled, { tau, alpha: state.spec.alphaPass }) }),
      clean: () => null,
    },
  );
}

/** Counts the devices a tripwire watches; without `amongFirst` from running totals, else over the first devices by (start, id). */
function trip(state: GatesState, cache: GateCaches, total: BootCounts, wire: Tripwire): Tripped[] {
  let hit = 0;
  let of = total.started;
  if (wire.amongFirst === undefined) {
    hit = wire.event === "crashed" ? cache.exposure[1].crashed : wire.event === "failed" ? total.failed : total.hit[wire.event];
  } else {
    const first = Object.entries(state.devices)
      .flatMap(([device, record]) => (record.canary === undefined ? [] : [{ device, record, at: record.canary.startedAt }]))
      .sort((a, b) => a.at - b.at || compareCodePoints(a.device, b.device))
      .slice(0, wire.amongFirst);
    of = first.length;
    hit = first.filter(({ record, at }) => {
      if (wire.event === "failed") return bootOutcome(record) === "failed";
      if (wire.event === "reverted") return record.revertedAt !== undefined;
      if (wire.event === "looped") return record.loopedAt !== undefined;
      const times = wire.event === "overdue" ? record.overdues : record.crashes;
      return lowerBound(times, at) < times.length;
    }).length;
  }
  return hit >= wire.count ? [{ name: wire.name, event: wire.event, hit, of }] : [];
}
