// SPDX-License-Identifier: Apache-2.0
import { type DeviceId, deviceId } from "@coalmine/core";
import type { ConnectivityKind, DeviceDescription, FactoryImage, HardwareKind, Noise, PowerKind } from "@coalmine/device";
import { loadPublicKey, type PublicKey, type SigningKey } from "@coalmine/mcuboot";
import { draw, drawGamma, drawNormal, drawWeighted } from "@coalmine/world";
import type { FleetSpec } from "./fleet-file.ts";
import { hardwareKind } from "./kinds.ts";
import { buildRelease } from "./release.ts";

/** A fleet ready to be switched on: its kinds and factory images, each held once. Its devices are described on request. */
export interface Fleet {
  readonly spec: FleetSpec;
  /** Signs factory images and releases. */
  readonly signingKey: SigningKey;
  readonly publicKey: PublicKey;
  readonly hardware: readonly HardwareKind[];
  readonly connectivity: readonly ConnectivityKind[];
  readonly power: readonly PowerKind[];
  readonly noise: Noise;
  /** By hardware kind, then by version of the firmware history. */
  readonly factory: readonly (readonly FactoryImage[])[];
  /** Weights of the kinds, computed once. */
  readonly weights: Readonly<Record<"hardware" | "connectivity" | "power" | "site" | "firmware", readonly number[]>>;
}

/** Builds kinds and factory images for a description; `key` signs them and is the one the bootloaders trust. */
export function assembleFleet(spec: FleetSpec, key: SigningKey): Fleet {
  const publicKey = loadPublicKey(key);
  const hardware = spec.hardware.map((kind) => hardwareKind(kind, publicKey));
  const releases = spec.firmware.map((entry) => buildRelease({ ...entry, size: entry.size ?? spec.imageSize }, hardware, key));
  const factory = hardware.map((_, kind) =>
    releases.map((release): FactoryImage => ({ version: release.version, image: release.artifacts[kind]?.bytes ?? new Uint8Array(0) })),
  );
  const weights = (entries: readonly { readonly share: number }[]): readonly number[] => entries.map((entry) => entry.share);
  return {
    spec,
    signingKey: key,
    publicKey,
    hardware,
    connectivity: spec.connectivity.map(({ share: _share, ...kind }) => kind),
    power: spec.power.map(({ share: _share, ...kind }) => kind),
    noise: { crashesPerDay: spec.noise.crashesPerDay, bootFailure: spec.noise.bootFailure },
    factory,
    weights: {
      hardware: weights(spec.hardware),
      connectivity: weights(spec.connectivity),
      power: weights(spec.power),
      site: weights(spec.site),
      firmware: weights(spec.firmware),
    },
  };
}

/** Id of the device with this index: the prefix and six digits, so that ids sort as indexes do whatever the fleet's size. */
export function deviceIdAt(spec: FleetSpec, index: number): DeviceId {
  return deviceId(`${spec.idPrefix}${String(index).padStart(6, "0")}`);
}

/** One device of the fleet. Depends on the seed and the id alone, so a fleet with more devices begins with the same ones. */
export function deviceDescription(fleet: Fleet, index: number): DeviceDescription {
  const { spec } = fleet;
  if (!Number.isInteger(index) || index < 0 || index >= spec.devices) {
    throw new RangeError(`device ${index} of a fleet of ${spec.devices}`);
  }
  const id = deviceIdAt(spec, index);
  const choose = (purpose: keyof Fleet["weights"]): number => drawWeighted(fleet.weights[purpose], spec.seed, id, purpose);
  const kind = choose("hardware");
  const power = at(fleet.power, choose("power"));
  return {
    id,
    hardware: at(fleet.hardware, kind),
    connectivity: at(fleet.connectivity, choose("connectivity")),
    power,
    firmware: at(at(fleet.factory, kind), choose("firmware")),
    noise: fleet.noise,
    site: at(spec.site, choose("site")).name,
    tags: tagsOf(spec, id),
    frailty: drawGamma(spec.noise.frailtyShape, spec.seed, id, "frailty"),
    ...(spec.dumps === 0 ? {} : { dumps: spec.dumps }),
    drain: power.battery === null ? 1 : Math.exp(power.battery.spread * drawNormal(spec.seed, id, "drain")),
  };
}

const noTags: readonly string[] = [];

function tagsOf(spec: FleetSpec, id: DeviceId): readonly string[] {
  const tags = spec.tags.filter((tag) => draw(spec.seed, id, "tag", tag.name) < tag.share).map((tag) => tag.name);
  return tags.length === 0 ? noTags : tags;
}

/** What the fleet consists of: devices by kind, along every dimension. */
export interface FleetSummary {
  readonly devices: number;
  readonly seed: number;
  readonly dimensions: Readonly<Record<"hardware" | "connectivity" | "power" | "site" | "firmware" | "tags", Readonly<Record<string, number>>>>;
}

/** Counts the devices of each kind; the counts of every dimension but `tags` sum to the fleet. */
export function describeFleet(fleet: Fleet): FleetSummary {
  const dimensions = { hardware: {}, connectivity: {}, power: {}, site: {}, firmware: {}, tags: {} } as Record<string, Record<string, number>>;
  const count = (dimension: string, name: string): void => {
    const counts = dimensions[dimension] as Record<string, number>;
    counts[name] = (counts[name] ?? 0) + 1;
  };
  for (let index = 0; index < fleet.spec.devices; index++) {
    const device = deviceDescription(fleet, index);
    count("hardware", device.hardware.name);
    count("connectivity", device.connectivity.name);
    count("power", device.power.name);
    count("site", device.site);
    count("firmware", device.firmware.version);
    for (const tag of device.tags) {
      count("tags", tag);
    }
  }
  return { devices: fleet.spec.devices, seed: fleet.spec.seed, dimensions: dimensions as FleetSummary["dimensions"] };
}

function at<T>(list: readonly T[], index: number): T {
  const found = list[index];
  if (found === undefined) {
    throw new RangeError(`no entry ${index} of ${list.length}`);
  }
  return found;
}
