// SPDX-License-Identifier: Apache-2.0
import type { Decoded } from "../decoded.ts";
import { isFactName, limits } from "../limits.ts";
import type { Attempt, BootloaderBuild, Hardware, Heartbeat, Hello, LogChunk, Report, ReportBody, SlotState } from "../report.ts";
import { unreachable } from "@coalmine/core";
import { Reader } from "./reader.ts";
import { compareNames, Writer } from "./writer.ts";
import { deferralReasons, downgradePreventions, envelope, kinds, outcomes, progressStates, resetCauses, streams, swapModes } from "./words.ts";

const { uint32, safe } = limits;
const PAIRS = 6;
const writer = new Writer();

/** Writes a report as CBOR (`report` in coalmine.cddl). Throws on a value outside `limits`, which is a bug. */
export function encodeReport(report: Report): Uint8Array {
  const { body } = report;
  writer.begin(PAIRS, body.kind);
  writer.uint(envelope.boot, "boot", report.boot, uint32);
  writer.uint(envelope.sequence, "sequence", report.sequence, uint32);
  writer.uint(envelope.uptime_s, "uptime_s", report.uptime_s, uint32);
  writer.key(envelope.body);
  writeBody(body);
  return writer.end(body.kind === "log" ? limits.message : limits.report);
}

/** Reads a report. Never throws; see `Undecodable` for what is refused. The result shares no memory with `bytes`. */
export function decodeReport(bytes: Uint8Array): Decoded<Report> {
  const reader = new Reader(bytes, limits.message);
  const kind = reader.begin("a report", PAIRS, kinds.hello, kinds.log);
  if (!reader.failed && bytes.length > limits.report && kind !== kinds.log) {
    reader.fail("message", `more than ${limits.report} bytes`, 0);
  }
  const boot = reader.uint(envelope.boot, "boot", uint32);
  const sequence = reader.uint(envelope.sequence, "sequence", uint32);
  const uptime_s = reader.uint(envelope.uptime_s, "uptime_s", uint32);
  reader.key("body", envelope.body);
  const body = readBody(reader, kind);
  return reader.finish(body === undefined ? undefined : { boot, sequence, uptime_s, body });
}

const kindNames = new Map<number, ReportBody["kind"]>(
  (["hello", "heartbeat", "progress", "deferred", "result", "crash", "log"] as const).map((kind) => [kinds[kind], kind]),
);

/** The kind of a report by its first bytes alone, for whoever looks for one kind among many. Says nothing of the rest. */
export function peekReportKind(bytes: Uint8Array): ReportBody["kind"] | undefined {
  const begins = bytes[0] === (0xa0 | PAIRS) && bytes[1] === envelope.version && bytes[2] === limits.version && bytes[3] === envelope.kind;
  return begins ? kindNames.get(bytes[4] ?? 0) : undefined;
}

function writeBody(body: ReportBody): void {
  switch (body.kind) {
    case "hello":
      return writeHello(body);
    case "heartbeat":
      return writeHeartbeat(body);
    case "progress":
      writer.map(3);
      writer.uint(0, "progress.offer", body.offer, safe);
      writer.word(1, "progress.state", body.state, progressStates);
      return writer.uint(2, "progress.offset", body.offset, uint32);
    case "deferred":
      writer.map(3);
      writer.uint(0, "deferred.offer", body.offer, safe);
      writer.word(1, "deferred.reason", body.reason, deferralReasons);
      return writer.uint(2, "deferred.until_s", body.until_s, uint32);
    case "result":
      writer.map(2);
      writer.key(0);
      writeAttempt("result.attempt", body.attempt);
      return writer.text(1, "result.reason", body.reason, limits.reason);
    case "crash":
      writer.map(6);
      writer.bytes(0, "crash.buildId", body.buildId, limits.buildIdMin, limits.buildIdMax);
      writer.bytes(1, "crash.imageHash", body.imageHash, limits.hash, limits.hash);
      writer.text(2, "crash.reason", body.reason, limits.reason);
      writer.uint(3, "crash.pc", body.pc, safe);
      writer.uint(4, "crash.lr", body.lr, safe);
      return writer.uint(5, "crash.uptime_s", body.uptime_s, uint32);
    case "log":
      return writeLog(body);
    default:
      return unreachable(body);
  }
}

