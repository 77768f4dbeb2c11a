// SPDX-License-Identifier: Apache-2.0
// From reset to the start of an application: the bootloader's part of a boot.
import type { ResetCause } from "@coalmine/protocol";
import { cutOf, meetCut } from "./boot-cut.ts";
import { chance, type Device, never, noDefects, type Turn } from "./device.ts";
import { drainBattery } from "./battery.ts";
import { otherSlot } from "./flash-state.ts";

/** How long the supply stays away after a planned cut in the bootloader, ms. */
const supplyReturns = 5_000;

/** What a loss of power or a reset takes with it: RAM, and with it every deadline. What was written of a download stays in flash. */
export function dropRam(device: Device): void {
  const { update } = device;
  if (update !== null && update.offer.started && update.offset > 0) {
    const slot = otherSlot(device.slot);
    const bytes = update.own ?? update.content.bytes;
    device.flash = device.flash.install(slot, bytes.slice(0, update.offset));
  }
  device.phase = "off";
  device.running = null;
  device.defects = noDefects;
  device.sequence = 0;
  device.heartbeats = 0;
  device.outbox = [];
  device.piece = null;
  device.update = null;
  device.trial = null;
  device.contacted = false;
  device.mute = false;
  device.radioDown = false;
  device.requests = 0;
  device.cancelled = 0;
  device.awakeUntil = 0;
  device.appAt = never;
  device.supplyAt = never;
  device.heartbeatAt = never;
  device.confirmAt = never;
  device.deadlineAt = never;
  device.contactAt = never;
  device.crashAt = never;
  device.hangAt = never;
  device.watchdogAt = never;
  device.muteAt = never;
  device.brickAt = never;
  device.emptyAt = never;
  device.retryAt = never;
}

/** Power is lost at once. */
export function losePower(turn: Turn): void {
  drainBattery(turn.device, turn.now);
  dropRam(turn.device);
}

/** Resets the board: the bootloader runs, then an image starts, or nothing. */
export function reset(turn: Turn, cause: ResetCause): void {
  const { device, now } = turn;
  drainBattery(device, now);
  dropRam(device);
  if (device.bricked) {
    device.phase = "stopped";
    return;
  }
  const cut = cutOf(device);
  const { result, state } = device.flash.boot(cut?.operation);
  if (cut !== undefined) {
    meetCut(cut, result.outcome === "cut");
  }
  device.flash = state;
  device.resetCause = cause;
  switch (result.outcome) {
    case "boot":
      device.phase = "booting";
      device.slot = result.slot ?? "primary";
      device.appAt = now + device.description.hardware.bootTime + result.ops.total * device.description.hardware.flashTime;
      break;
    case "cut":
      device.supplyAt = now + Math.round(supplyReturns * (1 + chance(device, "supply", device.boot)));
      break;
    case "fail":
    case "assert":
      device.phase = "stopped";
      break;
  }
}
