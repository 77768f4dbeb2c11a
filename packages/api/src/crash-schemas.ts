// SPDX-License-Identifier: Apache-2.0
// The shapes of requests and answers about crashes.
import { z } from "zod";

const time = z.string().describe("ISO 8601, the orchestrator's clock");

export const crashQuery = z.strictObject({
  release: z.string().max(64).optional().describe("issues seen on this release"),
  rollout: z.string().max(64).optional().describe("issues seen by an arm of this rollout"),
});

export const symbolsQuery = z.strictObject({
  build: z.string().max(64).optional().describe("build id that devices report, in hex; else the GNU build id of the ELF"),
  by: z.string().trim().min(1).max(64),
  reason: z.string().trim().max(500).default(""),
});

export const fileParams = z.strictObject({ id: z.string().regex(/^\d{1,15}$/, "must be a number").transform(Number) });

const armCount = z.object({ devices: z.number(), crashes: z.number(), of: z.number() });
const arms = z.array(z.object({ rollout: z.string(), release: z.string(), exposed: armCount, control: armCount })).describe("exposed devices and controls with this crash, for each rollout it touches");

const issue = z.object({
  id: z.string(),
  signature: z.string().describe("reason, function of pc, function of lr; addresses and the build where no symbols are known"),
  reason: z.string(),
  symbolised: z.boolean(),
  count: z.number(),
  devices: z.number(),
  dumps: z.number(),
  firstSeen: time,
  lastSeen: time,
  releases: z.array(z.object({ release: z.string().nullable(), version: z.string().nullable(), buildId: z.string(), count: z.number(), devices: z.number(), symbols: z.boolean() })),
  arms,
});

const file = z.object({
  id: z.number(),
  device: z.string(),
  stream: z.enum(["log", "coredump"]),
  buildId: z.string(),
  number: z.number(),
  total: z.number(),
  received: z.number(),
  state: z.enum(["open", "complete", "refused"]),
  firstSeen: time,
  lastSeen: time,
  issue: z.string().nullable(),
  trouble: z.string().nullable(),
});

const site = z.object({ buildId: z.string(), reason: z.string(), pc: z.string(), lr: z.string() });

export const crashList = z.object({
  issues: z.array(issue),
  totals: z.object({ issues: z.number(), crashes: z.number(), dumps: z.number(), open: z.number(), refused: z.number(), bytes: z.number() }),
});

export const crashIssue = issue.extend({
  sites: z.array(site.extend({ count: z.number() })),
  affected: z.array(z.object({ device: z.string(), buildId: z.string(), count: z.number(), firstSeen: time, lastSeen: time })).describe("at most 200"),
  files: z.array(file).describe("whole dumps, newest first, at most 20"),
  newest: z
    .object({ file, examined: z.looseObject({ kind: z.string() }), log: z.string().nullable().describe("the end of the log that the device sent of this build") })
    .nullable()
    .describe("the newest dump: reason, registers, thread, backtrace"),
});

export const deviceCrashes = z.object({
  crashes: z.array(z.object({ at: time, boot: z.number(), uptime_s: z.number(), issue: z.string(), site })),
  files: z.array(file),
});

export const addedSymbols = z.object({ release: z.string(), buildId: z.string(), imageHashes: z.array(z.string()).describe("the artifacts that it is the program of"), digest: z.string(), size: z.number(), symbols: z.number() });
