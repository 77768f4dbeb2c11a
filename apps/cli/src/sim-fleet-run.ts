// SPDX-License-Identifier: Apache-2.0
import { coapKey } from "@coalmine/coap";
import { CoalmineError, type DeviceId, instant } from "@coalmine/core";
import { createDevice, createShared, type Device, step } from "@coalmine/device";
import { assembleFleet, deviceDescription, labKey } from "@coalmine/fleet";
import { AcceleratedClock, liveFleet, type LiveStats, parseShard, shardOf } from "@coalmine/live";
import type { SigningKey } from "@coalmine/mcuboot";
import { draw } from "@coalmine/world";
import process from "node:process";
import { loadFleet } from "./fleet-source.ts";
import { readSigningKey } from "./keys.ts";
import { openFilesMax, spareFiles } from "./open-files.ts";
import { exitCodes } from "./output/exit.ts";
import { output } from "./output/output.ts";
import { progress } from "./output/progress.ts";
import { readPlainSecrets } from "./serve/device-secrets.ts";

export interface FleetRun {
  readonly connect: string;
  readonly devices: number;
  readonly shard?: string;
  readonly seed: number;
  readonly fleet?: string;
  readonly key?: string;
  readonly speed: number;
  readonly loss?: number;
  readonly secrets?: string;
  readonly for?: number;
  readonly json?: true;
}

const lookEvery = 500;

/** Runs devices until a signal comes, or the time is over. */
export async function runFleet(options: FleetRun): Promise<void> {
  const out = output(options);
  const spec = { ...loadFleet(options.fleet), seed: options.seed, devices: options.devices };
  const indexes = options.shard === undefined ? Array.from({ length: spec.devices }, (_, index) => index) : shardOf(spec.devices, parseShard(options.shard));
  if (indexes.length + spareFiles > openFilesMax()) {
    throw new CoalmineError(
      "sim/open-files",
      `${indexes.length} devices need ${indexes.length + spareFiles} open files, and ${openFilesMax()} are allowed: raise the limit (ulimit -n), or split the fleet with --shard 1/2`,
      { retry: "later" },
    );
  }
  const fleet = assembleFleet(spec, signingKey(options));
  const clock = new AcceleratedClock({ epoch: instant(Date.now()), speed: options.speed });
  const shared = createShared(draw);
  const live = await liveFleet<Device>({
    connect: options.connect,
    boards: indexes.map((index) => createDevice(deviceDescription(fleet, index), options.seed, shared)),
    idOf: (device) => device.description.id,
    step,
    clock,
    seed: options.seed,
    loss: options.loss ?? 0,
    polls: (device) => device.description.connectivity.sleepy,
    ...(options.secrets === undefined ? {} : { secretOf: keysOf(options.secrets) }),
  });
  out.note(`${indexes.length} of ${spec.devices} devices, seed ${options.seed}, speed ${options.speed}, connecting to ${options.connect}`);
  const bar = progress("devices up");
  const timer = setInterval(() => bar.update(live.stats.up, live.stats.devices, counts(live.stats)), lookEvery);
  const reason = await ended(options.for);
  clearInterval(timer);
  bar.end();
  const stats = { ...live.stats };
  await live.close();
  out.note(`ended by ${reason}`);
  out.result({ seed: options.seed, ...stats }, () => counts(stats));
  if (stats.acknowledged === 0 && stats.trouble !== "") {
    process.exitCode = exitCodes.environment; // nobody ever answered
  }
}

/** The keys that devices sign with over CoAP. */
function keysOf(file: string): (device: DeviceId) => Uint8Array | undefined {
  const keys = new Map(readPlainSecrets(file).entries().map(([device, secret]) => [device, coapKey(secret)]));
  return (device) => keys.get(device);
}

function signingKey(options: FleetRun): SigningKey {
  return options.key === undefined ? labKey(options.seed) : readSigningKey(options.key);
}

/** Resolves with the name of the signal, or when the time is over. */
function ended(seconds: number | undefined): Promise<string> {
  return new Promise((resolve) => {
    process.once("SIGINT", () => resolve("SIGINT"));
    process.once("SIGTERM", () => resolve("SIGTERM"));
    if (seconds !== undefined) {
      setTimeout(() => resolve(`--for ${seconds}`), seconds * 1_000);
    }
  });
}

function counts(stats: LiveStats): string {
  const words = [
    `${stats.reports} reports`,
    `${stats.acknowledged} acknowledged`,
    `${stats.commands} commands`,
    `${stats.blocks} blocks`,
    ...(stats.losses === 0 ? [] : [`${stats.losses} connections lost`]),
    ...(stats.resent === 0 ? [] : [`${stats.resent} sent again`]),
    ...(stats.dropped === 0 ? [] : [`${stats.dropped} dropped`]),
    ...(stats.refused === 0 ? [] : [`${stats.refused} refused`]),
    ...(stats.up === stats.devices || stats.trouble === "" ? [] : [`trouble: ${stats.trouble}`]),
  ];
  return words.join(", ");
}
