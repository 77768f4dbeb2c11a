// SPDX-License-Identifier: Apache-2.0
// One entry per category of the statistics reference values: how a case's input becomes coalmine's answer.

import {
  allocate,
  ancovaOfRows,
  binomialCdf,
  bootBounds,
  bootStagePass,
  checkInInterval,
  haltThreshold,
  haltingCounts,
  halfTBounds,
  harmBudgetMargins,
  hashOrder,
  isOverdue,
  judgeStage,
  lnBeta,
  lnBetaInc,
  lnBootEvidence,
  lnGamma,
  lnGateMixture,
  lnHalfT,
  lnNormalCdf,
  lnRiskEvidencePath,
  lnStudentTCdf,
  normalQuantile,
  operatingCharacteristics,
  overdueAt,
  ratioMargins,
  referenceCells,
  representativeness,
  riskBounds,
  riskEvents,
  standardErrorsApart,
} from "@coalmine/evidence";
import type { BinaryRule, GateStanding, Method, ReferenceCell, RiskEvent, StageProgress, Subject } from "@coalmine/evidence";

/** A case as it stands in a reference file. */
export interface StatsCase {
  readonly id: string;
  readonly input: unknown;
  readonly expected: unknown;
}

interface StatsRule {
  /** coalmine's answer to the case. */
  readonly run: (testCase: StatsCase) => unknown;
  /** What to compare with, where that is not `expected` itself. */
  readonly expected?: (testCase: StatsCase) => unknown;
  readonly note?: string;
}

/** A rule from a typed function of the input. The files are ours to trust: a wrong shape shows as a disagreement. */
function rule<I>(run: (input: I) => unknown): StatsRule {
  return { run: (testCase) => run(testCase.input as I) };
}

interface Prior {
  readonly a: number;
  readonly b: number;
}

type SpecialFunction = Readonly<Record<"x" | "a" | "b" | "t" | "nu" | "p" | "k" | "n", number>> & { readonly fn: string };

function specialFunction(i: SpecialFunction): unknown {
  switch (i.fn) {
    case "logGamma":
      return lnGamma(i.x);
    case "logBeta":
      return lnBeta(i.a, i.b);
    case "logBetaInc": {
      const tails = lnBetaInc(i.a, i.b, i.x);
      return { logLower: tails.lower, logUpper: tails.upper };
    }
    case "logStudentTCdf":
      return lnStudentTCdf(i.t, i.nu);
    case "logNormalCdf":
      return lnNormalCdf(i.x);
    case "normalQuantile":
      return normalQuantile(i.p);
    case "binomialCdf":
      return binomialCdf(i.k, i.n, i.p);
    default:
      throw new Error(`unknown function ${i.fn}`);
  }
}

interface DeviceRun {
  readonly start: number;
  readonly report: number;
  readonly outcome: "ok" | "reverted" | "silent";
}

function bootSequence(i: Prior & { readonly q: number; readonly alpha: number; readonly devices: readonly DeviceRun[] }) {
  const moments = i.devices.flatMap((d) => [
    { at: d.start, start: true },
    ...(d.outcome === "ok" ? [] : [{ at: d.report, start: false }]),
  ]);
  moments.sort((x, y) => x.at - y.at || Number(y.start) - Number(x.start));
  let n = 0;
  let k = 0;
  let haltTime: number | null = null;
  let maxLogE = -Infinity;
  for (const moment of moments) {
    if (moment.start) n += 1;
    else k += 1;
    const lnE = lnBootEvidence(k, n, i.q, { a: i.a, b: i.b }).halt;
    maxLogE = Math.max(maxLogE, lnE);
    if (haltTime === null && lnE >= -Math.log(i.alpha)) haltTime = moment.at;
  }
  return { haltTime, maxLogE, finalK: k, finalN: n };
}

interface EpisodeInput {
  readonly quietHours: number;
  readonly devices: readonly { id: string; arm: 0 | 1; stratum: string; enter: number; exit: number | null }[];
  readonly crashes: readonly (readonly [at: number, device: string])[];
  readonly rho0Halt: number;
  readonly rho0Pass: number;
}

