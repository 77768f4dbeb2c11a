// SPDX-License-Identifier: Apache-2.0
// The device machine: one input, the effects that follow. Synchronous; changes nothing but the device value.
//
// D1. The same device, input and time give the same effects (R47).
// D2. A wake effect is sent whenever the earliest deadline changes; a wake that comes early or late is harmless.
// D3. Power may be lost in any flash operation: the board then boots what the bootloader finds, and the attempt ends once.
import type { Instant } from "@coalmine/core";
import { armCut } from "./boot-cut.ts";
import { confirmIfHealthy, keepCommand, seekContact, startApplication, takeCommand, takeKept } from "./application.ts";
import { drainBattery } from "./battery.ts";
import { chance, type Device, never, type Turn } from "./device.ts";
import { askAgain } from "./download.ts";
import { acknowledgePiece, sendPiece, sendPieceAgain } from "./dump.ts";
import { crash, hang } from "./faults.ts";
import { acknowledge, sendAgain } from "./outbox.ts";
import type { DeviceEffect, DeviceInput } from "./ports.ts";
import { dropRam, losePower, reset } from "./power.ts";
import { PowerLoss } from "./storage.ts";
import { applyUpdate, beginIfDue, takeBlock } from "./update.ts";
import { beat } from "./vitals.ts";

/** Feeds one input to a board and returns what it does. `now` never falls. */
export function step(device: Device, input: DeviceInput, now: Instant): DeviceEffect[] {
  const turn: Turn = { device, now, out: [] };
  let next: number;
  try {
    next = take(turn, input);
  } catch (error) {
    if (!(error instanceof PowerLoss)) {
      throw error;
    }
    losePower(turn);
    device.supplyAt = now + 5_000;
    if (input.kind === "command" && !device.kept.includes(input.command)) {
      keepCommand(device, input.command);
    }
    next = nextDeadline(device);
  }
  next = Math.ceil(next);
  if (next !== device.wakeAt && next !== never) {
    device.wakeAt = next;
    turn.out.push({ kind: "wake", at: next as Instant });
  }
  return turn.out;
}

/**
 * Plans a loss of power inside the application: `operations` more flash operations succeed, the next one is cut (a
 * settings write half way). The supply comes back by itself. For tests and scenarios that cut power at every operation;
 * the input `power-cut` with `cut` does the same to the bootloader.
 */
export function cutApplication(device: Device, operations: number): void {
  device.power.flashLeft = operations;
}

/** Takes an input and does what is due; returns the next deadline. */
function take(turn: Turn, input: DeviceInput): number {
  const { device, now } = turn;
  switch (input.kind) {
    case "power-on":
      if (device.phase === "off") {
        drainBattery(device, now);
        device.batteryAt = now;
      }
      reset(turn, input.cause);
      break;
    case "power-cut":
      if (input.cut === undefined) {
        losePower(turn);
      } else {
        armCut(device, input.cut);
      }
      break;
    case "wake":
      device.wakeAt = never;
      break;
    case "command":
      takeCommand(turn, input.command);
      break;
    case "block":
      if (device.phase === "running") {
        takeBlock(turn, input.answer);
      }
      break;
    case "acknowledged":
      if (device.phase === "running" && !acknowledgePiece(turn, input.boot, input.sequence) && acknowledge(device, input.boot, input.sequence)) {
        device.contacted = true;
        confirmIfHealthy(turn);
        sendPiece(turn);
      }
      break;
    case "link":
      setLink(turn, input.up);
      break;
    case "crash":
      if (device.phase === "running") {
        device.crashSite = 0;
        crash(turn);
      }
      break;
  }
  return meetDeadlines(turn);
}

function setLink(turn: Turn, up: boolean): void {
  const { device, now } = turn;
  if (device.linkUp === up) {
    return;
  }
  if (up) {
    device.linkDown += now - device.linkChangedAt;
  }
  device.linkUp = up;
  device.linkChangedAt = now;
  if (up && device.phase === "running") {
    sendAgain(turn, 0);
    sendPieceAgain(turn, 0);
    askAgain(turn);
  }
}

/** The earliest moment at which this board does something by itself. */
function nextDeadline(device: Device): number {
  switch (device.phase) {
    case "off":
      return device.supplyAt;
    case "booting":
      return device.appAt;
    case "hung":
      return device.watchdogAt;
    case "stopped":
      return never;
    case "running": {
      let next = Math.min(device.heartbeatAt, device.crashAt, device.hangAt, device.muteAt, device.brickAt, device.emptyAt, device.deadlineAt);
      if (device.trial !== null && (device.contacted || !device.trial.serverContact)) {
        next = Math.min(next, device.confirmAt);
      }
      if (device.trial !== null) {
        next = Math.min(next, device.contactAt);
      }
      if (device.update !== null) {
        next = Math.min(next, device.update.startAt, device.update.applyAt, device.retryAt);
      }
      return next;
    }
  }
}

/** Does everything that is due, in the order of the deadlines; returns the first that is not. */
function meetDeadlines(turn: Turn): number {
  const { device, now } = turn;
  // A board that meets a thousand deadlines at one moment is a bug, not a board.
  for (let met = 0; ; met++) {
    const at = nextDeadline(device);
    if (at > now) {
      return at;
    }
    if (met > 1_000) {
      throw new Error(`device ${device.description.id}: deadlines never end at ${now} in phase ${device.phase}`);
    }
    meet(turn, at);
  }
}

function meet(turn: Turn, at: number): void {
  const { device, now } = turn;
  switch (device.phase) {
    case "off":
      device.supplyAt = never;
      if (device.battery <= 0) {
        device.battery = 100;
        device.batteryAt = now;
      }
      reset(turn, "power-on");
      return;
    case "booting":
      startApplication(turn);
      return;
    case "hung":
      device.watchdogAt = never;
      reset(turn, "watchdog");
      return;
    case "stopped":
      return;
    case "running":
      break;
  }
  if (at === device.brickAt) {
    drainBattery(device, now);
    dropRam(device);
    device.bricked = true;
    device.phase = "stopped";
  } else if (at === device.emptyAt) {
    losePower(turn);
    device.battery = 0;
    // Somebody changes the battery after half a day to a day and a half.
    device.supplyAt = now + Math.round(86_400_000 * (0.5 + chance(device, "battery change", device.boot)));
  } else if (at === device.crashAt) {
    crash(turn);
  } else if (at === device.hangAt) {
    hang(turn, true);
  } else if (at === device.deadlineAt) {
    reset(turn, "watchdog");
  } else if (at === device.muteAt) {
    device.muteAt = never;
    device.mute = true;
  } else if (at === device.heartbeatAt) {
    beat(turn);
    takeKept(turn);
  } else if (device.update !== null && at === device.update.applyAt) {
    applyUpdate(turn);
  } else if (device.update !== null && at === device.update.startAt) {
    beginIfDue(turn);
  } else if (at === device.retryAt) {
    askAgain(turn);
  } else if (at === device.contactAt) {
    seekContact(turn);
  } else {
    confirmIfHealthy(turn);
    if (device.trial !== null && device.confirmAt <= now) {
      device.confirmAt = never; // bootutil refused: only the deadline is left
    }
  }
}
