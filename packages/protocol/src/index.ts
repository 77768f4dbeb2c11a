// SPDX-License-Identifier: Apache-2.0
export type * from "./report.ts";
export type * from "./command.ts";
export type * from "./block.ts";
