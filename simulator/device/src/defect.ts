// SPDX-License-Identifier: Apache-2.0
import type { DeviceDescription } from "./description.ts";

/** Which devices a defect hits. Every part given must match; nothing given means all. */
export interface DefectFilter {
  readonly boards?: readonly string[] | undefined;
  readonly revisions?: readonly string[] | undefined;
  readonly connectivity?: readonly string[] | undefined;
  /** Versions the device comes from: the image that ran before. */
  readonly fromVersions?: readonly string[] | undefined;
  /** Share of the devices that match otherwise, 0 to 1, drawn by the device's name. */
  readonly share?: number | undefined;
}

/**
 * The defect catalogue (R48). A defect travels in the artifact (`SimProgram`), so one signed file means the same to every
 * device. Times in seconds.
 */
export type DefectBehaviour =
  /** Crashes right after every start. `early`: before settings are up, so that no trace of the run is left. */
  | { readonly kind: "boot-loop"; readonly after_s: number; readonly early: boolean }
  /** Stops doing anything `after_s` after the start, before it could confirm. */
  | { readonly kind: "hang-before-confirm"; readonly after_s: number; readonly early: boolean }
  /** Runs well but its self-test never passes: it waits for its deadline and reverts. */
  | { readonly kind: "never-confirms" }
  /** Crashes `multiplier` times as often as the baseline, with each device's frailty. */
  | { readonly kind: "crash-rate"; readonly multiplier: number }
  /** From `onset_s` after the image's first start, crashes with this mean time between crashes. */
  | { readonly kind: "late-crash"; readonly onset_s: number; readonly mean_s: number }
  /** Crashes `after_s` after every boot. */
  | { readonly kind: "crash-after-boot"; readonly after_s: number }
  /** Loses memory steadily and crashes `exhausted_s` after every boot, when none is left. */
  | { readonly kind: "leak"; readonly exhausted_s: number }
  | { readonly kind: "battery-drain"; readonly multiplier: number }
  /** Has no link for this share of the time. */
  | { readonly kind: "link-loss"; readonly share: number }
  /** Dies for good this long after the image's first start, spread by up to `spread_s` by the device's name. */
  | { readonly kind: "slow-brick"; readonly after_s: number; readonly spread_s: number }
  /** Runs on but reports nothing any more, `after_s` after every boot. */
  | { readonly kind: "silent"; readonly after_s: number }
  /** Its first start loses the stored identity: the device cannot speak any more, whatever image runs. */
  | { readonly kind: "migration-loss" }
  /** Erases the other slot when it confirms: the update works, and nothing is left to go back to. */
  | { readonly kind: "erases-slot1" }
  /** Its clock runs `factor` times as fast as time and is `offset_s` ahead. */
  | { readonly kind: "clock-skew"; readonly factor: number; readonly offset_s: number };

export type Defect = DefectBehaviour & { readonly only?: DefectFilter | undefined };
export type DefectKind = Defect["kind"];

/** True when the filter lets this device through; `chance` is the device's draw for this defect, 0 to 1. */
export function hits(filter: DefectFilter | undefined, device: DeviceDescription, fromVersion: string, chance: number): boolean {
  if (filter === undefined) {
    return true;
  }
  const among = (allowed: readonly string[] | undefined, value: string): boolean => allowed === undefined || allowed.includes(value);
  return (
    among(filter.boards, device.hardware.board) &&
    among(filter.revisions, device.hardware.revision) &&
    among(filter.connectivity, device.connectivity.name) &&
    (filter.fromVersions === undefined || filter.fromVersions.some((version) => sameVersion(version, fromVersion))) &&
    (filter.share === undefined || chance < filter.share)
  );
}

/** `1.2.0` and `1.2.0+0` name one version. */
function sameVersion(a: string, b: string): boolean {
  return a === b || a.replace(/\+0$/, "") === b.replace(/\+0$/, "");
}
