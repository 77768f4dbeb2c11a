// SPDX-License-Identifier: Apache-2.0
import { CoalmineError, type Criterion, checkPlan, Hours, type Millis, Minutes, type Plan, parseDuration, Seconds, type StageSpec } from "@coalmine/core";
import { parseDocument } from "yaml";
import { z } from "zod";

/** Largest plan, fleet or scenario document, in characters. */
export const documentCharsMax = 64 * 1024;

/**
 * Reads a YAML document as plain data. Refuses what a configuration file never needs: more than 64 KiB, aliases
 * (and with them alias bombs), tags, duplicate keys. Throws `yaml/...` with line and column.
 */
export function readYaml(text: string, source: string): unknown {
  if (text.length > documentCharsMax) {
    throw new CoalmineError("yaml/size", `${source}: ${text.length} characters are more than ${documentCharsMax}`);
  }
  const document = parseDocument(text, { uniqueKeys: true, strict: true, prettyErrors: true });
  const problem = document.errors[0];
  if (problem !== undefined) {
    throw new CoalmineError("yaml/syntax", `${source}: ${problem.message.split("\n", 1)[0]?.replace(/:$/, "")}`);
  }
  try {
    return document.toJS({ maxAliasCount: 0 }) as unknown;
  } catch (cause) {
    throw new CoalmineError("yaml/alias", `${source}: aliases (*name) are not allowed; write the value out`, { cause });
  }
}

/** Throws `code` with one line for each problem, each naming its field. */
export function checkShape<T>(schema: z.ZodType<T>, value: unknown, options: { readonly code: string; readonly source: string }): T {
  const result = schema.safeParse(value);
  if (result.success) {
    return result.data;
  }
  const lines = result.error.issues.slice(0, 10).map((issue) => `${issue.path.length === 0 ? "document" : issue.path.join(".")}: ${issue.message}`);
  throw new CoalmineError(options.code, `${options.source}: ${lines.join("; ")}`);
}

const duration = z.string().transform((text, context): Millis => {
  try {
    return parseDuration(text);
  } catch (error) {
    context.addIssue({ code: "custom", message: (error as Error).message });
    return z.NEVER;
  }
});

const share = z.union([z.string(), z.number()]).transform((value, context): number => {
  if (typeof value === "number") {
    if (value >= 0 && value <= 1) {
      return value;
    }
  } else {
    const match = /^(\d+(?:\.\d+)?)\s*%$/.exec(value.trim());
    if (match !== null && Number(match[1]) <= 100) {
      return Number(match[1]) / 100;
    }
  }
  context.addIssue({ code: "custom", message: `${JSON.stringify(value)} is not a share: write 98% or 0.98` });
  return z.NEVER;
});

/** A bound in the metric's own unit: a number, a share such as 5%, or for update-duration a time, as minutes. */
const bound = z.union([z.string(), z.number()]).transform((value, context): number => {
  if (typeof value === "number" && Number.isFinite(value)) {
    return value;
  }
  const text = String(value).trim();
  const match = /^(-?\d+(?:\.\d+)?)\s*(%?)$/.exec(text);
  if (match !== null) {
    return Number(match[1]) / (match[2] === "%" ? 100 : 1);
  }
  try {
    return parseDuration(text) / 60_000;
  } catch {
    context.addIssue({ code: "custom", message: `${JSON.stringify(value)} is not a bound: write a number, 5% or, for update-duration, 30m` });
    return z.NEVER;
  }
});

/** A worsening: a share of what it was, or the metric's own unit; unlike a share it may be more than 1. */
const worsening = z.union([z.string(), z.number()]).transform((value, context): number => {
  const match = typeof value === "string" ? /^(\d+(?:\.\d+)?)\s*%$/.exec(value.trim()) : null;
  const number = typeof value === "number" ? value : match === null ? Number.NaN : Number(match[1]) / 100;
  if (!(number > 0 && Number.isFinite(number))) {
    context.addIssue({ code: "custom", message: `${JSON.stringify(value)} is not a margin: write 50%, 0.5 or, for metric:NAME, a number in its unit` });
    return z.NEVER;
  }
  return number;
});

const stage = z.union([
  z.string(),
  z.number(),
  z.strictObject({
    name: z.string().min(1).max(64).optional(),
    percent: z.number().optional(),
    count: z.number().optional(),
    devices: z.array(z.string()).optional(),
  }),
]);

