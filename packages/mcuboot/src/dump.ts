// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import { setConfirmed, setPending } from "./application.ts";
import { boot } from "./boot.ts";
import type { BootConfig, Profile } from "./config.ts";
import { bootConfig } from "./config.ts";
import { Flash } from "./flash.ts";
import type { AreaSpec } from "./geometry.ts";
import { layOut } from "./geometry.ts";
import type { KeyInput } from "./keys.ts";
import { hex } from "./keys.ts";
import { swapType } from "./swap-type.ts";
import type { SwapType, TrailerState } from "./trailer.ts";
import { readTrailer, trailerOffsets } from "./trailer.ts";
import { formatVersion } from "./version.ts";

// The bootloader over flat flash dumps: the `coalmine mcuboot` commands without their files.

/** A bootloader build and its flash map, as read from a configuration file. */
export interface BootSetup {
  readonly config: BootConfig;
  readonly areas: readonly AreaSpec[];
}

/** Finds the keys that a configuration names. */
export interface KeyFinder {
  readonly publicKey: (name: string) => KeyInput;
  /** The private decryption key, asked for when `enc` is set. */
  readonly encryptionKey?: (kind: "x25519" | "ec256") => KeyInput;
}

const MODES = ["swap-move", "swap-offset", "swap-scratch", "overwrite", "direct-xip"] as const;
const SIGNATURES = ["none", "ecdsa-p256", "ed25519", "rsa-2048", "rsa-3072"] as const;

/**
 * Reads `{ "config": {…}, "areas": […] }` in the form of vectors/mcuboot; a whole vector case is accepted too.
 * Fields of `config` left out take the defaults of `bootConfig`.
 *
 * @throws CoalmineError `mcuboot/bad-config` or `mcuboot/bad-flash-map` naming the field.
 */
export function readBootSetup(json: unknown, keys: KeyFinder, profile?: Profile): BootSetup {
  const whole = asObject(json, "the configuration");
  const fields = asObject(whole["config"], "config");
  const mode = asOneOf(fields["mode"], MODES, "config.mode");
  const enc = fields["enc"] === undefined || fields["enc"] === null ? null : asOneOf(fields["enc"], ["x25519", "ec256"] as const, "config.enc");
  const downgrade =
    fields["downgrade"] === undefined || fields["downgrade"] === null
      ? null
      : asOneOf(fields["downgrade"], ["version", "counter"] as const, "config.downgrade");
  const flag = (name: string, fallback: boolean): boolean => {
    const value = fields[name] ?? fallback;
    return typeof value === "boolean" ? value : bad(`config.${name}`, "must be true or false");
  };
  const count = (name: string, fallback: number, allowed: (value: number) => boolean, what: string): number => {
    const value = fields[name] ?? fallback;
    return typeof value === "number" && Number.isInteger(value) && allowed(value) ? value : bad(`config.${name}`, what);
  };
  const names = fields["keys"] ?? [];
  if (!Array.isArray(names) || !names.every((name) => typeof name === "string")) {
    return bad("config.keys", "must be a list of key names");
  }
  const config = bootConfig({
    mode,
    ...(fields["sig"] === undefined ? {} : { sig: asOneOf(fields["sig"], SIGNATURES, "config.sig") }),
    keys: names.map((name: string) => keys.publicKey(name)),
    maxAlign: count("maxAlign", 8, (value) => [8, 16, 32].includes(value), "must be 8, 16 or 32"),
    maxImgSectors: count("maxImgSectors", 128, (value) => value >= 1 && value <= 65536, "must be 1 to 65536"),
    validatePrimary: flag("validatePrimary", true),
    bootstrap: flag("bootstrap", false),
    downgrade,
    hwRollback: flag("hwRollback", false),
    tlvAllowList: flag("tlvAllowList", true),
    images: count("images", 1, (value) => value >= 1 && value <= 4, "must be 1 to 4"),
    overwriteFast: flag("overwriteFast", true),
    xipRevert: flag("xipRevert", false),
    versionCmpBuild: flag("versionCmpBuild", false),
    enc,
    encKey: enc === null ? undefined : keys.encryptionKey?.(enc),
    ...(profile === undefined ? {} : { profile }),
  });
  const list = whole["areas"];
  const areas = Array.isArray(list) ? list.map(readArea) : bad("areas", "must be a list of flash areas");
  layOut(areas);
  const ids = new Set(areas.map((area) => area.id));
  for (let image = 0; image < config.images; image++) {
    for (const id of image === 0 ? [1, 2] : [2 + 2 * image, 3 + 2 * image]) {
      requireConfig(ids.has(id), "areas", `have no area with id ${id} (image ${image})`);
    }
  }
  requireConfig(mode !== "swap-scratch" || ids.has(3), "areas", "have no scratch area (id 3), which swap-scratch needs");
  return { config, areas };
}

/** What a command over a dump gives back: the new dump and what to print. */
export interface DumpResult<T> {
  readonly dump: Uint8Array;
  readonly report: T;
}

export interface TrailerReport extends TrailerState {
  readonly area: string;
  /** Offsets in the flat dump. */
  readonly offsets: { readonly magic: number; readonly imageOk: number; readonly copyDone: number; readonly swapInfo: number; readonly swapSize: number; readonly status: number };
}

export interface StateReport {
  /** What the next boot will do, per image. */
  readonly swapTypes: readonly SwapType[];
  readonly trailers: readonly TrailerReport[];
}

