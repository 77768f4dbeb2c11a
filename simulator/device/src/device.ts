// SPDX-License-Identifier: Apache-2.0
import { CoalmineError, type Millis } from "@coalmine/core";
import type { Command, ConfirmPolicy, Report, ResetCause } from "@coalmine/protocol";
import { type BootCut, noCuts } from "./boot-cut.ts";
import { ContentCache, type Content } from "./content.ts";
import type { DefectBehaviour } from "./defect.ts";
import type { DeviceDescription } from "./description.ts";
import type { PieceInFlight, StoredDump } from "./dump.ts";
import { FlashLibrary, type FlashState, type SlotImage, type SlotName } from "./flash-state.ts";
import type { DeviceEffect } from "./ports.ts";
import { decodeAttempt, decodeCrashes, decodeNumber, decodeOffer, decodeSeen, type AttemptRecord, type OfferRecord, type SeenRecord } from "./records.ts";
import type { SchemaRecord } from "./schema-record.ts";
import { emptyStorage, mount, type PowerSupply, RecordKind, type Storage, store } from "./storage.ts";

/** A uniform number in [0, 1) that depends on the seed and the names alone; `draw` of simulator/world is one. */
export type Draw = (seed: number, ...names: readonly (string | number)[]) => number;

/** What all boards of one process share. */
export interface DeviceShared {
  readonly draw: Draw;
  readonly flash: FlashLibrary;
  readonly contents: ContentCache;
}

export function createShared(draw: Draw): DeviceShared {
  return { draw, flash: new FlashLibrary(), contents: new ContentCache() };
}

/**
 * `off`: no power. `booting`: the bootloader works. `running`: an application runs. `hung`: it does nothing until the
 * watchdog bites. `stopped`: the bootloader found nothing to run, or the board is broken for good.
 */
export type Phase = "off" | "booting" | "running" | "hung" | "stopped";

/** A block asked for and not yet there. */
export interface InFlight {
  readonly request: number;
  readonly offset: number;
  readonly length: number;
  readonly at: number;
}

/** An update on its way into slot 1. Lives in RAM; the offer itself is in storage. */
export interface Update {
  offer: OfferRecord;
  /** Not before: jitter or deferral. `Infinity` once the download runs. */
  startAt: number;
  content: Content;
  /** Own copy, when the bytes received differ from what other boards got. */
  own: Uint8Array | null;
  /** Bytes in slot 1, without gaps. */
  offset: number;
  /** Received beyond `offset`: offset, length, offset, length ... */
  ahead: number[];
  next: number;
  inFlight: InFlight[];
  /** When everything is there and checked: the reboot. */
  applyAt: number;
}

/** A report that waits for its acknowledgement. */
export interface Waiting {
  readonly report: Report;
  sentAt: number;
}

/** One simulated board: a plain value that `step` changes. Times are instants of the world (ms); `Infinity` means never. */
export interface Device {
  readonly description: DeviceDescription;
  readonly seed: number;
  readonly shared: DeviceShared;

  // Survives resets: flash, settings, battery.
  flash: FlashState;
  readonly storage: Storage;
  readonly power: PowerSupply;
  battery: number;
  batteryAt: number;
  /** Losses of power planned for runs of the bootloader, and what came of them. */
  cuts: readonly BootCut[];
  /** Broken for good. */
  bricked: boolean;
  /** When the build that runs now first ran, and which it is: for defects that begin late. */
  buildSince: number;
  buildHash: string;

  // The settings as read at the last start.
  boot: number;
  attempt: AttemptRecord | null;
  crashes: readonly CrashEntry[];
  /** The coredump partition: a dump that the server does not have whole yet, and how many there were. */
  dump: StoredDump | null;
  dumpsKept: number;
  seen: SeenRecord | null;
  identityLost: boolean;
  storageSchema: number;
  /** What the schema record says; null before the first start. */
  schema: SchemaRecord | null;

  // RAM: gone with a reset.
  phase: Phase;
  resetCause: ResetCause;
  slot: SlotName;
  running: SlotImage | null;
  defects: readonly DefectBehaviour[];
  startedAt: number;
  sequence: number;
  heartbeats: number;
  outbox: Waiting[];
  /** A piece of the dump on its way. */
  piece: PieceInFlight | null;
  update: Update | null;
  /** Policy of the trial that runs; null when the image is confirmed. */
  trial: ConfirmPolicy | null;
  contacted: boolean;
  mute: boolean;
  /** The defect `link-loss` has taken the link for this interval. */
  radioDown: boolean;
  requests: number;
  /** A cancel that came before its offer, and until when it counts. */
  cancelled: number;
  cancelledUntil: number;

  // Deadlines.
  /** The application starts. */
  appAt: number;
  /** The supply comes back by itself. */
  supplyAt: number;
  heartbeatAt: number;
  /** The trial may confirm from here on, and must have by then. */
  confirmAt: number;
  deadlineAt: number;
  /** A trial that has not reached the server speaks again. */
  contactAt: number;
  crashAt: number;
  crashSite: number;
  hangAt: number;
  watchdogAt: number;
  muteAt: number;
  brickAt: number;
  emptyAt: number;
  /** Blocks that did not come are asked for again. */
  retryAt: number;

