// SPDX-License-Identifier: Apache-2.0
// The devices of the crash benchmark, on a thread of their own: each crashes, says so and sends its dump piece by piece, the next
// when the one before is acknowledged, as a board does.
import type { DeviceId } from "@coalmine/core";
import { encodeReport, type ReportBody, reportTopic } from "@coalmine/protocol";
import { generate } from "mqtt-packet";
import { connect } from "node:net";
import { parentPort, workerData } from "node:worker_threads";

export interface StormLoad {
  readonly port: number;
  readonly devices: number;
  /** The devices begin one after the other within this many milliseconds. */
  readonly within_ms: number;
  readonly pieceBytes: number;
  /** What device i says: dumps and crash sites by turns. */
  readonly kinds: readonly { readonly crash: ReportBody & { readonly kind: "crash" }; readonly dump: Uint8Array }[];
}

const { port, devices, within_ms, pieceBytes, kinds } = workerData as StormLoad;
/** CONNACK and PUBACK are both four bytes long. */
const answerBytes = 4;
const latencies: number[] = [];
let left = devices;

for (let index = 0; index < devices; index += 1) {
  setTimeout(start, (index * within_ms) / devices, index);
}

function start(index: number): void {
  const device = `storm-${String(index).padStart(5, "0")}` as DeviceId;
  const topic = reportTopic(device);
  const reports = reportsOf(index);
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  let sequence = -1;
  let sentAt = 0;
  let rest = 0;
  socket.on("connect", () => {
    socket.write(generate({ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clean: true, clientId: device, keepalive: 600 }));
  });
  socket.on("data", (chunk: Buffer) => {
    rest += chunk.length;
    while (rest >= answerBytes) {
      rest -= answerBytes;
      if (sequence >= 0) {
        latencies.push(performance.now() - sentAt);
      }
      sequence += 1;
      const body = reports[sequence];
      if (body === undefined) {
        socket.end();
        left -= 1;
        if (left === 0) {
          parentPort?.postMessage(latencies);
        }
        return;
      }
      sentAt = performance.now();
      const payload = Buffer.from(encodeReport({ boot: 1, sequence, uptime_s: sequence, body }));
      socket.write(generate({ cmd: "publish", topic, payload, qos: 1, messageId: sequence + 1, dup: false, retain: false }));
    }
  });
  socket.on("error", (error) => {
    throw error;
  });
}

function reportsOf(index: number): ReportBody[] {
  const { crash, dump } = kinds[index % kinds.length] as StormLoad["kinds"][number];
  const reports: ReportBody[] = [crash];
  for (let offset = 0; offset < dump.length; offset += pieceBytes) {
    reports.push({ kind: "log", stream: "coredump", buildId: crash.buildId, id: 1, offset, total: dump.length, data: dump.subarray(offset, offset + pieceBytes) });
  }
  return reports;
}