export interface BootReport extends StateReport {
  readonly outcome: string;
  readonly slot: string | null;
  readonly version: string | null;
  readonly imageHash: string | null;
  readonly swapTypeBefore: SwapType;
  readonly ops: { readonly total: number; readonly writes: number; readonly erases: number; readonly bytesWritten: number; readonly bytesErased: number };
  readonly nv: readonly number[];
  readonly assertion: string | null;
}

export interface CallReport extends StateReport {
  readonly outcome: string;
  readonly rc: number;
  readonly writes: number;
}

/** One boot over a dump. */
export function bootDump(
  setup: BootSetup,
  dump: Uint8Array,
  options: { cutBefore?: number; torn?: boolean; nv?: readonly number[] } = {},
): DumpResult<BootReport> {
  const flash = open(setup, dump);
  const result = boot(setup.config, flash, options);
  const { total, writes, erases, bytesWritten, bytesErased } = result.ops;
  return {
    dump: close(flash, dump),
    report: {
      outcome: result.outcome,
      slot: result.slot ?? null,
      version: result.version === undefined ? null : formatVersion(result.version),
      imageHash: result.imageHash === undefined ? null : hex(result.imageHash),
      swapTypeBefore: result.swapType,
      ops: { total, writes, erases, bytesWritten, bytesErased },
      nv: result.nv,
      assertion: result.assertion ?? null,
      ...state(setup, flash),
    },
  };
}

/** Requests a swap in a dump. */
export function setPendingDump(
  setup: BootSetup,
  dump: Uint8Array,
  request: { permanent: boolean; image?: number },
  plan: { cutBefore?: number } = {},
): DumpResult<CallReport> {
  const flash = open(setup, dump);
  const { outcome, rc, ops } = setPending(setup.config, flash, request, plan);
  return { dump: close(flash, dump), report: { outcome, rc, writes: ops.writes, ...state(setup, flash) } };
}

/** Confirms the running image in a dump. */
export function setConfirmedDump(
  setup: BootSetup,
  dump: Uint8Array,
  request: { image?: number } = {},
  plan: { cutBefore?: number } = {},
): DumpResult<CallReport> {
  const flash = open(setup, dump);
  const { outcome, rc, ops } = setConfirmed(setup.config, flash, request, plan);
  return { dump: close(flash, dump), report: { outcome, rc, writes: ops.writes, ...state(setup, flash) } };
}

/** The trailers of a dump, decoded, and what the next boot will do. */
export function trailerReport(setup: BootSetup, dump: Uint8Array): StateReport {
  return state(setup, open(setup, dump));
}

function open(setup: BootSetup, dump: Uint8Array): Flash {
  const flash = Flash.create(setup.areas, { dump });
  requireConfig(
    dump.length >= flash.geometry.size,
    "the flash dump",
    `has ${dump.length} bytes; the areas end at ${flash.geometry.size}`,
  );
  return flash;
}

/** Bytes outside the areas stay as they were. */
function close(flash: Flash, before: Uint8Array): Uint8Array {
  const dump = before.slice();
  const after = flash.dump();
  for (const area of flash.geometry.areas) {
    dump.set(after.subarray(area.off, area.off + area.size), area.off);
  }
  return dump;
}

function state(setup: BootSetup, flash: Flash): StateReport {
  const { config } = setup;
  return {
    swapTypes: Array.from({ length: config.images }, (_, image) => swapType(config, flash, image)),
    trailers: flash.geometry.areas.map((area) => {
      const at = trailerOffsets(config, area);
      return {
        area: area.name,
        ...readTrailer(config, flash, area),
        offsets: {
          magic: area.off + at.magic,
          imageOk: area.off + at.imageOk,
          copyDone: area.off + at.copyDone,
          swapInfo: area.off + at.swapInfo,
          swapSize: area.off + at.swapSize,
          status: area.off + at.status,
        },
      };
    }),
  };
}

function readArea(json: unknown, index: number): AreaSpec {
  const where = `areas[${index}]`;
  const fields = asObject(json, where);
  const number = (name: string): number => {
    const value = fields[name];
    return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : bad(`${where}.${name}`, "must be a whole number");
  };
  const { name, sectors } = fields;
  if (typeof name !== "string" || name === "") {
    return bad(`${where}.name`, "must be a name");
  }
  if (!Array.isArray(sectors)) {
    return bad(`${where}.sectors`, "must be a list of [count, size]");
  }
  return {
    name,
    id: number("id"),
    off: number("off"),
    size: number("size"),
    align: number("align"),
    sectors: sectors.map((run: unknown): readonly [number, number] => {
      const [count, size] = Array.isArray(run) && run.length === 2 ? (run as unknown[]) : [];
      return typeof count === "number" && typeof size === "number" ? [count, size] : bad(`${where}.sectors`, "must be a list of [count, size]");
    }),
  };
}

function asObject(json: unknown, what: string): Readonly<Record<string, unknown>> {
  return typeof json === "object" && json !== null && !Array.isArray(json) ? (json as Record<string, unknown>) : bad(what, "must be an object");
}

function asOneOf<const T extends string>(value: unknown, allowed: readonly T[], what: string): T {
  const found = allowed.find((one) => one === value);
  return found ?? bad(what, `must be one of ${allowed.join(", ")}, not ${JSON.stringify(value)}`);
}

function bad(field: string, what: string): never {
  throw new CoalmineError("mcuboot/bad-config", `${field} ${what}`);
}

function requireConfig(condition: boolean, field: string, what: string): void {
  if (!condition) {
    bad(field, what);
  }
}
