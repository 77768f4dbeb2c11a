// SPDX-License-Identifier: Apache-2.0
// Group 1 (Zephyr, "Application/software image management group"), without the upload.
import type { CborMap, CborRecord } from "./cbor.ts";
import type { SmpAnswer, SmpClient } from "./client.ts";
import { badAnswer, flagOf, granted, listOf, mapOf, textOf, wholeOf } from "./fields.ts";
import { Group, ImageCommand, Op } from "./frame.ts";
import type { Refusal } from "./refusal.ts";

/** One slot with a valid image; slots without one are not listed. */
export interface ImageState {
  readonly image: number;
  readonly slot: number;
  readonly version: string;
  /** The image's SHA-256 TLV; some bootloaders in recovery leave it out. */
  readonly hash: Uint8Array | undefined;
  readonly bootable: boolean;
  /** The next boot swaps to it. */
  readonly pending: boolean;
  /** Stays, or is what a revert goes back to. */
  readonly confirmed: boolean;
  readonly active: boolean;
  /** Pending without a trial. */
  readonly permanent: boolean;
}

export type StateOutcome = { readonly kind: "ok"; readonly images: readonly ImageState[] } | Refusal;

const IMAGES_MAX = 16;
const HASH_BYTES = 32;
/** Erasing a slot blocks the board for seconds. */
const ERASE_TIMEOUT = 10_000;

export async function readImages(client: SmpClient): Promise<readonly ImageState[]> {
  const what = "image state";
  return imagesOf(what, granted(what, await client.request({ op: Op.read, group: Group.image, command: ImageCommand.state })));
}

/** The image that runs: of image 0. */
export function activeImage(images: readonly ImageState[]): ImageState | undefined {
  return images.find((one) => one.active && one.image === 0);
}

/** Asks for a trial of the image with this hash at the next boot. */
export async function requestTest(client: SmpClient, hash: Uint8Array): Promise<StateOutcome> {
  return writeState(client, "a test", { hash, confirm: false });
}

/**
 * Asks for the image with this hash at the next boot, without a trial.
 *
 * Boards look the hash up from slot 0 on, so when both slots hold the same image this would confirm the running one
 * instead; that is found out before.
 */
export async function requestPermanent(client: SmpClient, hash: Uint8Array): Promise<StateOutcome | { readonly kind: "already-running" }> {
  if (sameHash(activeImage(await readImages(client))?.hash, hash)) {
    return { kind: "already-running" };
  }
  return writeState(client, "a permanent swap", { hash, confirm: true });
}

export type ConfirmOutcome = { readonly kind: "confirmed"; readonly images: readonly ImageState[] } | { readonly kind: "other-image"; readonly running: ImageState | undefined } | Refusal;

/**
 * Makes the running image permanent, provided it is the expected one.
 *
 * The confirmation itself names no hash. With one, a board that reverted in the meantime would find the bad image in
 * slot 1 and install it for good; without one it confirms what runs, which after a revert is harmless.
 */
export async function confirmRunning(client: SmpClient, expected: { readonly hash: Uint8Array }): Promise<ConfirmOutcome> {
  const running = activeImage(await readImages(client));
  if (!sameHash(running?.hash, expected.hash)) {
    return { kind: "other-image", running };
  }
  const outcome = await writeState(client, "confirming", { confirm: true });
  if (outcome.kind === "refused") {
    return outcome;
  }
  const after = activeImage(outcome.images);
  return after?.confirmed === true && sameHash(after.hash, expected.hash) ? { kind: "confirmed", images: outcome.images } : { kind: "other-image", running: after };
}

/** Erases a slot that is neither running, pending nor a fallback. */
export async function eraseSlot(client: SmpClient, slot = 1): Promise<{ readonly kind: "erased" } | Refusal> {
  const answer = await client.request({ op: Op.write, group: Group.image, command: ImageCommand.erase, body: { slot } }, { timeout: ERASE_TIMEOUT, attempts: 3 });
  return answer.kind === "refused" ? answer : { kind: "erased" };
}

/** Equal hashes of full length; a missing one equals nothing. */
export function sameHash(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && a.length === HASH_BYTES && b.length === HASH_BYTES && a.every((byte, i) => byte === b[i]);
}

async function writeState(client: SmpClient, what: string, body: CborRecord): Promise<StateOutcome> {
  const answer: SmpAnswer = await client.request({ op: Op.write, group: Group.image, command: ImageCommand.state, body });
  return answer.kind === "refused" ? answer : { kind: "ok", images: imagesOf(what, answer.body) };
}

function imagesOf(what: string, body: CborMap): readonly ImageState[] {
  const list = listOf(what, body, "images");
  if (list.length > IMAGES_MAX) {
    throw badAnswer(what, `lists ${list.length} images`);
  }
  return list.map((entry) => {
    const fields = mapOf(what, entry, "images");
    const hash = fields.get("hash");
    return {
      image: fields.has("image") ? wholeOf(what, fields, "image") : 0,
      slot: wholeOf(what, fields, "slot"),
      version: textOf(what, fields, "version"),
      hash: hash instanceof Uint8Array ? hash : undefined,
      bootable: flagOf(what, fields, "bootable"),
      pending: flagOf(what, fields, "pending"),
      confirmed: flagOf(what, fields, "confirmed"),
      active: flagOf(what, fields, "active"),
      permanent: flagOf(what, fields, "permanent"),
    };
  });
}
