// SPDX-License-Identifier: Apache-2.0
// What a build does with its application's settings, as data in the image: where it keeps them, and how it takes over those of an
// earlier schema (R42). `firmware/lib/include/coalmine/schema.h` is the same in C, for steps written by hand.

/** What every simulated application keeps. */
export const valueNames = ["identity", "credentials", "calibration", "counter"] as const;
export type ValueName = (typeof valueNames)[number];

/** Where a value lies: the settings that hold it, one after the other, as bytes or as the text of their hex digits. */
export interface Place {
  readonly names: readonly string[];
  readonly as: "bytes" | "hex";
}

export type Layout = Readonly<Record<ValueName, Place>>;

/** The layout of builds that say nothing else. */
export const firstLayout: Layout = {
  identity: { names: ["device/id"], as: "bytes" },
  credentials: { names: ["device/key"], as: "bytes" },
  calibration: { names: ["app/cal"], as: "bytes" },
  counter: { names: ["app/count"], as: "bytes" },
};

/**
 * One operation of a step. What is not there is passed over, so that a step that was cut can begin again.
 *
 * `copy` writes the value under another name, changing its encoding if told; `move` removes the old name after that, or before it
 * (`deleteFirst`: a classic mistake); `split` cuts a value in two; `delete` removes; `commit` writes the schema record in mid-step.
 */
export type SettingsOperation =
  | { readonly kind: "copy"; readonly from: string; readonly to: string; readonly as?: "bytes" | "hex" | undefined }
  | { readonly kind: "move"; readonly from: string; readonly to: string; readonly as?: "bytes" | "hex" | undefined; readonly deleteFirst?: boolean | undefined }
  | { readonly kind: "split"; readonly from: string; readonly to: readonly [string, string]; readonly at: number }
  | { readonly kind: "delete"; readonly name: string }
  | { readonly kind: "commit" };

/** One step from a schema to the next. */
export interface SchemaStep {
  readonly apply: readonly SettingsOperation[];
  /** Removes what only the older schema needs; done once the image is confirmed. */
  readonly retire: readonly SettingsOperation[];
}

export interface StorageProgram {
  /** Oldest schema it has steps from. `steps[i]` leads from `first + i` to the next; the last leads to the build's own schema. */
  readonly first: number;
  readonly steps: readonly SchemaStep[];
  readonly layout: Layout;
  /** What it does with data it cannot read: leave it alone and run without, or erase it all. */
  readonly unreadable: "leave" | "erase";
}

/** What a build without a storage program does: the first layout, whatever the number of its schema. */
export function plainProgram(schema: number): StorageProgram {
  return { first: schema, steps: [], layout: firstLayout, unreadable: "leave" };
}

/** Shape only; images may come from anywhere. */
export function isStorageProgram(value: unknown): value is StorageProgram {
  if (typeof value !== "object" || value === null) {
    return false;
  }
  const { first, steps, layout, unreadable } = value as Partial<Record<keyof StorageProgram, unknown>>;
  const isList = (list: unknown): boolean => Array.isArray(list) && list.every((entry) => typeof entry === "object" && entry !== null);
  return (
    Number.isSafeInteger(first) &&
    Array.isArray(steps) &&
    steps.every((step: { apply?: unknown; retire?: unknown } | null) => isList(step?.apply) && isList(step?.retire)) &&
    typeof layout === "object" &&
    layout !== null &&
    valueNames.every((name) => Array.isArray((layout as Partial<Record<string, { names?: unknown }>>)[name]?.names)) &&
    (unreadable === "leave" || unreadable === "erase")
  );
}
