// SPDX-License-Identifier: Apache-2.0
import type { DeviceId, Instant, Millis } from "@coalmine/core";
import { Seconds } from "@coalmine/core";
import type { Attempt, BootloaderBuild, Hardware, Hello, Report } from "@coalmine/protocol";
import { abilitiesOf, speaksForItself } from "./abilities.ts";
import { hex } from "./entry.ts";
import { type Deafness, type DeviceHistory, newHistory, noteReport, samplesOf } from "./history.ts";
import type { Door } from "./ports.ts";

/** Reports seen of one boot: everything up to `high`, but for the gaps whose bits are unset in `window`. */
interface BootWindow {
  boot: number;
  high: number;
  /** Bit i: sequence `high - i` was seen (i from 0 to 31). */
  window: number;
}

export interface KnownAttempt {
  readonly offer: number;
  readonly target: string;
  readonly outcome: Attempt["outcome"];
  readonly ran: boolean;
  readonly resetCause: string;
}

/** What the orchestrator knows of one device. Plain data. */
export interface DeviceRecord {
  readonly id: DeviceId;
  /** The door it came through last. */
  door: Door;
  /** Other doors it came through before: an offer may be kept there. Absent for most. */
  otherDoors?: readonly Door[];
  firstSeen: Instant;
  lastSeen: Instant;
  hardware: Hardware | null;
  /** How its bootloader was built; null when the device does not say. */
  bootloader: BootloaderBuild | null;
  /** Hash (hex), version and build of the running image; null until the first hello. */
  running: { imageHash: string; version: string; buildId: string; confirmed: boolean } | null;
  /** The intact image in the other slot; null when there is none. */
  slot1: { imageHash: string; version: string } | null;
  /** Boot and sequence of the report that told so. */
  slot1At: readonly [boot: number, sequence: number];
  attempt: KnownAttempt | null;
  resetCause: string;
  interval: Millis;
  battery: number | null;
  metrics: Readonly<Record<string, number>>;
  attributes: Readonly<Record<string, string>>;
  tags: string[];
  storageSchema: number;
  boots: BootWindow[];
  crashes: number;
  reports: number;
  history: DeviceHistory;
  /** Releases this device reverted or refused: not offered to it again (R36). */
  quarantined: string[];
  /** Why the newest rollout that could have had it left it out; null once one takes it in. */
  excluded: { readonly rollout: string; readonly release: string; readonly reason: string } | null;
}

export function newDevice(id: DeviceId, door: Door, at: Instant): DeviceRecord {
  return {
    id,
    door,
    firstSeen: at,
    lastSeen: at,
    hardware: null,
    bootloader: null,
    running: null,
    slot1: null,
    slot1At: [0, 0],
    attempt: null,
    resetCause: "unknown",
    interval: Seconds(900),
    battery: null,
    metrics: {},
    attributes: {},
    tags: [],
    storageSchema: 0,
    boots: [],
    crashes: 0,
    reports: 0,
    history: newHistory(),
    quarantined: [],
    excluded: null,
  };
}

export type Freshness =
  /** Newer than everything so far. */
  | "new"
  /** Not seen before, but something newer was: evidence, yet no state. */
  | "late"
  | "duplicate";

const bootsKept = 4;

/** Recognises duplicates by (boot, sequence) and notes the report as seen (R52). Redelivery is harmless however often it happens. */
export function note(device: DeviceRecord, report: Pick<Report, "boot" | "sequence">): Freshness {
  const newest = device.boots[0];
  if (newest === undefined || report.boot > newest.boot) {
    device.boots.unshift({ boot: report.boot, high: report.sequence, window: 1 });
    device.boots.length = Math.min(device.boots.length, bootsKept);
    return "new";
  }
  const known = newest.boot === report.boot ? newest : device.boots.find((entry) => entry.boot === report.boot);
  if (known === undefined) {
    const oldest = device.boots.at(-1) as BootWindow;
    if (device.boots.length >= bootsKept && report.boot < oldest.boot) {
      return "duplicate"; // older than what is remembered: safer to drop than to count twice
    }
    device.boots.push({ boot: report.boot, high: report.sequence, window: 1 });
    device.boots.sort((a, b) => b.boot - a.boot);
    device.boots.length = Math.min(device.boots.length, bootsKept);
    return "late";
  }
  const ahead = report.sequence - known.high;
  if (ahead > 0) {
    known.window = ahead >= 32 ? 1 : ((known.window << ahead) | 1) >>> 0;
    known.high = report.sequence;
    return known === newest ? "new" : "late";
  }
  if (ahead <= -32) {
    return "duplicate";
  }
  const bit = (1 << -ahead) >>> 0;
  if ((known.window & bit) !== 0) {
    return "duplicate";
  }
  known.window = (known.window | bit) >>> 0;
  return "late";
}

export type Samples = Readonly<Record<string, number>>;
export const noSamples: Samples = {};

/**
 * Folds a report into what is known of the device. Late ones only add to counts. Returns the numbers that a heartbeat
 * stands for, by the names of gates.
 */
