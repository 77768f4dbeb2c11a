// SPDX-License-Identifier: Apache-2.0

/** Of the command and of the orchestrator: what each tells the other. */
export const coalmineVersion = "0.1.0";
