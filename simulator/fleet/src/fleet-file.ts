// SPDX-License-Identifier: Apache-2.0
import { CoalmineError, Milliseconds, Minutes, Seconds } from "@coalmine/core";
import { z } from "zod";
import { bytes, checkShape, duration, label, readDocument, seedNumber, share, span, versionText } from "./document.ts";
import { storageShape } from "./storage-file.ts";

/** A weight against the other kinds: 3, 0.6 or `60%`. Only their ratio counts, so one list keeps to one way of writing. */
const weight = z
  .union([z.number(), z.string()], { error: "must be a weight against the other kinds: 3, 0.6 or 60%" })
  .transform((value, context): number => {
    const match = typeof value === "number" ? undefined : /^(\d+(?:\.\d+)?)\s*%$/.exec(value.trim());
    const number = typeof value === "number" ? value : match === null || match === undefined ? Number.NaN : Number(match[1]);
    if (!(number >= 0 && number <= 1e9)) {
      context.addIssue({ code: "custom", message: `${JSON.stringify(value)} is not a weight: write 3, 0.6 or 60%` });
      return z.NEVER;
    }
    return number;
  })
  .default(1);
const value = z.string().regex(/^[ -~]{1,64}$/, "must be 1 to 64 printable ASCII characters");

const bootloader = z.strictObject({
  downgrade: z.enum(["version", "counter"]).nullable().default(null),
  versionCmpBuild: z.boolean().default(false),
  validatePrimary: z.boolean().default(true),
  bootstrap: z.boolean().default(false),
  overwriteFast: z.boolean().default(true),
  xipRevert: z.boolean().default(true),
  profile: z.enum(["exact", "safe"]).default("exact"),
});

const hardware = z.strictObject({
  name: label,
  share: weight,
  board: value,
  revision: value.default(""),
  /** Fingerprint; computed from the geometry when left out. */
  partitionMap: value.optional(),
  slotSize: bytes.default(256 * 1024),
  sectorSize: bytes.default(4096),
  /** Bytes of the scratch area; swap-scratch only. */
  scratchSize: bytes.optional(),
  align: z.union([z.literal(1), z.literal(2), z.literal(4), z.literal(8), z.literal(16), z.literal(32)], { error: "must be 1, 2, 4, 8, 16 or 32" }).default(4),
  mode: z.enum(["swap-move", "swap-offset", "swap-scratch", "overwrite", "direct-xip"]).default("swap-move"),
  bootloader: bootloader.prefault({}),
  /** Its firmware reports how the bootloader was built: downgrade prevention, sectors, alignment. */
  tellsBootloader: z.boolean().default(true),
  watchdogFromBoot: z.boolean().default(true),
  bootTime: duration.default(Seconds(2)),
  flashTime: duration.default(Milliseconds(2)),
  memory: bytes.default(64 * 1024),
});

const connectivity = z.strictObject({
  name: label,
  share: weight,
  latency: duration.default(Milliseconds(60)),
  loss: share.refine((chance) => chance < 0.95, "must be below 95%").default(0),
  interval: span.default(Minutes(5)),
  sleepy: z.boolean().default(false),
  linkUptime: share.default(0.995),
  blockSize: bytes.refine((size) => size >= 64 && size <= 16_384, "must be 64 to 16384 bytes").default(4096),
  window: z.int().min(1).max(64).default(4),
});

const power = z.strictObject({
  name: label,
  share: weight,
  battery: z
    .strictObject({
      drainPerDay: z.number("must be per cent of the battery in a day").min(0).max(1000).default(1),
      spread: z.number().min(0).max(2).default(0.15),
      updateMin: z.number().min(0).max(100).default(15),
    })
    .nullable()
    .default(null),
});

const firmware = z.strictObject({
  version: versionText,
  share: weight,
  size: bytes.optional(),
  storageSchema: z.int().min(0).max(65_535).optional(),
  /** How it keeps its settings; the first layout when left out. */
  storage: storageShape.optional(),
});
const site = z.strictObject({ name: label, share: weight });
const tag = z.strictObject({ name: label, share });

const noise = z.strictObject({
  /** Crashes of an average device in a day. */
  crashesPerDay: z.number().min(0).max(1000).default(0.01),
  /** Shape of the Gamma frailty: small means that few devices have most crashes. */
  frailtyShape: z.number().positive().max(1000).default(0.3),
  bootFailure: share.default(0),
});

