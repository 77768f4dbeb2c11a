// SPDX-License-Identifier: Apache-2.0
// An offer on its way to slot 1: checks, jitter, blocks, digest, and the reboot into it.
//
// U1. The same offer twice is one offer (I2), across resets.
// U2. Nothing is written to slot 1 while an image is on trial there or here: it would destroy the fallback.
// U3. Slot 1 is applied only when its SHA-256 is the offer's, and the image in it the one that was offered.
// U4. After a loss or a reset the download goes on where it was.
import { hash } from "node:crypto";
import { fits } from "@coalmine/core";
import type { BlockAnswer, Offer, SwapBack } from "@coalmine/protocol";
import { defaultPolicy, endAttempt, hasEnded, isQuarantined, requestSwap } from "./attempt.ts";
import { batteryLevel, drainBattery } from "./battery.ts";
import { chance, type Device, never, type Turn, type Update, write } from "./device.ts";
import { advance, ask, keepBlock } from "./download.ts";
import { canSwapBack, hex, otherSlot } from "./flash-state.ts";
import { send } from "./outbox.ts";
import { reset } from "./power.ts";
import { type AttemptRecord, encodeOffer, isFinal, type OfferRecord } from "./records.ts";
import { RecordKind, spend } from "./storage.ts";

/** Between the last block and the reboot, ms: time for the reports to leave and for a cancel to come. */
const applyDelay = 1_000;
/** How long a battery that is too low waits, ms. */
const batteryPatience = 6 * 3_600_000;

/** Takes an offer: refuses it for good, or accepts it and waits for its turn. */
export function takeOffer(turn: Turn, offer: Offer): void {
  const { device, now } = turn;
  const { update, attempt } = device;
  if (update?.offer.offer === offer.offer || attempt?.offer === offer.offer || hasEnded(device, offer.offer)) {
    return;
  }
  if (device.cancelled === offer.offer && now < device.cancelledUntil) {
    return;
  }
  const record: OfferRecord = {
    offer: offer.offer,
    version: offer.version,
    digest: offer.digest,
    imageHash: offer.imageHash,
    size: offer.size,
    policy: offer.confirm,
    started: false,
  };
  const refusal = refuse(device, offer);
  if (refusal !== undefined) {
    endAttempt(turn, attemptFor(device, record), "failed", refusal);
    return;
  }
  if (device.running?.hash === hex(offer.imageHash) && device.trial === null) {
    endAttempt(turn, { ...attemptFor(device, record), ran: true }, "confirmed", "this image runs already");
    return;
  }
  if (update !== null) {
    forget(device); // the newer offer counts
  }
  write(device, RecordKind.offer, encodeOffer(record));
  const jitter = offer.jitter_s * 1_000 * chance(device, "jitter", offer.version);
  device.update = newUpdate(device, record, now + Math.round(jitter));
  send(turn, { kind: "progress", offer: offer.offer, state: "accepted", offset: 0 });
  if (device.trial !== null) {
    postpone(turn, device.update, "busy", device.deadlineAt);
  }
  beginIfDue(turn);
}

/** Why this board will never install that; undefined when it may (R13, I6). */
function refuse(device: Device, offer: Offer): string | undefined {
  const { hardware } = device.description;
  if (!fits(offer.variant, hardware)) {
    return `the artifact is for ${offer.variant.board}/${offer.variant.revision}/${offer.variant.partitionMap}, this is another board`;
  }
  if (offer.size > hardware.slotSize - device.shared.flash.uploadOffset(hardware) || offer.size === 0) {
    return `${offer.size} bytes do not fit slot 1`;
  }
  if (isQuarantined(device, offer.imageHash)) {
    return "this board tried that image before and gave it up";
  }
  return undefined;
}

function attemptFor(device: Device, offer: Pick<OfferRecord, "offer" | "imageHash" | "policy">): AttemptRecord {
  return {
    offer: offer.offer,
    target: offer.imageHash,
    stage: "applying",
    ran: false,
    resetCause: device.resetCause,
    trialBoots: 0,
    acknowledged: false,
    policy: offer.policy,
    fromVersion: device.running?.version ?? "",
    reason: "",
  };
}

