// SPDX-License-Identifier: Apache-2.0
import { type Device, findDefect, never } from "./device.ts";

const day = 86_400_000;

/** Per cent of the battery used in a millisecond by what runs now. */
function drain(device: Device): number {
  const { battery } = device.description.power;
  if (battery === null || device.phase === "off") {
    return 0;
  }
  return ((battery.drainPerDay / day) * device.description.drain) * (findDefect(device, "battery-drain")?.multiplier ?? 1);
}

/** Settles the battery's level at `now`. Call before anything that changes the drain. */
export function drainBattery(device: Device, now: number): void {
  if (device.description.power.battery !== null) {
    device.battery = Math.max(0, device.battery - drain(device) * Math.max(0, now - device.batteryAt));
    device.batteryAt = now;
  }
}

/** When the battery is empty if nothing changes. */
export function emptyAt(device: Device): number {
  const rate = drain(device);
  return rate === 0 ? never : device.batteryAt + Math.ceil(device.battery / rate);
}

/** The level as a board reports it: 0 to 100 in tenths; null without a battery. */
export function batteryLevel(device: Device): number | null {
  return device.description.power.battery === null ? null : Math.round(device.battery * 10) / 10;
}
