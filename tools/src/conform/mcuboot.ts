// SPDX-License-Identifier: Apache-2.0
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { Profile } from "@coalmine/mcuboot";
import { SectorPool } from "@coalmine/mcuboot";
import { ImageBench } from "./mcuboot-image.ts";
import { runPowercut } from "./mcuboot-powercut.ts";
import { runScenario } from "./mcuboot-scenario.ts";
import type { BytesRow, LayoutRow, OpsRow } from "./mcuboot-trailer.ts";
import { checkBytes, checkLayout, checkOps } from "./mcuboot-trailer.ts";
import type { ImageCase, IndexEntry, PowercutCase, ScenarioCase } from "./mcuboot-vectors.ts";
import { Digests, Vectors } from "./mcuboot-vectors.ts";

interface Rows {
  rows: number;
  agree: number;
  anomalies: { rows: number; reproduced: number; safe: number };
}

/** What `npm run conform -- mcuboot DIR --json` prints; the shape is part of commands.md. */
export interface Report {
  scenarios: { total: number; outcome: number; state: number; ops: number };
  images: { total: number; agree: number };
  powercuts: Rows;
  doubles: Rows;
  trailer: { rows: number; agree: number };
  wallSeconds: number;
  failures: { id: string; level: string; detail: string }[];
}

export interface ConformOptions {
  /** `exact` must reproduce every row; `safe` must end every row bootable with the right image. */
  readonly profile?: Profile;
  /** Worker threads; 0 runs in this thread. Default: one per core, at most 4. */
  readonly workers?: number;
}

const TRAILER_TABLES = ["layout", "bytes", "ops-by-size"] as const;

/** One piece of work: a case of the index, or a trailer table. */
export type Job = IndexEntry | { readonly kind: "table"; readonly id: string; readonly file: string };

/** Runs a folder of MCUboot vectors against the model. @throws when the folder has no readable index. */
export async function conformMcuboot(dir: string, options: ConformOptions = {}): Promise<Report> {
  const begun = performance.now();
  const profile = options.profile ?? "exact";
  const vectors = new Vectors(dir);
  const jobs: Job[] = [...vectors.index()];
  for (const table of TRAILER_TABLES) {
    const file = [`trailer/${table}.json.gz`, `trailer/${table}.json`].find((name) => vectors.has(name));
    if (file !== undefined) {
      jobs.push({ kind: "table", id: `trailer/${table}`, file });
    }
  }
  const count = Math.min(options.workers ?? Math.min(4, availableParallelism()), jobs.length);
  const reports = count <= 1 ? [runJobs(dir, jobs, profile)] : await inWorkers(dir, jobs, profile, count);
  const report = reports.reduce(add, emptyReport());
  report.failures.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  report.wallSeconds = Math.round(performance.now() - begun) / 1000;
  return report;
}

/** Runs some of a folder's jobs in this thread. A case that cannot be read is a failure, not the end of the run. */
export function runJobs(dir: string, jobs: readonly Job[], profile: Profile): Report {
  const report = emptyReport();
  const vectors = new Vectors(dir);
  const pool = new SectorPool();
  const digests = new Digests();
  const bench = new ImageBench(vectors, pool);
  for (const job of jobs) {
    const one = emptyReport();
    try {
      runJob(job, one, { vectors, pool, digests, bench, profile });
    } catch (error) {
      one.failures.push({ id: job.id, level: "error", detail: error instanceof Error ? error.message : String(error) });
      countBroken(job, one);
    }
    add(report, one);
  }
  return report;
}

interface Context {
  readonly vectors: Vectors;
  readonly pool: SectorPool;
  readonly digests: Digests;
  readonly bench: ImageBench;
  readonly profile: Profile;
}

