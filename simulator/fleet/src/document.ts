// SPDX-License-Identifier: Apache-2.0
import { CoalmineError, type Millis, parseDuration } from "@coalmine/core";
import { parseDocument } from "yaml";
import { z } from "zod";

/** Largest fleet or scenario document, in UTF-8 bytes. */
export const documentBytesMax = 64 * 1024;

/**
 * Reads a YAML document as plain data.
 *
 * Refuses what a configuration file never needs: more than 64 KiB, aliases (and with them alias bombs), duplicate keys,
 * several documents. Throws `yaml/...` naming the source and, where it helps, line and column.
 */
export function readDocument(text: string, source: string): unknown {
  const bytes = text.length > documentBytesMax ? text.length : new TextEncoder().encode(text).length;
  if (bytes > documentBytesMax) {
    throw new CoalmineError("yaml/size", `${source}: ${bytes} bytes are more than ${documentBytesMax}; split the file`);
  }
  const document = parseDocument(text, { uniqueKeys: true, strict: true, prettyErrors: true, logLevel: "silent" });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) {
    throw new CoalmineError("yaml/syntax", `${source}: ${problem.message.split("\n", 1)[0]?.replace(/:$/, "")}`);
  }
  try {
    return document.toJS({ maxAliasCount: 0 }) as unknown;
  } catch (cause) {
    throw new CoalmineError("yaml/alias", `${source}: aliases (*name) are not allowed; write the value out`, { cause });
  }
}

/** Checks data against a shape. Throws `code` with every problem, each naming its field and what is allowed. */
export function checkShape<T>(schema: z.ZodType<T>, value: unknown, options: { readonly code: string; readonly source: string }): T {
  const result = schema.safeParse(value);
  if (result.success) {
    return result.data;
  }
  const lines = result.error.issues.flatMap(describeIssue);
  const shown = lines.slice(0, 10).join("; ");
  throw new CoalmineError(options.code, `${options.source}: ${shown}${lines.length > 10 ? `; and ${lines.length - 10} more` : ""}`);
}

function describeIssue(issue: z.core.$ZodIssue): string[] {
  const place = issue.path.length === 0 ? "document" : issue.path.map(String).join(".");
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    // The branch that got furthest says most.
    const deepest = issue.errors.reduce((best, branch) => (depth(branch) > depth(best) ? branch : best));
    if (depth(deepest) === 0 && !issue.message.startsWith("Invalid input")) {
      return [`${place}: ${issue.message}`]; // no branch was begun: what is allowed says more
    }
    return deepest.flatMap((inner) => describeIssue({ ...inner, path: [...issue.path, ...inner.path] }));
  }
  return [`${place}: ${issue.message}`];
}

function depth(issues: readonly z.core.$ZodIssue[]): number {
  return Math.max(0, ...issues.map((issue) => issue.path.length));
}

const custom = <T>(read: () => T, context: z.RefinementCtx): T => {
  try {
    return read();
  } catch (error) {
    context.addIssue({ code: "custom", message: (error as Error).message });
    return z.NEVER;
  }
};

/** `30s`, `15m`, `24h`, `2d`. */
export const duration = z.string({ error: "write a duration: 30s, 15m, 24h or 2d" }).transform((text, context): Millis => custom(() => parseDuration(text), context));

/** A duration above zero. */
export const span = duration.refine((length) => length > 0, "must be longer than 0s");

/** `98%` or 0.98, as a number from 0 to 1. */
export const share = z
  .union([z.string(), z.number()], { error: "is not a share: write 98% or 0.98" })
  .transform((value, context): number => {
    const match = typeof value === "number" ? undefined : /^(\d+(?:\.\d+)?)\s*%$/.exec(value.trim());
    const number = typeof value === "number" ? value : match === null || match === undefined ? Number.NaN : Number(match[1]) / 100;
    if (!(number >= 0 && number <= 1)) {
      context.addIssue({ code: "custom", message: `${JSON.stringify(value)} is not a share from 0 to 1: write 98% or 0.98` });
      return z.NEVER;
    }
    return number;
  });

const units: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 * 1024 };

/** A size in bytes: 4096, `4KiB`, `1MiB`. */
export const bytes = z
  .union([z.string(), z.number()], { error: "is not a size: write 4096, 96KiB or 1MiB" })
  .transform((value, context): number => {
    const match = typeof value === "number" ? undefined : /^(\d+(?:\.\d+)?)\s*(B|KiB|MiB)$/.exec(value.trim());
    const size = typeof value === "number" ? value : match === null || match === undefined ? Number.NaN : Number(match[1]) * (units[match[2] as string] as number);
    if (!Number.isSafeInteger(size) || size < 0 || size > 64 * 1024 * 1024) {
      context.addIssue({ code: "custom", message: `${JSON.stringify(value)} is not a size up to 64MiB: write 4096, 96KiB or 1MiB` });
      return z.NEVER;
    }
    return size;
  });

/** A short name: a letter or digit, then up to 63 of `A-Z a-z 0-9 . _ -`. */
export const label = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "must be 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit");

/** A firmware version, `1.2.3` or `1.2.3+4`. */
export const versionText = z.string({ error: 'must be a version in quotes: "1.2.0"' }).regex(/^\d{1,3}\.\d{1,3}\.\d{1,5}(\+\d{1,10})?$/, "must be a version: 1.2.0 or 1.2.0+3");

export const seedNumber = z.int("must be a whole number").min(0).max(Number.MAX_SAFE_INTEGER);
