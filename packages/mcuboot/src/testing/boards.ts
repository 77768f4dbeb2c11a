// SPDX-License-Identifier: Apache-2.0
// Layouts, keys and images that this package's tests share.
import { createPrivateKey } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { buildImage } from "../build.ts";
import type { BootConfig, BootConfigOptions, SwapMode } from "../config.ts";
import { bootConfig } from "../config.ts";
import { Flash } from "../flash.ts";
import type { AreaSpec } from "../geometry.ts";
import { SectorPool } from "../sector-pool.ts";

function key(prefix: string, fill: number): KeyObject {
  const der = [...(prefix.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16)), ...Array.from({ length: 32 }, () => fill)];
  return createPrivateKey(`-----BEGIN PRIVATE KEY-----\n${btoa(String.fromCharCode(...der))}\n-----END PRIVATE KEY-----\n`);
}

export const ED25519 = key("302e020100300506032b657004220420", 0x11);
export const ED25519_OTHER = key("302e020100300506032b657004220420", 0x22);
export const P256 = key("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420", 0x33);

/** Slots of `sectors` sectors, with the extra one that move and offset want, and scratch where it is used. */
export function board(mode: SwapMode, options: { sectors?: number; sectorSize?: number; align?: number; scratch?: number } = {}): AreaSpec[] {
  const { sectors = 8, sectorSize = 4096, align = 4, scratch = 1 } = options;
  const areas: AreaSpec[] = [];
  const add = (name: string, id: number, count: number): void => {
    const last = areas.at(-1);
    const off = last === undefined ? 0 : last.off + last.size;
    areas.push({ name, id, off, size: count * sectorSize, align, sectors: [[count, sectorSize]] });
  };
  add("primary", 1, sectors + (mode === "swap-move" ? 1 : 0));
  add("secondary", 2, sectors + (mode === "swap-offset" ? 1 : 0));
  if (mode === "swap-scratch") {
    add("scratch", 3, scratch);
  }
  return areas;
}

export function configFor(mode: SwapMode, options: Partial<BootConfigOptions> = {}): BootConfig {
  return bootConfig({ keys: [ED25519], maxImgSectors: 32, ...options, mode });
}

const images = new Map<string, Uint8Array>();

/** A signed image of version `major`.0.0 with a payload of `size` bytes; equal arguments give one object. */
export function image(major: number, size = 9000, counter?: number): Uint8Array {
  const name = `${major} ${size} ${counter ?? ""}`;
  let made = images.get(name);
  if (made === undefined) {
    made = buildImage({
      version: { major, minor: 0, revision: 0, build: 0 },
      headerSize: 32,
      payload: new Uint8Array(size).map((_, i) => (i * 7 + major * 31) & 0xff),
      key: ED25519,
      ...(counter === undefined ? {} : { securityCounter: counter }),
    });
    images.set(name, made);
  }
  return made;
}

/** A device running `running`, with `offered` uploaded where its mode wants it. */
export function device(config: BootConfig, areas: readonly AreaSpec[], running: Uint8Array, offered?: Uint8Array, pool = new SectorPool()): Flash {
  const flash = Flash.create(areas, { pool });
  flash.install("primary", running);
  if (offered !== undefined) {
    flash.install("secondary", offered, config.mode === "swap-offset" ? (flash.area("secondary").sectorSize[0] ?? 0) : 0);
  }
  return flash;
}

/** Draws reproducible numbers for tests: 32 bits at a time (xorshift). */
export function draws(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}