type Field = "min" | "max" | "margin" | "worse" | "scale" | "missingData" | "critical";

/** A built-in metric (R15). */
interface BuiltIn {
  /** What holds when a plan names only the metric. Weights: evidence.md 3.5. */
  readonly usual: Partial<Criterion>;
  /** Fields that mean something for it, beside `minSample`, `dryRun` and `weight`. */
  readonly fields: readonly Field[];
  /** Its bounds are shares, 0 to 1. */
  readonly isShare?: true;
}

const counted = { minSample: 1 } as const;

const metrics: Readonly<Record<string, BuiltIn>> = {
  "boot-confirmation": { usual: { ...counted, min: 0.995, weight: 0.4 }, fields: ["min", "margin", "critical"], isShare: true },
  "revert-rate": { usual: { ...counted, max: 0.005 }, fields: ["max", "margin", "critical"], isShare: true },
  "boot-loop-rate": { usual: { ...counted, max: 0.005 }, fields: ["max", "margin", "critical"], isShare: true },
  "crash-free-devices": { usual: { min: 0.95 }, fields: ["min", "critical"], isShare: true },
  "crash-rate": { usual: { ...counted, weight: 0.3 }, fields: ["max", "margin", "critical"] },
  "crash-free-sessions": { usual: { worse: "lower", scale: "raw" }, fields: ["min", "margin", "missingData"], isShare: true },
  silence: { usual: { ...counted, weight: 0.1 }, fields: ["max", "margin", "critical"], isShare: true },
  "connectivity-uptime": { usual: { worse: "lower", scale: "raw" }, fields: ["min", "margin", "missingData"], isShare: true },
  "check-in-punctuality": { usual: { worse: "lower", scale: "raw" }, fields: ["min", "margin", "missingData"], isShare: true },
  "battery-drain": { usual: { weight: 0.2, worse: "higher", scale: "ln", missingData: "ignore", minSample: 20 }, fields: ["max", "margin", "missingData"] },
  "update-duration": { usual: { worse: "higher", scale: "raw" }, fields: ["max", "missingData"] },
};

/** A number that devices report: everything may be said of it. */
const custom: BuiltIn = { usual: {}, fields: ["min", "max", "margin", "worse", "scale", "missingData"] };

/** What `gates: default` stands for. */
const defaultGates = ["boot-confirmation", "crash-rate", "silence", "battery-drain"];

const criterion = z.strictObject({
  min: bound.optional(),
  max: bound.optional(),
  margin: worsening.optional(),
  worse: z.enum(["higher", "lower"]).optional(),
  scale: z.enum(["ln", "raw"]).optional(),
  minSample: z.int().min(1).optional(),
  missingData: z.enum(["fail", "hold", "ignore"]).optional(),
  critical: z.boolean().default(false),
  dryRun: z.boolean().default(false),
  weight: z.number().positive().optional(),
});

const noGates =
  'a plan without success criteria does not start: write "gates: default", or name metrics such as boot-confirmation with their bounds';

/** Short forms: `gates: default`, `soak: 24h`. */
function expand(data: unknown): unknown {
  if (typeof data !== "object" || data === null || Array.isArray(data)) {
    return data;
  }
  const plan: Record<string, unknown> = { ...data };
  if (plan["gates"] === "default") {
    plan["gates"] = Object.fromEntries(defaultGates.map((metric) => [metric, null]));
  }
  if (typeof plan["soak"] === "string") {
    plan["soak"] = { min: plan["soak"] };
  }
  return plan;
}

