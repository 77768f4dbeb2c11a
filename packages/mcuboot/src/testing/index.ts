// SPDX-License-Identifier: Apache-2.0
export { ED25519, ED25519_OTHER, P256, board, configFor, device, draws, image } from "./boards.ts";
export type { CutTrial } from "./cut-trial.ts";
export { cutTrial } from "./cut-trial.ts";
export { mutateImage } from "./mutations.ts";
export type { FuzzReport } from "./trial.ts";
export { ImageTrial } from "./trial.ts";
