// SPDX-License-Identifier: Apache-2.0

/** What a device says about one image slot. */
export interface SlotState {
  /** SHA-256 of the image (MCUboot's SHA256 TLV), 32 bytes. */
  readonly imageHash: Uint8Array;
  /** `1.2.3+4` */
  readonly version: string;
}

/** The image that runs. `buildId` names the exact build, as a crash report does (R16, R19). */
export interface RunningImage extends SlotState {
  readonly buildId: Uint8Array;
  readonly confirmed: boolean;
}

/** How the device came to this boot; Zephyr's hwinfo causes, one word each. */
export type ResetCause = "power-on" | "pin" | "software" | "watchdog" | "brownout" | "fault" | "unknown";

export type SwapMode = "swap-move" | "swap-offset" | "swap-scratch" | "overwrite" | "direct-xip";

/**
 * The last update attempt, written to storage before the reboot (R18).
 * MCUboot cannot tell an application that it reverted; this record and the running hash can.
 */
export interface Attempt {
  readonly offer: number;
  readonly target: Uint8Array;
  readonly outcome: "applying" | "testing" | "confirmed" | "reverted" | "refused" | "failed";
  /** The new image ran at least once. False on a revert that happened without it (a cut at copy_done). */
  readonly ran: boolean;
  readonly resetCause: ResetCause;
}

export interface Hardware {
  readonly board: string;
  readonly revision: string;
  readonly partitionMap: string;
  readonly mode: SwapMode;
  /** Size of slot 1 in bytes. */
  readonly slotSize: number;
}

/** What a bootloader does with an image that is older than the one that runs (MCUBOOT_DOWNGRADE_PREVENTION and its kin). */
export type DowngradePrevention = "none" | "version" | "version+build" | "counter";

/** How the bootloader was built, as far as the firmware knows. */
export interface BootloaderBuild {
  readonly downgrade: DowngradePrevention;
  /** Sectors of slot 1, and its write alignment in bytes; 0 when the firmware does not say. */
  readonly sectors: number;
  readonly writeAlign: number;
}

/** Sent after every boot and on request. */
export interface Hello {
  readonly kind: "hello";
  readonly hardware: Hardware;
  readonly running: RunningImage;
  /** The other slot; null when it holds no valid image. */
  readonly slot1: SlotState | null;
  readonly resetCause: ResetCause;
  readonly attempt: Attempt | null;
  /** Expected time between reports in seconds: the device's duty cycle. */
  readonly interval_s: number;
  /** Facts for cohorts: connectivity, power, site and the like. At most 16. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly storageSchema: number;
  /** Left out by firmware that does not know: then nothing is known of its downgrade prevention. */
  readonly bootloader?: BootloaderBuild | undefined;
}

/** Sent every interval. Carries enough to notice a changed image even when a hello was lost. */
export interface Heartbeat {
  readonly kind: "heartbeat";
  readonly imageHash: Uint8Array;
  readonly confirmed: boolean;
  /** 0 to 100; null when the device has no battery. */
  readonly battery: number | null;
  /** Share of the time since the last heartbeat with a working link, 0 to 1. */
  readonly linkUptime: number;
  /** Any further numeric metric by name; at most 16. */
  readonly metrics: Readonly<Record<string, number>>;
}

export type ProgressState = "accepted" | "downloading" | "downloaded" | "applying" | "testing";

/** Where an update stands. Sent at each change of state, and every eighth of a download. */
export interface Progress {
  readonly kind: "progress";
  readonly offer: number;
  readonly state: ProgressState;
  /** Bytes of the artifact that are safely in slot 1. */
  readonly offset: number;
}

/** The device cannot update now and says when to expect it (R11). It keeps the offer and tries again by itself. */
export interface Deferred {
  readonly kind: "deferred";
  readonly offer: number;
  readonly reason: "battery" | "busy" | "link" | "operator";
  readonly until_s: number;
}

/** The end of an attempt. `failed` never reached the reboot; `reason` says why. */
export interface AttemptResult {
  readonly kind: "result";
  readonly attempt: Attempt;
  readonly reason: string;
}

/** One crash. `buildId` is of the build that crashed, which after a revert is not the one that reports (R19). */
export interface Crash {
  readonly kind: "crash";
  readonly buildId: Uint8Array;
  readonly imageHash: Uint8Array;
  readonly reason: string;
  /** Program counter and link register at the fault. */
  readonly pc: number;
  readonly lr: number;
  /** Uptime of the boot that crashed, in seconds. */
  readonly uptime_s: number;
}

/** A piece of a log or a coredump (R56). `total` is 0 while unknown. */
export interface LogChunk {
  readonly kind: "log";
  readonly stream: "log" | "coredump";
  readonly buildId: Uint8Array;
  /** Number of this log or dump on the device. */
  readonly id: number;
  readonly offset: number;
  readonly total: number;
  readonly data: Uint8Array;
}

export type ReportBody = Hello | Heartbeat | Progress | Deferred | AttemptResult | Crash | LogChunk;

/**
 * One report of a device. (boot, sequence) makes redelivery harmless (R52): `boot` counts the boots of a device
 * and never falls, `sequence` counts the reports of one boot from 0.
 */
export interface Report {
  readonly boot: number;
  readonly sequence: number;
  /** Whole seconds since that boot, as every `_s` of a message. */
  readonly uptime_s: number;
  readonly body: ReportBody;
}
