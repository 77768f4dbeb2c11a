// SPDX-License-Identifier: Apache-2.0
// The devices of the ingest benchmark, on a thread of their own: bare sockets, real reports, QoS 1, several in flight.
import { connect } from "node:net";
import { workerData } from "node:worker_threads";
import type { DeviceId } from "@coalmine/core";
import { encodeReport, type ReportBody, reportTopic } from "@coalmine/protocol";
import { generate } from "mqtt-packet";

export interface Load {
  readonly port: number;
  readonly connections: number;
  readonly inFlight: number;
}

/** PUBACKs so far, over all connections; read by the thread that measures. */
export type Acknowledged = Int32Array<SharedArrayBuffer>;

const { port, connections, inFlight, acknowledged } = workerData as Load & { readonly acknowledged: Acknowledged };

const hash = new Uint8Array(32).fill(7);
const hello: ReportBody = {
  kind: "hello",
  hardware: { board: "native_sim", revision: "1", partitionMap: "bench", mode: "swap-move", slotSize: 524_288 },
  running: { imageHash: hash, version: "1.0.0", buildId: hash.subarray(0, 20), confirmed: true },
  slot1: null,
  resetCause: "power-on",
  attempt: null,
  interval_s: 60,
  attributes: {},
  storageSchema: 1,
};
const heartbeat: ReportBody = { kind: "heartbeat", imageHash: hash, confirmed: true, battery: 87, linkUptime: 1, metrics: {} };

/** CONNACK and PUBACK are both four bytes long, so counting bytes counts answers. */
const ANSWER_BYTES = 4;

for (let index = 0; index < connections; index += 1) {
  start(`bench-${index}` as DeviceId);
}

function start(device: DeviceId): void {
  const topic = reportTopic(device);
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  let sequence = 0;
  let answers = 0;
  let rest = 0;
  const next = (): Buffer => {
    const body = sequence === 0 ? hello : heartbeat;
    const payload = encodeReport({ boot: 1, sequence, uptime_s: sequence, body });
    sequence += 1;
    const messageId = (sequence % 65_535) + 1;
    return generate({ cmd: "publish", topic, payload: Buffer.from(payload), qos: 1, messageId, dup: false, retain: false });
  };
  socket.on("connect", () => {
    socket.write(generate({ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clean: true, clientId: device, keepalive: 600 }));
  });
  socket.on("data", (chunk: Buffer) => {
    rest += chunk.length;
    const got = Math.floor(rest / ANSWER_BYTES);
    rest -= got * ANSWER_BYTES;
    answers += got;
    const first = answers === got;
    Atomics.add(acknowledged, 0, first ? got - 1 : got);
    socket.write(Buffer.concat(Array.from({ length: first ? inFlight : got }, next)));
  });
  socket.on("error", () => undefined);
}
