// SPDX-License-Identifier: Apache-2.0
export { hashOf, sampleBoard, sampleImage } from "./board.ts";
export type { Fate, Weather } from "./carry.ts";
export { JumpingTimers, calm, inMemory, serveStream, serveUdp, stormy } from "./carry.ts";
export type { SmpServerOptions } from "./server.ts";
export { SmpServer } from "./server.ts";
