// SPDX-License-Identifier: Apache-2.0
export { TestDevice } from "./device.ts";
export { findLibcoap, type LibcoapCase, type LibcoapResult, type LibcoapTarget, runCase, runOwnRequests, runRequests, uploadedBatches } from "./libcoap.ts";
export { numbers, packet, proof, tricks } from "./packets.ts";
export { type Target, target } from "./target.ts";
