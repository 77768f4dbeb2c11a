// SPDX-License-Identifier: Apache-2.0
// Reports over real sockets at QoS 1: broker, decoder, conductor and durable log, against the same load on a bare broker.
import { benchIngest } from "@coalmine/mqtt";
import { Host, planJudge } from "@coalmine/orchestrator";
import { instant } from "@coalmine/core";
import { openArtifactStore, openEventLog } from "@coalmine/store";
import { decodeReport } from "@coalmine/protocol";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { arm, type BenchOptions, type BenchResult, compare } from "./bench-result.ts";

/** Decode and insert, nothing else: no host, no deduplication, no hash chain, no wait for the disk. */
function rowSink(): { take(payload: Uint8Array): void; close(): void } {
  const folder = mkdtempSync(join(tmpdir(), "coalmine-bench-"));
  const database = new DatabaseSync(join(folder, "rows.sqlite"));
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE report (at INTEGER, boot INTEGER, sequence INTEGER, kind TEXT, body BLOB)");
  const insert = database.prepare("INSERT INTO report VALUES (?, ?, ?, ?, ?)");
  let open = 0;
  return {
    take(payload) {
      const decoded = decodeReport(payload);
      if (decoded.kind !== "ok") {
        return;
      }
      if (open === 0) {
        database.exec("BEGIN");
      }
      insert.run(Date.now(), decoded.value.boot, decoded.value.sequence, decoded.value.body.kind, payload);
      open += 1;
      if (open === 1_000) {
        database.exec("COMMIT");
        open = 0;
      }
    },
    close() {
      if (open > 0) {
        database.exec("COMMIT");
      }
      database.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  options.progress(`${options.runs} turns of each arm, alternating`);
  const figures = await benchIngest({
    seconds: 4 * options.runs,
    runs: options.runs,
    ...(options.devices === undefined ? {} : { connections: options.devices }),
    openSink: () => rowSink(),
    openHost: async () => {
      const folder = await mkdtemp(join(tmpdir(), "coalmine-bench-"));
      await mkdir(folder, { recursive: true });
      const host = Host.open({
        log: openEventLog(join(folder, "log.sqlite")),
        artifacts: openArtifactStore(join(folder, "artifacts")),
        clock: { now: () => instant(Date.now()) },
        judge: planJudge,
        keys: [],
      });
      return {
        host,
        close: async () => {
          await host.close();
          await rm(folder, { recursive: true, force: true });
        },
      };
    },
  });
  return {
    bench: "ingest",
    seed: options.seed,
    environment: { node: process.versions.node, connections: options.devices ?? 50 },
    measurements: [
      compare(
        { name: "reports", unit: "acknowledged reports per second", better: "more" },
        arm("broker, decoder and durable log", figures.oursRuns),
        arm("the same pipeline without our logic", figures.bareRuns),
        { ratioLeast: 0.5 },
      ),
    ],
    notes: ["the baseline is a bare aedes whose subscriber decodes each report and inserts it into SQLite, 1,000 rows a transaction; it acknowledges before anything is stored, ours only when the log entry survives a crash"],
  };
}