function runJob(job: Job, report: Report, { vectors, pool, digests, bench, profile }: Context): void {
  const data = vectors.json(job.file);
  const fail = (level: string, detail: string): void => {
    report.failures.push({ id: job.id, level, detail });
  };
  switch (job.kind) {
    case "scenario": {
      const found = runScenario(data as ScenarioCase, vectors, pool, digests, profile);
      const outcome = found.outcome.length === 0;
      const state = outcome && found.state.length === 0;
      report.scenarios = { total: 1, outcome: Number(outcome), state: Number(state), ops: Number(found.ops.length === 0) };
      // The safe profile is meant to act differently; its scenarios are counted, not judged.
      if (profile === "exact") {
        for (const level of ["outcome", "state", "ops"] as const) {
          if (found[level].length > 0) {
            fail(level, found[level].slice(0, 5).join("; "));
          }
        }
      }
      break;
    }
    case "image": {
      const problems = bench.run(data as ImageCase);
      report.images = { total: 1, agree: Number(problems.length === 0) };
      if (problems.length > 0) {
        fail("image", problems.slice(0, 5).join("; "));
      }
      break;
    }
    case "powercut":
    case "powercut-double": {
      const { failures, ...rows } = runPowercut(data as PowercutCase, vectors, pool, digests, profile);
      report[job.kind === "powercut" ? "powercuts" : "doubles"] = rows;
      report.failures.push(...failures);
      break;
    }
    case "table":
      for (const [i, row] of (data as unknown[]).entries()) {
        const problems = checkTableRow(job.id, row, vectors, pool);
        report.trailer.rows++;
        report.trailer.agree += Number(problems.length === 0);
        if (problems.length > 0) {
          fail("trailer", `row ${i}: ${problems.slice(0, 5).join("; ")}`);
        }
      }
      break;
    default:
      throw new Error(`unknown kind ${JSON.stringify(job.kind)}`);
  }
}

function checkTableRow(table: string, row: unknown, vectors: Vectors, pool: SectorPool): string[] {
  switch (table) {
    case "trailer/layout":
      return checkLayout(row as LayoutRow, pool);
    case "trailer/bytes":
      // Recorded with signed images: swap-offset keeps their TLV sizes in the trailer.
      return checkBytes(row as BytesRow, pool, vectors.privateKeyPem("ed25519-a"));
    default:
      return checkOps(row as OpsRow, pool);
  }
}

/** An unreadable case still counts in its total. */
function countBroken(job: Job, report: Report): void {
  if (job.kind === "scenario") {
    report.scenarios.total = 1;
  } else if (job.kind === "image") {
    report.images.total = 1;
  } else if (job.kind === "powercut") {
    report.powercuts.rows = Math.max(1, report.powercuts.rows);
  } else if (job.kind === "powercut-double") {
    report.doubles.rows = Math.max(1, report.doubles.rows);
  }
}

async function inWorkers(dir: string, jobs: readonly Job[], profile: Profile, count: number): Promise<Report[]> {
  // Dealt round robin: the index lists cases of one kind, and so of similar cost, one after the other.
  const shares = Array.from({ length: count }, (_, n) => jobs.filter((_job, i) => i % count === n));
  return Promise.all(
    shares.map(
      (share) =>
        new Promise<Report>((resolve, reject) => {
          const worker = new Worker(new URL("./mcuboot-worker.ts", import.meta.url), { workerData: { dir, jobs: share, profile } });
          worker.once("message", resolve);
          worker.once("error", reject);
        }),
    ),
  );
}

function emptyReport(): Report {
  const rows = (): Rows => ({ rows: 0, agree: 0, anomalies: { rows: 0, reproduced: 0, safe: 0 } });
  return {
    scenarios: { total: 0, outcome: 0, state: 0, ops: 0 },
    images: { total: 0, agree: 0 },
    powercuts: rows(),
    doubles: rows(),
    trailer: { rows: 0, agree: 0 },
    wallSeconds: 0,
    failures: [],
  };
}

function add(into: Report, one: Report): Report {
  for (const field of ["total", "outcome", "state", "ops"] as const) {
    into.scenarios[field] += one.scenarios[field];
  }
  into.images.total += one.images.total;
  into.images.agree += one.images.agree;
  for (const kind of ["powercuts", "doubles"] as const) {
    into[kind].rows += one[kind].rows;
    into[kind].agree += one[kind].agree;
    for (const field of ["rows", "reproduced", "safe"] as const) {
      into[kind].anomalies[field] += one[kind].anomalies[field];
    }
  }
  into.trailer.rows += one.trailer.rows;
  into.trailer.agree += one.trailer.agree;
  into.failures.push(...one.failures);
  return into;
}
