// SPDX-License-Identifier: Apache-2.0
// The attempt record: what a board knows of its last update across resets (R18).
//
// A1. The record is written before the swap is requested, and its end before it is reported.
// A2. Every attempt has exactly one end: confirmed, reverted, refused or failed.
// A3. An end is reported by every boot until one report of it is acknowledged, and repeated in every hello.
import type { Attempt, ConfirmPolicy, ResetCause } from "@coalmine/protocol";
import { type Device, findDefect, type Turn, write } from "./device.ts";
import { type FlashState, hex, otherSlot } from "./flash-state.ts";
import { send } from "./outbox.ts";
import { type AttemptRecord, encodeAttempt, encodeSeen, isFinal, seenMax } from "./records.ts";
import { PowerLoss, RecordKind } from "./storage.ts";

/** Policy of a trial that no offer describes: a swap-back, or an image that a cable put there. */
export const defaultPolicy: ConfirmPolicy = { minUptime_s: 30, deadline_s: 600, serverContact: true };

/** Starts of an unconfirmed image after which it counts as kept by its bootloader: it will not revert any more. */
const trialBootsMax = 3;

/** Keeps the attempt record; false when there is no room for it. */
export function saveAttempt(device: Device, attempt: AttemptRecord): boolean {
  device.attempt = attempt;
  return write(device, RecordKind.attempt, encodeAttempt(attempt));
}

/** The attempt as the protocol tells it. */
export function reportable(attempt: AttemptRecord | null): Attempt | null {
  if (attempt === null) {
    return null;
  }
  const { offer, target, ran, resetCause, stage } = attempt;
  return { offer, target, outcome: stage === "requested" ? "applying" : stage, ran, resetCause };
}

export type AttemptEnd = "confirmed" | "reverted" | "refused" | "failed";

/** Ends an attempt and reports it. */
export function endAttempt(turn: Turn, attempt: AttemptRecord, stage: AttemptEnd, reason: string): void {
  closeAttempt(turn.device, attempt, stage, reason);
  reportEnd(turn);
}

/** Records the end of an attempt. An image that ran and was undone, or should have been, is not tried again (R36). */
export function closeAttempt(device: Device, attempt: AttemptRecord, stage: AttemptEnd, reason: string): void {
  saveAttempt(device, { ...attempt, stage, reason: reason.slice(0, 64), acknowledged: false });
  const isBad = (stage === "reverted" && attempt.ran) || (stage === "failed" && attempt.trialBoots > trialBootsMax);
  remember(device, attempt.offer, quarantineName(attempt.target), isBad ? "bar" : stage === "confirmed" ? "clear" : "leave");
}

/** How an image that is not tried again is remembered. */
function quarantineName(imageHash: Uint8Array): string {
  return hex(imageHash.subarray(0, 8));
}

/** True when this board will not try that image again. */
export function isQuarantined(device: Device, imageHash: Uint8Array): boolean {
  return device.seen !== null && device.seen.quarantined.length > 0 && device.seen.quarantined.includes(quarantineName(imageHash));
}

/** An image that its attempt gave up on and that no bootloader undoes: it runs on unconfirmed, without a trial. */
export function isKeptUnconfirmed(device: Device): boolean {
  return device.running !== null && device.trial === null && isQuarantined(device, device.running.imageHash);
}

/** What a report says of the running image. In overwrite-only the trailers say nothing, so the board's own record counts too. */
export function runsConfirmed(device: Device): boolean {
  return device.trial === null && device.flash.isConfirmed(device.slot) && !isKeptUnconfirmed(device);
}

/** Reports the end of the last attempt, if there is one that nobody has acknowledged. */
export function reportEnd(turn: Turn): void {
  const { attempt } = turn.device;
  const body = reportable(attempt);
  if (attempt !== null && body !== null && isFinal(attempt.stage) && !attempt.acknowledged) {
    send(turn, { kind: "result", attempt: body, reason: attempt.reason });
  }
}

/** Notes an offer as ended, and its image as one not to try again, or one that has passed after all. */
function remember(device: Device, offer: number, image: string, quarantine: "bar" | "clear" | "leave"): void {
  const seen = device.seen ?? { offers: [], quarantined: [] };
  const first = <T>(value: T, rest: readonly T[]): readonly T[] => [value, ...rest.filter((other) => other !== value)].slice(0, seenMax);
  const others = seen.quarantined.filter((other) => other !== image);
  device.seen = {
    offers: first(offer, seen.offers),
    quarantined: quarantine === "leave" ? seen.quarantined : quarantine === "bar" ? first(image, others) : others,
  };
  write(device, RecordKind.seen, encodeSeen(device.seen));
}

/** True for an offer that this board has already carried to its end. */
export function hasEnded(device: Device, offer: number): boolean {
  return device.seen?.offers.includes(offer) === true || (device.attempt !== null && device.attempt.offer === offer && isFinal(device.attempt.stage));
}

