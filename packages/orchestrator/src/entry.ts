// SPDX-License-Identifier: Apache-2.0
import type { Authority, Decision, DeviceId, Digest, Instant, ReleaseId, Variant } from "@coalmine/core";
import { encodeReport, type Report } from "@coalmine/protocol";
import type { Declaration } from "./declaration.ts";
import type { MatrixResult } from "./matrix.ts";
import type { Door, LogEntry } from "./ports.ts";

/** An artifact of a release: which variant it is for, and what its image says of itself. */
export interface ReleaseArtifact {
  readonly variant: Variant;
  readonly digest: Digest;
  /** What the file is; an MCUboot image when left out. */
  readonly format?: "swu" | undefined;
  /** MCUboot image hash, lower-case hex. Of a SWUpdate archive, the digest of the file. */
  readonly imageHash: string;
  readonly size: number;
  readonly version: string;
  /** MCUboot's security counter, when the image carries one. */
  readonly securityCounter?: number | undefined;
  /** Name of the published MCUboot sample key that signed it: fit for lab devices only. */
  readonly sampleKey?: string | undefined;
}

/** A selector over ids, tags and attributes; all given parts must match. An empty one matches every device. */
export interface Selector {
  readonly ids?: readonly string[] | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly attributes?: Readonly<Record<string, string>> | undefined;
}

/** What an operator changed outside rollouts. Logged with who and why, as decisions are (I10). */
export type Change =
  | { readonly type: "device-tagged"; readonly device: DeviceId; readonly add: readonly string[]; readonly remove: readonly string[]; readonly authority: Authority }
  | { readonly type: "cohort-created"; readonly name: string; readonly selector: Selector; readonly authority: Authority }
  | ({
      readonly type: "release-created";
      readonly release: ReleaseId;
      readonly version: string;
      readonly artifacts: readonly ReleaseArtifact[];
      readonly notes: string;
      readonly authority: Authority;
    } & Declaration)
  /** The result of its migration matrix (R43). The newest counts. */
  | { readonly type: "release-attested"; readonly release: ReleaseId; readonly matrix: MatrixResult; readonly authority: Authority }
  /** Barred: never offered again by itself (R36). Lifted only by name and reason. */
  | { readonly type: "release-barred"; readonly release: ReleaseId; readonly authority: Authority }
  | { readonly type: "release-unbarred"; readonly release: ReleaseId; readonly authority: Authority }
  /** The ELF of a build, as an artifact: names for the addresses of its crashes (R56). */
  | {
      readonly type: "symbols-added";
      readonly release: ReleaseId;
      readonly buildId: string;
      /** The artifacts that it is the program of, by image hash. */
      readonly imageHashes?: readonly string[];
      readonly digest: Digest;
      readonly size: number;
      readonly authority: Authority;
    }
  /** Its files are in the archive, checked, and leave the artifact store; it is not offered until it is restored (R39). */
  | { readonly type: "release-archived"; readonly release: ReleaseId; readonly files: number; readonly bytes: number; readonly authority: Authority }
  | { readonly type: "release-restored"; readonly release: ReleaseId; readonly authority: Authority }
  /** The orchestrator runs again, with rollouts under way. Nobody listened since `heardUntil`: that is no silence of the devices. */
  | { readonly type: "restarted"; readonly heardUntil: Instant; readonly authority: Authority }
  /** Nothing can come through a door since `heardUntil`, a broker being away or the network down: that is no silence either. */
  | { readonly type: "link-lost"; readonly door: Door; readonly heardUntil: Instant; readonly authority: Authority }
  | { readonly type: "link-restored"; readonly door: Door; readonly authority: Authority };

/** A line that goes into the audit: everything but reports. */
export type AuditRecord = Decision | Change;

export interface UndecodableFact {
  readonly reason: string;
  readonly size: number;
  readonly door: Door;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** JSON as the log holds it. */
export function recordEntry(record: AuditRecord, at: Instant): LogEntry {
  return "device" in record ? new DeviceRecordEntry(record, at) : { at, type: record.type, device: null, body: jsonBytes(record) };
}

function jsonBytes(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

/** What is recorded of one device is plain data that nothing changes: its bytes are made when the log reads them. */
class DeviceRecordEntry implements LogEntry {
  readonly type: string;
  readonly at: Instant;
  readonly device: DeviceId;
  readonly #record: AuditRecord;
  #body: Uint8Array | undefined;

  constructor(record: Extract<AuditRecord, { readonly device: DeviceId }>, at: Instant) {
    this.type = record.type;
    this.at = at;
    this.device = record.device;
    this.#record = record;
  }

  get body(): Uint8Array {
    return (this.#body ??= jsonBytes(this.#record));
  }
}

export function undecodableEntry(device: DeviceId | null, fact: UndecodableFact, at: Instant): LogEntry {
  return { at, type: "undecodable", device, body: jsonBytes(fact) };
}

/** A report as it came: the CBOR bytes, unchanged, behind one byte for the door. */
export function reportEntry(device: DeviceId, door: Door, bytes: Uint8Array, at: Instant): LogEntry {
  const body = new Uint8Array(bytes.length + 1);
  body[0] = doors.indexOf(door);
  body.set(bytes, 1);
  return { at, type: "report", device, body };
}

/** The same for a report from the same process, whose bytes nobody may ask for: they are made when the log reads them. */
export class DecodedReportEntry implements LogEntry {
  readonly type = "report";
  readonly at: Instant;
  readonly device: DeviceId;
  readonly #door: Door;
  readonly #report: Report;
  #body: Uint8Array | undefined;

  constructor(device: DeviceId, door: Door, report: Report, at: Instant) {
    this.device = device;
    this.at = at;
    this.#door = door;
    this.#report = report;
  }

  get body(): Uint8Array {
    return (this.#body ??= reportEntry(this.device, this.#door, encodeReport(this.#report), this.at).body);
  }
}

const doors: readonly Door[] = ["mqtt", "coap", "ddi", "smp", "virtual"];

export function reportBytes(entry: LogEntry): { readonly door: Door; readonly bytes: Uint8Array } {
  return { door: doors[entry.body[0] ?? 0] ?? "mqtt", bytes: entry.body.subarray(1) };
}

/** Reads an entry that is not a report or undecodable. */
export function readRecord(entry: LogEntry): AuditRecord {
  return JSON.parse(decoder.decode(entry.body)) as AuditRecord;
}

export function readUndecodable(entry: LogEntry): UndecodableFact {
  return JSON.parse(decoder.decode(entry.body)) as UndecodableFact;
}

/** Lower-case hex of bytes. */
export function hex(bytes: Uint8Array): string {
  return bytes.toHex();
}

export function unhex(text: string): Uint8Array {
  return Uint8Array.fromHex(text);
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}


