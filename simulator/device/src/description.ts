// SPDX-License-Identifier: Apache-2.0
import type { DeviceId, Millis } from "@coalmine/core";
import type { BootConfig, FlashGeometry } from "@coalmine/mcuboot";

// What a device is, before anything happens to it. Kinds are shared by all devices of the kind; a device's own
// description holds references and a handful of numbers.

/** One kind of board: what it is, its flash and its bootloader. */
export interface HardwareKind {
  readonly name: string;
  readonly board: string;
  readonly revision: string;
  /** Fingerprint of the partition map. */
  readonly partitionMap: string;
  /** Slots (and scratch) as the bootloader sees them. Settings lie in their own area (`storage.ts`). */
  readonly geometry: FlashGeometry;
  readonly bootloader: BootConfig;
  /** Bytes of slot 1. */
  readonly slotSize: number;
  /** Its firmware knows how the bootloader was built, and says so. */
  readonly tellsBootloader: boolean;
  /** The bootloader starts the watchdog; without it an image that hangs early never resets. */
  readonly watchdogFromBoot: boolean;
  /** From reset to the application, without any swap. */
  readonly bootTime: Millis;
  /** Time of one flash operation of a swap. */
  readonly flashTime: Millis;
  /** Bytes of RAM that an application finds free after its start. */
  readonly memory: number;
}

/** One kind of connection. */
export interface ConnectivityKind {
  readonly name: string;
  /** Mean time one way, and chance of a loss: what the network draws from. */
  readonly latency: Millis;
  readonly loss: number;
  /** The duty cycle: expected time between reports. */
  readonly interval: Millis;
  /** The radio sleeps between reports: commands wait for the next one. */
  readonly sleepy: boolean;
  /** Mean share of the time with a working link while awake, 0 to 1. */
  readonly linkUptime: number;
  /** Bytes of one block request, and how many are in flight. */
  readonly blockSize: number;
  readonly window: number;
}

/** How a device is powered. */
export interface PowerKind {
  readonly name: string;
  /** Null: mains. */
  readonly battery: null | {
    /** Per cent of the battery used in a day by a good image. */
    readonly drainPerDay: number;
    /** Relative spread between devices (one standard deviation of the logarithm). */
    readonly spread: number;
    /** Below this level an update is deferred. */
    readonly updateMin: number;
  };
}

/** What goes wrong without any defect. Rates are fleet means; a device's own is multiplied by its frailty. */
export interface Noise {
  readonly crashesPerDay: number;
  /** Chance that a good update fails its trial for reasons of its own. */
  readonly bootFailure: number;
}

/** An image as a board leaves the factory with. One object for all devices of a kind and version. */
export interface FactoryImage {
  readonly version: string;
  readonly image: Uint8Array;
}

/** One device. Pure data by (seed, id): see `deviceDescription` in simulator/fleet. */
export interface DeviceDescription {
  readonly id: DeviceId;
  readonly hardware: HardwareKind;
  readonly connectivity: ConnectivityKind;
  readonly power: PowerKind;
  readonly firmware: FactoryImage;
  readonly noise: Noise;
  /** `lab` or `field`, or any other site. */
  readonly site: string;
  /** Labels an operator would give. */
  readonly tags: readonly string[];
  /** Multiplies the baseline crash rate; Gamma with mean 1 over the fleet. */
  readonly frailty: number;
  /** Multiplies the battery drain; log-normal with median 1 over the fleet. */
  readonly drain: number;
  /** So many of its crashes, the first ones, leave a coredump and a log that it sends. None when left out. */
  readonly dumps?: number;
}

/** The facts a device reports about itself for cohorts and strata. */
export function attributesOf(description: DeviceDescription): Readonly<Record<string, string>> {
  return {
    connectivity: description.connectivity.name,
    power: description.power.name,
    site: description.site,
    history: description.firmware.version,
  };
}
