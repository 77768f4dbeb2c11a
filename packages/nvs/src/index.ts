// SPDX-License-Identifier: Apache-2.0
export * from "./entry.ts";
export * from "./nvs.ts";
export * from "./power.ts";
export * from "./sector.ts";
export * from "./settings.ts";
export { piece } from "./slab.ts";
