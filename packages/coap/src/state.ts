// SPDX-License-Identifier: Apache-2.0
// What a device posts to `.u/c/{component}`: one of our reports, or the short form that clients with LwM2M's states speak:
// a map of whole numbers with the keys below.
import { type Decoded, encodeReport, limits, type Offer, type ReportBody } from "@coalmine/protocol";

/** Keys of the short form. `offset` and `until_s` may be absent. */
export const StateKey = { state: 1, result: 2, boot: 3, sequence: 4, uptime_s: 5, offset: 6, until_s: 7 } as const;

/** LwM2M object 5, resource 3 (OMA LwM2M 1.1, appendix E.6). */
export const LwM2mState = { idle: 0, downloading: 1, downloaded: 2, updating: 3 } as const;

/** Object 5, resource 5; from 32 up what LwM2M has no code for (R53). */
export const LwM2mResult = {
  initial: 0,
  updated: 1,
  noFlash: 2,
  noRam: 3,
  connectionLost: 4,
  integrity: 5,
  unsupportedPackage: 6,
  invalidUri: 7,
  failed: 8,
  unsupportedProtocol: 9,
  cancelled: 10,
  deferred: 11,
  reverted: 32,
  confirmTimeout: 33,
  refusedDowngrade: 34,
  deferredBattery: 35,
  deferredBusy: 36,
  migrationFailed: 37,
} as const;

const failures: ReadonlyMap<number, string> = new Map([
  [LwM2mResult.noFlash, "not enough flash"],
  [LwM2mResult.noRam, "out of RAM"],
  [LwM2mResult.connectionLost, "connection lost"],
  [LwM2mResult.integrity, "integrity check failed"],
  [LwM2mResult.unsupportedPackage, "unsupported package type"],
  [LwM2mResult.invalidUri, "invalid URI"],
  [LwM2mResult.failed, "update failed"],
  [LwM2mResult.unsupportedProtocol, "unsupported protocol"],
  [LwM2mResult.cancelled, "cancelled"],
  [LwM2mResult.migrationFailed, "migration failed"],
]);

/** What a payload at the state path is. */
export type StateReport = { readonly kind: "report" } | Decoded<Uint8Array>;

const undecodable = (reason: string): StateReport => ({ kind: "undecodable", reason });

/**
 * Reads what was posted as a state. One of our reports is passed through (`report`); the short form becomes one, about
 * the offer that stands. Never throws.
 */
export function stateReport(bytes: Uint8Array, offer: Offer | undefined): StateReport {
  // Our reports are maps of six pairs that begin with the version.
  if (bytes[0] === 0xa6 && bytes[1] === 0) {
    return { kind: "report" };
  }
  const fields = readFields(bytes);
  if (fields === undefined) {
    return undecodable("state: no map of whole numbers");
  }
  const [state, result, boot, sequence, uptime_s] = [StateKey.state, StateKey.result, StateKey.boot, StateKey.sequence, StateKey.uptime_s].map((key) => fields.get(key));
  if (state === undefined || result === undefined || boot === undefined || sequence === undefined || uptime_s === undefined) {
    return undecodable("state: a field is missing");
  }
  if (offer === undefined) {
    return undecodable("state: no offer stands");
  }
  const body = bodyOf(state, result, offer, { offset: fields.get(StateKey.offset) ?? 0, until_s: fields.get(StateKey.until_s) ?? 0 });
  return body === undefined ? undecodable("state: unknown state or result") : { kind: "ok", value: encodeReport({ boot, sequence, uptime_s, body }) };
}

function bodyOf(state: number, result: number, offer: Offer, extra: { readonly offset: number; readonly until_s: number }): ReportBody | undefined {
  const number = offer.offer;
  const ended = (outcome: "confirmed" | "reverted" | "refused" | "failed", ran: boolean, reason: string): ReportBody => ({
    kind: "result",
    attempt: { offer: number, target: offer.imageHash, outcome, ran, resetCause: "unknown" },
    reason,
  });
  const failure = failures.get(result);
  if (failure !== undefined) {
    return ended("failed", false, failure);
  }
  switch (result) {
    case LwM2mResult.initial:
      switch (state) {
        case LwM2mState.idle:
          return { kind: "progress", offer: number, state: "accepted", offset: 0 };
        case LwM2mState.downloading:
          return { kind: "progress", offer: number, state: "downloading", offset: extra.offset };
        case LwM2mState.downloaded:
          return { kind: "progress", offer: number, state: "downloaded", offset: offer.size };
        case LwM2mState.updating:
          return { kind: "progress", offer: number, state: "applying", offset: offer.size };
        default:
          return undefined;
      }
    case LwM2mResult.updated:
      return ended("confirmed", true, "");
    case LwM2mResult.deferred:
    case LwM2mResult.deferredBusy:
      return { kind: "deferred", offer: number, reason: "busy", until_s: extra.until_s };
    case LwM2mResult.deferredBattery:
      return { kind: "deferred", offer: number, reason: "battery", until_s: extra.until_s };
    case LwM2mResult.reverted:
      return ended("reverted", true, "");
    case LwM2mResult.confirmTimeout:
      return ended("reverted", true, "confirmation timed out");
    case LwM2mResult.refusedDowngrade:
      return ended("refused", false, "downgrade");
    default:
      return undefined;
  }
}

/** Reads a map of 5 to 7 pairs of whole numbers, keys rising, shortest forms only. */
function readFields(bytes: Uint8Array): ReadonlyMap<number, number> | undefined {
  const pairs = (bytes[0] ?? 0) - 0xa0;
  if (pairs < 5 || pairs > 7) {
    return undefined;
  }
  const fields = new Map<number, number>();
  let at = 1;
  let previous = 0;
  for (let left = pairs; left > 0; left -= 1) {
    const key = bytes[at] ?? 0;
    const first = bytes[at + 1] ?? 0xff;
    if (key <= previous || key > StateKey.until_s || first > 0x1a) {
      return undefined;
    }
    const width = first < 24 ? 0 : 1 << (first - 24);
    let value = first;
    if (width > 0) {
      if (at + 2 + width > bytes.length) {
        return undefined;
      }
      value = 0;
      for (let index = 0; index < width; index += 1) {
        value = value * 256 + (bytes[at + 2 + index] as number);
      }
      if (value < (width === 1 ? 24 : 256 ** (width / 2)) || value > limits.uint32) {
        return undefined;
      }
    }
    fields.set(key, value);
    previous = key;
    at += 2 + width;
  }
  return at === bytes.length ? fields : undefined;
}
