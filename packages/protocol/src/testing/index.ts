// SPDX-License-Identifier: Apache-2.0
export { goldenVectors } from "./vectors.ts";
export { codecs, samples, type MessageType } from "./messages.ts";
export { mutant, oversized } from "./mutator.ts";
