// SPDX-License-Identifier: Apache-2.0
// Reports over real sockets at QoS 1: broker, decoder, conductor and durable log, against the same load on a bare broker.
import { benchIngest } from "@coalmine/mqtt";
import { Host, planJudge } from "@coalmine/orchestrator";
import { instant } from "@coalmine/core";
import { openArtifactStore, openEventLog } from "@coalmine/store";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { arm, type BenchOptions, type BenchResult, compare } from "./bench-result.ts";

export async function run(options: BenchOptions): Promise<BenchResult> {
  options.progress(`${options.runs} turns of each arm, alternating`);
  const figures = await benchIngest({
    seconds: 4 * options.runs,
    runs: options.runs,
    ...(options.devices === undefined ? {} : { connections: options.devices }),
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
        arm("bare broker, no logic", figures.bareRuns),
        { ratioLeast: 0.5 },
      ),
    ],
    notes: ["ours acknowledges a report only when its log entry survives a crash; the bare broker acknowledges at once and keeps nothing"],
  };
}
