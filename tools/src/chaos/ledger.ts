// SPDX-License-Identifier: Apache-2.0
// A second opinion on the log: what happened, told without the rollout machine, and the promises that must hold of it.
import type { DeviceId } from "@coalmine/core";
import { type AuditRecord, reportBytes, type StoredEntry } from "@coalmine/orchestrator";
import { decodeReport } from "@coalmine/protocol";
import type { SeenOffer } from "./observer.ts";

/** Devices of one stage by how far they were seen to come. */
export interface StageLedger {
  readonly size: number;
  readonly offered: Set<DeviceId>;
  readonly downloading: Set<DeviceId>;
  readonly trying: Set<DeviceId>;
  readonly confirmed: Set<DeviceId>;
  opened: boolean;
  closed: boolean;
}

export class Ledger {
  readonly stages: StageLedger[] = [];
  readonly reverted = new Set<DeviceId>();
  status: "none" | "running" | "held" | "halted" | "aborted" | "complete" = "none";
  entries = 0;
  reports = 0;
  restarts = 0;
  readonly violations = { numbers: [] as string[], stages: [] as string[], halted: [] as string[], applied: [] as string[], clock: [] as string[], silence: [] as string[] };
  readonly #stageOf = new Map<DeviceId, number>();
  readonly #offers = new Map<DeviceId, number>();
  /** Boots after which each device began to apply its offer. */
  readonly #applied = new Map<DeviceId, number>();
  #open = -1;
  #lastAt = 0;

  take(entry: StoredEntry, record: AuditRecord | undefined): void {
    this.entries += 1;
    if (entry.at < this.#lastAt) {
      this.violations.clock.push(`entry ${entry.sequence} is ${this.#lastAt - entry.at} ms before the one before it`);
    }
    this.#lastAt = entry.at;
    if (record !== undefined) {
      this.#record(entry, record);
    } else if (entry.type === "report" && entry.device !== null) {
      this.reports += 1;
      this.#report(entry.device, entry);
    }
  }

  get offeredDevices(): number {
    return this.#offers.size;
  }

  /** True when the log holds this very offer. */
  holds({ device, offer }: SeenOffer): boolean {
    return this.#offers.get(device) === offer;
  }

  #record(entry: StoredEntry, record: AuditRecord): void {
    switch (record.type) {
      case "rollout-started":
        this.status = "running";
        for (const [stage] of record.plan.stages.entries()) {
          const size = record.members.filter((member) => member.stage === stage).length;
          this.stages.push({ size, offered: new Set(), downloading: new Set(), trying: new Set(), confirmed: new Set(), opened: false, closed: false });
        }
        for (const member of record.members) {
          this.#stageOf.set(member.device, member.stage);
        }
        break;
      case "stage-opened":
        this.#open = record.stage;
        (this.stages[record.stage] as StageLedger).opened = true;
        break;
      case "stage-closed":
        (this.stages[record.stage] as StageLedger).closed = true;
        break;
      case "offered": {
        const { device, offer } = record;
        const stage = this.#stageOf.get(device);
        const before = this.#offers.get(device);
        if (stage === undefined || stage > this.#open) {
          this.violations.stages.push(`entry ${entry.sequence}: ${device} of stage ${stage ?? "none"} while ${this.#open} is open`);
        }
        if (this.status !== "running" && this.status !== "held") {
          this.violations.halted.push(`entry ${entry.sequence}: ${device} is offered while the rollout is ${this.status}`);
        }
        if (before !== undefined && before !== offer) {
          this.violations.numbers.push(`${device} has offers ${before} and ${offer}`);
        }
        this.#offers.set(device, offer);
        this.stages[stage ?? 0]?.offered.add(device);
        break;
      }
      case "halted":
      case "held":
        this.status = record.type;
        break;
      case "aborted":
        this.status = "aborted";
        break;
      case "completed":
        this.status = "complete";
        break;
      case "resumed":
        this.status = "running";
        break;
      case "silent":
      case "moved":
        // The simulated devices never rest: whoever misses them was not listening.
        if (record.type === "silent" || record.state === "missing" || record.state === "failed") {
          this.violations.silence.push(`entry ${entry.sequence}: ${record.device} ${record.type === "silent" ? "silent" : record.reason}`);
        }
        break;
      case "restarted":
        this.restarts += 1;
        break;
      default:
        break;
    }
  }

  #report(device: DeviceId, entry: StoredEntry): void {
    const stage = this.stages[this.#stageOf.get(device) ?? -1];
    const decoded = decodeReport(reportBytes(entry).bytes);
    if (stage === undefined || decoded.kind !== "ok" || !stage.offered.has(device)) {
      return;
    }
    const { body, boot } = decoded.value;
    switch (body.kind) {
      case "progress":
        if (body.state === "downloading") {
          stage.downloading.add(device);
        } else if (body.state === "applying") {
          const before = this.#applied.get(device);
          if (before !== undefined && before !== boot) {
            this.violations.applied.push(`${device} applied offer ${body.offer} in boot ${before} and in boot ${boot}`);
          }
          this.#applied.set(device, boot);
        }
        break;
      case "hello":
        if (!body.running.confirmed) {
          stage.trying.add(device);
        } else if (stage.trying.has(device)) {
          this.#ended(device, body.attempt?.outcome);
        }
        break;
      case "heartbeat":
        if (body.confirmed && stage.trying.has(device)) {
          stage.confirmed.add(device);
        }
        break;
      case "result":
        if (body.attempt.outcome === "confirmed") {
          stage.confirmed.add(device);
        }
        this.#ended(device, body.attempt.outcome);
        break;
      default:
        break;
    }
  }

  #ended(device: DeviceId, outcome: string | undefined): void {
    if (outcome === "reverted") {
      this.reverted.add(device);
    }
  }
}
