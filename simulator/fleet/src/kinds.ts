// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import type { HardwareKind } from "@coalmine/device";
import { type AreaSpec, bootConfig, layOut, type PublicKey } from "@coalmine/mcuboot";
import type { HardwareSpec } from "./fleet-file.ts";

/** Header size of every simulated image, bytes: the alignment of a Cortex-M vector table. */
export const headerSize = 0x200;

/** The flash areas of a kind: slot 0, slot 1 and, for swap-scratch, the scratch area. swap-offset's slot 1 has one sector more. */
function areasOf(spec: HardwareSpec): AreaSpec[] {
  const { slotSize, sectorSize, align } = spec;
  const area = (name: string, id: number, off: number, size: number): AreaSpec => ({ name, id, off, size, align, sectors: [[size / sectorSize, sectorSize]] });
  const secondarySize = spec.mode === "swap-offset" ? slotSize + sectorSize : slotSize;
  const areas = [area("primary", 1, 0, slotSize), area("secondary", 2, slotSize, secondarySize)];
  if (spec.mode === "swap-scratch") {
    areas.push(area("scratch", 3, slotSize + secondarySize, spec.scratchSize ?? sectorSize));
  }
  return areas;
}

/** Fingerprint of a partition map: equal exactly when places and sizes are. First 8 hex digits of a SHA-256. */
function fingerprint(areas: readonly AreaSpec[]): string {
  return createHash("sha256").update(JSON.stringify(areas)).digest("hex").slice(0, 8);
}

/** One kind of hardware, ready to boot images signed with `key`. Shared by all its devices. */
export function hardwareKind(spec: HardwareSpec, key: PublicKey): HardwareKind {
  const areas = areasOf(spec);
  const geometry = layOut(areas);
  const sectors = Math.max(...geometry.areas.map((area) => area.sectorSize.length));
  return {
    name: spec.name,
    board: spec.board,
    revision: spec.revision,
    partitionMap: spec.partitionMap ?? fingerprint(areas),
    geometry,
    bootloader: bootConfig({
      mode: spec.mode,
      keys: [key],
      maxAlign: Math.max(8, spec.align),
      maxImgSectors: Math.max(128, sectors),
      ...spec.bootloader,
    }),
    slotSize: areas[1]?.size ?? spec.slotSize,
    tellsBootloader: spec.tellsBootloader,
    watchdogFromBoot: spec.watchdogFromBoot,
    bootTime: spec.bootTime,
    flashTime: spec.flashTime,
    memory: spec.memory,
  };
}
