// SPDX-License-Identifier: Apache-2.0
// What a board keeps across resets, and the bytes it keeps it in. Numbers little endian.
import type { ConfirmPolicy, Crash, ResetCause } from "@coalmine/protocol";
import { ByteReader, ByteWriter } from "./bytes.ts";

/**
 * How far an attempt got. `applying`: recorded, the swap not yet requested. `requested`: MCUboot will swap at the next
 * reset. `testing`: the new image has run. The others are final.
 */
export type AttemptStage = "applying" | "requested" | "testing" | "confirmed" | "reverted" | "refused" | "failed";

const stages: readonly AttemptStage[] = ["applying", "requested", "testing", "confirmed", "reverted", "refused", "failed"];
const causes: readonly ResetCause[] = ["unknown", "power-on", "pin", "software", "watchdog", "brownout", "fault"];

/** The attempt record (R18): written before the reboot, kept until its result is acknowledged and repeated in every hello. */
export interface AttemptRecord {
  readonly offer: number;
  readonly target: Uint8Array;
  readonly stage: AttemptStage;
  readonly ran: boolean;
  readonly resetCause: ResetCause;
  /** Starts of the target so far. */
  readonly trialBoots: number;
  readonly acknowledged: boolean;
  readonly policy: ConfirmPolicy;
  /** Version that ran before. */
  readonly fromVersion: string;
  readonly reason: string;
}

/** An accepted offer, kept so that a download goes on after a reset. */
export interface OfferRecord {
  readonly offer: number;
  readonly version: string;
  readonly digest: Uint8Array;
  readonly imageHash: Uint8Array;
  readonly size: number;
  readonly policy: ConfirmPolicy;
  /** Slot 1 was erased for it: what lies there is of this artifact. */
  readonly started: boolean;
}

/** Offers that ended, and images this board will not try again. Newest first. */
export interface SeenRecord {
  readonly offers: readonly number[];
  /** First 8 bytes of image hashes, hex. */
  readonly quarantined: readonly string[];
}

export const seenMax = 4;
export const crashesMax = 3;

export function isFinal(stage: AttemptStage): boolean {
  return stage === "confirmed" || stage === "reverted" || stage === "refused" || stage === "failed";
}

function writePolicy(writer: ByteWriter, policy: ConfirmPolicy): ByteWriter {
  return writer.u32(policy.minUptime_s).u32(policy.deadline_s).u8(policy.serverContact ? 1 : 0);
}

function readPolicy(reader: ByteReader): ConfirmPolicy {
  return { minUptime_s: reader.u32(), deadline_s: reader.u32(), serverContact: reader.u8() === 1 };
}

export function encodeAttempt(attempt: AttemptRecord): Uint8Array {
  const writer = new ByteWriter()
    .u64(attempt.offer)
    .raw(attempt.target)
    .u8(stages.indexOf(attempt.stage))
    .u8((attempt.ran ? 1 : 0) | (attempt.acknowledged ? 2 : 0))
    .u8(causes.indexOf(attempt.resetCause))
    .u8(Math.min(255, attempt.trialBoots));
  return writePolicy(writer, attempt.policy).text(attempt.fromVersion).text(attempt.reason).done();
}

export function decodeAttempt(bytes: Uint8Array): AttemptRecord {
  const reader = new ByteReader(bytes);
  const offer = reader.u64();
  const target = reader.raw();
  const stage = stages[reader.u8()] ?? "failed";
  const flags = reader.u8();
  const resetCause = causes[reader.u8()] ?? "unknown";
  const trialBoots = reader.u8();
  const policy = readPolicy(reader);
  return {
    offer,
    target,
    stage,
    ran: (flags & 1) !== 0,
    acknowledged: (flags & 2) !== 0,
    resetCause,
    trialBoots,
    policy,
    fromVersion: reader.text(),
    reason: reader.text(),
  };
}

export function encodeOffer(offer: OfferRecord): Uint8Array {
  const writer = new ByteWriter().u64(offer.offer).raw(offer.digest).raw(offer.imageHash).u32(offer.size).u8(offer.started ? 1 : 0);
  return writePolicy(writer, offer.policy).text(offer.version).done();
}

export function decodeOffer(bytes: Uint8Array): OfferRecord {
  const reader = new ByteReader(bytes);
  const offer = reader.u64();
  const digest = reader.raw();
  const imageHash = reader.raw();
  const size = reader.u32();
  const started = reader.u8() === 1;
  const policy = readPolicy(reader);
  return { offer, digest, imageHash, size, started, policy, version: reader.text() };
}

export function encodeSeen(seen: SeenRecord): Uint8Array {
  const writer = new ByteWriter().u8(seen.offers.length);
  seen.offers.forEach((offer) => writer.u64(offer));
  writer.u8(seen.quarantined.length);
  seen.quarantined.forEach((hash) => writer.text(hash));
  return writer.done();
}

export function decodeSeen(bytes: Uint8Array): SeenRecord {
  const reader = new ByteReader(bytes);
  const offers = Array.from({ length: reader.u8() }, () => reader.u64());
  return { offers, quarantined: Array.from({ length: reader.u8() }, () => reader.text()) };
}

export function encodeCrashes(crashes: readonly Crash[]): Uint8Array {
  const writer = new ByteWriter().u8(crashes.length);
  for (const crash of crashes) {
    writer.raw(crash.buildId).raw(crash.imageHash).text(crash.reason).u32(crash.pc).u32(crash.lr).u32(crash.uptime_s);
  }
  return writer.done();
}

export function decodeCrashes(bytes: Uint8Array): readonly Crash[] {
  const reader = new ByteReader(bytes);
  return Array.from({ length: reader.u8() }, (): Crash => {
    const buildId = reader.raw();
    const imageHash = reader.raw();
    const reason = reader.text();
    return { kind: "crash", buildId, imageHash, reason, pc: reader.u32(), lr: reader.u32(), uptime_s: reader.u32() };
  });
}

export function encodeNumber(value: number): Uint8Array {
  return new ByteWriter().u32(value).done();
}

export function decodeNumber(bytes: Uint8Array): number {
  return new ByteReader(bytes).u32();
}
