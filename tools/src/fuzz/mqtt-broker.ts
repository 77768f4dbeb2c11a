// SPDX-License-Identifier: Apache-2.0
// The broker under attack, with a host that knows what it must never be given, and a good device that checks on it.
import { connect } from "node:net";
import { isDeviceId } from "@coalmine/core";
import { type Broker, embeddedLink, startBroker, unlimited } from "@coalmine/mqtt";
import { generate } from "mqtt-packet";

export interface FuzzedBroker {
  readonly port: number;
  /** A good device connects, reports and gets its PUBACK; anything else is a finding. */
  check(): Promise<void>;
  figures(): { readonly reports: number; readonly counters: Broker["counters"] };
  close(): Promise<void>;
}

const PAYLOAD_MAX = 8_192;
const ANSWER_WITHIN_MS = 5_000;
const CONNACK = "20020000";
const PUBACK = "40020001";

export async function brokerOfFuzz(find: (problem: string) => void): Promise<FuzzedBroker> {
  const broker = await startBroker({ limits: { connects: unlimited, reports: unlimited, blocks: unlimited, drain_s: 1 } });
  let reports = 0;
  let checks = 0;
  const link = embeddedLink(broker, {
    report(device, bytes) {
      reports += 1;
      if (!isDeviceId(device) || bytes.length > PAYLOAD_MAX) {
        find(`the host was given a report of ${JSON.stringify(device)} with ${bytes.length} bytes`);
      }
      return Promise.resolve();
    },
    block: (_device, { request }) => ({ kind: "refused", request, reason: "unknown" }),
    undecodable: () => undefined,
  });
  return {
    port: broker.port,
    async check() {
      checks += 1;
      const clientId = `good-${checks}`;
      const socket = connect({ port: broker.port, host: "127.0.0.1", noDelay: true });
      let answer = "";
      socket.on("data", (chunk: Buffer) => {
        answer += chunk.toString("hex");
        if (answer === CONNACK + PUBACK) {
          socket.destroy();
        }
      });
      socket.on("error", () => undefined);
      socket.write(generate({ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clean: true, clientId, keepalive: 60 }));
      socket.write(generate({ cmd: "publish", topic: `c/v1/d/${clientId}/up/report`, payload: "r", qos: 1, messageId: 1, dup: false, retain: false }));
      const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
      const late = setTimeout(() => socket.destroy(), ANSWER_WITHIN_MS);
      await closed;
      clearTimeout(late);
      if (answer !== CONNACK + PUBACK) {
        find(`a good device got ${answer === "" ? "nothing" : answer} instead of CONNACK and PUBACK`);
      }
    },
    figures: () => ({ reports, counters: broker.counters }),
    async close() {
      await link.close();
      await broker.close();
    },
  };
}