function readBody(reader: Reader, kind: number): ReportBody | undefined {
  switch (kind) {
    case kinds.hello:
      return readHello(reader);
    case kinds.heartbeat:
      return readHeartbeat(reader);
    case kinds.progress:
      reader.map("progress", 3);
      return {
        kind: "progress",
        offer: reader.uint(0, "progress.offer", safe),
        state: reader.word(1, "progress.state", progressStates),
        offset: reader.uint(2, "progress.offset", uint32),
      };
    case kinds.deferred:
      reader.map("deferred", 3);
      return {
        kind: "deferred",
        offer: reader.uint(0, "deferred.offer", safe),
        reason: reader.word(1, "deferred.reason", deferralReasons),
        until_s: reader.uint(2, "deferred.until_s", uint32),
      };
    case kinds.result:
      reader.map("result", 2);
      reader.key("result.attempt", 0);
      return {
        kind: "result",
        attempt: readAttempt(reader, "result.attempt"),
        reason: reader.text(1, "result.reason", limits.reason),
      };
    case kinds.crash:
      reader.map("crash", 6);
      return {
        kind: "crash",
        buildId: reader.bytes(0, "crash.buildId", limits.buildIdMin, limits.buildIdMax),
        imageHash: reader.bytes(1, "crash.imageHash", limits.hash, limits.hash),
        reason: reader.text(2, "crash.reason", limits.reason),
        pc: reader.uint(3, "crash.pc", safe),
        lr: reader.uint(4, "crash.lr", safe),
        uptime_s: reader.uint(5, "crash.uptime_s", uint32),
      };
    case kinds.log:
      return readLog(reader);
    default:
      return undefined; // refused by begin()
  }
}

function writeHello(hello: Hello): void {
  const { hardware, running, slot1, attempt } = hello;
  writer.map(hello.bootloader === undefined ? 8 : 9);
  writer.key(0);
  writer.map(5);
  writer.text(0, "hardware.board", hardware.board, limits.hardware);
  writer.text(1, "hardware.revision", hardware.revision, limits.hardware);
  writer.text(2, "hardware.partitionMap", hardware.partitionMap, limits.hardware);
  writer.word(3, "hardware.mode", hardware.mode, swapModes);
  writer.uint(4, "hardware.slotSize", hardware.slotSize, uint32);
  writer.key(1);
  writer.map(4);
  writeSlot("running", running);
  writer.bytes(2, "running.buildId", running.buildId, limits.buildIdMin, limits.buildIdMax);
  writer.bool(3, "running.confirmed", running.confirmed);
  if (slot1 === null) {
    writer.none(2);
  } else {
    writer.key(2);
    writer.map(2);
    writeSlot("slot1", slot1);
  }
  writer.word(3, "hello.resetCause", hello.resetCause, resetCauses);
  if (attempt === null) {
    writer.none(4);
  } else {
    writer.key(4);
    writeAttempt("hello.attempt", attempt);
  }
  writer.uint(5, "hello.interval_s", hello.interval_s, uint32);
  writer.key(6);
  for (const name of writeNames("hello.attributes", hello.attributes)) {
    writer.textItem("hello.attributes", name, limits.name);
    writer.textItem("hello.attributes", hello.attributes[name] as string, limits.value);
  }
  writer.uint(7, "hello.storageSchema", hello.storageSchema, uint32);
  if (hello.bootloader !== undefined) {
    writer.key(8);
    writer.map(3);
    writer.word(0, "bootloader.downgrade", hello.bootloader.downgrade, downgradePreventions);
    writer.uint(1, "bootloader.sectors", hello.bootloader.sectors, uint32);
    writer.uint(2, "bootloader.writeAlign", hello.bootloader.writeAlign, uint32);
  }
}

function readHello(reader: Reader): Hello {
  const pairs = reader.openMap("hello", 8, 9);
  reader.key("hardware", 0);
  const hardware = readHardware(reader);
  reader.key("running", 1);
  reader.map("running", 4);
  const running = {
    ...readSlot(reader, "running"),
    buildId: reader.bytes(2, "running.buildId", limits.buildIdMin, limits.buildIdMax),
    confirmed: reader.bool(3, "running.confirmed"),
  };
  let slot1: SlotState | null = null;
  if (!reader.none(2, "slot1")) {
    reader.map("slot1", 2);
    slot1 = readSlot(reader, "slot1");
  }
  const resetCause = reader.word(3, "hello.resetCause", resetCauses);
  return {
    kind: "hello",
    hardware,
    running,
    slot1,
    resetCause,
    attempt: reader.none(4, "hello.attempt") ? null : readAttempt(reader, "hello.attempt"),
    interval_s: reader.uint(5, "hello.interval_s", uint32),
    attributes: reader.attributes(6, "hello.attributes"),
    storageSchema: reader.uint(7, "hello.storageSchema", uint32),
    ...(pairs > 8 ? { bootloader: readBootloader(reader) } : {}),
  };
}

function readBootloader(reader: Reader): BootloaderBuild {
  reader.key("bootloader", 8);
  reader.map("bootloader", 3);
  return {
    downgrade: reader.word(0, "bootloader.downgrade", downgradePreventions),
    sectors: reader.uint(1, "bootloader.sectors", uint32),
    writeAlign: reader.uint(2, "bootloader.writeAlign", uint32),
  };
}

