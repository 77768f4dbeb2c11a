// SPDX-License-Identifier: Apache-2.0
export type { Draw, DrawName } from "./draw.ts";
export { draw, drawExponential, drawGamma, drawNormal, drawWeighted } from "./draw.ts";
export type { LinkConditions, MessageKind, NetworkOptions, Partition } from "./network.ts";
export { Network } from "./network.ts";
export type { WorldHandler } from "./world.ts";
export { World } from "./world.ts";
