// SPDX-License-Identifier: Apache-2.0
import type { DeviceId, Instant } from "@coalmine/core";

/** What travels between a device and the host. */
export type Message = "report" | "request" | "command" | "block";

/**
 * Faults on top of the real sockets, on the device's side of them: a socket on the loopback neither waits nor loses.
 *
 * `arrivals` says after how many milliseconds of device time the `nth` message of a kind gets through: one number as a
 * rule, two for a duplicate, none for a loss. A lost report is sent again by the device's own retransmission, which the
 * implementation adds to the delay; a lost block request or answer is lost.
 */
export interface LiveNetwork {
  arrivals(device: DeviceId, message: Message, nth: number, now: Instant): readonly number[];
}