  // The world's side.
  linkUp: boolean;
  linkChangedAt: number;
  linkDown: number;
  lastHeartbeatAt: number;
  /** A sleepy radio listens until then. */
  awakeUntil: number;
  /** Commands its session keeps while it sleeps, resets or has no power. */
  kept: readonly Command[];
  wakeAt: number;
}

/** A crash that waits to be reported; `sequence` is that of its report in this boot, or -1. */
export interface CrashEntry {
  readonly crash: ReturnType<typeof decodeCrashes>[number];
  sequence: number;
}

const noCrashes: readonly CrashEntry[] = [];
export const noDefects: readonly DefectBehaviour[] = [];
/** A deadline that does not come. */
export const never = Number.POSITIVE_INFINITY;

/**
 * A board fresh from the factory, without power. It lives by `step`; the first input is a `power-on`.
 *
 * The same description and seed make the same board. Everything that can be shared lies in `shared`.
 */
export function createDevice(description: DeviceDescription, seed: number, shared: DeviceShared): Device {
  const { id, hardware, firmware } = description;
  return {
    description,
    seed,
    shared,
    flash: shared.flash.factory(hardware, firmware),
    storage: emptyStorage(),
    power: { flashLeft: never },
    battery: 60 + 40 * shared.draw(seed, id, "battery"),
    batteryAt: 0,
    cuts: noCuts,
    bricked: false,
    buildSince: 0,
    buildHash: "",
    boot: 0,
    attempt: null,
    crashes: noCrashes,
    dump: null,
    dumpsKept: 0,
    seen: null,
    identityLost: false,
    storageSchema: 0,
    schema: null,
    phase: "off",
    resetCause: "power-on",
    slot: "primary",
    running: null,
    defects: noDefects,
    startedAt: 0,
    sequence: 0,
    heartbeats: 0,
    outbox: [],
    piece: null,
    update: null,
    trial: null,
    contacted: false,
    mute: false,
    radioDown: false,
    requests: 0,
    cancelled: 0,
    cancelledUntil: 0,
    appAt: never,
    supplyAt: never,
    heartbeatAt: never,
    confirmAt: never,
    deadlineAt: never,
    contactAt: never,
    crashAt: never,
    crashSite: 0,
    hangAt: never,
    watchdogAt: never,
    muteAt: never,
    brickAt: never,
    emptyAt: never,
    retryAt: never,
    linkUp: true,
    linkChangedAt: 0,
    linkDown: 0,
    lastHeartbeatAt: 0,
    awakeUntil: 0,
    kept: noCommands,
    wakeAt: never,
  };
}

/** Shared by every board for which no command is kept. */
export const noCommands: readonly Command[] = [];

/** One turn of a machine: what a handler needs and where its effects go. */
export interface Turn {
  readonly device: Device;
  readonly now: number;
  readonly out: DeviceEffect[];
}

/** Draws by this board's name. */
export function chance(device: Device, purpose: string, detail: string | number = "", n = 0): number {
  return device.shared.draw(device.seed, device.description.id, purpose, detail, n);
}

/** Seconds since the start of the application, by the board's own clock. */
export function uptime(device: Device, now: number): number {
  return Math.max(0, Math.floor(((now - device.startedAt) / 1_000) * clockFactor(device)));
}

function clockFactor(device: Device): number {
  const skew = findDefect(device, "clock-skew");
  return skew === undefined ? 1 : skew.factor;
}

export function findDefect<K extends DefectBehaviour["kind"]>(device: Device, kind: K): Extract<DefectBehaviour, { kind: K }> | undefined {
  for (const defect of device.defects) {
    if (defect.kind === kind) {
      return defect as Extract<DefectBehaviour, { kind: K }>;
    }
  }
  return undefined;
}

/** A length of the board's own time in milliseconds of the world. */
export function ownTime(device: Device, length: Millis | number): number {
  return length / clockFactor(device);
}

/** What a start finds in storage: the offer that was under way, and everything by NVS id. */
export interface Stored {
  readonly offer: OfferRecord | null;
  readonly all: ReadonlyMap<number, Uint8Array>;
}

/** Reads the library's records into the board, repairing what a power cut left. */
export function readRecords(device: Device): Stored {
  const records = mount(device.storage, device.power);
  const read = <T>(kind: number, decode: (bytes: Uint8Array) => T): T | null => {
    const bytes = records.get(kind);
    return bytes === undefined || bytes.length === 0 ? null : decode(bytes);
  };
  device.boot = read(RecordKind.boot, decodeNumber) ?? 0;
  device.attempt = read(RecordKind.attempt, decodeAttempt);
  device.seen = read(RecordKind.seen, decodeSeen);
  device.crashes = (read(RecordKind.crashes, decodeCrashes) ?? []).map((crash) => ({ crash, sequence: -1 }));
  return { offer: read(RecordKind.offer, decodeOffer), all: records };
}

/** Writes one of the library's records. False when the storage is full of the application's data: then it is not written, and the board goes on. */
export function write(device: Device, kind: RecordKind, data: Uint8Array): boolean {
  try {
    store(device.storage, device.power, kind, data);
    return true;
  } catch (error) {
    if (!(error instanceof CoalmineError && error.code === "nvs/full")) {
      throw error;
    }
    return false;
  }
}
