// SPDX-License-Identifier: Apache-2.0
import type { DeviceId } from "@coalmine/core";
import type { LinkHost } from "@coalmine/orchestrator";
import { type Channel, decodeBlockRequest, encodeBlockAnswer, limits } from "@coalmine/protocol";

/** A message as it came up from a device. */
export interface Upward {
  readonly device: DeviceId;
  readonly channel: Channel;
  readonly payload: Uint8Array;
}

/**
 * Hands a device's message to the host. The message may be acknowledged once the returned promise resolved, or at once
 * when there is none (I1). Rejects when the host could not keep a report: then it is not acknowledged.
 * @param answer sends a block answer down to the device; dropping one is allowed, the device asks again
 */
export function receive(host: LinkHost, { device, channel, payload }: Upward, answer: (bytes: Uint8Array) => void): Promise<void> | undefined {
  switch (channel) {
    case "report":
      if (payload.length > limits.message) {
        host.undecodable(device, "report: too long", payload.length, "mqtt");
        return undefined;
      }
      return host.report(device, payload, "mqtt");
    case "block-request": {
      const request = decodeBlockRequest(payload);
      if (request.kind === "undecodable") {
        host.undecodable(device, request.reason, payload.length, "mqtt");
      } else {
        answer(encodeBlockAnswer(host.block(device, request.value)));
      }
      return undefined;
    }
    case "command":
    case "block-answer":
      host.undecodable(device, "a topic of the host", payload.length, "mqtt");
      return undefined;
  }
}

/** The same bytes without Buffer's other meaning of `slice`, for code that knows Uint8Array only. */
export function plainBytes(payload: Uint8Array | string): Uint8Array {
  return typeof payload === "string"
    ? new TextEncoder().encode(payload)
    : new Uint8Array(payload.buffer, payload.byteOffset, payload.length);
}
