// SPDX-License-Identifier: Apache-2.0

export * from "./cells.ts";
export * from "./report.ts";
export type { Scenario } from "./model.ts";
export { type Ending, METHODS, type Method, simulate } from "./simulate.ts";
export * from "./reference.ts";
