// SPDX-License-Identifier: Apache-2.0
import type { Defect } from "@coalmine/device";
import { z } from "zod";
import { duration, share, span, versionText } from "./document.ts";

const only = z
  .strictObject({
    boards: z.array(z.string()).min(1).optional(),
    revisions: z.array(z.string()).min(1).optional(),
    connectivity: z.array(z.string()).min(1).optional(),
    fromVersions: z.array(versionText).min(1).optional(),
    share: share.optional(),
  })
  .optional();

const seconds = <T extends number>(length: T): number => Math.max(0, Math.round(length / 1_000));
const multiplier = z.number("must be a number above 0").positive().max(1e6);

const shape = z.discriminatedUnion(
  "kind",
  [
    z.strictObject({ kind: z.literal("boot-loop"), after: duration.prefault("2s"), early: z.boolean().default(false), only }),
    z.strictObject({ kind: z.literal("hang-before-confirm"), after: duration.prefault("5s"), early: z.boolean().default(false), only }),
    z.strictObject({ kind: z.literal("never-confirms"), only }),
    z.strictObject({ kind: z.literal("crash-rate"), multiplier, only }),
    z.strictObject({ kind: z.literal("late-crash"), onset: span, every: span.prefault("1h"), only }),
    z.strictObject({ kind: z.literal("crash-after-boot"), after: span, only }),
    z.strictObject({ kind: z.literal("leak"), exhausted: span, only }),
    z.strictObject({ kind: z.literal("battery-drain"), multiplier, only }),
    z.strictObject({ kind: z.literal("link-loss"), share, only }),
    z.strictObject({ kind: z.literal("slow-brick"), after: span, spread: duration.prefault("0s"), only }),
    z.strictObject({ kind: z.literal("silent"), after: duration.prefault("0s"), only }),
    z.strictObject({ kind: z.literal("migration-loss"), only }),
    z.strictObject({ kind: z.literal("erases-slot1"), only }),
    z.strictObject({ kind: z.literal("clock-skew"), factor: z.number().min(0.01).max(100).default(1), offset: duration.prefault("0s"), only }),
  ],
  {
    error:
      "kind must be one of boot-loop, hang-before-confirm, never-confirms, crash-rate, late-crash, crash-after-boot, leak, battery-drain, link-loss, slow-brick, silent, migration-loss, erases-slot1, clock-skew",
  },
);

/** One entry of a release's `defects`; durations in the file, seconds in the program. */
export const defect = shape.transform((entry): Defect => {
  const { only: filter } = entry;
  switch (entry.kind) {
    case "boot-loop":
    case "hang-before-confirm":
      return { kind: entry.kind, after_s: seconds(entry.after), early: entry.early, only: filter };
    case "never-confirms":
    case "migration-loss":
    case "erases-slot1":
      return { kind: entry.kind, only: filter };
    case "crash-rate":
    case "battery-drain":
      return { kind: entry.kind, multiplier: entry.multiplier, only: filter };
    case "late-crash":
      return { kind: entry.kind, onset_s: seconds(entry.onset), mean_s: seconds(entry.every), only: filter };
    case "crash-after-boot":
    case "silent":
      return { kind: entry.kind, after_s: seconds(entry.after), only: filter };
    case "leak":
      return { kind: entry.kind, exhausted_s: seconds(entry.exhausted), only: filter };
    case "link-loss":
      return { kind: entry.kind, share: entry.share, only: filter };
    case "slow-brick":
      return { kind: entry.kind, after_s: seconds(entry.after), spread_s: seconds(entry.spread), only: filter };
    case "clock-skew":
      return { kind: entry.kind, factor: entry.factor, offset_s: seconds(entry.offset), only: filter };
  }
});
