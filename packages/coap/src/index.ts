// SPDX-License-Identifier: Apache-2.0
export type { SecretOf } from "./authentication.ts";
export { type ClientAnswer, type ClientIdentity, type ClientOptions, type ClientRequest, type ClientTimes, CoapClient } from "./client.ts";
export { coapKey } from "./key.ts";
export { type CoapLink, coapLink, type CoapLinkOptions, type CoapStats, isLoopback } from "./link.ts";
export { type CoapLimits, defaultLimits, type Rate, unlimited } from "./limits.ts";
export { Code, codeText, formatMessage, type Message, type MessageType, parseMessage, type Parsed } from "./message.ts";
export {
  type Block,
  ContentFormat,
  type Option,
  OptionNumber,
  optionOf,
  readBlock,
  readUint,
  writeBlock,
  writeUint,
} from "./option.ts";
export { LwM2mResult, LwM2mState, StateKey } from "./state.ts";
