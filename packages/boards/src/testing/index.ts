// SPDX-License-Identifier: Apache-2.0
export type { StandIn } from "./standin.ts";
export { buildStandIn, whyNoStandIn } from "./standin.ts";