function newUpdate(device: Device, offer: OfferRecord, startAt: number): Update {
  return {
    offer,
    startAt,
    content: device.shared.contents.get(hex(offer.digest), offer.size),
    own: null,
    offset: 0,
    ahead: [],
    next: 0,
    inFlight: [],
    applyAt: never,
  };
}

/** Takes up an offer found in storage after a reset. */
export function resumeOffer(turn: Turn, offer: OfferRecord): void {
  const { device, now } = turn;
  if (hasEnded(device, offer.offer) || device.attempt?.offer === offer.offer) {
    // Past its reboot: the attempt record tells the rest, and slot 1 holds the image that ran before.
    write(device, RecordKind.offer, nothing);
    return;
  }
  const update = newUpdate(device, offer, now);
  device.update = update;
  if (offer.started) {
    const slot = otherSlot(device.slot);
    const unit = Math.max(8, device.flash.kind.geometry.areas[0]?.align ?? 8);
    const length = Math.floor(device.flash.written(slot, offer.size) / unit) * unit;
    const bytes = device.flash.look((flash) => flash.read(flash.area(slot), device.shared.flash.uploadOffset(device.flash.kind), length));
    if (bytes !== undefined && length > 0 && !update.content.accept(0, bytes)) {
      update.own = new Uint8Array(offer.size);
      update.own.set(bytes);
    }
    update.offset = length;
    update.next = length;
  }
  if (device.trial !== null) {
    postpone(turn, update, "busy", device.deadlineAt);
  }
}

const nothing = new Uint8Array(0);

/** Drops the update, from storage too. */
function forget(device: Device): void {
  if (device.update !== null) {
    device.update = null;
    device.retryAt = never;
    write(device, RecordKind.offer, nothing);
  }
}

function postpone(turn: Turn, update: Update, reason: "battery" | "busy", until: number): void {
  update.startAt = until === never ? turn.now + 60_000 : until;
  const until_s = Math.max(1, Math.ceil((update.startAt - turn.now) / 1_000));
  send(turn, { kind: "deferred", offer: update.offer.offer, reason, until_s });
}

/** Starts the download when its time has come. */
export function beginIfDue(turn: Turn): void {
  const { device, now } = turn;
  const { update } = device;
  if (update === null || now < update.startAt) {
    return;
  }
  if (device.trial !== null) {
    postpone(turn, update, "busy", Math.max(device.deadlineAt, now + 60_000));
    return;
  }
  const { battery } = device.description.power;
  drainBattery(device, now);
  if (battery !== null && (batteryLevel(device) ?? 100) < battery.updateMin) {
    postpone(turn, update, "battery", now + batteryPatience);
    return;
  }
  update.startAt = never;
  if (!update.offer.started) {
    spend(device.power);
    device.flash = device.flash.wipe(otherSlot(device.slot));
    update.offer = { ...update.offer, started: true };
    write(device, RecordKind.offer, encodeOffer(update.offer));
  }
  send(turn, { kind: "progress", offer: update.offer.offer, state: "downloading", offset: update.offset });
  if (update.offset >= update.offer.size) {
    complete(turn, update);
  } else {
    ask(turn, update);
  }
}

/** Takes a block, or the host's refusal of one. */
export function takeBlock(turn: Turn, answer: BlockAnswer): void {
  const { device } = turn;
  const { update } = device;
  const index = update?.inFlight.findIndex((block) => block.request === answer.request) ?? -1;
  if (update === null || index < 0) {
    return; // of an earlier boot, of a cancelled offer, or a duplicate
  }
  const [asked] = update.inFlight.splice(index, 1) as [Update["inFlight"][number]];
  if (answer.kind === "refused") {
    if (answer.reason === "not-offered") {
      forget(device); // taken back while the cancel was on its way
    } else {
      fail(turn, update, answer.reason === "range" ? "the host has fewer bytes than it offered" : "the host does not have the artifact");
    }
    return;
  }
  if (answer.offset !== asked.offset || answer.data.length !== asked.length) {
    fail(turn, update, `a block of ${answer.data.length} bytes at ${answer.offset} instead of ${asked.length} at ${asked.offset}`);
    return;
  }
  spend(device.power);
  keepBlock(update, answer.offset, answer.data);
  const before = update.offset;
  update.ahead.push(answer.offset, answer.data.length);
  advance(update);
  const eighth = (offset: number): number => Math.floor((8 * offset) / update.offer.size);
  if (eighth(update.offset) > eighth(before) && update.offset < update.offer.size) {
    send(turn, { kind: "progress", offer: update.offer.offer, state: "downloading", offset: update.offset });
  }
  if (update.offset >= update.offer.size) {
    complete(turn, update);
  } else {
    ask(turn, update);
  }
}

