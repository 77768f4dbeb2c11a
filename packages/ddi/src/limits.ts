// SPDX-License-Identifier: Apache-2.0
import type { Rate } from "./rate.ts";

/** What one client, and all together, can make the server hold or do. */
export interface DdiLimits {
  /** Bytes of a request's body: SWUpdate sends up to 48 log lines in one. */
  readonly bodyBytes: number;
  /** Milliseconds for a whole request to arrive, and for its header alone. */
  readonly requestMs: number;
  readonly headerMs: number;
  readonly connections: number;
  /** Requests of one device, and of one address. */
  readonly device: Rate;
  readonly address: Rate;
  /** Downloads of one device at a time. */
  readonly downloads: number;
  /** A download slower than this over a whole window is cut; the client goes on with a Range. */
  readonly slowBytesPerSecond: number;
  readonly slowWindowMs: number;
  /** Devices that are remembered; beyond, the one heard longest ago is asked anew. */
  readonly devices: number;
}

export const defaultLimits: DdiLimits = {
  bodyBytes: 65_536,
  requestMs: 30_000,
  headerMs: 10_000,
  connections: 4_096,
  device: { burst: 60, perSecond: 5 },
  address: { burst: 2_000, perSecond: 500 },
  downloads: 2,
  slowBytesPerSecond: 256,
  slowWindowMs: 60_000,
  devices: 100_000,
};
