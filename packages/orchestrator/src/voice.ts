// SPDX-License-Identifier: Apache-2.0
// The reports of a device that knows nothing of reports: a link that speaks for it (DDI, SMP) says them in its name.
//
// V1. (boot, sequence) goes on where it stopped, over restarts too: what was made durable is never numbered again.
// V2. A change of the running image begins a new boot, as a reboot does.
import { type Instant, since } from "@coalmine/core";
import type { Report, ReportBody, RunningImage } from "@coalmine/protocol";
import type { DeviceRecord } from "./inventory.ts";

/** Numbers the reports that a link makes up for one device. */
export class Voice {
  #boot: number;
  #sequence: number;
  #since: Instant;

  /** @param known what the host holds of the device, to go on from */
  constructor(known: Pick<DeviceRecord, "boots"> | undefined, now: Instant) {
    const last = known?.boots[0];
    this.#boot = last?.boot ?? 1;
    this.#sequence = last === undefined ? 0 : last.high + 1;
    this.#since = now;
  }

  /** Its image changed, or it was seen to reboot. */
  reboot(now: Instant): void {
    this.#boot += 1;
    this.#sequence = 0;
    this.#since = now;
  }

  say(body: ReportBody, now: Instant): Report {
    const report = { boot: this.#boot, sequence: this.#sequence, uptime_s: Math.floor(Math.max(0, since(now, this.#since)) / 1_000), body };
    this.#sequence += 1;
    return report;
  }
}

/** The image hash of a device that does not say which image it runs. */
export const unsaidHash: Uint8Array = new Uint8Array(32);

/** What stands for the version while nobody knows it. */
export const unsaidVersion = "unknown";

/** An image by its hash, with the build id that follows from it as for every artifact. */
export function imageOf(imageHash: Uint8Array, version: string, confirmed: boolean): RunningImage {
  return { imageHash, version, buildId: imageHash.subarray(0, 20), confirmed };
}
