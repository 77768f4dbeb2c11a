// SPDX-License-Identifier: Apache-2.0
// The shapes of requests and answers. They check what comes in and describe the API at /openapi.json.
import { declarationFields, matrixFields } from "@coalmine/orchestrator";
import { z } from "zod";

/** Who asks, and why: it goes into the audit log. */
const authority = {
  by: z.string().trim().min(1).max(64).describe("person or job that asks; goes into the audit log"),
  reason: z.string().trim().max(500).default("").describe("why; goes into the audit log"),
};

const reasonGiven = z.string().trim().min(1).max(500).describe("why; goes into the audit log");

const wholeText = (text: string): boolean => /^\d{1,15}$/.test(text);

/** A whole number in a query string. */
export function whole(min: number, max: number) {
  return z
    .string()
    .refine(wholeText, "must be a whole number")
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be from ${min} to ${max}`);
}

export const limit = whole(1, 1_000).default(100);

const tag = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,31}$/, "must be 1 to 32 of A-Z a-z 0-9 . _ : -, not starting with a sign");

const selector = z
  .strictObject({
    ids: z.array(z.string().min(1).max(64)).max(100_000).optional(),
    tags: z.array(tag).max(32).optional(),
    attributes: z.record(z.string().min(1).max(64), z.string().max(256)).optional(),
  })
  .describe("devices that match all given parts; an empty selector matches every device");

export const name = z.strictObject({ id: z.string().min(1).max(100) });

const variant = z.strictObject({
  board: z.string().min(1).max(64),
  revision: z.string().max(64),
  partitionMap: z.string().min(1).max(64),
});

const digest = z.string().regex(/^[0-9a-f]{64}$/, "must be a SHA-256 in 64 lower-case hex digits");

export const deviceQuery = z.strictObject({
  limit,
  after: z.string().max(64).optional().describe("id of the last device of the page before"),
  state: z.string().max(32).optional().describe("state of the device's assignment in its active rollout"),
  tag: z.string().max(32).optional(),
  hardware: z.string().max(64).optional().describe("board or hardware revision"),
  release: z.string().max(64).optional().describe("release that runs on it"),
  version: z.string().max(64).optional().describe("version that runs on it"),
  text: z.string().max(64).optional().describe("part of the id"),
});

export const tagBody = z.strictObject({ add: z.array(tag).max(32).default([]), remove: z.array(tag).max(32).default([]), ...authority });

export const cohortBody = z.strictObject({ name: z.string().min(1).max(32), selector, ...authority });

const format = z.enum(["mcuboot", "swu"]).default("mcuboot").describe("swu: a SWUpdate archive, whose signature its client checks");

export const artifactQuery = z.strictObject({ format });

export const releaseBody = z.strictObject({
  id: z.string().min(1).max(64),
  artifacts: z.array(z.strictObject({ digest, variant, format })).min(1, "a release needs at least one artifact").max(64),
  notes: z.string().max(20_000).default(""),
  ...declarationFields,
  override: z.boolean().default(false).describe("allows a migration that changes more than one thing at once; the reason is recorded"),
  ...authority,
});

export const matrixBody = z.strictObject({ matrix: z.strictObject(matrixFields), ...authority });

const plan = z
  .union([z.string().min(1).max(65_536), z.record(z.string(), z.unknown())])
  .describe("the plan: the text of a YAML file, or the same as JSON");

export const rolloutBody = z.strictObject({
  id: z.string().min(1).max(64).optional(),
  release: z.string().min(1).max(64),
  cohort: z.string().min(1).max(32).optional(),
  selector: selector.optional(),
  plan,
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(1),
  override: z.boolean().default(false).describe("lifts a bar on the release; the reason is recorded"),
  ...authority,
});

export const rolloutPlanBody = rolloutBody.extend({ by: authority.by.default("plan") });

export const rollbackPlanBody = z.strictObject({
  rollout: z.string().min(1).max(64).describe("the rollout that is rolled back"),
  to: z.string().min(1).max(64).optional().describe("release to go back to; without it the one that most of its devices ran before"),
  plan: plan.optional().describe("instead of the plan that is made from the rollout's own"),
  emergency: z.boolean().default(false).describe("half the devices, then all, without a soak; stops at the first that comes back badly"),
  includeRefused: z.boolean().default(false).describe("also devices whose bootloader is predicted to refuse: they lose the image in slot 1"),
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  by: authority.by.default("plan"),
  reason: authority.reason,
});

export const rollbackBody = rollbackPlanBody.extend({
  id: z.string().min(1).max(64).optional(),
  override: z.boolean().default(false).describe("lifts a bar on the release that is gone back to; the reason is recorded"),
  by: authority.by,
  reason: reasonGiven,
});

export const orderBody = z.strictObject({ by: authority.by, reason: reasonGiven });
export const promoteBody = orderBody.extend({ override: z.boolean().default(false).describe("although the release's migration is not shown to be good") });
export const excuseBody = z.strictObject({ device: z.string().min(1).max(64), by: authority.by, reason: reasonGiven });

export const memberQuery = z.strictObject({
  limit,
  after: whole(0, Number.MAX_SAFE_INTEGER).default(0).describe("number of members to skip: `next` of the page before"),
  state: z.string().max(32).optional(),
  stage: z.string().max(64).optional().describe("name of the stage"),
});

export const preflightQuery = z.strictObject({
  limit,
  after: z.string().max(64).optional(),
  outcome: z.enum(["installable", "risky", "refused"]).optional(),
});

export const reportQuery = z.strictObject({ format: z.enum(["json", "markdown", "html"]).optional() });

export const auditQuery = z.strictObject({
  limit,
  after: whole(0, Number.MAX_SAFE_INTEGER).optional().describe("oldest first, after this sequence"),
  before: whole(1, Number.MAX_SAFE_INTEGER).optional().describe("newest first, before this sequence"),
  type: z.union([z.string().max(32), z.array(z.string().max(32)).max(32)]).optional(),
  device: z.string().max(64).optional(),
  rollout: z.string().max(64).optional(),
  brief: z.enum(["true", "false"]).default("false").describe("leaves out offers and moves of single devices"),
});

// Answers

const time = z.string().describe("ISO 8601, the orchestrator's clock");

export const failure = z.object({ error: z.object({ code: z.string(), message: z.string() }) }).describe("every error looks like this; `code` is stable");

const verdictKind = z.enum(["pass", "fail", "inconclusive"]);

const hardware = z.object({ board: z.string(), revision: z.string(), partitionMap: z.string(), mode: z.string(), slotSize: z.number() });
const bootloader = { keepsRollbackImage: z.boolean(), swapBackWorks: z.boolean(), revertWorks: z.boolean().nullable() };

export const device = z.object({
  id: z.string(),
  door: z.string(),
  firstSeen: time,
  lastSeen: time,
  hardware: hardware.nullable(),
  bootloader: z.object(bootloader).nullable().describe("what its mode keeps and can undo; revertWorks is null where devices do not say"),
  running: z.object({ imageHash: z.string(), version: z.string(), buildId: z.string(), confirmed: z.boolean() }).nullable(),
  slot1: z.object({ imageHash: z.string(), version: z.string() }).nullable(),
  attempt: z.object({ offer: z.number(), target: z.string(), outcome: z.string(), ran: z.boolean(), resetCause: z.string() }).nullable(),
  resetCause: z.string(),
  interval_s: z.number(),
  battery: z.number().nullable(),
  metrics: z.record(z.string(), z.number()),
  attributes: z.record(z.string(), z.string()),
  tags: z.array(z.string()),
  storageSchema: z.number(),
  crashes: z.number(),
  reports: z.number(),
  history: z
    .object({ watchedDays: z.number(), crashDays: z.number(), silences: z.number(), usual: z.record(z.string(), z.number()) })
    .describe("days it was watched, days begun by a crash, times it was overdue, and its usual metrics: means of its last days, battery-drain in per cent a day"),
  quarantined: z.array(z.string()),
  excluded: z.object({ rollout: z.string(), release: z.string(), reason: z.string() }).nullable().describe("why the newest rollout that could have had it left it out"),
  release: z.string().nullable(),
  rollout: z.object({ id: z.string(), stage: z.string(), state: z.string() }).nullable(),
});

export const devicePage = z.object({ devices: z.array(device), total: z.number(), next: z.string().nullable() });
export const cohort = z.object({ name: z.string(), selector });
export const cohortList = z.object({ cohorts: z.array(cohort) });
export const resolved = z.object({ name: z.string(), count: z.number(), devices: z.array(z.string()) });
export const storedArtifact = z.object({ digest: z.string(), size: z.number() });
export const artifactName = z.strictObject({ digest });
export const artifactBytes = z.any().describe("the file's bytes");
export const artifactList = z.object({ artifacts: z.array(storedArtifact.extend({ releases: z.array(z.string()) })) });

const storageSchema = z.object({ minRead: z.number(), maxRead: z.number(), writes: z.number() });

export const release = z.object({
  id: z.string(),
  version: z.string(),
  artifacts: z.array(z.object({ variant: variant.loose(), digest: z.string(), format: z.literal("swu").optional(), imageHash: z.string(), buildId: z.string().nullable().describe("of its ELF, as devices report it; null until that was given"), size: z.number(), version: z.string(), securityCounter: z.number().optional(), sampleKey: z.string().optional() })),
  notes: z.string(),
  storage: storageSchema.nullable().describe("storage schemas it reads and writes; null when not declared"),
  migration: z.boolean(),
  from: z.array(z.object({ min: z.string().optional(), max: z.string().optional() })).describe("versions it may be installed over; empty means any"),
  hop: z.string().nullable(),
  matrix: z.object({ ...matrixFields, by: z.string() }).nullable().describe("what its migration was tested with; null without"),
  symbols: z.array(z.object({ buildId: z.string(), size: z.number() })).describe("builds whose ELF is kept"),
  barred: z.string().nullable(),
  archived: z.object({ at: time, files: z.number(), bytes: z.number() }).nullable().describe("when its files went into the archive; it is not offered until it is restored"),
  neededBy: z.array(z.string()).describe("what still needs it, in words; empty when it may be archived, or is"),
});
export const markdownText = z.string().describe("Markdown");
export const releaseList = z.object({ releases: z.array(release) });

export const preflight = z.object({
  release: z.string(),
  version: z.string(),
  installable: z.number(),
  risky: z.number(),
  refused: z.number(),
  barred: z.string().nullable(),
  fromVersions: z.array(z.object({ version: z.string(), devices: z.number(), installable: z.number(), direction: z.string(), obstacles: z.array(z.string()) })),
  hardware: z.array(
    hardware.extend({ ...bootloader, devices: z.number(), size: z.number(), roomMax: z.number(), fits: z.boolean() }),
  ),
  layout: z.object({
    storage: storageSchema.nullable(),
    migration: z.boolean(),
    changes: z.array(z.object({ kind: z.string(), what: z.string() })).describe("what it changes in the data layout; more than one at once needs an override"),
    schemas: z.array(z.object({ schema: z.number(), devices: z.number(), outcome: z.string(), oneWayFrom: z.array(z.string()) })),
    partitionMaps: z.array(z.object({ board: z.string(), revision: z.string(), partitionMap: z.string(), devices: z.number(), fits: z.boolean() })),
  }),
  hops: z.array(z.object({ release: z.string(), devices: z.number(), from: z.array(z.string()) })).describe("releases that devices go through first"),
  reasons: z.array(z.object({ reason: z.string(), devices: z.number() })),
  devices: z.array(
    z.object({ device: z.string(), outcome: z.string(), from: z.string(), reasons: z.array(z.string()), code: z.string().nullable(), hops: z.array(z.string()) }),
  ),
  next: z.string().nullable(),
});

const arm = z.object({ devices: z.number(), events: z.number(), exposure_h: z.number(), estimate: z.number().nullable() });
const gate = z.object({
  gate: z.string(),
  metric: z.string(),
  verdict: verdictKind,
  canary: arm,
  control: arm.nullable(),
  bound: z.string(),
  reason: z.string(),
  evidence: z
    .object({
      kind: z.enum(["share", "ratio", "difference", "bound"]).describe("what effect and margin are"),
      lnEHalt: z.number(),
      haltAt: z.number(),
      lnEPass: z.number(),
      passAt: z.number(),
      margin: z.number(),
      effect: z.object({ estimate: z.number().nullable(), lower: z.number().nullable(), upper: z.number().nullable() }),
    })
    .optional()
    .describe("what a gate weighs: natural logs of e-values and of what they halt and pass at"),
});

const rolloutSummary = z.object({
  id: z.string(),
  release: z.string(),
  status: z.string(),
  outcome: z.string(),
  verdict: verdictKind,
  population: z.number(),
  stages: z.array(z.object({ name: z.string(), size: z.number(), openedAt: time.nullable(), closedAt: time.nullable(), verdict: verdictKind })),
  states: z.record(z.string(), z.number()),
  offered: z.number(),
  exposed: z.number(),
  haltedBy: z.object({ gate: z.string(), metric: z.string(), reason: z.string() }).nullable(),
  rollback: z
    .object({ of: z.string(), from: z.string(), emergency: z.boolean(), predicted: z.record(z.string(), z.number()) })
    .nullable()
    .describe("set when it is a rollback: of which rollout, from which release, and what was predicted before its start"),
  rolledBackBy: z.array(z.string()).describe("the rollbacks that took its exposed members over"),
  missing: z.array(z.string()).describe("what the open stage waits for before it can pass, or why it was held"),
  revision: z.number(),
  startedAt: time,
  endedAt: time.nullable(),
  seed: z.number(),
});
export const rolloutList = z.object({ rollouts: z.array(rolloutSummary) });
export const rollout = rolloutSummary.extend({
  overrides: z.array(z.string()),
  soak: z.object({ min_s: z.number(), max_s: z.number() }),
  plan: z.looseObject({ name: z.string() }),
  gates: z.array(gate),
});

export const power = z
  .object({
    lines: z.array(
      z.object({ gate: z.string(), metric: z.string(), detects: z.number().nullable(), withProbability: z.number(), devices: z.number(), hours: z.number(), words: z.string() }),
    ),
    stages: z.array(z.object({ stage: z.string(), devices: z.number(), controls: z.number(), margin: z.number(), harmedAtWorst: z.number(), hours: z.number().nullable(), passes: z.number() })),
    hoursToComplete: z.number().nullable(),
    completes: z.number().describe("share of good releases that reach everybody without a person's help"),
    statement: z.array(z.string()),
  })
  .describe("what the plan can and cannot see, and how long a good release takes");

const doorEvidence = z.object({
  door: z.string(),
  image: z.enum(["hash", "version", "claim"]).describe("how the running image is known"),
  devices: z.number(),
  cannotTell: z.array(z.string()),
  words: z.string(),
});

const planChange = z.object({ field: z.string(), runs: z.string().nullable(), would: z.string().nullable() });
const planAgainst = z.object({ rollout: z.string(), status: z.string(), changes: z.array(planChange) });

export const membership = z.object({
  release: z.string(),
  seed: z.number(),
  plan: z.string(),
  members: z.number(),
  stages: z.array(z.object({ name: z.string(), size: z.number(), devices: z.array(z.string()) })),
  excluded: z.array(z.object({ device: z.string(), reason: z.string() })),
  representativeness: z.looseObject({}),
  power,
  evidence: z.object({ all: z.array(doorEvidence), canary: z.array(doorEvidence) }).describe("what devices of each door can tell"),
  against: planAgainst.nullable().optional().describe("the newest rollout of the release, and how the plan differs from it"),
  warnings: z.array(z.string()),
});
export const started = z.object({ id: z.string(), membership });
export const applied = z.object({
  action: z.enum(["started", "unchanged", "revised"]),
  rollout: z.string(),
  replaces: z.string().nullable().describe("the halted or held rollout that ended for this revision"),
  changes: z.array(planChange).describe("how the plan differs from the one that ran"),
  membership: membership.nullable().describe("null when nothing was started"),
});

const wayBackShare = { devices: z.number(), able: z.number(), share: z.number().nullable() };
export const rollbackInventory = z.object({
  ...wayBackShare,
  byRelease: z.array(z.object({ release: z.string(), ...wayBackShare })),
  byStratum: z.array(z.object({ stratum: z.string(), ...wayBackShare })),
  reasons: z.array(z.object({ reason: z.string(), devices: z.number() })).describe("why devices cannot go back by an order"),
  lastWayBack: z.array(z.object({ device: z.string(), runs: z.string(), why: z.string(), keeps: z.string() })).describe("devices whose next upload destroys the only good image they have"),
});
export const rollbackInventoryQuery = z.strictObject({
  release: z.string().max(64).optional().describe("only devices that run this release"),
  strata: z.string().max(256).optional().describe("dimensions, separated by commas; hardware when left out"),
});

export const rollbackPlan = z.object({
  of: z.string(),
  from: z.string(),
  to: z.string(),
  version: z.string(),
  emergency: z.boolean(),
  seed: z.number(),
  plan: z.string(),
  counts: z.record(z.string(), z.number()).describe("devices by what becomes of them; they sum to `total`"),
  total: z.number().describe("devices that the release reached, or may have"),
  mayBeRefused: z.number().describe("of the members: bootloaders that have not said how they were built"),
  members: z.number(),
  stages: z.array(z.object({ name: z.string(), size: z.number(), devices: z.array(z.string()) })),
  devices: z.array(z.object({ device: z.string(), class: z.string(), from: z.string(), hit: z.string(), crashes: z.number(), reason: z.string(), mayBeRefused: z.boolean() })).describe("worst hit first"),
  offer: z.string().nullable().describe("what would bring devices back that their bootloader refuses"),
  warnings: z.array(z.string()),
});
export const rollbackStarted = z.object({ id: z.string(), rollback: rollbackPlan });

export const memberPage = z.object({
  members: z.array(
    z.object({
      device: z.string(),
      stage: z.string(),
      stratum: z.string(),
      state: z.string(),
      since: time,
      offer: z.number(),
      offeredAt: time.nullable(),
      startedAt: time.nullable(),
      confirmedAt: time.nullable(),
      heardAt: time,
      crashes: z.number(),
      reason: z.string(),
    }),
  ),
  total: z.number(),
  next: z.number().nullable(),
});

const auditLine = z.object({
  sequence: z.number(),
  at: time,
  type: z.string(),
  device: z.string().nullable(),
  rollout: z.string().nullable(),
  by: z.string(),
  reason: z.string(),
  detail: z.record(z.string(), z.unknown()),
});
export const auditPage = z.object({ records: z.array(auditLine), next: z.number().nullable() });
export const verification = z.object({
  ok: z.boolean(),
  entries: z.number(),
  sha256: z.string().nullable(),
  brokenAt: z.number().nullable(),
  reason: z.string().nullable(),
});

export const report = z.looseObject({
  rollout: rolloutSummary.omit({}).loose(),
  haltedBy: z.object({ gate: z.string(), metric: z.string(), reason: z.string(), stage: z.string().nullable(), at: time }).nullable(),
  gates: z.array(gate),
  stageGates: z.array(z.object({ stage: z.string(), at: time, gates: z.array(gate) })),
  doors: z.array(z.looseObject({ door: z.string(), image: z.string(), devices: z.number(), exposed: z.number(), states: z.record(z.string(), z.number()), cannotTell: z.array(z.string()) })),
  devices: z.array(z.looseObject({ device: z.string(), state: z.string(), said: z.array(z.string()) })),
  offeredOnly: z.array(z.string()),
  crashes: z.array(z.looseObject({ signature: z.string(), buildId: z.string(), count: z.number(), devices: z.array(z.string()) })),
  logs: z.array(z.looseObject({ buildId: z.string() })),
  history: z.array(auditLine),
});

export const health = z.object({ ok: z.boolean(), failure: z.string().nullable() });
export const counters = z.object({
  devices: z.number(),
  releases: z.number(),
  cohorts: z.number(),
  rollouts: z.object({ running: z.number(), held: z.number(), halted: z.number(), aborted: z.number(), complete: z.number() }),
  reports: z.number(),
  duplicates: z.number(),
  late: z.number(),
  undecodable: z.number(),
  events: z.number(),
  now: time,
});

// What the dashboard reads

export const session = z.object({
  tokenNeeded: z.boolean(),
  open: z.boolean().describe("requests of this browser are answered"),
  csrf: z.string().nullable().describe("what orders with the session's cookie must carry in x-csrf-token"),
});

export const eventQuery = z.strictObject({
  brief: z.enum(["true", "false"]).default("false").describe("leaves out offers and moves of single devices; says `changed` instead, at most once a second"),
});

const fleetShare = z.object({ name: z.string(), devices: z.number(), silent: z.number() });

export const fleet = z.object({
  now: time,
  devices: z.number(),
  silent: z.number().describe("not heard for three of their check-in intervals and a quarter of an hour"),
  unconfirmed: z.number().describe("running an image on trial"),
  unknown: z.number().describe("never said what they are"),
  crashed: z.number(),
  states: z.record(z.string(), z.number()).describe("members of active rollouts"),
  releases: z.array(fleetShare.extend({ version: z.string() })).describe("what runs; the name is empty where it is none of the releases"),
  hardware: z.array(fleetShare),
  connectivity: z.array(fleetShare),
  tags: z.array(fleetShare),
  rollouts: z.array(rolloutSummary).describe("the active ones: running, held or halted"),
});

export const flag = z.enum(["true", "false"]);

export const fleetQuery = z.strictObject({
  limit,
  skip: whole(0, 10_000_000).default(0),
  text: z.string().max(64).optional().describe("part of the id"),
  tag: z.string().max(32).optional(),
  attribute: z.string().max(321).optional().describe("NAME or NAME=VALUE; also hardware, board, firmware"),
  hardware: z.string().max(129).optional().describe("board and revision"),
  connectivity: z.string().max(256).optional(),
  release: z.string().max(64).optional(),
  version: z.string().max(64).optional(),
  state: z.string().max(32).optional().describe("in the device's active rollout"),
  silent: flag.optional(),
  crashed: flag.optional(),
  unconfirmed: flag.optional(),
});

export const fleetPage = z.object({
  now: time,
  total: z.number(),
  skip: z.number(),
  rows: z.array(
    z.object({
      id: z.string(),
      hardware: z.string(),
      connectivity: z.string(),
      version: z.string(),
      release: z.string().nullable(),
      confirmed: z.boolean(),
      rollout: z.string().nullable(),
      state: z.string().nullable(),
      lastSeen: time,
      silent: z.boolean(),
      crashes: z.number(),
      tags: z.array(z.string()),
    }),
  ),
});

export const rolloutProgress = z.object({
  now: time,
  revision: z.number(),
  stages: z.array(
    z.object({
      name: z.string(),
      size: z.number(),
      openedAt: time.nullable(),
      closedAt: time.nullable(),
      verdict: z.string(),
      states: z.record(z.string(), z.number()),
      soak: z.object({ minAt: time, maxAt: time }).nullable().describe("earliest pass, and when it holds without one"),
    }),
  ),
  exposure: z.object({ at: z.array(z.number()), started: z.array(z.number()), confirmed: z.array(z.number()) }).describe("devices by moments in milliseconds since 1970"),
  representativeness: z.object({
    verdict: z.enum(["yes", "warn", "no"]),
    tv: z.number(),
    uncovered: z.number(),
    neff: z.number(),
    dimensions: z.array(z.string()),
    strata: z.array(z.object({ stratum: z.string(), fleet: z.number(), canary: z.number(), control: z.number(), depth: z.number() })),
  }),
});

const curve = z.array(z.number().nullable());

export const rolloutSeries = z.object({
  now: time,
  at: z.array(z.number()).describe("milliseconds since 1970; every curve has one value for each"),
  gates: z.array(
    z.object({
      gate: z.string(),
      metric: z.string(),
      haltAt: z.number().nullable().describe("natural log of the e-value that halts; null for a gate with a fixed bound"),
      passAt: z.number().nullable(),
      lnEHalt: curve,
      lnEPass: curve,
      canary: z.object({ estimate: curve, lower: curve, upper: curve }),
      control: z.object({ estimate: curve, lower: curve, upper: curve }).nullable(),
    }),
  ),
});

export const timelineQuery = z.strictObject({ limit, before: whole(1, Number.MAX_SAFE_INTEGER).optional().describe("`next` of the page before") });

export const timeline = z.object({
  now: time,
  events: z.array(
    z.object({
      sequence: z.number(),
      at: time,
      kind: z.enum(["boot", "update", "crash", "log", "decision", "undecodable"]),
      title: z.string(),
      detail: z.string(),
      by: z.string().nullable(),
    }),
  ),
  samples: z.array(z.object({ at: z.number(), values: z.record(z.string(), z.number()) })).describe("what heartbeats measured, oldest first"),
  next: z.number().nullable(),
});
