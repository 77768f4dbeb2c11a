// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import { parseImage } from "@coalmine/mcuboot";
import type { SmpClient } from "./client.ts";
import type { ImageState } from "./image.ts";
import { activeImage, confirmRunning, readImages, requestPermanent, requestTest, sameHash } from "./image.ts";
import { reset } from "./os.ts";
import type { Refusal } from "./refusal.ts";
import type { Timers } from "./transport.ts";
import { realTimers } from "./transport.ts";
import { uploadImage } from "./upload.ts";

// P1. Nothing is uploaded while an image is on trial: in swap modes the other slot then holds its way back.
// P2. A reset is repeated only when the board says that it has not happened.
// P3. The board is confirmed only while it runs the image that was sent.

export interface BoardUpdateOptions {
  /** Confirm the new image once it answers; without this it stays on trial until it confirms itself or reverts. */
  readonly confirm?: boolean;
  /** Install without a trial. */
  readonly permanent?: boolean;
  readonly upgradeOnly?: boolean;
  /** How long the board may take to come back, milliseconds: the swap alone takes up to 0.4 s per 4 KiB sector. */
  readonly patience?: number;
  readonly timers?: Timers;
  readonly onStep?: (step: BoardUpdateStep) => void;
}

export type BoardUpdateStep =
  | { readonly kind: "upload"; readonly sent: number; readonly total: number }
  | { readonly kind: "requested" | "reset" | "waiting" | "confirming" };

/**
 * Where the board is afterwards.
 *
 * `busy`: an image is on trial, or another one pending; nothing was sent. `kept`: the bootloader refused the new image, or
 * it reverted already. `not-rebooted`: still asks for the swap. `unconfirmed`: it ran, and the confirmation did not work.
 */
export type BoardUpdateOutcome =
  | { readonly kind: "running"; readonly confirmed: boolean; readonly images: readonly ImageState[]; readonly resumedAt: number }
  | { readonly kind: "already-running"; readonly confirmed: boolean; readonly images: readonly ImageState[] }
  | { readonly kind: "busy"; readonly reason: string; readonly images: readonly ImageState[] }
  | { readonly kind: "failed"; readonly step: "upload" | "request" | "reset" | "confirm"; readonly reason: string }
  | { readonly kind: "kept" | "not-rebooted" | "unconfirmed"; readonly images: readonly ImageState[] }
  | { readonly kind: "lost"; readonly reason: string };

const PATIENCE = 120_000;
const POLL = 1_000;
/** After this long with the swap still pending, the reset did not arrive. */
const RESET_GRACE = 5_000;

/**
 * Installs an image file on one board: upload, request, reset, wait, look, and confirm if asked.
 *
 * @param connect opens a new connection; called again after the reset, since a serial port over USB goes away with the board.
 * @throws CoalmineError `smp/bad-image` for a file that is no MCUboot image, and trouble with the board before the reset.
 */
export async function updateBoard(connect: () => Promise<SmpClient>, file: Uint8Array, options: BoardUpdateOptions = {}): Promise<BoardUpdateOutcome> {
  const parsed = parseImage(file);
  if (parsed.kind === "malformed") {
    throw new CoalmineError("smp/bad-image", `not an MCUboot image: ${parsed.reason} at byte ${parsed.offset}`);
  }
  const hash = parsed.imageHash;
  if (hash === undefined || hash.length !== 32) {
    throw new CoalmineError("smp/bad-image", "the image has no SHA-256 TLV, by which a board names it");
  }
  let resumedAt = 0;
  {
    await using client = await connect();
    const before = await readImages(client);
    const running = activeImage(before);
    if (sameHash(running?.hash, hash)) {
      // Awaited here: the client closes at the end of this block.
      return await settleRunning(client, before, hash, options);
    }
    const wanted = before.find((one) => one.slot === 1 && one.image === 0 && sameHash(one.hash, hash));
    const obstacle = obstacleTo(before, wanted);
    if (obstacle !== undefined) {
      return { kind: "busy", reason: obstacle, images: before };
    }
    // Pending already: an earlier run got this far, and the board neither takes an upload nor needs one.
    if (wanted?.pending !== true) {
      const upload = await uploadImage(client, file, {
        ...(options.upgradeOnly === undefined ? {} : { upgradeOnly: options.upgradeOnly }),
        onProgress: ({ sent, total }) => options.onStep?.({ kind: "upload", sent, total }),
      });
      if (upload.kind !== "uploaded") {
        return { kind: "failed", step: "upload", reason: describe(upload) };
      }
      ({ resumedAt } = upload);
      const request = options.permanent === true ? await requestPermanent(client, hash) : await requestTest(client, hash);
      if (request.kind === "refused") {
        return { kind: "failed", step: "request", reason: request.reason };
      }
    }
    options.onStep?.({ kind: "requested" });
    options.onStep?.({ kind: "reset" });
    const answer = await reset(client);
    if (answer.kind === "refused") {
      return { kind: "failed", step: "reset", reason: answer.reason };
    }
  }
  return comeBack(connect, hash, resumedAt, options);
}

