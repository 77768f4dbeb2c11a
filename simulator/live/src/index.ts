// SPDX-License-Identifier: Apache-2.0
export { AcceleratedClock, type AcceleratedClockOptions } from "./clock.ts";
export { LiveFleet, liveFleet, type LiveFleetOptions } from "./fleet.ts";
export { type Shard, parseShard, shardOf } from "./shard.ts";
export type { LiveStats } from "./stats.ts";
