// SPDX-License-Identifier: Apache-2.0
// Builders for tests of the conductor: a device that speaks, a release, a plan.
import { type DeviceId, type Digest, type Instant, instant, type ReleaseId, type RolloutId } from "@coalmine/core";
import type { Attempt, DowngradePrevention, Hardware, Report, ReportBody } from "@coalmine/protocol";
import { Conductor } from "../conductor.ts";
import type { Change } from "../entry.ts";
import { boundJudge } from "../judge.ts";
import { startRollout } from "../operations.ts";
import { planFromData } from "../plan-file.ts";
import type { EventLog, LogEntry, StoredEntry } from "../ports.ts";

export const start: Instant = instant(Date.UTC(2026, 0, 1));
export const operator = { by: "ada", reason: "test" };

/** A hash that says which image it is of. */
export const hashOf = (image: string): Uint8Array => {
  const bytes = new Uint8Array(32);
  bytes.set(new TextEncoder().encode(image).subarray(0, 32));
  return bytes;
};

/** A device's side of the conversation: counts boots and sequences as a board does. */
export class Speaker {
  readonly id: DeviceId;
  boot = 1;
  sequence = 0;
  running = "1.0.0";
  confirmed = true;
  attempt: Attempt | null = null;
  revision = "revA";
  interval_s = 300;
  mode: Hardware["mode"] = "swap-move";
  /** What the other slot holds. */
  slot1: string | null = null;
  downgrade: DowngradePrevention | undefined;
  storageSchema = 1;

  constructor(id: string) {
    this.id = id as DeviceId;
  }

  say(body: ReportBody): Report {
    const report = { boot: this.boot, sequence: this.sequence, uptime_s: 10 + this.sequence, body };
    this.sequence += 1;
    return report;
  }

  hello(): Report {
    return this.say({
      kind: "hello",
      hardware: { board: "nrf52840dk", revision: this.revision, partitionMap: "pm1", mode: this.mode, slotSize: 65_536 },
      running: { imageHash: hashOf(this.running), version: this.running, buildId: hashOf(this.running).subarray(0, 20), confirmed: this.confirmed },
      slot1: this.slot1 === null ? null : { imageHash: hashOf(this.slot1), version: this.slot1 },
      resetCause: "power-on",
      attempt: this.attempt,
      interval_s: this.interval_s,
      attributes: { connectivity: "wifi", site: "field" },
      storageSchema: this.storageSchema,
      ...(this.downgrade === undefined ? {} : { bootloader: { downgrade: this.downgrade, sectors: 16, writeAlign: 4 } }),
    });
  }

  heartbeat(): Report {
    return this.say({ kind: "heartbeat", imageHash: hashOf(this.running), confirmed: this.confirmed, battery: 90, linkUptime: 1, metrics: {} });
  }

  reboot(): void {
    this.boot += 1;
    this.sequence = 0;
  }
}

/** A conductor with devices that have said hello, one release and, unless told otherwise, a running rollout of it. */
export function aConductor(options: { readonly devices?: number; readonly plan?: Record<string, unknown>; readonly started?: boolean } = {}) {
  const conductor = new Conductor(boundJudge);
  const entries = [];
  const speakers = Array.from({ length: options.devices ?? 10 }, (_, index) => new Speaker(`d${index}`));
  for (const speaker of speakers) {
    entries.push(...conductor.report(speaker.id, "virtual", speaker.hello(), start).entries);
  }
  entries.push(...conductor.change(aRelease("1.1.0"), start).entries);
  const plan = planFromData({
    stages: [2, "50%", "100%"],
    strata: ["hardware"],
    gates: { "boot-confirmation": { minSample: 1 } },
    offers: { perMinute: 6_000, jitter: "0s" },
    soak: { min: "1h", max: "6h", dutyCycles: 3 },
    ...options.plan,
  });
  if (options.started !== false) {
    entries.push(...startRollout(conductor, { release: "1.1.0", plan, seed: 7, authority: operator }, start).outcome.entries);
  }
  return { conductor, speakers, plan, entries, rollout: "r1" as RolloutId };
}

export function aRelease(id: string): Extract<Change, { type: "release-created" }> {
  return {
    type: "release-created",
    release: id as ReleaseId,
    version: id,
    artifacts: ["revA", "revB"].map((revision) => ({
      variant: { board: "nrf52840dk", revision, partitionMap: "pm1" },
      digest: hashOf(`file ${id} ${revision}`).toHex() as Digest,
      imageHash: hashOf(id).toHex(),
      size: 32_000,
      version: id,
    })),
    notes: "",
    authority: operator,
  };
}

/** The least that a log must be for the host. */
export function logOf(entries: readonly LogEntry[]): EventLog & { readonly entries: LogEntry[] } {
  const kept = [...entries];
  return {
    entries: kept,
    get length() {
      return kept.length;
    },
    append: (entry) => kept.push(entry),
    durable: () => Promise.resolve(),
    read: (from) => kept.slice(from).map((entry, index): StoredEntry => ({ at: entry.at, type: entry.type, device: entry.device, body: entry.body, sequence: from + index + 1 })),
    saveSnapshot: () => undefined,
    loadSnapshot: () => null,
    digest: () => ({ events: kept.length, sha256: "" }),
    verify: () => ({ ok: true, entries: kept.length }),
    close: () => Promise.resolve(),
  };
}
