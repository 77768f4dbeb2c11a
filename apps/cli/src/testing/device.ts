// SPDX-License-Identifier: Apache-2.0
// One device on a real MQTT connection that takes the update it is offered at its word.
import { type DeviceId, deviceId } from "@coalmine/core";
import { blockAnswerTopic, blockRequestTopic, type Command, commandTopic, decodeBlockAnswer, decodeCommand, deviceFilter, encodeBlockRequest, encodeReport, type Offer, type ReportBody, reportTopic } from "@coalmine/protocol";
import { connectAsync, type MqttClient } from "mqtt";
import { createHash } from "node:crypto";
import { EventEmitter, once } from "node:events";

const blockBytes = 4_096;

/** What a board of the tests says of itself after a boot. */
export function helloOf({ imageHash, version }: { readonly imageHash: Uint8Array; readonly version: string }, confirmed = true): ReportBody {
  return {
    kind: "hello",
    hardware: { board: "nrf52840dk", revision: "revA", partitionMap: "pm1", mode: "swap-move", slotSize: 65_536 },
    running: { imageHash, version, buildId: imageHash.subarray(0, 20), confirmed },
    slot1: null,
    resetCause: "power-on",
    attempt: null,
    interval_s: 60,
    attributes: { site: "field" },
    storageSchema: 1,
  };
}

export class MqttDevice {
  readonly id: DeviceId;
  readonly #client: MqttClient;
  readonly #arrived = new EventEmitter();
  readonly commands: Command[] = [];
  #boot: number;
  #sequence = 0;
  running: { imageHash: Uint8Array; version: string } = { imageHash: new Uint8Array(32).fill(1), version: "1.0.0+0" };

  private constructor(id: DeviceId, client: MqttClient, boot: number) {
    this.id = id;
    this.#client = client;
    this.#boot = boot;
    client.on("message", (topic, payload) => {
      if (topic === commandTopic(id) && payload.length > 0) {
        const decoded = decodeCommand(new Uint8Array(payload));
        if (decoded.kind === "ok") {
          this.commands.push(decoded.value);
          this.#arrived.emit("command");
        }
      } else if (topic === blockAnswerTopic(id)) {
        this.#arrived.emit("block", new Uint8Array(payload));
      }
    });
  }

  static async connect(url: string, name: string, boot = 1, secret?: string): Promise<MqttDevice> {
    const id = deviceId(name);
    const proof = secret === undefined ? {} : { username: name, password: secret };
    const client = await connectAsync(url, { clientId: name, protocolVersion: 4, clean: true, reconnectPeriod: 0, keepalive: 60, ...proof });
    const device = new MqttDevice(id, client, boot);
    await client.subscribeAsync(deviceFilter(id), { qos: 1 });
    return device;
  }

  /** Resolves with the PUBACK: the report is durable. */
  async say(body: ReportBody): Promise<void> {
    const report = { boot: this.#boot, sequence: this.#sequence, uptime_s: this.#sequence, body };
    this.#sequence += 1;
    await this.#client.publishAsync(reportTopic(this.id), Buffer.from(encodeReport(report)), { qos: 1 });
  }

  async hello(confirmed = true): Promise<void> {
    await this.say(helloOf(this.running, confirmed));
  }

  async offer(): Promise<Offer> {
    for (;;) {
      const offer = this.commands.find((command) => command.kind === "offer");
      if (offer?.kind === "offer") {
        return offer;
      }
      await once(this.#arrived, "command");
    }
  }

  /** Downloads the offered artifact block by block and gives its SHA-256. */
  async download(offer: Offer): Promise<string> {
    const sha = createHash("sha256");
    for (let offset = 0, request = 1; offset < offer.size; request += 1) {
      const answered = once(this.#arrived, "block") as Promise<[Uint8Array]>;
      const bytes = encodeBlockRequest({ request, digest: offer.digest.subarray(0, 8), offset, length: Math.min(blockBytes, offer.size - offset) });
      await this.#client.publishAsync(blockRequestTopic(this.id), Buffer.from(bytes), { qos: 0 });
      const decoded = decodeBlockAnswer((await answered)[0]);
      if (decoded.kind !== "ok" || decoded.value.kind !== "block") {
        throw new Error(`no block at ${offset}: ${JSON.stringify(decoded)}`);
      }
      sha.update(decoded.value.data);
      offset += decoded.value.data.length;
    }
    return sha.digest("hex");
  }

  /** Reboots into the offered image, on trial, then confirms. */
  async update(offer: Offer): Promise<void> {
    this.#boot += 1;
    this.#sequence = 0;
    this.running = { imageHash: offer.imageHash, version: offer.version };
    await this.hello(false);
    await this.say({ kind: "heartbeat", imageHash: offer.imageHash, confirmed: true, battery: null, linkUptime: 1, metrics: {} });
  }

  async close(): Promise<void> {
    await this.#client.endAsync(true);
  }
}
