// SPDX-License-Identifier: Apache-2.0
// How fast live devices connect and report, against bare sockets that do the same with ready-made packets.
import { environment, fitted, loadInChild, startBroker } from "./bench-child.ts";
import type { LoadFigures, LoadKind } from "./bench-load.ts";
import { arm, type BenchOptions, type BenchResult, compare } from "./bench-result.ts";

const kinds: readonly LoadKind[] = ["raw", "live", "mqttjs"];
const reportsPerDevice = 20;

export async function run(options: BenchOptions): Promise<BenchResult> {
  const notes: string[] = [];
  const devices = fitted(options.devices ?? 10_000, notes);
  const figures = new Map<LoadKind, LoadFigures[]>(kinds.map((kind) => [kind, []]));
  let broker = "";
  // Interleaved, so that whatever else the machine does falls on all of them. A fresh broker for each: sessions pile up.
  for (let round = 0; round < options.runs; round += 1) {
    for (const kind of kinds) {
      const peer = await startBroker(round === 0 && kind === "raw" ? notes : []);
      broker = peer.name;
      try {
        options.progress(`run ${round + 1} of ${options.runs}: ${devices} ${kind} clients on ${broker}`);
        figures.get(kind)?.push(await loadInChild({ kind, port: peer.port, devices, seed: options.seed, reports: reportsPerDevice }));
      } finally {
        await peer.stop();
      }
    }
  }
  const of = (kind: LoadKind, name: string, value: (figure: LoadFigures) => number) => arm(name, (figures.get(kind) ?? []).map(value));
  const connects = (figure: LoadFigures): number => devices / figure.connectSeconds;
  const reports = (figure: LoadFigures): number => (devices * reportsPerDevice) / figure.reportSeconds;
  const micros = (figure: LoadFigures): number => figure.reportMicros;
  return {
    bench: "mqtt",
    seed: options.seed,
    environment: environment({ devices, broker }),
    measurements: [
      compare({ name: "connect rate", unit: "devices/s", better: "more" }, of("live", "live devices", connects), of("raw", "raw sockets", connects), { ratioLeast: 0.5 }),
      compare({ name: "connect rate", unit: "devices/s", better: "more" }, of("live", "live devices", connects), of("mqttjs", "MQTT.js clients", connects)),
      compare({ name: "reports at QoS 1", unit: "reports/s", better: "more" }, of("live", "live devices", reports), of("raw", "raw sockets", reports)),
      compare({ name: "reports at QoS 1", unit: "reports/s", better: "more" }, of("live", "live devices", reports), of("mqttjs", "MQTT.js clients", reports)),
      compare({ name: "processor time of a report", unit: "us", better: "less" }, of("live", "live devices", micros), of("raw", "raw sockets", micros)),
    ],
    notes,
  };
}
