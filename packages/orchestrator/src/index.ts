// SPDX-License-Identifier: Apache-2.0
export * from "./audit.ts";
export * from "./conductor.ts";
export type * from "./dispatch.ts";
export * from "./entry.ts";
export * from "./host.ts";
export * from "./inventory.ts";
export * from "./judge.ts";
export * from "./membership.ts";
export * from "./operations.ts";
export * from "./plan-file.ts";
export type * from "./ports.ts";
export * from "./replay.ts";
export * from "./preflight.ts";
export * from "./report-markdown.ts";
export * from "./report.ts";
export * from "./selector.ts";
export * from "./snapshot.ts";
export * from "./summary.ts";
