// SPDX-License-Identifier: Apache-2.0
// Power lost inside the bootloader, planned ahead: at which operation of which boot.
import type { Device } from "./device.ts";
import { isFinal } from "./records.ts";

/** Which run of the bootloader is cut: one that installs an image, one that undoes it (each also when resumed), or any. */
export type BootPurpose = "applying" | "reverting";

export interface BootCutPlan {
  /** Power is lost before this flash operation of the boot; the first is 1. */
  readonly operation: number;
  /** Without it: the next boot that gets so far, whatever it does. */
  readonly when?: BootPurpose | undefined;
  /** Hashes (hex) of the images it is about; without it: any. */
  readonly images?: readonly string[] | undefined;
  /** Names the plan when several are looked at later. */
  readonly name?: string | undefined;
}

/** A plan and what came of it. `passed`: the boot it was meant for had fewer operations. */
export interface BootCut extends BootCutPlan {
  outcome: "armed" | "cut" | "passed";
}

/** Shared by every board without a plan. */
export const noCuts: readonly BootCut[] = [];

/** Arms a plan. Plans of one purpose take one boot each, in their order; one for any boot replaces the one before. */
export function armCut(device: Device, plan: BootCutPlan): void {
  const kept = plan.when === undefined ? device.cuts.filter((cut) => cut.when !== undefined || cut.outcome !== "armed") : device.cuts;
  device.cuts = [...kept, { ...plan, outcome: "armed" }];
}

/** The plan that this boot meets, if any. */
export function cutOf(device: Device): BootCut | undefined {
  if (device.cuts.length === 0) {
    return undefined;
  }
  const purpose = purposeOf(device);
  const target = purpose === undefined ? undefined : device.attempt?.target.toHex();
  return device.cuts.find(
    (cut) =>
      cut.outcome === "armed" &&
      (cut.when === undefined || (cut.when === purpose && (cut.images === undefined || (target !== undefined && cut.images.includes(target))))),
  );
}

/** Notes what a boot made of its plan. A plan for any boot waits for one that gets so far. */
export function meetCut(cut: BootCut, wasCut: boolean): void {
  if (wasCut || cut.when !== undefined) {
    cut.outcome = wasCut ? "cut" : "passed";
  }
}

/**
 * What the bootloader is about to do, by the attempt record and the trailers. The swap type alone does not tell: a boot
 * that resumes has none, and in direct-XIP it has no meaning.
 */
function purposeOf(device: Device): BootPurpose | undefined {
  const { attempt, flash } = device;
  if (attempt === null || isFinal(attempt.stage)) {
    return undefined;
  }
  const undoes = attempt.stage === "testing" || (flash.kind.bootloader.mode !== "direct-xip" && flash.swapType === "revert");
  return undoes ? "reverting" : attempt.stage === "requested" ? "applying" : undefined;
}
