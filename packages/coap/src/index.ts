// SPDX-License-Identifier: Apache-2.0
export type { SecretOf } from "./authentication.ts";
export { type CoapLink, coapLink, type CoapLinkOptions, type CoapStats } from "./link.ts";
export { type CoapLimits, defaultLimits, type Rate, unlimited } from "./limits.ts";