function readHardware(reader: Reader): Hardware {
  reader.map("hardware", 5);
  return {
    board: reader.text(0, "hardware.board", limits.hardware),
    revision: reader.text(1, "hardware.revision", limits.hardware),
    partitionMap: reader.text(2, "hardware.partitionMap", limits.hardware),
    mode: reader.word(3, "hardware.mode", swapModes),
    slotSize: reader.uint(4, "hardware.slotSize", uint32),
  };
}

function writeSlot(field: "running" | "slot1", slot: SlotState): void {
  writer.bytes(0, `${field}.imageHash`, slot.imageHash, limits.hash, limits.hash);
  writer.label(1, `${field}.version`, slot.version, limits.versionText);
}

function readSlot(reader: Reader, field: "running" | "slot1"): SlotState {
  return {
    imageHash: reader.bytes(0, `${field}.imageHash`, limits.hash, limits.hash),
    version: reader.label(1, `${field}.version`, limits.versionText),
  };
}

function writeAttempt(field: string, attempt: Attempt): void {
  writer.map(5);
  writer.uint(0, `${field}.offer`, attempt.offer, safe);
  writer.bytes(1, `${field}.target`, attempt.target, limits.hash, limits.hash);
  writer.word(2, `${field}.outcome`, attempt.outcome, outcomes);
  writer.bool(3, `${field}.ran`, attempt.ran);
  writer.word(4, `${field}.resetCause`, attempt.resetCause, resetCauses);
}

function readAttempt(reader: Reader, field: string): Attempt {
  reader.map(field, 5);
  return {
    offer: reader.uint(0, `${field}.offer`, safe),
    target: reader.bytes(1, `${field}.target`, limits.hash, limits.hash),
    outcome: reader.word(2, `${field}.outcome`, outcomes),
    ran: reader.bool(3, `${field}.ran`),
    resetCause: reader.word(4, `${field}.resetCause`, resetCauses),
  };
}

function writeHeartbeat(heartbeat: Heartbeat): void {
  writer.map(5);
  writer.bytes(0, "heartbeat.imageHash", heartbeat.imageHash, limits.hash, limits.hash);
  writer.bool(1, "heartbeat.confirmed", heartbeat.confirmed);
  if (heartbeat.battery === null) {
    writer.none(2);
  } else {
    writer.real(2, "heartbeat.battery", heartbeat.battery, 0, 100);
  }
  writer.real(3, "heartbeat.linkUptime", heartbeat.linkUptime, 0, 1);
  writer.key(4);
  for (const name of writeNames("heartbeat.metrics", heartbeat.metrics)) {
    writer.textItem("heartbeat.metrics", name, limits.name);
    writer.realItem("heartbeat.metrics", heartbeat.metrics[name] as number, -Number.MAX_VALUE, Number.MAX_VALUE);
  }
}

function readHeartbeat(reader: Reader): Heartbeat {
  reader.map("heartbeat", 5);
  return {
    kind: "heartbeat",
    imageHash: reader.bytes(0, "heartbeat.imageHash", limits.hash, limits.hash),
    confirmed: reader.bool(1, "heartbeat.confirmed"),
    battery: reader.realOrNone(2, "heartbeat.battery", 0, 100),
    linkUptime: reader.real(3, "heartbeat.linkUptime", 0, 1),
    metrics: reader.metrics(4, "heartbeat.metrics"),
  };
}

function writeLog(chunk: LogChunk): void {
  writer.map(6);
  writer.word(0, "log.stream", chunk.stream, streams);
  writer.bytes(1, "log.buildId", chunk.buildId, limits.buildIdMin, limits.buildIdMax);
  writer.uint(2, "log.id", chunk.id, uint32);
  writer.uint(3, "log.offset", chunk.offset, uint32);
  writer.uint(4, "log.total", chunk.total, uint32);
  writer.bytes(5, "log.data", chunk.data, 0, limits.logData);
}

function readLog(reader: Reader): LogChunk {
  reader.map("log", 6);
  return {
    kind: "log",
    stream: reader.word(0, "log.stream", streams),
    buildId: reader.bytes(1, "log.buildId", limits.buildIdMin, limits.buildIdMax),
    id: reader.uint(2, "log.id", uint32),
    offset: reader.uint(3, "log.offset", uint32),
    total: reader.uint(4, "log.total", uint32),
    data: reader.bytes(5, "log.data", 0, limits.logData),
  };
}

/** Writes the head of a map of named entries and returns the names in the order they must follow. */
function writeNames(field: string, entries: Readonly<Record<string, unknown>>): string[] {
  const names = Object.keys(entries).sort(compareNames);
  if (names.length > limits.entries) {
    throw new Error(`cannot encode ${field}: ${names.length} entries, at most ${limits.entries}`);
  }
  for (const name of names) {
    if (!isFactName(name) && name.length <= limits.name) {
      throw new Error(`cannot encode ${field}: ${JSON.stringify(name)} is not a name`);
    }
  }
  writer.map(names.length);
  return names;
}
