// SPDX-License-Identifier: Apache-2.0
// What goes wrong in this boot, decided at its start by name: crashes, hangs, silence, death.
import { addressesAt, baselineSites, crashSite as siteOf, Site } from "./crash-site.ts";
import { chance, type Device, findDefect, never, noDefects, ownTime, type Turn, uptime } from "./device.ts";
import type { DefectBehaviour } from "./defect.ts";
import { hits } from "./defect.ts";
import { keepDump } from "./dump.ts";
import { otherSlot } from "./flash-state.ts";
import { keepCrashes } from "./outbox.ts";
import { reset } from "./power.ts";
import { crashesMax } from "./records.ts";

const day = 86_400_000;
/** The hardware watchdog bites this long after the application stopped feeding it, ms. */
const watchdogPeriod = 60_000;

/** The defects of the running image that hit this board. */
export function activeDefects(device: Device): readonly DefectBehaviour[] {
  const { running, attempt, description } = device;
  const program = running?.program;
  if (running === null || program === undefined || program.defects.length === 0) {
    return noDefects;
  }
  const isTarget = attempt !== null && attempt.fromVersion !== "" && attempt.target.every((byte, i) => running.imageHash[i] === byte);
  const from = isTarget ? attempt.fromVersion : (device.flash.image(otherSlot(device.slot))?.version ?? description.firmware.version);
  return program.defects.filter((defect, index) => hits(defect.only, description, from, chance(device, "defect", program.buildId, index)));
}

/** Exponential wait with this mean, by the board's name, the build and the boot. */
function wait(device: Device, purpose: string, mean: number): number {
  return -mean * Math.log1p(-chance(device, purpose, device.running?.hash ?? "", device.boot));
}

/** Plans what will go wrong in this boot. */
export function planFaults(turn: Turn): void {
  const { device, now } = turn;
  const { noise, frailty } = device.description;
  const plan = (at: number, site: number): void => {
    if (at < device.crashAt) {
      device.crashAt = at;
      device.crashSite = site;
    }
  };
  const multiplier = findDefect(device, "crash-rate")?.multiplier ?? 1;
  const rate = noise.crashesPerDay * frailty * multiplier;
  if (rate > 0) {
    const site = chance(device, "site", device.running?.hash ?? "", device.boot);
    plan(now + wait(device, "crash", day / rate), multiplier > 1 && site < 1 - 1 / multiplier ? Site.rate : Site.baseline + Math.floor(site * baselineSites));
  }
  for (const defect of device.defects) {
    switch (defect.kind) {
      case "boot-loop":
        plan(now + ownTime(device, defect.after_s * 1_000), Site.bootLoop);
        break;
      case "crash-after-boot":
        plan(now + ownTime(device, defect.after_s * 1_000), Site.afterBoot);
        break;
      case "leak":
        plan(now + ownTime(device, defect.exhausted_s * 1_000 * leakSpread(device)), Site.leak);
        break;
      case "late-crash":
        plan(Math.max(now, device.buildSince + defect.onset_s * 1_000) + wait(device, "late crash", defect.mean_s * 1_000), Site.late);
        break;
      case "hang-before-confirm":
        if (device.trial !== null) {
          device.hangAt = now + ownTime(device, defect.after_s * 1_000);
        }
        break;
      case "slow-brick":
        device.brickAt = device.buildSince + Math.round(1_000 * (defect.after_s + defect.spread_s * chance(device, "brick", device.buildHash)));
        break;
      case "silent":
        device.muteAt = now + ownTime(device, defect.after_s * 1_000);
        break;
      case "never-confirms":
        device.confirmAt = never;
        break;
      case "crash-rate":
      case "battery-drain":
      case "link-loss":
      case "migration-loss":
      case "erases-slot1":
      case "clock-skew":
        break;
    }
  }
  // A good image may fail its trial on a bad day. By name and build: the same board fails again.
  if (device.trial !== null && chance(device, "boot failure", device.buildHash) < noise.bootFailure) {
    device.hangAt = Math.min(device.hangAt, now + 5_000);
  }
}

/** How fast this board leaks against the others. */
export function leakSpread(device: Device): number {
  return 0.9 + 0.2 * chance(device, "leak", device.buildHash);
}

/** The application crashes: the fault handler notes it in storage, then the board resets. */
export function crash(turn: Turn): void {
  const { device, now } = turn;
  const { running, crashSite } = device;
  if (running !== null) {
    const entry = {
      crash: {
        kind: "crash",
        buildId: running.buildId,
        imageHash: running.imageHash,
        reason: siteOf(crashSite).reason,
        ...addressesAt(device.shared.draw, running.hash, crashSite),
        uptime_s: uptime(device, now),
      },
      sequence: -1,
    } as const;
    keepCrashes(device, [...device.crashes, entry].slice(-crashesMax));
    keepDump(device, crashSite, entry.crash);
  }
  reset(turn, "fault");
}

/** The application does nothing any more; the watchdog will notice, if one runs. */
export function hang(turn: Turn, watched: boolean): void {
  const { device, now } = turn;
  device.phase = "hung";
  device.watchdogAt = watched ? now + watchdogPeriod : never;
}
