// SPDX-License-Identifier: Apache-2.0
import { decodeBlockAnswer, decodeBlockRequest, encodeBlockAnswer, encodeBlockRequest } from "../codec/block.ts";
import { decodeCommand, encodeCommand } from "../codec/command.ts";
import { decodeReport, encodeReport } from "../codec/report.ts";
import type { BlockAnswer, BlockRequest } from "../block.ts";
import type { Command } from "../command.ts";
import type { Decoded } from "../decoded.ts";
import { limits } from "../limits.ts";
import type { Attempt, Hello, Report, ReportBody } from "../report.ts";
import { downgradePreventions, outcomes, progressStates, deferralReasons, resetCauses, swapModes } from "../codec/words.ts";

/** The four message types, named as in coalmine.cddl, with both directions of each. */
export const codecs = {
  report: codec(encodeReport, decodeReport),
  command: codec(encodeCommand, decodeCommand),
  "block-request": codec(encodeBlockRequest, decodeBlockRequest),
  "block-answer": codec(encodeBlockAnswer, decodeBlockAnswer),
} as const;

export type MessageType = keyof typeof codecs;
export type Message = Report | Command | BlockRequest | BlockAnswer;

export interface Sample {
  readonly type: MessageType;
  readonly name: string;
  readonly value: Message;
}

function codec<T extends Message>(encode: (value: T) => Uint8Array, decode: (bytes: Uint8Array) => Decoded<T>) {
  return { encode: (value: Message) => encode(value as T), decode: decode as (bytes: Uint8Array) => Decoded<Message> };
}

/** `length` bytes that count up from `first`: recognisable in a dump, and no two samples alike. */
function run(first: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (first + i) & 0xff);
}

const version110 = { imageHash: run(0x10, 32), version: "1.1.0" };
const attempt: Attempt = { offer: 7, target: run(0x20, 32), outcome: "reverted", ran: true, resetCause: "watchdog" };

const hello: Hello = {
  kind: "hello",
  hardware: {
    board: "nrf52840dk/nrf52840",
    revision: "2.0.0",
    partitionMap: "5f3c9a01",
    mode: "swap-move",
    slotSize: 487_424,
  },
  running: { ...version110, buildId: run(0xa0, 20), confirmed: true },
  slot1: { imageHash: run(0x30, 32), version: "1.0.0+17" },
  resetCause: "software",
  attempt,
  interval_s: 60,
  attributes: { site: "lab", power: "battery", connectivity: "lte-m" },
  storageSchema: 2,
  bootloader: { downgrade: "version", sectors: 119, writeAlign: 4 },
};

/** As many attributes or metrics as are allowed, with names of all lengths up to the longest. */
function full<T>(value: (i: number) => T): Record<string, T> {
  return Object.fromEntries(
    Array.from({ length: limits.entries }, (_, i) => [`${String.fromCharCode(97 + i)}${"x".repeat(2 * i + 1)}`, value(i)]),
  );
}

const text = (length: number): string => Array.from({ length }, (_, i) => String.fromCharCode(0x20 + (i % 95))).join("");

const largest: Hello = {
  kind: "hello",
  hardware: {
    board: text(64),
    revision: text(64),
    partitionMap: text(64),
    mode: "direct-xip",
    slotSize: limits.uint32,
  },
  running: { imageHash: run(0, 32), version: "255.255.65535+4294967295", buildId: run(0, 32), confirmed: false },
  slot1: { imageHash: run(1, 32), version: "9".repeat(32) },
  resetCause: "unknown",
  attempt: { offer: limits.safe, target: run(2, 32), outcome: "failed", ran: false, resetCause: "unknown" },
  interval_s: limits.uint32,
  attributes: full(() => text(64)),
  storageSchema: limits.uint32,
  bootloader: { downgrade: "counter", sectors: limits.uint32, writeAlign: limits.uint32 },
};

const smallest: Hello = {
  kind: "hello",
  hardware: { board: "", revision: "", partitionMap: "", mode: "swap-move", slotSize: 0 },
  running: { imageHash: run(0, 32), version: "0", buildId: run(0, 4), confirmed: false },
  slot1: null,
  resetCause: "power-on",
  attempt: null,
  interval_s: 0,
  attributes: {},
  storageSchema: 0,
};

function report(name: string, body: ReportBody, at: Partial<Report> = {}): Sample {
  return { type: "report", name, value: { boot: 3, sequence: 412, uptime_s: 86_000, ...at, body } };
}

const heartbeat = { kind: "heartbeat", imageHash: run(0x10, 32), confirmed: true, battery: 87.5, linkUptime: 0.993 } as const;
const crash = {
  kind: "crash",
  buildId: run(0xa0, 20),
  imageHash: run(0x20, 32),
  reason: "K_ERR_CPU_EXCEPTION: MPU fault",
  pc: 0x0001_9a3c,
  lr: 0x0001_9a11,
  uptime_s: 31,
} as const;
const log = { kind: "log", stream: "log", buildId: run(0xa0, 20), id: 4, offset: 512, total: 0, data: run(0x41, 24) } as const;

const policy = { minUptime_s: 30, deadline_s: 300, serverContact: true };

