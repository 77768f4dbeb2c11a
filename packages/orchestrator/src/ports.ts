// SPDX-License-Identifier: Apache-2.0
import type { AssignmentState, DeviceId, Digest, Instant } from "@coalmine/core";
import type { BlockAnswer, BlockRequest, Command } from "@coalmine/protocol";
import type { DeviceRecord } from "./inventory.ts";

/** The door a device came through. */
export type Door = "mqtt" | "coap" | "ddi" | "smp" | "virtual";

/** Wall clock of a driver. Accelerated and virtual clocks implement it too. */
export interface Clock {
  now(): Instant;
}

/**
 * One line of the event log as it is stored: a fact (report, undecodable, operator's command) or a decision.
 * `body` is the report's CBOR for `report`, else JSON in UTF-8.
 */
export interface LogEntry {
  readonly at: Instant;
  readonly type: string;
  readonly device: DeviceId | null;
  readonly body: Uint8Array;
}

export interface StoredEntry extends LogEntry {
  /** 1, 2, 3 ... without gaps. */
  readonly sequence: number;
}

/** The append-only event log (I1, I3, I5, I10). */
export interface EventLog {
  /** Sequence of the newest appended entry; 0 when empty. */
  readonly length: number;
  /** Adds an entry to the current group and returns its sequence. Not durable until `durable` resolves. */
  append(entry: LogEntry): number;
  /** Resolves when everything appended before the call survives a crash of the process and of the machine (group commit). Rejects `store/...` when it cannot be made so; nothing after that is acknowledged. */
  durable(): Promise<void>;
  /** Entries after `after`, oldest first, as of the call. */
  read(after: number): Iterable<StoredEntry>;
  /** Entries of one device from `after` (not with it) to `upTo`, oldest first. For people who look: logs need not be quick at it. */
  readDevice?(device: DeviceId, range: { readonly after: number; readonly upTo: number }): readonly StoredEntry[];
  /** Stores folded state as of `sequence`; keeps the newest two. A broken one is ignored on load. */
  saveSnapshot(sequence: number, state: Uint8Array): void;
  loadSnapshot(): { readonly sequence: number; readonly state: Uint8Array } | null;
  /** SHA-256 in hex over all entries in order, and their number. */
  digest(): { readonly events: number; readonly sha256: string };
  /** Verifies the hash chain over all entries. `brokenAt` is the first bad sequence. */
  verify(): { readonly ok: true; readonly entries: number } | { readonly ok: false; readonly brokenAt: number; readonly reason: string };
  close(): Promise<void>;
}

/** Artifacts by digest. Names are labels; the bytes decide. */
export interface ArtifactStore {
  /** Stores the bytes durably and returns their SHA-256. Storing the same bytes twice is a no-op. */
  put(bytes: Uint8Array): Promise<Digest>;
  /** The bytes, checked against the digest when first read; null when absent. Throws `store/corrupt-artifact`. */
  get(digest: Digest): Uint8Array | null;
  list(): readonly { readonly digest: Digest; readonly size: number }[];
  remove(digest: Digest): Promise<void>;
}

/** A file of an archive, by its name inside it. */
export interface ArchivedFile {
  readonly name: string;
  readonly size: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** Writes one archive. Nothing is visible under its name before `finish`, which makes all of it durable. */
export interface ArchiveWriter {
  add(name: string, content: Uint8Array | AsyncIterable<Uint8Array>): Promise<ArchivedFile>;
  finish(): Promise<void>;
  /** Removes what was written, finished or not. */
  discard(): Promise<void>;
}

/** Archives of releases that are closed out (R39). */
export interface ArchiveStore {
  begin(release: string): ArchiveWriter;
  has(release: string): boolean;
  /** Reads every file back and compares checksums. Throws `archive/damaged` naming the file. */
  check(release: string): Promise<readonly ArchivedFile[]>;
  read(release: string, name: string): Uint8Array;
  /** The same piece by piece, for files of any size. */
  open(release: string, name: string): AsyncIterable<Uint8Array>;
}

/** What a link hands inwards. Implemented by the orchestrator's driver. */
export interface LinkHost {
  /**
   * Takes one report as bytes. Resolves when it is durable (or is a known duplicate, or is recorded as undecodable):
   * only then may the link acknowledge it to the device or broker (I1 no-lost-fact). Never rejects for bad bytes.
   */
  report(device: DeviceId, bytes: Uint8Array, door: Door): Promise<void>;
  /** Answers a block request at once; refuses devices that hold no accepted offer for that artifact (R8). */
  block(device: DeviceId, request: BlockRequest): BlockAnswer;
  /** A message that came from no known device, or on a topic that is not a report: counted. */
  undecodable(device: DeviceId | null, reason: string, size: number, door: Door): void;
}

/** Where the offer of a device stands in its active rollout. */
export interface Standing {
  readonly offer: number;
  readonly state: AssignmentState;
  /** When `state` was entered. */
  readonly since: Instant;
}

/** What a link asks that speaks for its devices (DDI, SMP) and keeps nothing of its own: where things stood when it stopped. */
export interface ProxyHost extends LinkHost {
  known(device: DeviceId): Readonly<DeviceRecord> | undefined;
  standing(device: DeviceId): Standing | undefined;
  /** Whether this offer number was ever given to this device. */
  wasOffered(device: DeviceId, offer: number): boolean;
}

/** A way to reach devices. One per door; several run side by side. */
export interface Link {
  readonly door: Door;
  /** False while nothing can come through, a broker being away: devices are not blamed for that. A link that cannot lose it leaves this out. */
  readonly connected?: boolean;
  /**
   * Hands a command over for delivery at least once. An offer is kept for the device until it is replaced or cleared
   * (R52: retained); the others go to a device that is there, or wait in its session.
   * Resolves when handed over; rejects `link/closed` (retry later) when that cannot be.
   */
  send(device: DeviceId, command: Command): Promise<void>;
  /** Takes back the kept offer of a device, if there is one. */
  clear(device: DeviceId): Promise<void>;
  close(): Promise<void>;
}
