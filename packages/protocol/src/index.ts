// SPDX-License-Identifier: Apache-2.0
export type * from "./report.ts";
export type * from "./command.ts";
export type * from "./block.ts";
export type * from "./decoded.ts";
export { isAttributeValue, isFactName, limits } from "./limits.ts";
export { decodeReport, encodeReport, peekReportKind } from "./codec/report.ts";
export { decodeCommand, encodeCommand } from "./codec/command.ts";
export { decodeBlockAnswer, decodeBlockRequest, encodeBlockAnswer, encodeBlockRequest } from "./codec/block.ts";
export { describeCommand, describeReport } from "./describe.ts";
export type { Channel } from "./topics.ts";
export {
  blockAnswerTopic,
  blockRequestTopic,
  commandTopic,
  deviceFilter,
  hostFilters,
  isKept,
  mayPublish,
  mayReceive,
  maySubscribe,
  parseTopic,
  reportTopic,
} from "./topics.ts";
