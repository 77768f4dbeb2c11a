// SPDX-License-Identifier: Apache-2.0
import { extname } from "node:path";
import { createServer, type Socket } from "node:net";
import { Worker } from "node:worker_threads";
import type { LinkHost } from "@coalmine/orchestrator";
import { Aedes } from "aedes";
import type { Acknowledged, Load } from "./bench-load.ts";
import { startBroker } from "./broker.ts";
import { embeddedLink } from "./embedded-link.ts";
import { unlimited } from "./limits.ts";

export interface IngestOptions {
  /** Measured time of both arms together. */
  readonly seconds: number;
  /** Turns of each arm; the medians count. */
  readonly runs?: number;
  readonly connections?: number;
  /** Reports without an answer per connection. */
  readonly inFlight?: number;
  /** Opens a host over an empty log; called for each of our turns. */
  readonly openHost: () => Promise<{ readonly host: LinkHost; close(): Promise<void> }>;
  /**
   * What the bare broker's subscriber does with each payload: the same pipeline without our logic. Nothing when left
   * out. Opened for each of its turns.
   */
  readonly openSink?: () => { take(payload: Uint8Array): void; close(): void };
}

export interface IngestFigures {
  /** Acknowledged reports per second: our broker, the given host, its log. */
  readonly ours: number;
  /** The same load on aedes with default settings and the given sink as a subscriber in the process. */
  readonly bare: number;
  readonly ratio: number;
  readonly oursRuns: readonly number[];
  readonly bareRuns: readonly number[];
}

/** Part of a turn that is not measured: connections, hellos, compilation. */
const WARM_UP = 0.25;

/** Measures reports over real sockets at QoS 1, our turns and the bare broker's alternating. */
export async function benchIngest(options: IngestOptions): Promise<IngestFigures> {
  const { runs = 5, connections = 50, inFlight = 20 } = options;
  const seconds = options.seconds / (2 * runs);
  const oursRuns: number[] = [];
  const bareRuns: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    oursRuns.push(await ours(options, { connections, inFlight }, seconds));
    bareRuns.push(await bare(options, { connections, inFlight }, seconds));
  }
  const [oursMedian, bareMedian] = [median(oursRuns), median(bareRuns)];
  return { ours: oursMedian, bare: bareMedian, ratio: oursMedian / bareMedian, oursRuns, bareRuns };
}

async function ours({ openHost }: IngestOptions, load: Omit<Load, "port">, seconds: number): Promise<number> {
  const opened = await openHost();
  const broker = await startBroker({ limits: { reports: unlimited, connects: unlimited } });
  const link = embeddedLink(broker, opened.host);
  try {
    return await measure({ ...load, port: broker.port }, seconds);
  } finally {
    await link.close();
    await broker.close();
    await opened.close();
  }
}

async function bare({ openSink }: IngestOptions, load: Omit<Load, "port">, seconds: number): Promise<number> {
  const aedes = await Aedes.createBroker();
  const sink = openSink?.();
  await new Promise<void>((resolve) =>
    aedes.subscribe(
      "c/v1/d/+/up/#",
      (packet, done) => {
        if (sink !== undefined && typeof packet.payload !== "string") {
          sink.take(packet.payload);
        }
        done();
      },
      resolve,
    ),
  );
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    aedes.handle(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  try {
    return await measure({ ...load, port: typeof address === "object" && address !== null ? address.port : 0 }, seconds);
  } finally {
    await new Promise<void>((resolve) => aedes.close(resolve));
    sockets.forEach((socket) => socket.destroy());
    await new Promise((resolve) => server.close(resolve));
    sink?.close();
  }
}

/** Reports acknowledged per second in the measured part of a turn. */
async function measure(load: Load, seconds: number): Promise<number> {
  const acknowledged: Acknowledged = new Int32Array(new SharedArrayBuffer(4));
  const file = new URL(`./bench-load${extname(import.meta.filename)}`, import.meta.url);
  // From sources, a worker needs the export condition that the process was started with, or given by a module hook.
  const execArgv = file.pathname.endsWith(".ts") ? ["--conditions=source"] : [];
  const worker = new Worker(file, { workerData: { ...load, acknowledged }, execArgv });
  const broken = new Promise<never>((_, reject) => worker.once("error", reject));
  try {
    // However busy the machine: a turn begins when the load has got through.
    while (Atomics.load(acknowledged, 0) === 0) {
      await Promise.race([broken, elapse(0.01)]);
    }
    await Promise.race([broken, elapse(seconds * WARM_UP)]);
    const [before, began] = [Atomics.load(acknowledged, 0), performance.now()];
    do {
      await Promise.race([broken, elapse(seconds)]);
    } while (Atomics.load(acknowledged, 0) === before);
    return ((Atomics.load(acknowledged, 0) - before) * 1_000) / (performance.now() - began);
  } finally {
    await worker.terminate();
  }
}

function elapse(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}
