// SPDX-License-Identifier: Apache-2.0
// What a release declares of itself beyond its files (R42, R46): which stored data it reads and writes, and where it may come from.
import { CoalmineError } from "@coalmine/core";
import { z } from "zod";
import { orderOf } from "./versions.ts";

/** Largest schema number: a `uint16_t` on the device. */
const schemaMax = 65_535;

/** Storage schemas by number. A build reads `minRead` to `maxRead` and leaves its data in `writes`. */
export interface StorageSchema {
  readonly minRead: number;
  readonly maxRead: number;
  readonly writes: number;
}

/** Versions from `min` to `max`, both included; what is left out has no bound. */
export interface VersionRange {
  readonly min?: string | undefined;
  readonly max?: string | undefined;
}

/** What a release says of itself. Nothing said: no check, as for a release from before these fields. */
export interface Declaration {
  readonly storage?: StorageSchema | undefined;
  /** The release changes the data layout: it needs a green migration matrix before it leaves its canary stage. */
  readonly migration?: boolean | undefined;
  /** Versions it may be installed over: those it was tested from. */
  readonly from?: readonly VersionRange[] | undefined;
  /** The version to go through for devices outside `from`. */
  readonly hop?: string | undefined;
}

const schemaNumber = z.int().min(0).max(schemaMax);
const version = z.string().regex(/^\d{1,3}\.\d{1,3}\.\d{1,5}(\+\d{1,10})?$/, "must be a version in quotes: \"1.2.0\" or \"1.2.0+3\"");

/** The fields of a declaration, for the manifest of a release and for the API. */
export const declarationFields = {
  storage: z
    .strictObject({
      minRead: schemaNumber.describe("oldest storage schema it reads"),
      maxRead: schemaNumber.describe("newest storage schema it reads"),
      writes: schemaNumber.describe("storage schema it leaves behind"),
    })
    .optional(),
  migration: z.boolean().optional().describe("it changes the data layout: needs a green migration matrix before it leaves its canary stage"),
  from: z
    .array(z.strictObject({ min: version.optional(), max: version.optional() }))
    .min(1)
    .max(32)
    .optional()
    .describe("versions it may be installed over, bounds included; any when left out"),
  hop: version.optional().describe("version that devices outside `from` go through first"),
};

/** Only what was said, so that a record of a release without a declaration stays as it always was. */
export function declared({ storage, migration, from, hop }: Declaration): Declaration {
  return {
    ...(storage === undefined ? {} : { storage }),
    ...(migration === undefined ? {} : { migration }),
    ...(from === undefined ? {} : { from }),
    ...(hop === undefined ? {} : { hop }),
  };
}

/** Refuses a declaration that contradicts itself. Throws `release/declaration`, naming the field. */
export function checkDeclaration({ storage, from, hop }: Declaration, version: string): void {
  const fail = (message: string): never => {
    throw new CoalmineError("release/declaration", message);
  };
  if (storage !== undefined && !readsSchema(storage, storage.writes)) {
    fail(`storage: it writes schema ${storage.writes} and reads ${schemaText(storage)}: a build must read what it writes`);
  }
  for (const [index, { min, max }] of (from ?? []).entries()) {
    if (min === undefined && max === undefined) {
      fail(`from.${index}: says neither min nor max`);
    }
    if (min !== undefined && max !== undefined && orderOf(min, max) === "newer") {
      fail(`from.${index}: min ${min} is above max ${max}`);
    }
  }
  if (hop !== undefined && from === undefined) {
    fail(`hop: ${hop} is for devices outside "from", which says nothing`);
  }
  if (hop !== undefined && from !== undefined && !mayComeFrom(from, hop)) {
    fail(`hop: ${hop} is itself outside "from" (${rangesText(from)}), so nothing can go through it`);
  }
  if (hop !== undefined && orderOf(hop, version) === "same") {
    fail(`hop: ${hop} is the release's own version`);
  }
}

/** True when a build with this declaration reads data of the schema. */
export function readsSchema({ minRead, maxRead }: Pick<StorageSchema, "minRead" | "maxRead">, schema: number): boolean {
  return schema >= minRead && schema <= maxRead;
}

/** True when the version lies in one of the ranges; none given means any. A version that nobody can order lies in none. */
export function mayComeFrom(from: readonly VersionRange[], version: string): boolean {
  const within = (order: ReturnType<typeof orderOf>, side: "newer" | "older"): boolean => order === side || order === "same" || order === "rebuilt";
  return (
    from.length === 0 ||
    from.some(({ min, max }) => (min === undefined || within(orderOf(version, min), "newer")) && (max === undefined || within(orderOf(version, max), "older")))
  );
}

/** `schema 1 to 3`, or `schema 2 alone`, without the word. */
export function schemaText({ minRead, maxRead }: Pick<StorageSchema, "minRead" | "maxRead">): string {
  return minRead === maxRead ? `${minRead} alone` : `${minRead} to ${maxRead}`;
}

/** The ranges in words. */
export function rangesText(from: readonly VersionRange[]): string {
  return from.map(({ min, max }) => (min === undefined ? `up to ${max}` : max === undefined ? `from ${min}` : min === max ? min : `${min} to ${max}`)).join(", ");
}
