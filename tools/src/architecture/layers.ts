// SPDX-License-Identifier: Apache-2.0
// The layer table: which packages of the workspace a package may use. Dependencies point inwards.

/** The layer a package names in its package.json as the nx tag `layer:…`. */
export const layers = ["core", "pure", "shell", "edge", "app", "testkit", "tool"] as const;
export type Layer = (typeof layers)[number];

export function isLayer(name: string): name is Layer {
  return (layers as readonly string[]).includes(name);
}

/** Packages by the last word of their folder: `packages/core` is `core`. */
const simulator = ["world", "device", "fleet"];
const inner = ["core", "protocol", "mcuboot", "nvs", "orchestrator"];

const byLayer: Record<Layer, readonly string[] | "any"> = {
  core: [],
  pure: ["core"],
  shell: ["core", "evidence", "protocol", "mcuboot", "coredump"],
  edge: inner,
  app: "any",
  testkit: [...inner, "evidence", "coredump", ...simulator],
  tool: "any",
};

/** What single packages may use beyond their layer. */
const byPackage: Readonly<Record<string, readonly string[]>> = {
  device: ["protocol", "mcuboot", "nvs"],
  fleet: ["device", "world", "protocol", "mcuboot", "nvs"],
  // A board's flash holds coredumps.
  boards: ["coredump"],
  // The simulated devices speak CoAP by the device client that belongs to the server.
  live: [...simulator, "coap"],
  // Tests of the index of crashes build dumps.
  store: ["coredump"],
  // The site is where host and fleet meet, so it sets up the host's evidence too.
  site: [...simulator, "evidence"],
};

/**
 * Whether one package may use another. `testkit` is left out here: tests of any package may use it, code may not.
 * @param user the using package: its folder's name and layer
 * @param used the folder's name of the used package
 */
export function mayUse(user: { readonly name: string; readonly layer: Layer }, used: string): boolean {
  if (used === "testkit") {
    return false;
  }
  const allowed = byLayer[user.layer];
  return allowed === "any" || allowed.includes(used) || (byPackage[user.name] ?? []).includes(used);
}

/** The allowed packages, for a message. */
export function allowedText(user: { readonly name: string; readonly layer: Layer }): string {
  const allowed = byLayer[user.layer];
  if (allowed === "any") {
    return "everything but testkit";
  }
  const names = [...allowed, ...(byPackage[user.name] ?? [])];
  return names.length === 0 ? "nothing" : [...new Set(names)].join(", ");
}

/** Layers whose code must not see a clock, a timer, randomness, the process or a Node module. */
export function isPure(layer: Layer): layer is "core" | "pure" {
  return layer === "core" || layer === "pure";
}