function crashEpisodes(i: EpisodeInput) {
  const strata = new Map<string, Subject[]>();
  for (const d of i.devices) {
    const events = i.crashes.filter(([, id]) => id === d.id).map(([at]) => at);
    const subject: Subject = { id: d.id, canary: d.arm, enter: d.enter, exit: d.exit, events };
    strata.set(d.stratum, [...(strata.get(d.stratum) ?? []), subject]);
  }
  const events = riskEvents(strata, i.quietHours).map((placed) => placed.event);
  const path = lnRiskEvidencePath(events, i);
  return { events, logEHalt: path.halt.at(-1) ?? 0, logEPass: path.pass.at(-1) ?? 0 };
}

interface AncovaInput {
  readonly rows: readonly (readonly [arm: 0 | 1, stratum: string, pre: number, post: number])[];
  readonly tau: number;
  readonly margin: number;
}

function ancovaTable(i: AncovaInput) {
  const fit = ancovaOfRows(i.rows.map(([canary, stratum, before, since]) => ({ canary, stratum, before, since })));
  if (fit === undefined) return { effect: null, V: null, nu: null, slope: null, logEHalt: 0, logEPass: 0 };
  return {
    ...fit,
    logEHalt: lnHalfT(fit, { side: 1, h: 0, tau: i.tau }),
    logEPass: lnHalfT(fit, { side: -1, h: i.margin, tau: i.tau }),
  };
}

interface ExactInput {
  readonly rule: "e" | "binom" | "ratio";
  readonly q?: number;
  readonly alpha?: number;
  readonly threshold?: number;
  readonly minN?: number;
  readonly p: number;
  readonly nMax: number;
}

const boundaries = new Map<string, Int32Array>();

function exact(i: ExactInput) {
  const binaryRule: BinaryRule =
    i.rule === "ratio"
      ? { kind: "ratio", threshold: i.threshold as number, minN: i.minN as number }
      : { kind: i.rule, q: i.q as number, alpha: i.alpha ?? 0.05 };
  const key = JSON.stringify([binaryRule, i.nMax]);
  const boundary = boundaries.get(key) ?? haltingCounts(binaryRule, i.nMax);
  boundaries.set(key, boundary);
  return operatingCharacteristics(binaryRule, i, boundary);
}

interface SilenceInput {
  readonly gaps: readonly number[];
  readonly classInterval: number;
  readonly factor: number;
  readonly floorSeconds: number;
  readonly lastSeen: number;
  readonly now: number;
}

function silence(i: SilenceInput) {
  const interval = checkInInterval(i.gaps, i.classInterval);
  const deadline = overdueAt(i.lastSeen, interval, { factor: i.factor, floor: i.floorSeconds });
  return { interval, overdueAt: deadline, overdue: isOverdue(i.now, deadline) };
}

type VerdictInput = StageProgress & {
  readonly gates: readonly { name: string; logEHalt: number; haltThreshold: number; passed: boolean; withinMargin: boolean }[];
};

function verdict(i: VerdictInput) {
  const gates: GateStanding[] = i.gates.map((g) => ({ ...g, lnEHalt: g.logEHalt, threshold: g.haltThreshold }));
  const { kind, ...rest } = judgeStage(gates, i);
  return { verdict: kind, ...rest };
}

interface BenchmarkInput {
  readonly scenario: string;
  readonly parameters: Readonly<Record<string, number>>;
  readonly method: Method;
  readonly replications: number;
}

type BenchmarkExpected = Omit<ReferenceCell, "replications">;

/** Replications of our own simulator per published scenario. */
const REPLICATIONS = 60;
const KNOWN_PARAMETERS: readonly string[] = ["p", "rr", "bat", "crashesPerDeviceDay"];

const simulated = new Map<string, Map<Method, ReferenceCell>>();

/**
 * A Monte-Carlo cell: our simulator runs the same scenario and must lie within four standard errors in every count and in
 * the mean. A scenario with parameters this runner does not know is only checked for counts and moments that fit together.
 */