export function learn(device: DeviceRecord, report: Report, freshness: "new" | "late", heard: { readonly door: Door; readonly at: Instant; readonly deaf: Deafness }): Samples {
  const { at } = heard;
  const { body } = report;
  const { history, lastSeen, interval } = device;
  const gap = noteReport(history, { lastSeen, at, interval, deaf: heard.deaf, crash: body.kind === "crash" });
  device.reports += 1;
  device.lastSeen = at;
  if (freshness === "new" && heard.door !== device.door) {
    device.otherDoors = [...(device.otherDoors ?? []).filter((other) => other !== heard.door), device.door];
    device.door = heard.door;
  }
  if (body.kind === "crash") {
    device.crashes += 1;
  }
  learnSlot(device, report);
  if (freshness === "late") {
    if (body.kind === "hello" && report.boot === device.boots[0]?.boot) {
      learnIdentity(device, body, freshness);
    }
    return noSamples;
  }
  switch (body.kind) {
    case "hello":
      learnIdentity(device, body, freshness);
      device.attempt = body.attempt === null ? null : knownAttempt(body.attempt);
      break;
    case "heartbeat": {
      const imageHash = hex(body.imageHash);
      if (device.running === null || device.running.imageHash !== imageHash) {
        // Its hello is missing; the hash is enough to go on, the rest is asked for.
        device.running = { imageHash, version: "", buildId: "", confirmed: body.confirmed };
      } else {
        device.running.confirmed = body.confirmed;
      }
      device.battery = body.battery;
      device.metrics = body.metrics;
      return samplesOf(history, body, { at, gap, interval, linkUptime: speaksForItself(device) });
    }
    case "result":
      device.attempt = knownAttempt(body.attempt);
      break;
    case "progress":
    case "deferred":
    case "crash":
    case "log":
      break;
  }
  return noSamples;
}

/**
 * What does not change within a boot, the image included: true also when a heartbeat or a result has overtaken the hello.
 * Only the confirmation may have come since, and then a heartbeat of this image has told.
 */
function learnIdentity(device: DeviceRecord, hello: Hello, freshness: "new" | "late"): void {
  device.hardware = hello.hardware;
  device.bootloader = hello.bootloader ?? null;
  device.resetCause = hello.resetCause;
  device.interval = Seconds(Math.max(1, hello.interval_s));
  device.attributes = hello.attributes;
  device.storageSchema = hello.storageSchema;
  const imageHash = hex(hello.running.imageHash);
  const toldSince = freshness === "late" && device.running?.imageHash === imageHash && device.running.confirmed;
  device.running = {
    imageHash,
    version: hello.running.version,
    buildId: hex(hello.running.buildId),
    confirmed: hello.running.confirmed || toldSince,
  };
}

/**
 * What the other slot holds: the newest word counts, in the order of the device's own reports. A hello tells; a download that
 * has begun has erased it, and nothing is known to be intact there until the next hello.
 */
function learnSlot(device: DeviceRecord, { boot, sequence, body }: Report): void {
  const overwritten = body.kind === "progress" && (body.state === "downloading" || body.state === "downloaded");
  const [knownBoot, knownSequence] = device.slot1At;
  if ((body.kind !== "hello" && !overwritten) || boot < knownBoot || (boot === knownBoot && sequence < knownSequence)) {
    return;
  }
  device.slot1At = [boot, sequence];
  device.slot1 = body.kind !== "hello" || body.slot1 === null ? null : { imageHash: hex(body.slot1.imageHash), version: body.slot1.version };
}

function knownAttempt(attempt: Attempt): KnownAttempt {
  return {
    offer: attempt.offer,
    target: hex(attempt.target),
    outcome: attempt.outcome,
    ran: attempt.ran,
    resetCause: attempt.resetCause,
  };
}

/** Whether a device reports a number at all, by its name in gates. */
export function reports(device: DeviceRecord, metric: string): boolean {
  switch (metric) {
    case "battery-drain":
      return device.battery !== null;
    case "connectivity-uptime":
      return abilitiesOf(device).linkUptime;
    case "check-in-punctuality":
      return true;
    default:
      return Object.hasOwn(device.metrics, metric);
  }
}

/** A lab device, by what it says of its site or by an operator's tag (R6). */
export function isLab(device: DeviceRecord): boolean {
  return device.attributes["site"] === "lab" || device.tags.includes("lab");
}

/** What of a device a selector asks for: of one in the inventory, or in an answer about it. */
export interface Selectable {
  readonly id: string;
  readonly tags: readonly string[];
  readonly hardware: { readonly board: string; readonly revision: string } | null;
  readonly running: { readonly version: string } | null;
  readonly attributes: Readonly<Record<string, string>>;
}

/** The value of a dimension of the strata for a device; "unknown" when it has not said. */
export function dimension(device: Omit<Selectable, "id" | "tags">, name: string): string {
  switch (name) {
    case "hardware":
      return device.hardware === null ? "unknown" : device.hardware.revision || device.hardware.board;
    case "board":
      return device.hardware?.board ?? "unknown";
    case "firmware":
      return device.running?.version || "unknown";
    default:
      return device.attributes[name] ?? "unknown";
  }
}
