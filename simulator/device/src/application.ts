// SPDX-License-Identifier: Apache-2.0
// An application starts: settings, the last attempt, the trial, and the first words.
import type { Command } from "@coalmine/protocol";
import { closeAttempt, confirmTrial, defaultPolicy, isKeptUnconfirmed, reportEnd, requestSwap, resolveAttempt, saveAttempt } from "./attempt.ts";
import { drainBattery } from "./battery.ts";
import { type Device, findDefect, never, noCommands, ownTime, readRecords, type Turn, write } from "./device.ts";
import { activeDefects, hang, planFaults } from "./faults.ts";
import { renumber, send, sendAgain, sendCrashes } from "./outbox.ts";
import { reset } from "./power.ts";
import { encodeNumber, isFinal } from "./records.ts";
import { manufacture, openSettings, retireSettings } from "./settings.ts";
import { isFresh, RecordKind } from "./storage.ts";
import { beginIfDue, cancelOffer, resumeOffer, swapBack, takeOffer } from "./update.ts";
import { listenPeriod, planHeartbeat, sendHello } from "./vitals.ts";

/** The image that the bootloader chose begins to run. */
export function startApplication(turn: Turn): void {
  const { device, now } = turn;
  drainBattery(device, now);
  device.appAt = never;
  device.running = device.flash.image(device.slot);
  device.startedAt = now;
  if (device.running === null) {
    device.phase = "stopped"; // damaged, and the bootloader was built not to look
    return;
  }
  device.phase = "running";
  if (isFresh(device.storage)) {
    manufacture(device);
  }
  const { offer, all } = readRecords(device);
  if (device.buildHash !== device.running.hash) {
    device.buildHash = device.running.hash;
    device.buildSince = now;
  }
  device.defects = activeDefects(device);
  const loop = findDefect(device, "boot-loop");
  const stall = findDefect(device, "hang-before-confirm");
  if (loop?.early === true) {
    // Before settings and fault handler: the reset is all that remains of it.
    device.hangAt = never;
    device.watchdogAt = now + ownTime(device, loop.after_s * 1_000);
    device.phase = "hung";
    return;
  }
  if (stall?.early === true && !device.flash.isConfirmed(device.slot)) {
    hang(turn, device.description.hardware.watchdogFromBoot);
    return;
  }
  device.boot += 1;
  write(device, RecordKind.boot, encodeNumber(device.boot));
  openSettings(turn, all);
  device.mute = device.identityLost;

  const resolution = resolveAttempt(device, device.resetCause);
  switch (resolution.kind) {
    case "request again":
      if (requestSwap(turn, resolution.attempt)) {
        reset(turn, "software");
        return;
      }
      break;
    case "trial":
      saveAttempt(device, { ...resolution.attempt, stage: "testing" });
      device.trial = resolution.attempt.policy;
      break;
    case "ended":
      closeAttempt(device, resolution.attempt, resolution.stage, resolution.reason);
      break;
    case "none":
      if (!device.flash.isConfirmed(device.slot) && !isKeptUnconfirmed(device)) {
        device.trial = defaultPolicy;
      }
      break;
  }
  if (device.trial === null) {
    retireSettings(device);
  }
  planTrial(turn);
  planFaults(turn);
  planHeartbeat(turn);
  sendHello(turn);
  reportEnd(turn);
  sendCrashes(turn);
  if (resolution.kind === "trial") {
    send(turn, { kind: "progress", offer: resolution.attempt.offer, state: "testing", offset: 0 });
  }
  if (offer !== null) {
    resumeOffer(turn, offer);
    beginIfDue(turn);
  }
  device.awakeUntil = now + listenPeriod;
  takeKept(turn);
}

function planTrial(turn: Turn): void {
  const { device } = turn;
  if (device.trial !== null) {
    device.confirmAt = device.startedAt + ownTime(device, device.trial.minUptime_s * 1_000);
    device.deadlineAt = device.startedAt + ownTime(device, device.trial.deadline_s * 1_000);
    device.contactAt = device.startedAt + contactPeriod;
  }
}

/** Without an answer a trial says hello again this often, ms: reaching the server is part of its self-tests. */
const contactPeriod = 30_000;

/** Speaks again until the server answers. */
export function seekContact(turn: Turn): void {
  const { device, now } = turn;
  if (device.trial === null || device.contacted) {
    device.contactAt = never;
    return;
  }
  device.contactAt = now + contactPeriod;
  sendAgain(turn, contactPeriod);
}

/** Confirms the trial when its self-tests have passed: uptime, and contact with the server (R17). */
export function confirmIfHealthy(turn: Turn): void {
  const { device, now } = turn;
  if (device.trial === null || now < device.confirmAt || (device.trial.serverContact && !device.contacted)) {
    return;
  }
  confirmTrial(turn);
  if (device.trial === null) {
    retireSettings(device);
  }
  if (device.trial === null && device.update !== null) {
    // An offer waited for the end of the trial.
    device.update.startAt = Math.min(device.update.startAt, now);
    beginIfDue(turn);
  }
}

/** Carries out a command, now or when the board listens again. */
export function takeCommand(turn: Turn, command: Command): void {
  const { device, now } = turn;
  if (device.phase !== "running" || isAsleep(device, now)) {
    keepCommand(device, command);
    return;
  }
  carryOut(turn, command);
}

/** Leaves a command to the session: it is acknowledged only once it has been carried out (QoS 1). */
export function keepCommand(device: Device, command: Command): void {
  device.kept = [...device.kept, command].slice(-keptMax);
}

/** Commands that a session keeps for a board at most. */
const keptMax = 8;

/** True while a sleepy board's radio is off. It stays on as long as there is work. */
function isAsleep(device: Device, now: number): boolean {
  return device.description.connectivity.sleepy && now > device.awakeUntil && device.trial === null && (device.update === null || device.update.startAt > now && device.update.startAt !== never);
}

/** Takes the commands that were kept. Each is let go when it has been carried out: a power cut in between keeps it. */
export function takeKept(turn: Turn): void {
  const { device, now } = turn;
  for (;;) {
    const [command] = device.kept;
    if (command === undefined || device.phase !== "running" || isAsleep(device, now)) {
      return;
    }
    carryOut(turn, command);
    device.kept = device.kept.length === 1 ? noCommands : device.kept.slice(1);
  }
}

function carryOut(turn: Turn, command: Command): void {
  const { device } = turn;
  switch (command.kind) {
    case "offer":
      takeOffer(turn, command);
      break;
    case "cancel":
      cancelOffer(turn, command.offer);
      break;
    case "swap-back":
      swapBack(turn, command);
      break;
    case "confirm": {
      const { attempt } = device;
      if (device.trial !== null && attempt !== null && attempt.offer === command.offer && !isFinal(attempt.stage)) {
        saveAttempt(device, { ...attempt, policy: command.policy });
        device.trial = command.policy;
        const selfTestPasses = device.confirmAt !== never;
        planTrial(turn);
        if (!selfTestPasses) {
          device.confirmAt = never;
        }
        confirmIfHealthy(turn);
      }
      break;
    }
    case "identify":
      sendHello(turn);
      break;
    case "renumber":
      if (device.boot < command.boot) {
        device.boot = command.boot + 1;
        write(device, RecordKind.boot, encodeNumber(device.boot));
        renumber(device);
        sendHello(turn);
      }
      break;
  }
}
