// SPDX-License-Identifier: Apache-2.0
// How a build keeps its settings and takes over older ones, as a scenario or a fleet file writes it.
import { firstLayout, type SchemaStep, type SettingsOperation, type StorageProgram, type ValueName, valueNames } from "@coalmine/device";
import { z } from "zod";

/** A setting's name as in Zephyr: parts of letters, digits, `_` and `-` with slashes between. */
const settingName = z.string().regex(/^[A-Za-z0-9_-]+(?:\/[A-Za-z0-9_-]+)*$/, "must be a setting's name: app/period").max(64);
const encoding = z.enum(["bytes", "hex"]);

const place = z.union([settingName, z.array(settingName).min(1).max(4), z.strictObject({ names: z.array(settingName).min(1).max(4), as: encoding.default("bytes") })], {
  error: "must be a setting's name, a list of names, or {names, as}",
});

const operation = z.union(
  [
    z.literal("commit"),
    z.strictObject({ copy: settingName, to: settingName, as: encoding.optional() }),
    z.strictObject({ move: settingName, to: settingName, as: encoding.optional(), deleteFirst: z.boolean().default(false) }),
    z.strictObject({ split: settingName, to: z.tuple([settingName, settingName]), at: z.int().min(1).max(1_000) }),
    z.strictObject({ delete: settingName }),
  ],
  { error: "must be {copy, to}, {move, to}, {split, to, at}, {delete} or commit" },
);

const operations = z.array(operation).max(64).default([]);

/** `storage` of a release or of a fleet's firmware. */
export const storageShape = z.strictObject({
  /** Where values lie, where that differs from the first layout. */
  layout: z.strictObject({ identity: place.optional(), credentials: place.optional(), calibration: place.optional(), counter: place.optional() }).prefault({}),
  /** Steps from older schemas, the last to the build's own. */
  steps: z.array(z.strictObject({ apply: operations, retire: operations })).max(16).default([]),
  unreadable: z.enum(["leave", "erase"]).default("leave"),
  /** Newest schema it declares to read; its own when left out. */
  maxRead: z.int().min(0).max(65_535).optional(),
});

export type StorageSpec = z.output<typeof storageShape>;

/** The program of a build that writes `schema`. */
export function storageProgram(spec: StorageSpec, schema: number): StorageProgram {
  const layout = { ...firstLayout };
  for (const name of valueNames) {
    const given = spec.layout[name];
    if (given !== undefined) {
      layout[name satisfies ValueName] = typeof given === "string" ? { names: [given], as: "bytes" } : Array.isArray(given) ? { names: given, as: "bytes" } : given;
    }
  }
  const steps = spec.steps.map((step): SchemaStep => ({ apply: step.apply.map(operationOf), retire: step.retire.map(operationOf) }));
  return { first: schema - steps.length, steps, layout, unreadable: spec.unreadable };
}

/** What the release declares: it reads from its oldest step on. */
export function storageDeclared(spec: StorageSpec, schema: number): { readonly minRead: number; readonly maxRead: number; readonly writes: number } {
  return { minRead: schema - spec.steps.length, maxRead: spec.maxRead ?? schema, writes: schema };
}

function operationOf(given: z.output<typeof operation>): SettingsOperation {
  if (given === "commit") {
    return { kind: "commit" };
  }
  if ("copy" in given) {
    return { kind: "copy", from: given.copy, to: given.to, as: given.as };
  }
  if ("move" in given) {
    return { kind: "move", from: given.move, to: given.to, as: given.as, deleteFirst: given.deleteFirst };
  }
  if ("split" in given) {
    return { kind: "split", from: given.split, to: given.to, at: given.at };
  }
  return { kind: "delete", name: given.delete };
}
