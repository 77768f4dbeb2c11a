// SPDX-License-Identifier: Apache-2.0
// Flash dumps and bootloader configurations as files, in the format of the MCUboot conformance vectors.
import { type AreaSpec, type BootConfig, bootConfig, Flash, formatVersion, type ImageHeader, type PublicKey, readTrailer, swapType } from "@coalmine/mcuboot";
import { checkShape } from "@coalmine/orchestrator";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { z } from "zod";
import { readBytes, readJson } from "./files.ts";
import { readPublicKey, readSigningKey } from "./keys.ts";
import { badUsage } from "./output/exit.ts";

const modes = ["swap-move", "swap-offset", "swap-scratch", "overwrite", "direct-xip"] as const;
const signatures = ["none", "ecdsa-p256", "ed25519", "rsa-2048", "rsa-3072"] as const;

const areaShape = z.strictObject({
  name: z.string().min(1),
  id: z.int().min(0),
  off: z.int().min(0),
  size: z.int().min(1),
  align: z.int().min(1),
  sectors: z.array(z.tuple([z.int().min(1), z.int().min(1)])).min(1),
});

const configShape = z.strictObject({
  mode: z.enum(modes),
  sig: z.enum(signatures).optional(),
  keys: z.array(z.string().min(1)).max(16).default([]),
  maxAlign: z.int().min(1).optional(),
  maxImgSectors: z.int().min(1).optional(),
  validatePrimary: z.boolean().optional(),
  bootstrap: z.boolean().optional(),
  downgrade: z.enum(["version", "counter"]).nullable().optional(),
  hwRollback: z.boolean().optional(),
  tlvAllowList: z.boolean().optional(),
  images: z.int().min(1).max(2).optional(),
  overwriteFast: z.boolean().optional(),
  xipRevert: z.boolean().optional(),
  versionCmpBuild: z.boolean().optional(),
  enc: z.enum(["x25519", "ec256"]).nullable().optional(),
  encKey: z.string().min(1).optional(),
  profile: z.enum(["exact", "safe"]).optional(),
});

/** A conformance case has more fields beside these two; they are left alone. */
const fileShape = z.looseObject({ config: configShape, areas: z.array(areaShape).min(1).max(16) });

export interface Board {
  readonly config: BootConfig;
  readonly areas: readonly AreaSpec[];
}

/** Reads `config` and `areas`. Keys are named by file, or by name in the folder `keys` beside the file or above it. */
export function readBoard(file: string): Board {
  const { config, areas } = checkShape(fileShape, readJson(file, { what: "configuration" }), { code: "cli/config", source: file });
  const { keys, encKey, ...rest } = config;
  const encName = encKey ?? (rest.enc === null || rest.enc === undefined ? undefined : `enc-${rest.enc}`);
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) as typeof rest;
  return {
    areas,
    config: bootConfig({
      ...(given as { mode: (typeof modes)[number] }),
      keys: keys.map((name): PublicKey => readPublicKey(findKey(file, name, [".pub.pem", ".pub.der", ".pem", ""]))),
      encKey: encName === undefined ? undefined : readSigningKey(findKey(file, encName, [".pem", ""])),
    }),
  };
}

function findKey(configFile: string, name: string, endings: readonly string[]): string {
  const tried: string[] = [];
  for (let folder = dirname(resolve(configFile)), up = 0; up < 3; folder = dirname(folder), up += 1) {
    for (const place of [folder, join(folder, "keys")]) {
      for (const ending of endings) {
        const path = resolve(place, `${name}${ending}`);
        if (existsSync(path)) {
          return path;
        }
        tried.push(path);
      }
    }
  }
  throw badUsage(`${configFile}: no key ${JSON.stringify(name)}: looked for ${tried[0]} and ${tried.length - 1} other places; name it by its file`);
}

/** A flat dump, gzipped or not. Bytes missing at its end are erased ones. */
export function readFlash(file: string, board: Board): Flash {
  let dump = readBytes(file, { what: "flash dump" });
  if (dump[0] === 0x1f && dump[1] === 0x8b) {
    try {
      dump = new Uint8Array(gunzipSync(dump, { maxOutputLength: 512 * 1024 * 1024 }));
    } catch (cause) {
      throw badUsage(`flash dump ${file} begins like gzip and is not: ${(cause as Error).message}`, cause);
    }
  }
  const flash = Flash.create(board.areas, { dump });
  if (dump.length > flash.geometry.size) {
    throw badUsage(`flash dump ${file} has ${dump.length} bytes, the areas end at ${flash.geometry.size}: is this its configuration?`);
  }
  return flash;
}

export interface AreaState {
  readonly sha: string;
  /** Absent for areas without one. */
  readonly trailer?: { readonly magic: string; readonly swapType: string; readonly imageNum: number; readonly copyDone: string; readonly imageOk: string };
}

export interface FlashState {
  readonly sha: string;
  readonly areas: Readonly<Record<string, AreaState>>;
  /** What the next boot will do: boot_swap_type(). */
  readonly swapType: string;
  readonly swapType1?: string;
}

/** The decoded state of a flash, as the conformance vectors write it. */
export function flashState(board: Board, flash: Flash): FlashState {
  const dump = flash.dump();
  const areas: Record<string, AreaState> = {};
  for (const area of flash.geometry.areas) {
    const trailer = readTrailer(board.config, flash, area);
    areas[area.name] = {
      sha: sha256(dump.subarray(area.off, area.off + area.size)),
      trailer: { ...trailer, swapType: trailer.swapType === "unknown" ? "?" : trailer.swapType },
    };
  }
  const second = board.config.images > 1 ? { swapType1: swapType(board.config, flash, 1) } : {};
  return { sha: sha256(dump), areas, swapType: swapType(board.config, flash), ...second };
}

export function headerState(header: ImageHeader | undefined) {
  return header === undefined ? null : { ...header, magic: `0x${header.magic.toString(16)}`, version: formatVersion(header.version) };
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
