// SPDX-License-Identifier: Apache-2.0
import type { BootConfig } from "./config.ts";
import { slotIds } from "./config.ts";
import type { Flash, FlashOps, PowerCutPlan } from "./flash.ts";
import { PowerCut } from "./flash.ts";
import type { FlashArea } from "./geometry.ts";
import { SWAP_TYPE_NUMBER, readTrailer, writeCopyDone, writeImageOk, writeMagic, writeSwapInfo } from "./trailer.ts";

/** What an application's call into bootutil did. */
export interface CallResult {
  /** `cut`: power was lost inside the call. */
  readonly outcome: "done" | "cut";
  /** The call's return code: 0, or MCUboot's 1 (flash), 3 (bad image), 4 (bad vector). */
  readonly rc: number;
  readonly ops: FlashOps;
}

const RC = { done: 0, flash: 1, badImage: 3, badVector: 4 } as const;

/**
 * Requests a swap at the next boot (boot_set_pending_multi).
 *
 * The writes are magic, then image_ok if permanent, then swap_info: power lost after the first leaves a valid *test*
 * request. A second request before the reboot changes nothing and returns 0.
 */
export function setPending(
  config: BootConfig,
  flash: Flash,
  request: { permanent: boolean; image?: number },
  plan: PowerCutPlan = {},
): CallResult {
  const area = flash.area(slotIds(request.image ?? 0).secondary);
  return call(flash, plan, () => next(config, flash, area, { active: false, confirm: request.permanent }));
}

/** Makes the running image permanent (boot_set_confirmed_multi). Without a trailer it returns 0 and writes nothing. */
export function setConfirmed(config: BootConfig, flash: Flash, request: { image?: number } = {}, plan: PowerCutPlan = {}): CallResult {
  const area = flash.area(slotIds(request.image ?? 0).primary);
  return call(flash, plan, () => next(config, flash, area, { active: true, confirm: true }));
}

/** Chooses the slot for the next boot by flash area (boot_set_next); the only way to confirm the secondary slot in direct-XIP. */
export function setNext(
  config: BootConfig,
  flash: Flash,
  request: { area: string | number; active: boolean; confirm: boolean },
  plan: PowerCutPlan = {},
): CallResult {
  const area = flash.area(request.area);
  return call(flash, plan, () => next(config, flash, area, request));
}

function call(flash: Flash, plan: PowerCutPlan, run: () => number): CallResult {
  const before = flash.ops;
  flash.arm(plan);
  let outcome: CallResult["outcome"] = "done";
  let rc: number = RC.done;
  try {
    rc = run();
  } catch (error) {
    if (!(error instanceof PowerCut)) {
      throw error;
    }
    outcome = "cut";
  } finally {
    flash.arm();
    flash.settle();
  }
  return { outcome, rc, ops: opsSince(before, flash.ops) };
}

function next(config: BootConfig, flash: Flash, area: FlashArea, request: { active: boolean; confirm: boolean }): number {
  return config.mode === "direct-xip" ? nextForXip(config, flash, area, request) : nextForSwap(config, flash, area, request);
}

function nextForSwap(config: BootConfig, flash: Flash, area: FlashArea, request: { active: boolean; confirm: boolean }): number {
  const state = readTrailer(config, flash, area);
  switch (state.magic) {
    case "good":
      // Not looking at copy_done lets an image that a programmer wrote with a padded trailer be confirmed.
      return request.active && state.imageOk === "unset" ? rc(writeImageOk(config, flash, area)) : RC.done;
    case "unset": {
      if (request.active) {
        return RC.done;
      }
      const type = request.confirm ? SWAP_TYPE_NUMBER.perm : SWAP_TYPE_NUMBER.test;
      return rc(
        writeMagic(config, flash, area) &&
          (!request.confirm || writeImageOk(config, flash, area)) &&
          writeSwapInfo(config, flash, area, type, imageOf(config, area)),
      );
    }
    case "bad":
      return request.active ? RC.badVector : RC.badImage;
  }
}

function nextForXip(config: BootConfig, flash: Flash, area: FlashArea, request: { active: boolean; confirm: boolean }): number {
  const state = readTrailer(config, flash, area);
  if (state.magic === "bad") {
    return RC.badImage;
  }
  return rc(
    (state.magic === "good" || writeMagic(config, flash, area)) &&
      (!(request.active || request.confirm) ||
        ((state.copyDone !== "unset" || writeCopyDone(config, flash, area)) &&
          (state.imageOk !== "unset" || writeImageOk(config, flash, area)))),
  );
}

function imageOf(config: BootConfig, area: FlashArea): number {
  for (let image = 0; image < config.images; image++) {
    const ids = slotIds(image);
    if (area.id === ids.primary || area.id === ids.secondary) {
      return image;
    }
  }
  return 0;
}

function rc(written: boolean): number {
  return written ? RC.done : RC.flash;
}

export function opsSince(before: FlashOps, after: FlashOps): FlashOps {
  return {
    total: after.total - before.total,
    writes: after.writes - before.writes,
    erases: after.erases - before.erases,
    bytesWritten: after.bytesWritten - before.bytesWritten,
    bytesErased: after.bytesErased - before.bytesErased,
    rewrites: after.rewrites - before.rewrites,
    misaligned: after.misaligned - before.misaligned,
  };
}
