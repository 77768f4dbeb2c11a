// SPDX-License-Identifier: Apache-2.0
// One artifact to many CoAP peers: processor time of our server for a block of 1,024 bytes, against a bare one that
// parses, cuts and sends and does nothing else.
import { bareServer, type BenchServer, benchArtifact, download, type DownloadFigures, ourServer } from "@coalmine/coap/bench";
import { CoalmineError } from "@coalmine/core";
import { type ChildProcess, fork } from "node:child_process";
import { command, environment } from "./bench-child.ts";
import { arm, type BenchOptions, type BenchResult, compare } from "./bench-result.ts";

const artifactSize = 300_000;
/** What the downloads may cost at most of the bare server's. */
const ratioMost = 2;

/** Which server a process of its own is to be. */
export type CoapArm = "bare" | "open" | "signed";
const arms: readonly CoapArm[] = ["bare", "open", "signed"];

/** Sent to the process of a server. */
export interface CoapOrder {
  readonly arm: CoapArm;
  readonly devices: number;
}

interface Figures extends DownloadFigures {
  /** Microseconds of the server's process for each block. */
  readonly micros: number;
  readonly rss: number;
}

/** The other side: serves what it is told to, and answers every further message with its processor time so far. */
export async function serveCoapArm(): Promise<void> {
  const order = await new Promise<CoapOrder>((resolve) => process.once("message", (message) => resolve(message as CoapOrder)));
  const artifact = benchArtifact(artifactSize);
  const server: BenchServer = order.arm === "bare" ? await bareServer(artifact) : await ourServer(artifact, { devices: order.devices, isSigned: order.arm === "signed" });
  process.on("message", () => {
    const { user, system } = process.cpuUsage();
    process.send?.({ micros: user + system, rss: process.memoryUsage.rss() });
  });
  process.on("disconnect", () => process.exit(0));
  process.send?.(server.port);
}

function answer<T>(child: ChildProcess, message: unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new CoalmineError("bench/coap", `the server's process ended with ${code}`));
    child.once("exit", ended);
    child.once("message", (answered) => {
      child.off("exit", ended);
      resolve(answered as T);
    });
    child.send(message as object);
  });
}

async function measure(of: CoapArm, devices: number): Promise<Figures> {
  const child = fork(command, ["bench", "coap-server"], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  try {
    const port = await answer<number>(child, { arm: of, devices } satisfies CoapOrder);
    const artifact = benchArtifact(artifactSize);
    // Once with a few peers, so that neither start-up nor compilation is measured.
    await download({ port, peers: 20, isSigned: of === "signed", artifact });
    const before = await answer<{ micros: number }>(child, "usage");
    const figures = await download({ port, peers: devices, isSigned: of === "signed", artifact });
    const after = await answer<{ micros: number; rss: number }>(child, "usage");
    if (figures.spoilt > 0) {
      throw new CoalmineError("bench/coap", `${figures.spoilt} of ${devices} downloads from the ${of} server were not the artifact`);
    }
    return { ...figures, micros: (after.micros - before.micros) / figures.blocks, rss: after.rss };
  } finally {
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill();
    await gone;
  }
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const devices = options.devices ?? 500;
  const figures: Record<CoapArm, Figures[]> = { bare: [], open: [], signed: [] };
  // Interleaved, so that whatever else the machine does falls on all of them.
  for (let round = 0; round < options.runs; round += 1) {
    for (const of of arms) {
      options.progress(`run ${round + 1} of ${options.runs}: ${devices} peers, ${of} server`);
      figures[of].push(await measure(of, devices));
    }
  }
  const micros = (of: CoapArm, name: string) => arm(name, figures[of].map((figure) => figure.micros));
  const rate = (of: CoapArm, name: string) => arm(name, figures[of].map((figure) => figure.blocks / figure.seconds));
  const bare = "bare coap-packet server";
  const open = "coalmine's server";
  const signed = "coalmine's server, every request signed";
  const cost = { name: "processor time of a block of 1,024 bytes", unit: "us", better: "less" } as const;
  const speed = { name: "blocks of 1,024 bytes", unit: "blocks/s", better: "more" } as const;
  const retransmitted = arms.map((of) => `${of} ${figures[of].reduce((sum, figure) => sum + figure.retransmitted, 0)}`).join(", ");
  return {
    bench: "coap",
    seed: options.seed,
    environment: environment({ devices, artifactBytes: artifactSize }),
    measurements: [
      compare(cost, micros("open", open), micros("bare", bare), { ratioMost, pairs: true }),
      compare(cost, micros("signed", signed), micros("bare", bare), { ratioMost, pairs: true }),
      compare(speed, rate("open", open), rate("bare", bare), { pairs: true }),
      compare(speed, rate("signed", signed), rate("bare", bare), { pairs: true }),
      compare({ name: "resident memory of the server", unit: "MB", better: "less" }, arm(open, figures.open.map(({ rss }) => rss / 1_048_576)), arm(bare, figures.bare.map(({ rss }) => rss / 1_048_576))),
    ],
    notes: [`every download was compared with the artifact; requests sent again after a second: ${retransmitted}`],
  };
}
