// SPDX-License-Identifier: Apache-2.0
// What a crash leaves in the coredump partition, and how it gets to the server (R56): piece by piece, the next when the one
// before is acknowledged, over resets and losses.
//
// U1. At most one dump is kept, and only of a board's first crashes (`description.dumps`): what is kept is not overwritten.
// U2. A piece is neither contact with the server nor in the outbox: a board that sends dumps lives as one that does not.
import type { Crash, LogChunk, Report } from "@coalmine/protocol";
import { ByteWriter } from "./bytes.ts";
import { crashSite, returnAddresses } from "./crash-site.ts";
import { chance, type Device, type Turn, uptime } from "./device.ts";
import { isConnected } from "./outbox.ts";

/** Lies in flash. */
export interface StoredDump {
  /** The how manieth of this board. */
  readonly number: number;
  readonly buildId: Uint8Array;
  readonly coredump: Uint8Array;
  readonly log: Uint8Array;
  /** Bytes of both, one behind the other, that the server has. */
  sent: number;
}

/** A piece on its way. Lives in RAM. */
export interface PieceInFlight {
  readonly report: Report;
  readonly length: number;
  sentAt: number;
}

/** With its envelope a piece fits one frame of any link. */
const pieceBytes = 1_024;

/** As what a report travels: pieces have numbers of their own (U2). */
export function travelsAs({ body }: Report): "report" | "piece" {
  return body.kind === "log" ? "piece" : "report";
}

/** Keeps a dump of this crash, if there is room and it is one of the first. */
export function keepDump(device: Device, site: number, crash: Crash): void {
  if (device.dump !== null || device.dumpsKept >= (device.description.dumps ?? 0)) {
    return;
  }
  device.dumpsKept += 1;
  device.dump = { number: device.dumpsKept, buildId: crash.buildId, coredump: coredump(device, site, crash), log: lastLines(device, site, crash), sent: 0 };
}

/** Sends the next piece, if there is one and none is on its way. */
export function sendPiece(turn: Turn): void {
  const { device, now, out } = turn;
  const { dump } = device;
  if (dump === null || device.piece !== null || !isConnected(device)) {
    return;
  }
  const isLog = dump.sent >= dump.coredump.length;
  const bytes = isLog ? dump.log : dump.coredump;
  const offset = isLog ? dump.sent - dump.coredump.length : dump.sent;
  const data = bytes.subarray(offset, offset + pieceBytes);
  const body: LogChunk = { kind: "log", stream: isLog ? "log" : "coredump", buildId: dump.buildId, id: dump.number, offset, total: bytes.length, data };
  const report = { boot: device.boot, sequence: device.sequence, uptime_s: uptime(device, now), body };
  device.sequence += 1;
  device.piece = { report, length: data.length, sentAt: now };
  out.push({ kind: "report", report });
}

/** Takes the acknowledgement of a piece and sends the next. False when it is for something else. */
export function acknowledgePiece(turn: Turn, boot: number, sequence: number): boolean {
  const { device } = turn;
  const { piece, dump } = device;
  if (piece === null || dump === null || boot !== device.boot || piece.report.sequence !== sequence) {
    return false;
  }
  device.piece = null;
  dump.sent += piece.length;
  if (dump.sent >= dump.coredump.length + dump.log.length) {
    device.dump = null;
  }
  sendPiece(turn);
  return true;
}

/** Sends a piece again that has waited for its acknowledgement for longer than `patience` milliseconds. */
export function sendPieceAgain(turn: Turn, patience: number): void {
  const { device, now, out } = turn;
  const { piece } = device;
  if (piece === null) {
    sendPiece(turn);
  } else if (isConnected(device) && now - piece.sentAt >= patience) {
    piece.sentAt = now;
    out.push({ kind: "report", report: piece.report });
  }
}

// A minimal dump of a Cortex-M as Zephyr writes it (subsys/debug/coredump): header, registers, the thread, its stack.

const threadAt = 0x2000_0700;
const threadBytes = 96;
const stackAt = 0x2000_9000;
const stackBytes = 1_536;
/** Where the processor stacked the registers when it took the fault. */
const frameAt = stackAt + 1_024;
/** Words between two return addresses of the stack. */
const framePitch = 6;

function coredump(device: Device, site: number, { pc, lr }: Crash): Uint8Array {
  const place = crashSite(site);
  const word = (name: string): number => Math.floor(2 ** 32 * chance(device, "register", name, device.boot));
  // r0 r1 r2 r3 r12 lr pc xpsr sp, then r4 to r11
  const stacked = [word("r0"), word("r1"), word("r2"), word("r3"), word("r12"), lr, pc, 0x6100_0000];
  const registers = [...stacked, frameAt, ...["r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11"].map(word)];
  const writer = new ByteWriter().bytes(ascii("ZE")).u16(1).u16(3).u8(5).u8(0).u32(place.code);
  writer.bytes(ascii("A")).u16(2).u16(4 * registers.length);
  registers.forEach((value) => writer.u32(value));
  memory(writer, threadAt, threadStructure(place.thread));
  memory(writer, stackAt, stackOf(stacked, returnAddresses(place)));
  return writer.done();
}

function memory(writer: ByteWriter, start: number, content: Uint8Array): void {
  writer.bytes(ascii("M")).u16(1).u32(start).u32(start + content.length).bytes(content);
}

/** struct k_thread by shape: its name, and where its stack lies. */
function threadStructure(name: string): Uint8Array {
  const head = new ByteWriter().zeros(40).bytes(ascii(name));
  return head.zeros(76 - head.length).u32(stackAt).u32(stackBytes).zeros(threadBytes - 84).done();
}

function stackOf(stacked: readonly number[], returns: readonly number[]): Uint8Array {
  const words = new Uint32Array(stackBytes / 4);
  const frame = (frameAt - stackAt) / 4;
  words.set(stacked, frame);
  returns.forEach((address, index) => words.fill(address, frame + stacked.length + 2 + framePitch * index, frame + stacked.length + 3 + framePitch * index));
  const writer = new ByteWriter();
  words.forEach((value) => writer.u32(value));
  return writer.done();
}

/** The end of what the board wrote to its log before it crashed. */
function lastLines(device: Device, site: number, { reason, pc, uptime_s }: Crash): Uint8Array {
  const place = crashSite(site);
  const at = (before_s: number, text: string): string => {
    const second = Math.max(0, uptime_s - before_s);
    const stamp = [Math.floor(second / 3_600), Math.floor(second / 60) % 60, second % 60].map((part) => String(part).padStart(2, "0")).join(":");
    return `[${stamp}.${String(Math.floor(1_000 * chance(device, "log", before_s, device.boot))).padStart(3, "0")},000] ${text}\n`;
  };
  const reading = (n: number): string => `<inf> sensor: reading ${Math.floor(uptime_s / 10) - n}: ${(19 + 4 * chance(device, "reading", n, device.boot)).toFixed(2)} C`;
  const lines = [at(20, reading(2)), at(10, reading(1)), at(2, place.lastWords), at(0, `<err> os: ***** ${reason.toUpperCase()} *****`), at(0, `<err> os: Faulting instruction address (r15/pc): 0x${pc.toString(16).padStart(8, "0")}`), at(0, `<err> os: Current thread: 0x${threadAt.toString(16)} (${place.thread})`)];
  return ascii(lines.join(""));
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
