// SPDX-License-Identifier: Apache-2.0
export { type Absence, isUnheard, listenedSince } from "./absence.ts";
export * from "./agenda.ts";
export * from "./assignment.ts";
export * from "./conduct.ts";
export * from "./decision.ts";
export * from "./error.ts";
export * from "./hardware.ts";
export * from "./heap.ts";
export * from "./ids.ts";
export * from "./move.ts";
export * from "./pace.ts";
export * from "./plan.ts";
export * from "./rollout.ts";
export * from "./signal.ts";
export * from "./time.ts";
export * from "./verdict.ts";
export * from "./version.ts";