const planShape = z.strictObject({
  version: z.literal(1).default(1),
  name: z.string().min(1).max(64).default("plan"),
  stages: z.array(stage).min(1, "a plan needs at least one stage").max(32).default([{ name: "canary", count: 10 }, "10%", "50%", "100%"]),
  partial: z.boolean().default(false),
  holdback: share.refine((held) => held <= 0.2, "must be at most 20%").default(0),
  strata: z.array(z.string().min(1).max(32)).max(6).default(["hardware", "connectivity", "firmware"]),
  representativeness: z.enum(["require", "warn"]).default("require"),
  strataCoverMin: share.default(0.1),
  offers: z
    .strictObject({ perMinute: z.number().positive().max(1_000_000).default(600), jitter: duration.default(Seconds(60)) })
    .prefault({}),
  soak: z
    .strictObject({
      min: duration.default(Hours(24)),
      max: duration.optional(),
      deviceHoursMin: z.number().min(0).default(0),
      dutyCycles: z.number().min(0).max(100).default(3),
      onset: duration.optional(),
    })
    .prefault({}),
  updateDeadline: duration.default(Hours(4)),
  confirm: z
    .strictObject({
      minUptime: duration.default(Seconds(60)),
      deadline: duration.default(Minutes(15)),
      serverContact: z.boolean().default(true),
    })
    .prefault({}),
  silence: z.strictObject({ floor: duration.default(Minutes(15)), intervals: z.number().min(1).max(100).default(3) }).prefault({}),
  resolvedMin: share.default(0.95),
  gates: z.record(z.string(), criterion.nullable(), {
    error: (issue) => (issue.input === undefined ? noGates : undefined),
  }),
  alpha: share.refine((alpha) => alpha > 0 && alpha <= 0.5, "must be above 0 and at most 0.5").default(0.05),
  harmBudget: share.refine((budget) => budget > 0, "must be above 0").optional(),
  minDevices: z.int().min(1).max(10_000).default(20),
  onFail: z
    .union([z.literal("rollback"), z.strictObject({ rollback: z.string().min(1).max(64) })], {
      error: 'must be "rollback", for the release that most of the devices ran before, or {rollback: RELEASE}',
    })
    .optional(),
  rollbackShareMin: share.optional(),
});

/** Plan data from anything JSON-like. Throws `plan/...` naming the field. */
export function planFromData(data: unknown, source = "plan"): Plan {
  const shape = checkShape(planShape as z.ZodType<z.output<typeof planShape>>, expand(data), { code: "plan/shape", source });
  const gates = Object.entries(shape.gates).map(([metric, given]) => criterionOf(metric, given ?? criterion.parse({})));
  return checkPlan({
    version: 1,
    name: shape.name,
    stages: withHoldback(shape.stages.map((entry, index) => stageOf(entry, index, source)), shape.holdback, source),
    partial: shape.partial,
    strata: shape.strata,
    representativeness: shape.representativeness,
    strataCoverMin: shape.strataCoverMin,
    offers: shape.offers,
    soak: soakOf(shape.soak),
    updateDeadline: shape.updateDeadline,
    confirm: shape.confirm,
    silence: shape.silence,
    resolvedMin: shape.resolvedMin,
    gates,
    alpha: shape.alpha,
    harmBudget: shape.harmBudget ?? 0,
    minDevices: shape.minDevices,
    ...(shape.onFail === undefined ? {} : { onFail: { rollback: shape.onFail === "rollback" ? "previous" : shape.onFail.rollback } }),
    ...(shape.rollbackShareMin === undefined ? {} : { rollbackShareMin: shape.rollbackShareMin }),
  });
}

function soakOf({ max, onset, ...soak }: z.output<typeof planShape>["soak"]): Plan["soak"] {
  return { ...soak, max: max ?? ((soak.min * 3) as Millis), ...(onset === undefined ? {} : { onset }) };
}

/** Keeps a share of the fleet back as controls until the rest has soaked: the last stage in two. */
function withHoldback(stages: readonly StageSpec[], held: number, source: string): StageSpec[] {
  const last = stages.at(-1) as StageSpec;
  if (held === 0) {
    return [...stages];
  }
  const percent = 100 - held * 100;
  const before = stages.at(-2)?.size;
  if (last.size.kind !== "percent" || last.size.percent !== 100 || (before?.kind === "percent" && before.percent >= percent)) {
    throw new CoalmineError("plan/holdback", `${source}: holdback: keeps back a part of the last stage, which must be 100% and larger than the holdback`);
  }
  return [...stages.slice(0, -1), { name: last.name, size: { kind: "percent", percent } }, { name: "holdback", size: last.size }];
}

/** Reads a plan file. Throws `yaml/...` or `plan/...` naming the place. */
export function parsePlan(text: string, source = "plan"): Plan {
  return planFromData(readYaml(text, source), source);
}

