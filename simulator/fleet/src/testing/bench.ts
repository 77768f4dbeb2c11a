// SPDX-License-Identifier: Apache-2.0
// A tiny host for tests: it offers what the test tells it, serves blocks, acknowledges, and writes everything down.
import { type Instant, instant, type Millis } from "@coalmine/core";
import { createDevice, createShared, type Defect, type Device, type DeviceEffect, type DeviceInput, step } from "@coalmine/device";
import type { AttemptResult, Command, ConfirmPolicy, Crash, Heartbeat, Hello, Offer, Progress, Report, ReportBody } from "@coalmine/protocol";
import { draw, Network, World } from "@coalmine/world";
import { assembleFleet, deviceDescription, type Fleet } from "../fleet.ts";
import { fleetFromData } from "../fleet-file.ts";
import { type BuiltRelease, buildRelease, labKey } from "../release.ts";
import { createHash } from "node:crypto";

export const epoch: Instant = instant(Date.UTC(2026, 0, 1));
export const minute = 60_000;
export const hour = 3_600_000;

export interface Heard {
  readonly device: number;
  readonly at: Instant;
  readonly report: Report;
}

type Item =
  | { readonly to: "host"; readonly device: number; readonly effect: DeviceEffect }
  | { readonly to: "device"; readonly device: number; readonly input: DeviceInput };

export interface BenchOptions {
  readonly devices?: number;
  readonly seed?: number;
  readonly hardware?: object;
  readonly connectivity?: object;
  readonly fleet?: object;
  /** Keep every report; off for large fleets. */
  readonly record?: boolean;
}

export function testFleet(options: BenchOptions = {}): Fleet {
  const spec = fleetFromData({
    seed: options.seed ?? 7,
    devices: options.devices ?? 1,
    hardware: [{ name: "pump", board: "pump-board", revision: "revA", slotSize: "64KiB", ...options.hardware }],
    connectivity: [{ name: "wifi", interval: "5m", blockSize: "4KiB", latency: "20ms", ...options.connectivity }],
    imageSize: "12KiB",
    noise: { crashesPerDay: 0 },
    ...options.fleet,
  });
  return assembleFleet(spec, labKey(spec.seed));
}

export const policy: ConfirmPolicy = { minUptime_s: 60, deadline_s: 600, serverContact: true };

