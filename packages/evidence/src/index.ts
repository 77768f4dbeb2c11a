// SPDX-License-Identifier: Apache-2.0

export * from "./ancova.ts";
export * from "./arm-bounds.ts";
export * from "./bench/index.ts";
export * from "./boot.ts";
export * from "./distributions.ts";
export * from "./episodes.ts";
export * from "./exact.ts";
export * from "./gamma.ts";
export * from "./half-t.ts";
export * from "./logspace.ts";
export * from "./margins.ts";
export * from "./mixture.ts";
export * from "./order.ts";
export * from "./representativeness.ts";
export * from "./risk-set.ts";
export * from "./sampler.ts";
export * from "./silence.ts";
export * from "./verdict.ts";
export * from "./device-record.ts";
export * from "./gate-spec.ts";
export * from "./judge.ts";
export { observe, observeSamples } from "./gates.ts";
export * from "./likelihood.ts";
export * from "./crash-free.ts";
export * from "./default-gates.ts";
export * from "./power.ts";
