// SPDX-License-Identifier: Apache-2.0
export { type ApiOptions, bodyBytesMax, buildApi } from "./api.ts";
export { type LogVerification, verifyLog } from "./context.ts";
export { loopbackHosts } from "./guard.ts";
export { type DoorMeter, type IngestMeter, newIngestMeter } from "./metrics.ts";
export type { PageFile, Pages } from "./pages.ts";
export type * from "./views.ts";
export { type WebhookPositions, Webhooks, type WebhookTarget, webhookUrl } from "./webhooks.ts";