/** Why nothing may be uploaded now. */
function obstacleTo(images: readonly ImageState[], wanted: ImageState | undefined): string | undefined {
  const running = activeImage(images);
  if (running !== undefined && !running.confirmed) {
    return `image ${running.version} is on trial; confirm it or let it revert first`;
  }
  const pending = images.find((one) => one.pending && one !== wanted);
  return pending === undefined ? undefined : `image ${pending.version} is pending already; reset the board first`;
}

async function comeBack(connect: () => Promise<SmpClient>, hash: Uint8Array, resumedAt: number, options: BoardUpdateOptions): Promise<BoardUpdateOutcome> {
  const timers = options.timers ?? realTimers;
  const began = timers.now();
  let resetAt = began;
  let reason = "no answer";
  let stillPending: readonly ImageState[] | undefined;
  options.onStep?.({ kind: "waiting" });
  do {
    await pause(timers, POLL);
    try {
      await using client = await connect();
      const images = await readImages(client);
      if (sameHash(activeImage(images)?.hash, hash)) {
        const outcome = await settleRunning(client, images, hash, options);
        return outcome.kind === "already-running" ? { ...outcome, kind: "running", resumedAt } : outcome;
      }
      if (!images.some((one) => one.pending && sameHash(one.hash, hash))) {
        return { kind: "kept", images };
      }
      stillPending = images;
      if (timers.now() - resetAt >= RESET_GRACE) {
        resetAt = timers.now();
        await reset(client);
      }
    } catch (error) {
      if (!(error instanceof CoalmineError) || error.retry !== "later") {
        throw error;
      }
      reason = error.message;
      stillPending = undefined;
    }
  } while (timers.now() - began < (options.patience ?? PATIENCE));
  return stillPending === undefined ? { kind: "lost", reason } : { kind: "not-rebooted", images: stillPending };
}

async function settleRunning(client: SmpClient, images: readonly ImageState[], hash: Uint8Array, options: BoardUpdateOptions): Promise<BoardUpdateOutcome> {
  if (activeImage(images)?.confirmed === true) {
    return { kind: "already-running", confirmed: true, images };
  }
  if (options.confirm !== true) {
    return { kind: "already-running", confirmed: false, images };
  }
  options.onStep?.({ kind: "confirming" });
  const outcome = await confirmRunning(client, { hash });
  switch (outcome.kind) {
    case "confirmed":
      return { kind: "already-running", confirmed: true, images: outcome.images };
    case "other-image":
      return { kind: "unconfirmed", images: await readImages(client) };
    case "refused":
      return { kind: "failed", step: "confirm", reason: outcome.reason };
  }
}

function describe(upload: { readonly kind: "mismatch" } | { readonly kind: "stuck"; readonly offset: number } | Refusal): string {
  switch (upload.kind) {
    case "mismatch":
      return "the board's check of the uploaded file failed";
    case "stuck":
      return `the board does not get past byte ${upload.offset}`;
    case "refused":
      return upload.reason;
  }
}

function pause(timers: Timers, delay: number): Promise<void> {
  return new Promise((resolve) => {
    timers.after(delay, resolve);
  });
}
