// SPDX-License-Identifier: Apache-2.0
export { AcceleratedClock, type AcceleratedClockOptions } from "./clock.ts";
export { LiveFleet, liveFleet, type LiveFleetOptions, type LiveStats } from "./fleet.ts";
export { type Shard, parseShard, shardOf } from "./shard.ts";
