// SPDX-License-Identifier: Apache-2.0
export { TestDevice } from "./device.ts";
export { findLibcoap, type LibcoapResult, type LibcoapTarget, runOwnRequests, runRequests } from "./libcoap.ts";
export { numbers, packet, proof, tricks } from "./packets.ts";
export { type Target, target } from "./target.ts";
