// SPDX-License-Identifier: Apache-2.0
export { cpio, SwuSigner } from "./swu.ts";
export { type GatewayOptions, SwupdateGateway, swupdateMissing } from "./swupdate.ts";