function reports(): Sample[] {
  // Each is the first value of its length: 1, 2, 3, 5 and 9 bytes.
  const widths = [0, 23, 24, 255, 256, 65_535, 65_536, limits.uint32];
  return [
    report("hello", hello, { sequence: 0, uptime_s: 2 }),
    report("hello, everything as large as it may be", largest, {
      boot: limits.uint32,
      sequence: limits.uint32,
      uptime_s: limits.uint32,
    }),
    report("hello, everything as small as it may be", smallest, { boot: 0, sequence: 0, uptime_s: 0 }),
    ...swapModes.slice(1).map((mode) => report(`hello, mode ${mode}`, { ...smallest, hardware: { ...smallest.hardware, mode } })),
    ...downgradePreventions.map((downgrade) => report(`hello, downgrade prevention ${downgrade}`, { ...smallest, bootloader: { downgrade, sectors: 0, writeAlign: 0 } })),
    ...resetCauses.map((resetCause) => report(`hello, reset cause ${resetCause}`, { ...smallest, resetCause })),
    report("heartbeat", { ...heartbeat, metrics: { heap_free: 12_345, rssi: -71.5 } }),
    report("heartbeat, no battery, no metrics", { ...heartbeat, battery: null, metrics: {} }),
    report("heartbeat, battery 0 and link 0", { ...heartbeat, battery: 0, linkUptime: 0, metrics: {} }),
    report("heartbeat, battery 100 and link 1", { ...heartbeat, battery: 100, linkUptime: 1, metrics: {} }),
    report("heartbeat, extreme metrics in wire order", {
      ...heartbeat,
      metrics: {
        b: Number.MAX_VALUE,
        a: -Number.MAX_VALUE,
        aa: Number.MIN_VALUE,
        Z: 0,
        "a.b-c_1": 0.1,
        constructor: 1,
        toString: 2 ** 53,
      },
    }),
    report("heartbeat, 16 metrics", { ...heartbeat, metrics: full((i) => i / 3) }),
    ...widths.map((n) => report(`progress at ${n}`, { kind: "progress", offer: n, state: "downloading", offset: n }, { boot: n })),
    report("progress, offer above 32 bits", {
      kind: "progress",
      offer: limits.uint32 + 1,
      state: "accepted",
      offset: 0,
    }),
    ...progressStates.map((state) => report(`progress, ${state}`, { kind: "progress", offer: 7, state, offset: 4_096 })),
    ...deferralReasons.map((reason) => report(`deferred, ${reason}`, { kind: "deferred", offer: 7, reason, until_s: 3_600 })),
    ...outcomes.map((outcome) =>
      report(`result, ${outcome}`, { kind: "result", attempt: { ...attempt, outcome }, reason: "" }),
    ),
    report("result, longest reason", { kind: "result", attempt, reason: text(128) }),
    report("crash", crash),
    report("crash, largest addresses", { ...crash, pc: limits.safe, lr: limits.safe, reason: text(128) }),
    report("log", log),
    report("log, the words before a crash, whole", { ...log, id: limits.uint32, offset: 0, total: 42, data: new TextEncoder().encode("[00:00:03.000] <err> node: no answer of it\n") }),
    report("log, empty", { ...log, data: new Uint8Array(0) }),
    report("coredump, whole chunk", { ...log, stream: "coredump", total: 65_536, data: run(0, limits.logData) }),
  ];
}

function commands(): Sample[] {
  const offer = {
    kind: "offer",
    offer: 7,
    release: "thermostat-1.1.0",
    version: "1.1.0",
    variant: { board: "nrf52840dk/nrf52840", revision: "2.0.0", partitionMap: "5f3c9a01" },
    digest: run(0x40, 32),
    imageHash: run(0x20, 32),
    size: 201_345,
    jitter_s: 120,
    confirm: policy,
  } as const;
  const command = (name: string, value: Command): Sample => ({ type: "command", name, value });
  return [
    command("offer", offer),
    command("offer, everything as large as it may be", {
      ...offer,
      offer: limits.safe,
      release: "r".repeat(64),
      version: "9".repeat(32),
      variant: { board: text(64), revision: text(64), partitionMap: text(64) },
      size: limits.uint32,
      jitter_s: limits.uint32,
      confirm: { minUptime_s: limits.uint32, deadline_s: limits.uint32, serverContact: false },
    }),
    command("cancel", { kind: "cancel", offer: 7 }),
    command("swap-back", { kind: "swap-back", offer: 8, imageHash: run(0x30, 32) }),
    command("confirm", { kind: "confirm", offer: 7, policy }),
    command("identify", { kind: "identify" }),
    command("renumber", { kind: "renumber", boot: 41 }),
    command("renumber, largest", { kind: "renumber", boot: limits.uint32 }),
  ];
}

function blocks(): Sample[] {
  const request = { request: 1, digest: run(0x40, 8), offset: 4_096, length: 1_024 };
  return [
    { type: "block-request", name: "block request", value: request },
    {
      type: "block-request",
      name: "block request, largest",
      value: { ...request, request: limits.uint32, offset: limits.uint32, length: limits.blockData },
    },
    { type: "block-request", name: "block request, one byte", value: { ...request, request: 0, offset: 0, length: 1 } },
    { type: "block-answer", name: "block", value: { kind: "block", request: 1, offset: 4_096, data: run(0, 64) } },
    { type: "block-answer", name: "block, empty", value: { kind: "block", request: 0, offset: 0, data: new Uint8Array(0) } },
    {
      type: "block-answer",
      name: "block, 1024 bytes",
      value: { kind: "block", request: limits.uint32, offset: limits.uint32, data: run(7, 1_024) },
    },
    ...(["not-offered", "unknown", "range"] as const).map(
      (reason): Sample => ({ type: "block-answer", name: `refused, ${reason}`, value: { kind: "refused", request: 1, reason } }),
    ),
  ];
}

/** A message of every kind, with every word, and at the bounds of every field. */
export const samples: readonly Sample[] = [...reports(), ...commands(), ...blocks()];
