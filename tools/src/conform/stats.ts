// SPDX-License-Identifier: Apache-2.0
// Runs the statistics reference values against packages/evidence.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { STATS_RULES, type StatsCase } from "./stats-rules.ts";

/** How far a number may be off: |got - expected| <= abs + rel * |expected|; `exact` for words and counts. */
interface Tolerance {
  readonly abs?: number;
  readonly rel?: number;
  readonly exact?: boolean;
}

interface StatsFile {
  readonly category: string;
  readonly tolerance: Tolerance;
  readonly cases: readonly StatsCase[];
}

/** One disagreement. */
export interface StatsFailure {
  readonly id: string;
  readonly level: string;
  readonly detail: string;
}

/** Result of `conform -- stats DIR`. */
export interface StatsConformance {
  readonly categories: Record<string, { total: number; agree: number }>;
  readonly failures: StatsFailure[];
  readonly notes: string[];
}

/** The first difference between two values, as words; undefined when they agree within `tolerance`. */
function difference(got: unknown, expected: unknown, tolerance: Tolerance, path = ""): string | undefined {
  const where = path === "" ? "value" : path;
  if (expected === "inf" || expected === "-inf") {
    const infinity = expected === "inf" ? Infinity : -Infinity;
    return got === infinity ? undefined : `${where}: expected ${expected}, got ${String(got)}`;
  }
  if (typeof expected === "number") {
    const allowed = tolerance.exact === true ? 0 : (tolerance.abs ?? 0) + (tolerance.rel ?? 0) * Math.abs(expected);
    const ok = typeof got === "number" && Math.abs(got - expected) <= allowed;
    return ok ? undefined : `${where}: expected ${expected}, got ${String(got)}`;
  }
  if (Array.isArray(expected)) {
    if (!Array.isArray(got) || got.length !== expected.length) {
      return `${where}: expected ${expected.length} entries, got ${Array.isArray(got) ? got.length : typeof got}`;
    }
    for (let i = 0; i < expected.length; i++) {
      const found = difference(got[i], expected[i], tolerance, `${path}[${i}]`);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (typeof expected === "object" && expected !== null) {
    if (typeof got !== "object" || got === null) return `${where}: expected an object, got ${String(got)}`;
    for (const [key, value] of Object.entries(expected)) {
      const found = difference((got as Record<string, unknown>)[key], value, tolerance, path === "" ? key : `${path}.${key}`);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  return got === expected ? undefined : `${where}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`;
}

/**
 * Runs every file of `dir` and counts the cases that agree, by category.
 *
 * A category without a rule, a file that does not parse and a case that throws all count as disagreements.
 */
export function conformStats(dir: string): StatsConformance {
  const result: StatsConformance = { categories: {}, failures: [], notes: [] };
  for (const name of readdirSync(dir).filter((file) => file.endsWith(".json")).sort()) {
    const file = JSON.parse(readFileSync(join(dir, name), "utf8")) as StatsFile;
    const count = (result.categories[file.category] ??= { total: 0, agree: 0 });
    const rule = STATS_RULES[file.category];
    if (rule?.note !== undefined) result.notes.push(`${file.category}: ${rule.note}`);
    for (const testCase of file.cases) {
      count.total += 1;
      let found: string | undefined;
      try {
        found =
          rule === undefined
            ? `no rule for category ${file.category}`
            : difference(rule.run(testCase), rule.expected?.(testCase) ?? testCase.expected, file.tolerance);
      } catch (error) {
        found = `threw ${String(error)}`;
      }
      if (found === undefined) count.agree += 1;
      else result.failures.push({ id: testCase.id, level: file.category, detail: found });
    }
  }
  return result;
}