function benchmarkCell(testCase: StatsCase) {
  const input = testCase.input as BenchmarkInput;
  const published: ReferenceCell = { ...(testCase.expected as BenchmarkExpected), replications: input.replications };
  const fits =
    published.halted + published.held <= published.replications &&
    published.reachedOver5000 <= published.reachedOver100 &&
    published.meanDevices * published.replications >= 5001 * published.reachedOver5000;
  if (!fits) return "the published counts contradict each other";
  if (!Object.keys(input.parameters).every((key) => KNOWN_PARAMETERS.includes(key))) return "agrees";
  const key = JSON.stringify([input.scenario, input.parameters]);
  let cells = simulated.get(key);
  if (cells === undefined) {
    cells = referenceCells({ name: input.scenario, p: 0.002, ...input.parameters }, REPLICATIONS);
    simulated.set(key, cells);
  }
  const ours = cells.get(input.method);
  if (ours === undefined) return `no method ${input.method}`;
  const off = Object.entries(standardErrorsApart(ours, published)).filter(([, errors]) => errors > 4);
  return off.length === 0 ? "agrees" : off.map(([name, errors]) => `${name} is ${errors.toFixed(1)} standard errors off`).join(", ");
}

/** Rules by category name. */
export const STATS_RULES: Readonly<Record<string, StatsRule>> = {
  "special-functions": rule(specialFunction),
  "binary-log-e": rule((i: Prior & { k: number; n: number; q: number }) => {
    const lnE = lnBootEvidence(i.k, i.n, i.q, i);
    return { logEHalt: lnE.halt, logEPass: lnE.pass };
  }),
  "binary-bounds": rule((i: Prior & { k: number; n: number; alpha: number }) => bootBounds(i.k, i.n, i.alpha, i)),
  "binary-sequence": rule(bootSequence),
  "binary-stage-pass": rule((i: { k: number; n: number; margin: number; alphaPass: number }) => {
    const pass = bootStagePass(i.k, i.n, i.margin, i.alphaPass);
    return { cdf: pass.cdf, marginUpper: pass.upper, pass: pass.pass };
  }),
  "logrank-log-e": rule((i: { events: readonly RiskEvent[]; rho0Halt: number; rho0Pass: number }) => {
    const path = lnRiskEvidencePath(i.events, i);
    return { logEHalt: path.halt, logEPass: path.pass };
  }),
  "logrank-bounds": rule((i: { events: readonly RiskEvent[]; alpha: number }) => riskBounds(i.events, i.alpha)),
  "crash-episodes": rule(crashEpisodes),
  "half-t-log-e": rule((i: { side: 1 | -1; effect: number; h: number; V: number; nu: number; tau: number }) => lnHalfT(i, i)),
  "half-t-bounds": rule((i: { effect: number; V: number; nu: number; tau: number; alpha: number }) => halfTBounds(i, i)),
  ancova: rule(ancovaTable),
  "gate-mixture": rule((i: { logPooled: number; logStrata: readonly number[]; alpha: number; weight: number }) => {
    const logE = lnGateMixture(i.logPooled, i.logStrata);
    const threshold = haltThreshold(i.alpha, i.weight);
    return { logE, threshold, halt: logE >= threshold };
  }),
  "stage-verdict": rule(verdict),
  "silence-deadline": rule(silence),
  "harm-budget-margins": rule(
    (i: { cumulativeDevices: readonly number[]; harmBudget: number; baselineFraction: number; baselineFloor: number }) => {
      const margins = harmBudgetMargins(i.cumulativeDevices, i.harmBudget);
      return { margins, ratioMargins: ratioMargins(margins, { fraction: i.baselineFraction, floor: i.baselineFloor }) };
    },
  ),
  representativeness: rule((i: { fleet: Record<string, number>; canary: Record<string, number> }) =>
    representativeness(i.fleet, i.canary),
  ),
  "stratified-allocation": rule((i: { fleet: Record<string, number>; n: number; minPerStratum: number }) => allocate(i.fleet, i)),
  "hash-order": rule((i: { seed: string; ids: readonly string[] }) => hashOrder(i.seed, i.ids)),
  "exact-operating-characteristics": rule(exact),
  "benchmark-expected": {
    run: benchmarkCell,
    expected: () => "agrees",
    note:
      `Monte-Carlo reference cells: coalmine's own simulator runs ${REPLICATIONS} replications of each scenario (seed 1) and must lie within ` +
      "four standard errors in every count and in the mean number of devices; a scenario with other parameters than p, rr, bat and " +
      "crashesPerDeviceDay is checked for consistent counts only. The full comparison is `coalmine bench stats`.",
  },
};
