// SPDX-License-Identifier: Apache-2.0
// A host with an API in front of it and devices that have said hello: what the tests of the routes start from.
import { type DeviceId, Minutes, type ReleaseId } from "@coalmine/core";
import { buildImage, loadPublicKey, parseVersion } from "@coalmine/mcuboot";
import { AuditFeed, boundJudge, Host, type Link } from "@coalmine/orchestrator";
import { type Command, encodeReport, type Offer, type ReportBody } from "@coalmine/protocol";
import type { FastifyInstance } from "fastify";
import { generateKeyPairSync } from "node:crypto";
import { type ApiOptions, buildApi } from "../api.ts";
import { MemoryArtifacts, MemoryLog, StillClock } from "./memory.ts";

export const variant = { board: "nrf52840dk", revision: "revA", partitionMap: "pm1" };

/** Two canaries, then everybody; small and quick, but with gates. */
export const plan = {
  stages: [2, "100%"],
  strata: ["hardware"],
  gates: { "boot-confirmation": { minSample: 1 } },
  offers: { perMinute: 6_000, jitter: "0s" },
  soak: { min: "1h", max: "6h", dutyCycles: 1 },
};

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
  /** The JSON body. */
  readonly body: Record<string, unknown> & { readonly error?: { readonly code: string; readonly message: string } };
}

export interface Call {
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
}

const keys = generateKeyPairSync("ed25519");

export function signedImage(version: string, size = 2_048): Uint8Array {
  return buildImage({ version: parseVersion(version), headerSize: 512, payload: new Uint8Array(size).fill(7), key: keys.privateKey });
}

const hashOf = (image: string): Uint8Array => {
  const bytes = new Uint8Array(32);
  bytes.set(new TextEncoder().encode(image).subarray(0, 32));
  return bytes;
};

export class Site {
  readonly log = new MemoryLog();
  readonly artifacts = new MemoryArtifacts();
  readonly clock = new StillClock();
  readonly feed = new AuditFeed();
  readonly sent: { readonly device: DeviceId; readonly command: Command }[] = [];
  readonly bugs: Error[] = [];
  readonly host: Host;
  readonly api: FastifyInstance;
  readonly #sequences = new Map<string, number>();

  constructor(options: Partial<ApiOptions> = {}) {
    const { log, artifacts, clock, feed } = this;
    this.host = Host.open({ log, artifacts, clock, judge: boundJudge, keys: [loadPublicKey(keys.publicKey)], watch: feed.note });
    const link: Link = {
      door: "virtual",
      send: async (device, command) => {
        this.sent.push({ device, command });
      },
      clear: async () => undefined,
      close: async () => undefined,
    };
    this.host.attach(link);
    this.api = buildApi(this.host, { log, artifacts, clock, feed, requestsPerSecond: 100_000, onBug: (error) => this.bugs.push(error), ...options });
  }

  async call(method: "GET" | "POST" | "PUT", url: string, { headers = {}, body }: Call = {}): Promise<Answer> {
    const json = body !== undefined && !(body instanceof Uint8Array) && typeof body !== "string";
    const answer = await this.api.inject({
      method,
      url,
      headers: { host: "localhost", ...(json ? { "content-type": "application/json" } : {}), ...headers },
      ...(body === undefined ? {} : { payload: body instanceof Uint8Array ? Buffer.from(body) : typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const type = String(answer.headers["content-type"] ?? "");
    return { status: answer.statusCode, headers: answer.headers, text: answer.body, body: (type.includes("json") && answer.body !== "" ? JSON.parse(answer.body) : {}) as Answer["body"] };
  }

  async say(device: string, body: ReportBody, boot = 1): Promise<void> {
    const key = `${device} ${boot}`;
    const sequence = this.#sequences.get(key) ?? 0;
    this.#sequences.set(key, sequence + 1);
    await this.host.report(device as DeviceId, encodeReport({ boot, sequence, uptime_s: 10 + sequence, body }), "virtual");
  }

  async hello(device: string, options: { revision?: string; version?: string; boot?: number; imageHash?: Uint8Array; confirmed?: boolean; slotSize?: number } = {}): Promise<void> {
    const { revision = "revA", version = "1.0.0", boot = 1, confirmed = true, slotSize = 65_536 } = options;
    const imageHash = options.imageHash ?? hashOf(version);
    await this.say(
      device,
      {
        kind: "hello",
        hardware: { ...variant, revision, mode: "swap-move", slotSize },
        running: { imageHash, version, buildId: imageHash.subarray(0, 20), confirmed },
        slot1: null,
        resetCause: "power-on",
        attempt: null,
        interval_s: 300,
        attributes: { site: "field" },
        storageSchema: 1,
      },
      boot,
    );
  }

  /** Devices d0, d1 ... that have said hello. */
  async fleet(count: number): Promise<this> {
    for (let index = 0; index < count; index += 1) {
      await this.hello(`d${index}`);
    }
    return this;
  }

  async release(id: string, version = id): Promise<Answer> {
    const stored = await this.call("PUT", "/artifacts", { headers: { "content-type": "application/octet-stream" }, body: signedImage(version) });
    return this.call("POST", "/releases", { body: { id, artifacts: [{ digest: stored.body["digest"], variant }], by: "ada", reason: "test" } });
  }

  /** A fleet of ten with a running rollout r1 of release 1.1.0. */
  async rollout(): Promise<this> {
    await this.fleet(10);
    await this.release("1.1.0");
    const answer = await this.call("POST", "/rollouts", { body: { release: "1.1.0", plan, by: "ada", reason: "weekly" } });
    if (answer.status !== 201) {
      throw new Error(`the rollout did not start: ${answer.text}`);
    }
    return this;
  }

  async pass(minutes: number): Promise<void> {
    this.clock.time += Minutes(minutes);
    await this.host.tick();
  }

  offers(): Offer[] {
    return this.sent.flatMap(({ command }) => (command.kind === "offer" ? [command] : []));
  }

  /** Runs the offered release on a device, on trial, and lets it crash there and revert. */
  async crashAndRevert(device: string): Promise<void> {
    const release = this.host.conductor.state.releases.get("1.1.0" as ReleaseId);
    const target = Uint8Array.fromHex(release?.artifacts[0]?.imageHash ?? "");
    const member = this.host.conductor.rollout("r1" as never).members.find((one) => one.device === device);
    await this.hello(device, { boot: 2, version: "1.1.0", imageHash: target, confirmed: false });
    await this.hello(device, { boot: 3 });
    await this.say(device, { kind: "crash", buildId: target.subarray(0, 20), imageHash: target, reason: "bus-fault", pc: 0x1234, lr: 0x1200, uptime_s: 4 }, 3);
    await this.say(
      device,
      { kind: "result", attempt: { offer: member?.offer ?? 0, target, outcome: "reverted", ran: true, resetCause: "fault" }, reason: "self-test never finished | <b>" },
      3,
    );
  }
}
