// SPDX-License-Identifier: Apache-2.0
export * from "./error.ts";
export * from "./hardware.ts";
export * from "./ids.ts";
export * from "./time.ts";
