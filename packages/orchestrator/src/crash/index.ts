// SPDX-License-Identifier: Apache-2.0
export * from "./arms.ts";
export * from "./assembly.ts";
export type * from "./catalogue.ts";
export * from "./examine.ts";
export * from "./link.ts";
export * from "./signature.ts";
export * from "./symbols.ts";