function criterionOf(metric: string, given: z.output<typeof criterion>): Criterion {
  const isCustom = metric.startsWith("metric:") && metric.length > "metric:".length;
  const known = Object.hasOwn(metrics, metric) ? metrics[metric] : isCustom ? custom : undefined;
  const bad = (field: string, why: string): never => {
    throw new CoalmineError("plan/metric", `gates.${metric}${field === "" ? "" : `.${field}`}: ${why}`);
  };
  if (known === undefined) {
    return bad("", `unknown metric; there are ${Object.keys(metrics).join(", ")}, and metric:NAME for a number that devices report`);
  }
  if (isCustom && given.worse === undefined) {
    return bad("worse", 'say whether "higher" or "lower" is a regression');
  }
  if (metric === "boot-confirmation" && given.margin !== undefined && given.margin >= 1) {
    return bad("margin", "is the share of failed updates to exclude, below 100%");
  }
  if (given.critical && !known.fields.includes("critical")) {
    const can = Object.keys(metrics).filter((name) => metrics[name]?.fields.includes("critical") === true);
    return bad("critical", `a comparison cannot stop a release at its first device; ${can.join(", ")} can`);
  }
  if (given.missingData === "ignore" && !known.fields.includes("missingData")) {
    return bad("missingData", "a device that says nothing counts against the release here: silence never passes by itself");
  }
  for (const field of ["min", "max", "margin", "worse", "scale"] as const) {
    if (given[field] !== undefined && !known.fields.includes(field)) {
      return bad(field, `has no meaning for this metric; it takes ${[...known.fields, "minSample", "dryRun", "weight"].join(", ")}`);
    }
  }
  const said = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Partial<Criterion>;
  const made: Criterion = { missingData: "fail", weight: 0.1, minSample: 5, critical: false, dryRun: false, ...known.usual, ...said, metric };
  checkBounds(made, known, bad);
  return made;
}

function checkBounds(gate: Criterion, known: BuiltIn, bad: (field: string, why: string) => never): void {
  for (const field of ["min", "max"] as const) {
    const value = gate[field];
    if (value === undefined) {
      continue;
    }
    if (known.isShare === true && !(value >= 0 && value <= 1)) {
      bad(field, `${value} is not a share: write 98% or 0.98`);
    }
    if ((known.isShare !== true && known !== custom && value <= 0) || (gate.scale === "ln" && value <= 0)) {
      bad(field, `${value} is not above 0`);
    }
  }
  if (gate.max !== undefined && known.fields.includes("critical") && gate.max >= 1) {
    bad("max", "must be below 100%");
  }
  if (gate.metric === "boot-confirmation" && (gate.min ?? 1) <= 0) {
    bad("min", "must be above 0%");
  }
  if (gate.metric.startsWith("metric:") && gate[gate.worse === "higher" ? "min" : "max"] !== undefined) {
    bad(gate.worse === "higher" ? "min" : "max", `a metric that is worse ${gate.worse === "higher" ? "higher is bounded by max" : "lower is bounded by min"}`);
  }
}

function stageOf(entry: z.output<typeof stage>, index: number, source: string): StageSpec {
  const where = `${source}: stages.${index}`;
  const bad = (why: string): never => {
    throw new CoalmineError("plan/stage-size", `${where}: ${why}; write 10%, a number of devices, or {name, percent|count|devices}`);
  };
  if (typeof entry === "number") {
    return { name: index === 0 ? "canary" : `${entry} devices`, size: { kind: "count", count: entry } };
  }
  if (typeof entry === "string") {
    const match = /^(-?\d+(?:\.\d+)?)\s*%$/.exec(entry.trim());
    if (match === null) {
      return bad(`${JSON.stringify(entry)} is not a stage`);
    }
    return { name: index === 0 ? "canary" : `${match[1]}%`, size: { kind: "percent", percent: Number(match[1]) } };
  }
  const given = [entry.percent, entry.count, entry.devices].filter((value) => value !== undefined);
  if (given.length !== 1) {
    return bad(given.length === 0 ? "says no size" : "says more than one size");
  }
  if (entry.percent !== undefined) {
    return { name: entry.name ?? (index === 0 ? "canary" : `${entry.percent}%`), size: { kind: "percent", percent: entry.percent } };
  }
  if (entry.count !== undefined) {
    return { name: entry.name ?? (index === 0 ? "canary" : `${entry.count} devices`), size: { kind: "count", count: entry.count } };
  }
  return { name: entry.name ?? "canary", size: { kind: "devices", ids: entry.devices ?? [] } };
}
