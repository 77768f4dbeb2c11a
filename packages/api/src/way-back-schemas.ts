// SPDX-License-Identifier: Apache-2.0
import { wayBackKinds } from "@coalmine/orchestrator";
import { z } from "zod";
import { flag, limit, whole } from "./schemas.ts";

export const wayBackQuery = z.strictObject({
  limit,
  skip: whole(0, 10_000_000).default(0),
  release: z.string().max(64).optional().describe("only devices that run this release, or this version when it is no release"),
  way: z.enum(wayBackKinds).optional(),
  last: flag.optional().describe("only devices whose next upload destroys the only good image they have, or only the others"),
  text: z.string().max(64).optional().describe("part of the id"),
});

export const wayBackPage = z.object({
  now: z.string(),
  devices: z.number().describe("devices of the release that was asked for, or of the fleet"),
  counts: z.record(z.enum(wayBackKinds), z.number()).describe("all of these by how they would go back now; they sum to `devices`"),
  last: z.number().describe("those whose next upload destroys the only good image they have"),
  total: z.number().describe("rows that match"),
  skip: z.number(),
  rows: z.array(
    z.object({
      device: z.string(),
      release: z.string().nullable().describe("what runs; null when it is none of the releases"),
      version: z.string(),
      slot1: z.object({ imageHash: z.string(), version: z.string(), release: z.string().nullable() }).nullable().describe("the intact image in the other slot"),
      way: z.enum(wayBackKinds),
      to: z.string().nullable().describe("the release it would run then, or the version of an image of none"),
      reason: z.string(),
      last: z.object({ why: z.string(), keeps: z.string() }).nullable().describe("why its next upload must not come: what runs is not good, and what would be lost"),
    }),
  ),
});
