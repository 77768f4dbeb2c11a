// SPDX-License-Identifier: Apache-2.0
// The artifact of an offer as a file over HTTP. Bytes come from the host, which refuses devices without an offer (R8).
import type { DeviceId } from "@coalmine/core";
import type { LinkHost } from "@coalmine/orchestrator";
import type { Offer } from "@coalmine/protocol";
import { createHash } from "node:crypto";
import type { Writable } from "node:stream";
import type { DdiLimits } from "./limits.ts";
import type { FileNames } from "./wire.ts";

/** Bytes that are read and written at a time: what a slow client can keep in memory. */
const pieceBytes = 65_536;
const namesMax = 64;

export class Artifacts {
  readonly #host: LinkHost;
  readonly #names = new Map<string, FileNames>();
  #request = 0;

  constructor(host: LinkHost) {
    this.#host = host;
  }

  /** Bytes of the artifact, or undefined when the device may not have them (any more). */
  piece(device: DeviceId, offer: Offer, from: number, length: number): Uint8Array | undefined {
    this.#request += 1;
    const answer = this.#host.block(device, { request: this.#request, digest: offer.digest.subarray(0, 8), offset: from, length });
    return answer.kind === "block" ? answer.data : undefined;
  }

  /** Name and checksums of the file; undefined when the device may not have it. */
  names(device: DeviceId, offer: Offer): FileNames | undefined {
    const sha256 = offer.digest.toHex();
    const known = this.#names.get(sha256);
    if (known !== undefined) {
      return known;
    }
    const whole = this.piece(device, offer, 0, offer.size);
    if (whole === undefined) {
      return undefined;
    }
    const sum = (algorithm: string): string => createHash(algorithm).update(whole).digest("hex");
    const names = { name: `${sha256.slice(0, 16)}.${extensionOf(whole)}`, sha1: sum("sha1"), md5: sum("md5"), sha256 };
    this.#names.set(sha256, names);
    if (this.#names.size > namesMax) {
      for (const oldest of this.#names.keys()) {
        this.#names.delete(oldest);
        break;
      }
    }
    return names;
  }
}

/** What clients look for at the end of a file's name: SWUpdate passes over everything but `.swu`. */
function extensionOf(bytes: Uint8Array): string {
  const text = (from: number, to: number): string => String.fromCharCode(...bytes.subarray(from, to));
  if (/^07070[127]$/.test(text(0, 6))) {
    return "swu"; // a cpio archive
  }
  return text(0, 4) === "hsqs" ? "raucb" : "bin";
}

/** How a download ended. */
export type Sent = "sent" | "left" | "slow" | "withdrawn";

/**
 * Writes bytes of an artifact, never more than one piece ahead of the client, and cuts off a client that is too slow.
 * `progress` hears how far the client has been given it.
 */
export async function stream(
  out: Writable,
  options: {
    readonly from: number;
    readonly end: number;
    readonly piece: (from: number, length: number) => Uint8Array | undefined;
    readonly progress: (offset: number) => Promise<void>;
    readonly limits: Pick<DdiLimits, "slowBytesPerSecond" | "slowWindowMs">;
  },
): Promise<Sent> {
  const { from, end, limits } = options;
  let ended: Sent | undefined;
  let wake = (): void => undefined;
  const stop = (why: Sent): void => {
    ended ??= why;
    wake();
  };
  let offset = from;
  let before = from;
  const slowest = (limits.slowBytesPerSecond * limits.slowWindowMs) / 1_000;
  const watch = setInterval(() => {
    // What waits in our buffer has not been taken by anybody.
    const taken = offset - out.writableLength;
    if (taken - before < Math.min(slowest, end - before)) {
      stop("slow");
    }
    before = taken;
  }, limits.slowWindowMs);
  const left = (): void => stop("left");
  const drained = (): void => wake();
  out.on("close", left).on("error", left).on("drain", drained);
  const waiting = async (): Promise<void> => {
    await new Promise<void>((resolve) => {
      wake = resolve;
      if (ended !== undefined) {
        resolve();
      }
    });
    wake = () => undefined;
  };
  try {
    while (offset < end && ended === undefined) {
      const data = options.piece(offset, Math.min(pieceBytes, end - offset));
      if (data === undefined) {
        stop("withdrawn");
        break;
      }
      offset += data.length;
      if (!out.write(data) && ended === undefined) {
        await waiting();
      }
      if (ended === undefined) {
        await options.progress(offset);
      }
    }
    if (ended === undefined) {
      out.end();
      return "sent";
    }
    out.destroy();
    return ended;
  } finally {
    clearInterval(watch);
    out.off("close", left).off("error", left).off("drain", drained);
  }
}
