// SPDX-License-Identifier: Apache-2.0
// Bytes that one live device adds to its process, socket and simulated board included. The kernel's socket buffers are
// not part of a process and the same for every kind of client.
import { environment, fitted, loadInChild, nurseryMegabytes, startBroker } from "./bench-child.ts";
import type { LoadFigures, LoadKind } from "./bench-load.ts";
import { arm, type BenchOptions, type BenchResult, compare } from "./bench-result.ts";

const kinds: readonly LoadKind[] = ["raw", "connections", "live", "mqttjs"];

export async function run(options: BenchOptions): Promise<BenchResult> {
  const notes = [`V8's young generation is held at ${nurseryMegabytes} MB in every arm: it belongs to the process, not to its devices`];
  const devices = fitted(options.devices ?? 10_000, notes);
  const figures = new Map<LoadKind, LoadFigures[]>(kinds.map((kind) => [kind, []]));
  let broker = "";
  for (let round = 0; round < options.runs; round += 1) {
    for (const kind of kinds) {
      const peer = await startBroker(round === 0 && kind === "raw" ? notes : []);
      broker = peer.name;
      try {
        options.progress(`run ${round + 1} of ${options.runs}: ${devices} ${kind} clients on ${broker}`);
        figures.get(kind)?.push(await loadInChild({ kind, port: peer.port, devices, seed: options.seed, reports: 0 }, { nursery: nurseryMegabytes }));
      } finally {
        await peer.stop();
      }
    }
  }
  const of = (kind: LoadKind, name: string, value: (figure: LoadFigures) => number) => arm(name, (figures.get(kind) ?? []).map(value));
  const resident = (figure: LoadFigures): number => figure.residentBytes;
  const heap = (figure: LoadFigures): number => figure.heapBytes;
  const less = (name: string) => ({ name, unit: "bytes/device", better: "less" as const });
  return {
    bench: "memory",
    seed: options.seed,
    environment: environment({ devices, broker }),
    measurements: [
      compare(less("resident memory"), of("live", "live devices", resident), of("raw", "raw sockets", resident), { atMost: 8_192 }),
      compare(less("resident memory"), of("live", "live devices", resident), of("mqttjs", "MQTT.js clients", resident), { ratioMost: 0.5 }),
      compare(less("resident memory"), of("connections", "live connections without boards", resident), of("raw", "raw sockets", resident)),
      compare(less("JavaScript heap"), of("live", "live devices", heap), of("raw", "raw sockets", heap)),
    ],
    notes,
  };
}