/** What a start found out about the attempt that was under way. */
export type Resolution =
  | { readonly kind: "none" }
  /** The record is there but the swap was never requested: power was lost in between. */
  | { readonly kind: "request again"; readonly attempt: AttemptRecord }
  | { readonly kind: "trial"; readonly attempt: AttemptRecord }
  | { readonly kind: "ended"; readonly attempt: AttemptRecord; readonly stage: AttemptEnd; readonly reason: string };

/** Compares the record with what runs now and what lies in the other slot. */
export function resolveAttempt(device: Device, cause: ResetCause): Resolution {
  const { attempt, running, flash, slot } = device;
  if (attempt === null || running === null || isFinal(attempt.stage)) {
    return { kind: "none" };
  }
  const target = hex(attempt.target);
  if (running.hash === target) {
    const tried = { ...attempt, ran: true, resetCause: cause, trialBoots: attempt.trialBoots + 1 };
    if (attempt.stage === "testing" && flash.isConfirmed(slot) && undoes(flash)) {
      // Confirmed, and power was lost before the record said so.
      return { kind: "ended", attempt: tried, stage: "confirmed", reason: "" };
    }
    if (tried.trialBoots > trialBootsMax) {
      return { kind: "ended", attempt: tried, stage: "failed", reason: "runs unconfirmed: the bootloader does not revert it" };
    }
    return { kind: "trial", attempt: tried };
  }
  const kept = flash.image(otherSlot(slot));
  if (attempt.stage === "applying") {
    return kept?.hash === target
      ? { kind: "request again", attempt }
      : { kind: "ended", attempt: { ...attempt, resetCause: cause }, stage: "failed", reason: "the image in the other slot is damaged" };
  }
  if (attempt.stage === "requested" && kept?.hash !== target) {
    return { kind: "ended", attempt: { ...attempt, resetCause: cause }, stage: "refused", reason: "the bootloader erased the image instead of starting it" };
  }
  return {
    kind: "ended",
    attempt: { ...attempt, resetCause: cause },
    stage: "reverted",
    reason: attempt.ran ? `reverted after a ${cause} reset on trial` : "reverted without ever running",
  };
}

/** True when this bootloader can undo an unconfirmed image, so that its trailer tells of a confirmation. */
function undoes(flash: FlashState): boolean {
  const { mode, xipRevert } = flash.kind.bootloader;
  return mode !== "overwrite" && (mode !== "direct-xip" || xipRevert);
}

/** Records the attempt, requests the swap, and records that too. The reset is the caller's. False when bootutil refuses. */
export function requestSwap(turn: Turn, attempt: AttemptRecord): boolean {
  const { device } = turn;
  if (!saveAttempt(device, attempt)) {
    // Without the record nobody would know of a trial (A1).
    endAttempt(turn, { ...attempt, resetCause: device.resetCause }, "failed", "the storage is full: no room for the attempt record");
    return false;
  }
  const step = device.flash.setPending(device.slot, budget(device));
  if (!settle(device, step)) {
    endAttempt(turn, { ...attempt, resetCause: device.resetCause }, "failed", `the swap could not be requested (bootutil ${step.rc})`);
    return false;
  }
  saveAttempt(device, { ...attempt, stage: "requested" });
  return true;
}

/** Makes the running image permanent and records it. */
export function confirmTrial(turn: Turn): void {
  const { device } = turn;
  const step = device.flash.setConfirmed(device.slot, budget(device));
  if (!settle(device, step)) {
    return; // a bad trailer: the deadline will end the trial
  }
  const { attempt, running } = device;
  device.trial = null;
  if (findDefect(device, "erases-slot1") !== undefined) {
    device.flash = device.flash.wipe(otherSlot(device.slot));
  }
  device.confirmAt = Number.POSITIVE_INFINITY;
  device.deadlineAt = Number.POSITIVE_INFINITY;
  if (attempt !== null && !isFinal(attempt.stage) && running !== null && hex(attempt.target) === running.hash) {
    endAttempt(turn, attempt, "confirmed", "");
  }
}

function budget(device: Device): number | undefined {
  return device.power.flashLeft === Number.POSITIVE_INFINITY ? undefined : device.power.flashLeft + 1;
}

/** Takes over what a call left in flash. Throws `PowerLoss` when power was lost inside; false for a return code other than 0. */
function settle(device: Device, step: ReturnType<FlashState["setPending"]>): boolean {
  device.flash = step.state;
  if (step.outcome === "cut") {
    device.power.flashLeft = Number.POSITIVE_INFINITY;
    throw new PowerLoss();
  }
  if (device.power.flashLeft !== Number.POSITIVE_INFINITY) {
    device.power.flashLeft -= step.operations;
  }
  return step.rc === 0;
}