/** The shape of a fleet document; `simulator/scenarios/README.md` describes it. */
export const fleetShape = z.strictObject({
  seed: seedNumber.default(1),
  devices: z.int("must be a whole number of devices").min(1).max(1_000_000),
  idPrefix: z.string().regex(/^[A-Za-z0-9_-]{1,48}$/, "must be 1 to 48 of A-Z a-z 0-9 _ -").default("device-"),
  hardware: z.array(hardware).min(1, "needs at least one kind of hardware").max(64),
  connectivity: z.array(connectivity).min(1).max(64).prefault([{ name: "wifi" }]),
  firmware: z.array(firmware).min(1, "needs at least one version to come from").max(64).prefault([{ version: "1.0.0" }]),
  power: z.array(power).min(1).max(64).prefault([{ name: "mains" }]),
  site: z.array(site).min(1).max(64).prefault([{ name: "field" }]),
  tags: z.array(tag).max(64).default([]),
  noise: noise.prefault({}),
  /** Crashes of a device, the first ones, of which it sends a coredump and its log. */
  dumps: z.int().min(0).max(100).default(0),
  /** Payload bytes of the factory images. */
  imageSize: bytes.default(48 * 1024),
});

/** A fleet document with all defaults filled in. Plain data. */
export type FleetSpec = z.output<typeof fleetShape>;
export type HardwareSpec = FleetSpec["hardware"][number];

/** Reads a fleet description. Throws `yaml/...` or `fleet/...`, naming the field and what is allowed. */
export function parseFleet(text: string, source = "fleet"): FleetSpec {
  return fleetFromData(readDocument(text, source), source);
}

/** The same for data that is already read, such as a scenario's inline fleet. */
export function fleetFromData(data: unknown, source = "fleet"): FleetSpec {
  return checkFleet(checkShape(fleetShape as z.ZodType<FleetSpec>, data, { code: "fleet/shape", source }), source);
}

/** What the shape alone cannot say. */
function checkFleet(spec: FleetSpec, source: string): FleetSpec {
  const fail = (code: string, message: string): never => {
    throw new CoalmineError(`fleet/${code}`, `${source}: ${message}`);
  };
  for (const part of ["hardware", "connectivity", "power", "site"] as const) {
    const kinds: readonly { readonly name: string; readonly share: number }[] = spec[part];
    unique(kinds.map((kind) => kind.name), (name) => fail("name-twice", `${part}: two kinds are named ${JSON.stringify(name)}`));
    if (!kinds.some((kind) => kind.share > 0)) {
      fail("no-share", `${part}: no kind has a share above 0`);
    }
  }
  unique(spec.firmware.map((entry) => entry.version), (version) => fail("name-twice", `firmware: version ${version} stands twice`));
  if (!spec.firmware.some((entry) => entry.share > 0)) {
    fail("no-share", "firmware: no version has a share above 0");
  }
  for (const [index, kind] of spec.hardware.entries()) {
    const place = `hardware.${index} (${kind.name})`;
    if (kind.sectorSize < 128 || kind.slotSize % kind.sectorSize !== 0 || kind.sectorSize % kind.align !== 0) {
      fail("geometry", `${place}: slotSize ${kind.slotSize} must be whole sectors of at least 128 bytes, and sectorSize ${kind.sectorSize} a multiple of align ${kind.align}`);
    }
    if (kind.slotSize / kind.sectorSize > 1024) {
      fail("geometry", `${place}: ${kind.slotSize / kind.sectorSize} sectors in a slot are more than 1024; use larger sectors`);
    }
    if (kind.mode === "swap-scratch" && (kind.scratchSize === undefined || kind.scratchSize < kind.sectorSize || kind.scratchSize % kind.sectorSize !== 0)) {
      fail("geometry", `${place}: swap-scratch needs a scratchSize of whole sectors of ${kind.sectorSize} bytes`);
    }
    if (kind.mode !== "swap-scratch" && kind.scratchSize !== undefined) {
      fail("geometry", `${place}: scratchSize is for swap-scratch only, the mode is ${kind.mode}`);
    }
  }
  return spec;
}

function unique(names: readonly string[], twice: (name: string) => void): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) {
      twice(name);
    }
    seen.add(name);
  }
}
