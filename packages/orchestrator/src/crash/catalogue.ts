// SPDX-License-Identifier: Apache-2.0
// What is known of crashes, as the API and reports read it. Implemented by packages/store from the event log.
import type { DeviceId } from "@coalmine/core";
import type { Examined } from "./examine.ts";
import type { CrashSite } from "./signature.ts";

/** One issue: crashes with the same signature. Times are milliseconds of the orchestrator's clock. */
export interface CrashIssue {
  readonly id: string;
  readonly signature: string;
  readonly reason: string;
  readonly symbolised: boolean;
  /** Crash reports, or dumps where a device sent no report. */
  readonly count: number;
  readonly devices: number;
  /** Whole dumps. */
  readonly dumps: number;
  readonly firstAt: number;
  readonly lastAt: number;
  readonly builds: readonly { readonly buildId: string; readonly imageHash: string | null; readonly count: number; readonly devices: number }[];
}

/** How often one device crashed in one build with this signature. */
export interface IssueTally {
  readonly device: DeviceId;
  readonly buildId: string;
  readonly imageHash: string | null;
  readonly count: number;
  readonly firstAt: number;
  readonly lastAt: number;
}

/** A log or a dump as far as it has arrived. */
export interface CrashFile {
  readonly id: number;
  readonly device: DeviceId;
  readonly stream: "log" | "coredump";
  readonly buildId: string;
  /** The device's own number of it. */
  readonly number: number;
  readonly total: number;
  readonly received: number;
  readonly state: "open" | "complete" | "refused";
  readonly firstAt: number;
  readonly lastAt: number;
  /** The issue that a whole dump belongs to. */
  readonly issue: string | null;
  /** Why it was refused, or what is wrong with the dump. */
  readonly trouble: string | null;
}

export interface DeviceCrash {
  readonly at: number;
  readonly boot: number;
  readonly uptime_s: number;
  readonly issue: string;
  readonly site: CrashSite;
}

export interface CrashCatalogue {
  /** Entries of the log that are taken in. */
  readonly position: number;
  /** Issues, most devices first. */
  issues(): readonly CrashIssue[];
  issue(id: string): CrashIssue | undefined;
  /** Devices of an issue, by build. */
  tallies(issue: string): readonly IssueTally[];
  sites(issue: string): readonly (CrashSite & { readonly count: number })[];
  /** Files of an issue, newest first: whole dumps. */
  dumps(issue: string, most: number): readonly CrashFile[];
  /** What the dump says; undefined for a file that is no whole dump. */
  examined(file: number): Examined | undefined;
  file(id: number): CrashFile | undefined;
  /** The bytes that have arrived, in order; gaps are left out of a log. Undefined when the file is unknown or its bytes were not kept. */
  bytes(file: number): Uint8Array | undefined;
  /** The newest log that this device sent of this build. */
  logBefore(device: DeviceId, buildId: string): CrashFile | undefined;
  /** Crashes of a device, newest first, at most 200, and its files. */
  ofDevice(device: DeviceId): { readonly crashes: readonly DeviceCrash[]; readonly files: readonly CrashFile[] };
  /** The issue that crashes at a site belong to; undefined when none was seen. */
  issueAt(site: CrashSite): string | undefined;
  totals(): { readonly issues: number; readonly crashes: number; readonly dumps: number; readonly open: number; readonly refused: number; readonly bytes: number };
}