export class Bench {
  readonly fleet: Fleet;
  readonly world: World<Item>;
  readonly devices: Device[];
  readonly heard: Heard[] = [];
  readonly effects: string[] = [];
  readonly network: Network;
  reports = 0;
  /** False: reports arrive but nothing is acknowledged. */
  acknowledges = true;
  /** False: nothing a device sends arrives. */
  hears = true;
  /** Answers are made from these bytes, by the digest's first 8 bytes in hex. */
  readonly artifacts = new Map<string, Uint8Array>();
  blocks = 0;
  /** Drops this share of block answers. */
  blockLoss = 0;
  readonly #record: boolean;
  #messages = 0;
  readonly #handler = {
    timer: (device: number): void => this.input(device, { kind: "wake" }),
    item: (item: Item): void => {
      if (item.to === "device") {
        this.input(item.device, item.input);
      } else {
        this.#hear(item.device, item.effect);
      }
    },
  };

  constructor(options: BenchOptions = {}) {
    this.fleet = testFleet(options);
    this.#record = options.record ?? true;
    const { seed, devices } = this.fleet.spec;
    this.world = new World<Item>({ start: epoch, timers: devices });
    const shared = createShared(draw);
    this.devices = Array.from({ length: devices }, (_, index) => createDevice(deviceDescription(this.fleet, index), seed, shared));
    const conditions = { latency: (this.fleet.connectivity[0]?.latency ?? 0) as Millis, loss: 0 };
    this.network = new Network({ seed, conditions: () => conditions });
  }

  /** Powers every device on. */
  start(): this {
    for (const index of this.devices.keys()) {
      this.input(index, { kind: "power-on", cause: "power-on" });
    }
    return this;
  }

  input(index: number, input: DeviceInput): void {
    const device = this.devices[index] as Device;
    for (const effect of step(device, input, this.world.now)) {
      if (this.#record) {
        this.effects.push(`${this.world.now} ${index} ${JSON.stringify(effect, (_key, value: unknown) => (value instanceof Uint8Array ? Array.from(value).join() : value))}`);
      }
      if (effect.kind === "wake") {
        this.world.setTimer(index, effect.at);
      } else {
        this.#travel({ to: "host", device: index, effect }, "report");
      }
    }
  }

  #travel(item: Item, kind: "report" | "command"): void {
    const id = (this.devices[item.device] as Device).description.id;
    for (const delay of this.network.arrivals(id, kind, this.#messages++, this.world.now)) {
      this.world.post(instant(this.world.now + delay), item);
    }
  }

  #hear(index: number, effect: DeviceEffect): void {
    if (!this.hears) {
      return;
    }
    if (effect.kind === "report") {
      this.reports++;
      if (this.#record) {
        this.heard.push({ device: index, at: this.world.now, report: effect.report });
      }
      if (this.acknowledges) {
        const { boot, sequence } = effect.report;
        this.#travel({ to: "device", device: index, input: { kind: "acknowledged", boot, sequence } }, "command");
      }
    } else if (effect.kind === "request") {
      this.blocks++;
      const { digest, request, offset, length } = effect.request;
      if (this.blockLoss > 0 && draw(1, "block loss", this.blocks) < this.blockLoss) {
        return;
      }
      const bytes = this.artifacts.get(hex(digest));
      const answer =
        bytes === undefined
          ? ({ kind: "refused", request, reason: "not-offered" } as const)
          : ({ kind: "block", request, offset, data: bytes.subarray(offset, offset + length) } as const);
      this.#travel({ to: "device", device: index, input: { kind: "block", answer } }, "command");
    }
  }

  run(length: number): this {
    this.world.runUntil(this.#handler, instant(this.world.now + length));
    return this;
  }

  build(version: string, defects: readonly Defect[] = [], size = 12 * 1024, storageSchema = 1): BuiltRelease {
    const release = buildRelease({ version, size, defects, storageSchema }, this.fleet.hardware, this.fleet.signingKey);
    for (const artifact of release.artifacts) {
      this.artifacts.set(hex(sha256(artifact.bytes)).slice(0, 16), artifact.bytes);
    }
    return release;
  }

  offerOf(release: BuiltRelease, index = 0, offer = 1, changes: Partial<Offer> = {}): Offer {
    const kind = (this.devices[index] as Device).description.hardware;
    const artifact = release.artifacts.find((entry) => entry.hardware === kind.name);
    if (artifact === undefined) {
      throw new Error(`no artifact for ${kind.name}`);
    }
    return {
      kind: "offer",
      offer,
      release: `r-${release.version}`,
      version: release.version,
      variant: artifact.variant,
      digest: sha256(artifact.bytes),
      imageHash: unhex(artifact.imageHash),
      size: artifact.bytes.length,
      jitter_s: 30,
      confirm: policy,
      ...changes,
    };
  }

  command(index: number, command: Command): void {
    this.#travel({ to: "device", device: index, input: { kind: "command", command } }, "command");
  }

  bodies<K extends ReportBody["kind"]>(kind: K, index = 0): Extract<ReportBody, { kind: K }>[] {
    return this.heard.filter((entry) => entry.device === index && entry.report.body.kind === kind).map((entry) => entry.report.body as Extract<ReportBody, { kind: K }>);
  }

  results(index = 0): AttemptResult[] {
    return this.bodies("result", index);
  }
  hellos(index = 0): Hello[] {
    return this.bodies("hello", index);
  }
  heartbeats(index = 0): Heartbeat[] {
    return this.bodies("heartbeat", index);
  }
  crashes(index = 0): Crash[] {
    return this.bodies("crash", index);
  }
  progress(index = 0): Progress[] {
    return this.bodies("progress", index);
  }

  running(index = 0): string {
    return (this.devices[index] as Device).running?.version ?? "none";
  }
}

export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function unhex(text: string): Uint8Array {
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16));
}
