// SPDX-License-Identifier: Apache-2.0
export { type DdiConfig, parseDdiConfig } from "./config.ts";
export { type DdiLink, ddiLink, type DdiLinkOptions } from "./link.ts";
export type { DdiLimits } from "./limits.ts";
export type { ConfigData } from "./identity.ts";
export type { DdiTokens } from "./tokens.ts";
