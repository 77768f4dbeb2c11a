// SPDX-License-Identifier: Apache-2.0
// The pulse of a board: heartbeats by its duty cycle, with battery, link and memory.
import type { BootloaderBuild, Hello } from "@coalmine/protocol";
import { reportable, runsConfirmed } from "./attempt.ts";
import { batteryLevel, drainBattery, emptyAt } from "./battery.ts";
import { attributesOf, type HardwareKind } from "./description.ts";
import { chance, type Device, findDefect, ownTime, type Turn } from "./device.ts";
import { sendPieceAgain } from "./dump.ts";
import { leakSpread } from "./faults.ts";
import { otherSlot } from "./flash-state.ts";
import { send, sendAgain } from "./outbox.ts";

/** A sleepy radio listens so long after it has sent, ms. */
export const listenPeriod = 10_000;
/** A report that nobody acknowledged is sent again after this long at the earliest, ms. */
const ackPatience = 60_000;

/** Says who this is and what runs. */
export function sendHello(turn: Turn): void {
  const { device } = turn;
  const { running, description, flash, slot } = device;
  if (running === null) {
    return;
  }
  const { hardware, connectivity } = description;
  const kept = flash.image(otherSlot(slot));
  const hello: Hello = {
    kind: "hello",
    hardware: {
      board: hardware.board,
      revision: hardware.revision,
      partitionMap: hardware.partitionMap,
      mode: hardware.bootloader.mode,
      slotSize: hardware.slotSize,
    },
    running: { imageHash: running.imageHash, version: running.version, buildId: running.buildId, confirmed: runsConfirmed(device) },
    slot1: kept === null ? null : { imageHash: kept.imageHash, version: kept.version },
    resetCause: device.resetCause,
    attempt: reportable(device.attempt),
    interval_s: Math.max(1, Math.round(connectivity.interval / 1_000)),
    attributes: attributesOf(description),
    storageSchema: device.storageSchema,
    ...(hardware.tellsBootloader ? { bootloader: bootloaderBuild(hardware) } : {}),
  };
  send(turn, hello);
}

function bootloaderBuild({ bootloader, geometry }: HardwareKind): BootloaderBuild {
  const { downgrade, versionCmpBuild, hwRollback } = bootloader;
  const slot1 = geometry.areas[1];
  return {
    downgrade: downgrade === "counter" || hwRollback ? "counter" : downgrade === null ? "none" : versionCmpBuild ? "version+build" : "version",
    sectors: slot1?.sectorSize.length ?? 0,
    writeAlign: slot1?.align ?? 0,
  };
}

/** Plans the first heartbeat of a boot. Spread over the interval by name, so that a fleet does not speak at once. */
export function planHeartbeat(turn: Turn): void {
  const { device, now } = turn;
  const { interval } = device.description.connectivity;
  device.lastHeartbeatAt = now;
  device.linkDown = 0;
  device.linkChangedAt = now;
  device.heartbeatAt = now + Math.round(ownTime(device, interval * (0.5 + 0.5 * chance(device, "phase", "", device.boot))));
  device.emptyAt = emptyAt(device);
}

/** Sends a heartbeat and plans the next. */
export function beat(turn: Turn): void {
  const { device, now } = turn;
  const { running, description } = device;
  const { interval, sleepy } = description.connectivity;
  const n = device.heartbeats++;
  device.heartbeatAt = now + Math.round(ownTime(device, interval * (0.95 + 0.1 * chance(device, "beat", device.boot, n))));
  if (running === null) {
    return;
  }
  const loss = findDefect(device, "link-loss");
  if (loss !== undefined) {
    device.radioDown = chance(device, "radio", device.boot, n) < loss.share;
  }
  drainBattery(device, now);
  device.emptyAt = emptyAt(device);
  send(turn, {
    kind: "heartbeat",
    imageHash: running.imageHash,
    confirmed: runsConfirmed(device),
    battery: batteryLevel(device),
    linkUptime: takeLinkUptime(device, now, n),
    metrics: metrics(device, now, n),
  });
  sendAgain(turn, Math.max(ackPatience, interval));
  sendPieceAgain(turn, Math.max(ackPatience, interval));
  if (sleepy) {
    device.awakeUntil = now + listenPeriod;
  }
}

/** Share of the time since the last heartbeat with a working link, in thousandths. */
function takeLinkUptime(device: Device, now: number, n: number): number {
  const passed = Math.max(1, now - device.lastHeartbeatAt);
  const down = device.linkDown + (device.linkUp ? 0 : now - device.linkChangedAt);
  device.lastHeartbeatAt = now;
  device.linkDown = 0;
  device.linkChangedAt = now;
  const usual = 1 - 2 * (1 - device.description.connectivity.linkUptime) * chance(device, "link", device.boot, n);
  const defect = 1 - (findDefect(device, "link-loss")?.share ?? 0);
  return Math.round(1_000 * Math.max(0, Math.min(1, (1 - down / passed) * usual * defect))) / 1_000;
}

/** `memoryFree` is the share of the memory that an application finds free at its start, 0 to 1. */
function metrics(device: Device, now: number, n: number): Readonly<Record<string, number>> {
  const usual = 0.62 + 0.02 * chance(device, "memory", device.boot, n);
  const leak = findDefect(device, "leak");
  const lost = leak === undefined ? 0 : (now - device.startedAt) / ownTime(device, leak.exhausted_s * 1_000 * leakSpread(device));
  const memoryFree = Math.round(1_000 * Math.max(0, usual * (1 - lost))) / 1_000;
  const skew = findDefect(device, "clock-skew");
  if (skew === undefined) {
    return { memoryFree };
  }
  return { memoryFree, clockOffset_s: Math.round(skew.offset_s + ((skew.factor - 1) * (now - device.startedAt)) / 1_000) };
}
