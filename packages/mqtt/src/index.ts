// SPDX-License-Identifier: Apache-2.0
export { type DeviceAuth, type SecretAuth, secretAuth } from "./auth.ts";
export { benchIngest, type IngestFigures, type IngestOptions } from "./bench.ts";
export { type Broker, type BrokerOptions, type Refusal, startBroker } from "./broker.ts";
export { type BrokerLink, brokerLink, type BrokerLinkOptions } from "./broker-link.ts";
export { embeddedLink } from "./embedded-link.ts";
export { type BrokerLimits, defaultLimits, type Rate, unlimited } from "./limits.ts";
export { crashStorm } from "./bench-storm.ts";
export type { StormLoad } from "./bench-storm-load.ts";