/** Everything is there: SHA-256, the image inside, and then the reboot. */
function complete(turn: Turn, update: Update): void {
  const { device, now } = turn;
  const digest = hex(update.offer.digest);
  const actual = update.own === null ? update.content.digest() : hash("sha256", update.own, "hex");
  if (actual !== digest) {
    device.shared.contents.drop(digest, update.offer.size);
    fail(turn, update, "the SHA-256 of what was received is not the offer's");
    return;
  }
  const slot = otherSlot(device.slot);
  device.flash = device.flash.install(slot, update.own ?? update.content.bytes, digest);
  if (device.flash.image(slot)?.hash !== hex(update.offer.imageHash)) {
    fail(turn, update, "the artifact does not hold the image that was offered");
    return;
  }
  device.retryAt = never;
  update.applyAt = now + applyDelay;
  send(turn, { kind: "progress", offer: update.offer.offer, state: "downloaded", offset: update.offset });
}

function fail(turn: Turn, update: Update, reason: string): void {
  const attempt = attemptFor(turn.device, update.offer);
  forget(turn.device);
  endAttempt(turn, attempt, "failed", reason);
}

/** Reboots into the image in slot 1. */
export function applyUpdate(turn: Turn): void {
  const { device } = turn;
  const { update } = device;
  if (update === null) {
    return;
  }
  const attempt = attemptFor(device, update.offer);
  send(turn, { kind: "progress", offer: update.offer.offer, state: "applying", offset: update.offset });
  if (requestSwap(turn, attempt)) {
    forget(device);
    reset(turn, "software");
  } else {
    forget(device);
  }
}

/** Stops an offer that has not passed its reboot (R30). */
export function cancelOffer(turn: Turn, offer: number): void {
  const { device, now } = turn;
  if (device.update?.offer.offer === offer) {
    forget(device);
  } else if (device.attempt?.offer !== offer) {
    // It may have overtaken its offer.
    device.cancelled = offer;
    device.cancelledUntil = now + 60_000;
  }
}

/** Goes back to the image in the other slot (R34), on trial like any other. */
export function swapBack(turn: Turn, command: SwapBack): void {
  const { device } = turn;
  if (device.attempt?.offer === command.offer || hasEnded(device, command.offer)) {
    return;
  }
  const attempt = attemptFor(device, { offer: command.offer, imageHash: command.imageHash, policy: defaultPolicy });
  const wanted = hex(command.imageHash);
  if (device.trial !== null && device.attempt !== null && !isFinal(device.attempt.stage)) {
    endAttempt(turn, device.attempt, "failed", "ordered back while on trial");
  }
  if (device.running?.hash === wanted) {
    endAttempt(turn, { ...attempt, ran: true }, "confirmed", "this image runs already");
  } else if (!canSwapBack(device.description.hardware)) {
    endAttempt(turn, attempt, "failed", `mode ${device.description.hardware.bootloader.mode} keeps no image to go back to`);
  } else if (device.flash.image(otherSlot(device.slot))?.hash !== wanted) {
    endAttempt(turn, attempt, "failed", "the other slot does not hold that image");
  } else {
    forget(device);
    send(turn, { kind: "progress", offer: command.offer, state: "applying", offset: 0 });
    if (requestSwap(turn, attempt)) {
      reset(turn, "software");
    }
  }
}
