// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import { type Command, InvalidArgumentError } from "commander";
import type { LoadOrder } from "./bench-load.ts";
import type { BenchOptions, BenchResult, Measurement } from "./bench-result.ts";
import type { StatsResult } from "./bench-stats.ts";

interface Bench {
  readonly about: string;
  readonly run: (options: BenchOptions) => Promise<BenchResult>;
  /** How people read it, where the common table does not say enough. */
  readonly describe?: (result: BenchResult) => Promise<string>;
}

/** Every benchmark by name. Each loads its own code when it runs. */
const benches: Readonly<Record<string, Bench>> = {
  virtual: { about: "virtual time against an empty heap loop, a rehearsed rollout, and updates with and without the bootloader's fast path", run: async (options) => (await import("./bench-virtual.ts")).run(options) },
  ingest: { about: "reports into the durable log against a bare broker", run: async (options) => (await import("./bench-ingest.ts")).run(options) },
  mqtt: { about: "connect rate and reports of live devices against bare sockets", run: async (options) => (await import("./bench-mqtt.ts")).run(options) },
  coap: { about: "one artifact to many CoAP peers against a bare server", run: async (options) => (await import("./bench-coap.ts")).run(options) },
  artifact: { about: "an image verified and served in blocks, against hashing, checking and copying alone", run: async (options) => (await import("./bench-artifact.ts")).run(options) },
  halt: { about: "from the order of a halt to its being durable and every device told, and no offer after it", run: async (options) => (await import("./bench-halt.ts")).run(options) },
  crashes: { about: "a thousand devices crash within a minute and send dumps of 64 KiB, with and without the index of crashes", run: async (options) => (await import("./bench-crashes.ts")).run(options) },
  memory: { about: "bytes of one live device against bare sockets and MQTT.js clients", run: async (options) => (await import("./bench-memory.ts")).run(options) },
  stats: {
    about: "our gates against the halting rules others use, on one simulated fleet",
    run: async (options) => (await import("./bench-stats.ts")).run(options),
    describe: async (result) => (await import("./bench-stats.ts")).describe(result as StatsResult),
  },
};

interface Flags {
  readonly devices?: number;
  readonly runs: number;
  readonly seed: number;
  readonly quick?: true;
  readonly json?: true;
}

export function register(program: Command): void {
  const names = Object.keys(benches).join(", ");
  const bench = program
    .command("bench")
    .description("measure coalmine against named baselines in one run")
    .argument("<name>", `one of ${names}`)
    .option("--devices <n>", "simulated devices, where the benchmark has some", whole)
    .option("--runs <n>", "runs of every arm; the median counts", whole, 3)
    .option("--seed <n>", "seed of everything random", whole, 7)
    .option("--quick", "fewer replications, for CI, where the benchmark has some")
    .option("--json", "one JSON document on stdout")
    .addHelpText(
      "after",
      `\nBenchmarks:\n${Object.entries(benches)
        .map(([name, { about }]) => `  ${name.padEnd(9)} ${about}`)
        .join("\n")}\n\nExample:\n  npx coalmine bench mqtt --devices 5000 --json\n\nEnds with 1 when a promised bound was not met.`,
    )
    .action(async (name: string, flags: Flags) => {
      const chosen = Object.hasOwn(benches, name) ? benches[name] : undefined;
      if (chosen === undefined) {
        throw new CoalmineError("bench/unknown", `there is no benchmark ${JSON.stringify(name)}; there are ${names}`);
      }
      const progress = (line: string): void => {
        process.stderr.write(`${line}\n`);
      };
      const result = await chosen.run({ devices: flags.devices, runs: flags.runs, seed: flags.seed, quick: flags.quick === true, progress });
      const text = async (): Promise<string> => (chosen.describe === undefined ? table(result) : `${await chosen.describe(result)}\n`);
      process.stdout.write(flags.json === true ? `${JSON.stringify(result, null, 2)}\n` : await text());
      process.exitCode = result.measurements.some((measurement) => measurement.ok === false) ? 1 : 0;
    });
  bench.enablePositionalOptions();
  registerParts(bench);
}

/** The parts of a benchmark that must be alone in a process; started by `bench-child.ts`, of no use to people. */
function registerParts(bench: Command): void {
  bench.command("load", { hidden: true }).action(async () => {
    const { runLoad } = await import("./bench-load.ts");
    const order = await new Promise<LoadOrder>((resolve) => process.once("message", (message) => resolve(message as LoadOrder)));
    const figures = await runLoad(order);
    process.send?.(figures, () => process.exit(0));
  });
  bench.command("coap-server", { hidden: true }).action(async () => {
    await (await import("./bench-coap.ts")).serveCoapArm();
  });
  bench.command("broker", { hidden: true }).action(async () => {
    const [{ startBroker, unlimited }, { freePort }] = await Promise.all([import("@coalmine/mqtt"), import("../free-port.ts")]);
    const broker = await startBroker({ port: await freePort(), limits: { reports: unlimited, blocks: unlimited, connects: unlimited } });
    // Takes everything at once, so that only broker and clients cost.
    broker.attach({
      report: () => Promise.resolve(),
      block: (_device, { request }) => ({ kind: "refused", request, reason: "unknown" }),
      undecodable: () => undefined,
    });
    process.send?.(broker.port);
    process.on("disconnect", () => process.exit(0));
    process.on("SIGTERM", () => process.exit(0));
  });
}

function whole(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new InvalidArgumentError("It must be a whole number of at least 1.");
  }
  return value;
}

function figure(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(3);
}

function row(measurement: Measurement): string[] {
  const { ours, baseline, ratio, bound, ok } = measurement;
  return [
    measurement.name,
    `${figure(ours.median)} ${measurement.unit}`,
    baseline === null ? "" : `${figure(baseline.median)} (${baseline.name})`,
    ratio === null ? "" : ratio.toFixed(2),
    bound === null ? "" : `${ok === true ? "met" : "NOT MET"}: ${bound}`,
  ];
}

function table(result: BenchResult): string {
  const rows = [["measured", result.measurements[0]?.ours.name ?? "ours", "baseline", "ratio", "promise"], ...result.measurements.map(row)];
  const widths = (rows[0] as string[]).map((_, column) => Math.max(...rows.map((cells) => (cells[column] as string).length)));
  const lines = rows.map((cells) => cells.map((cell, column) => cell.padEnd(widths[column] as number)).join("  ").trimEnd());
  const about = Object.entries(result.environment).map(([name, value]) => `${name} ${value}`);
  return `${[`bench ${result.bench}, seed ${result.seed}: ${about.join(", ")}`, "", ...lines, ...result.notes.map((note) => `note: ${note}`)].join("\n")}\n`;
}
