// SPDX-License-Identifier: Apache-2.0
// What follows from the bootloader a device says it has: how large an image may be, and which ways back there are.
import { modeFacts, trailerOffsets, trailerSize } from "@coalmine/mcuboot";
import type { Hardware } from "@coalmine/protocol";
import type { ReleaseArtifact } from "./entry.ts";
import type { DeviceRecord } from "./inventory.ts";
import { orderOf } from "./versions.ts";

/** What a device's bootloader can do after an update (docs/mcuboot-modes.md). */
export interface BootloaderFacts {
  /** The previous image stays on the device after a confirmed update. */
  readonly keepsRollbackImage: boolean;
  /** It comes back by an order, without a download (R34). */
  readonly swapBackWorks: boolean;
  /** An image that does not confirm is undone. Null: direct-XIP may be built either way, and devices do not say which. */
  readonly revertWorks: boolean | null;
}

export function bootloaderFacts({ mode }: Pick<Hardware, "mode">): BootloaderFacts {
  const { keepsRollbackImage, swapBackWorks, revertWorks } = modeFacts({ mode, xipRevert: false });
  return { keepsRollbackImage, swapBackWorks, revertWorks: mode === "direct-xip" ? null : revertWorks };
}

/** Whether an order to go back to the image in slot 1 brings exactly this image (R34). */
export function canSwapBack(device: Pick<DeviceRecord, "hardware" | "slot1">, imageHash: string): boolean {
  return device.hardware !== null && device.slot1?.imageHash === imageHash && bootloaderFacts(device.hardware).swapBackWorks;
}

/** What a device's bootloader makes of an image that may be older than the one that runs. */
export interface BootloaderVerdict {
  /** `unknown`: the device has not said how its bootloader was built, or what runs is not known well enough. */
  readonly kind: "accepts" | "refuses" | "unknown";
  readonly reason: string;
}

/**
 * Predicts downgrade prevention from mode, version and security counter (mcuboot: it looks at test and permanent requests,
 * so a swap-back is refused like any other image, and the slot erased). `running` is the artifact that runs, when it is known.
 */
export function downgradeVerdict(
  device: Pick<DeviceRecord, "hardware" | "running" | "bootloader">,
  target: Pick<ReleaseArtifact, "version" | "securityCounter">,
  running: Pick<ReleaseArtifact, "securityCounter"> | undefined,
): BootloaderVerdict {
  const from = device.running?.version ?? "";
  const order = orderOf(target.version, from);
  const accepts = { kind: "accepts", reason: "" } as const;
  if (device.hardware?.mode === "direct-xip" && order !== "newer") {
    return order === "older"
      ? { kind: "refuses", reason: `direct-xip runs the newest version, and ${target.version} is older than ${from}` }
      : { kind: "unknown", reason: `direct-xip runs the newest version, and ${target.version} is not known to be newer than ${from || "what runs"}` };
  }
  const build = device.bootloader;
  switch (build?.downgrade) {
    case "none":
      return accepts;
    case "counter": {
      if (running === undefined) {
        return { kind: "unknown", reason: `its bootloader compares security counters, and that of ${from || "what runs"} is not known` };
      }
      const [own, counter] = [target.securityCounter, running.securityCounter];
      if (counter === undefined || (own !== undefined && own >= counter)) {
        return accepts;
      }
      return { kind: "refuses", reason: `its bootloader compares security counters: ${own ?? "none"} is below the ${counter} of ${from}` };
    }
    case "version":
    case "version+build": {
      const older = order === "older" || (build.downgrade === "version+build" && order === "rebuilt" && buildOf(target.version) < buildOf(from));
      return order === "unknown"
        ? { kind: "unknown", reason: `its bootloader prevents downgrades, and what runs is not known` }
        : older
          ? { kind: "refuses", reason: `its bootloader prevents downgrades: ${target.version} is older than ${from}` }
          : accepts;
    }
    case undefined:
      return order === "newer" || order === "same"
        ? accepts
        : { kind: "unknown", reason: `it has not said whether its bootloader prevents downgrades, and ${target.version} is ${order === "older" ? "older than" : "not known to be newer than"} ${from || "what runs"}` };
  }
}

function buildOf(version: string): number {
  return Number(version.split("+")[1] ?? 0);
}

/** Smallest sector that is assumed, in bytes. */
const sectorBytesMin = 256;

/**
 * The most bytes of header, payload and TLVs that a slot can hold in its mode, whatever its sectors and write size: devices
 * do not report those. The least trailer counts (one byte per write), with the number of sectors that leaves most room
 * (MCUboot design document, "Maximal slot and image size"). A real slot holds this or less, never more.
 */
export function roomMax({ mode, slotSize }: Pick<Hardware, "mode" | "slotSize">): number {
  const trailer = (maxImgSectors: number): number => trailerSize({ mode, maxAlign: 8, maxImgSectors, enc: null }, 1);
  switch (mode) {
    case "overwrite":
    case "direct-xip":
      return Math.max(0, trailerOffsets({ mode, maxAlign: 8, maxImgSectors: 1, enc: null }, { id: 2, size: slotSize, align: 1 }).swapInfo);
    case "swap-scratch":
      return Math.max(0, slotSize - trailer(1));
    case "swap-move":
    case "swap-offset": {
      // One sector is needed to move through, and the trailer fills whole ones: few large sectors, or many small ones.
      let most = 0;
      for (let sector = sectorBytesMin; 2 * sector <= slotSize; sector *= 2) {
        const own = Math.ceil(trailer(Math.ceil(slotSize / sector)) / sector) * sector;
        most = Math.max(most, slotSize - own - sector);
      }
      return most;
    }
  }
}
