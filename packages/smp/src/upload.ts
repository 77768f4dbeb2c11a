// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import type { CborRecord } from "./cbor.ts";
import { encodeBody } from "./cbor.ts";
import type { SmpClient } from "./client.ts";
import { badAnswer, granted, wholeOf } from "./fields.ts";
import { Group, ImageCommand, Op, SMP_HEADER_BYTES } from "./frame.ts";
import { readParameters } from "./os.ts";
import type { Refusal } from "./refusal.ts";

// U1. The board's offset is the truth: the next piece starts where the last answer says.
// U2. Every request at offset 0 carries all fields (length, sha, image, upgrade); no other does.
// U3. An upload ends: after so many restarts from 0, or answers that bring nothing forward, it gives up.

export interface UploadOptions {
  /** Number of the image on boards with several. */
  readonly image?: number;
  /** Let the board refuse an image that is not newer. */
  readonly upgradeOnly?: boolean;
  /** Bytes of one packet; found out from the board when missing. */
  readonly packetBytes?: number;
  readonly onProgress?: (progress: { readonly sent: number; readonly total: number }) => void;
}

/**
 * How an upload ended. `mismatch`: the board's check of the whole file failed. `stuck`: the board does not get further.
 *
 * `resumedAt`: where the first answer told to begin; the whole size when the board held the image already.
 */
export type UploadOutcome =
  | { readonly kind: "uploaded"; readonly resumedAt: number; readonly restarts: number; /** The board compared the file's SHA-256. */ readonly checked: boolean }
  | { readonly kind: "mismatch" }
  | { readonly kind: "stuck"; readonly offset: number }
  | Refusal;

/** Fits the smallest buffers Zephyr is used with. */
const PACKET_BYTES_UNKNOWN = 256;
const RESTARTS_MAX = 5;
const STALLS_MAX = 8;
/** The first piece erases the slot. */
const FIRST_TIMEOUT = 4_000;
const WHAT = "the upload";

/**
 * Sends an image file to the board's other slot.
 *
 * Sent again after a broken connection, it goes on where the board stopped, which recognises the file by its SHA-256.
 *
 * @throws CoalmineError of `SmpClient.request`; the board keeps what it has.
 */
export async function uploadImage(client: SmpClient, file: Uint8Array, options: UploadOptions = {}): Promise<UploadOutcome> {
  const packetBytes = options.packetBytes ?? (await packetSize(client));
  const total = file.length;
  const first: CborRecord = {
    ...(options.image === undefined ? {} : { image: options.image }),
    len: total,
    sha: new Uint8Array(createHash("sha256").update(file).digest()),
    ...(options.upgradeOnly === true ? { upgrade: true } : {}),
  };
  let offset = 0;
  let resumedAt: number | undefined;
  let restarts = 0;
  let stalls = 0;
  for (;;) {
    const fields: CborRecord = { ...(offset === 0 ? first : {}), off: offset };
    const data = file.subarray(offset, offset + pieceSize(fields, packetBytes));
    const answer = await client.request(
      { op: Op.write, group: Group.image, command: ImageCommand.upload, body: { ...fields, data } },
      offset === 0 ? { timeout: FIRST_TIMEOUT } : {},
    );
    if (answer.kind === "refused") {
      return answer;
    }
    const body = granted(WHAT, answer);
    const next = wholeOf(WHAT, body, "off");
    if (next > total) {
      throw badAnswer(WHAT, `says it has ${next} bytes of ${total}`);
    }
    resumedAt ??= next > data.length ? next : 0;
    options.onProgress?.({ sent: next, total });
    if (next === total) {
      const match = body.get("match");
      return match === false ? { kind: "mismatch" } : { kind: "uploaded", resumedAt, restarts, checked: match === true };
    }
    // A board that lost its state (reboot, another client, the answer to the last piece lost) says 0.
    if (next === 0 && offset > 0) {
      if (++restarts > RESTARTS_MAX) {
        return { kind: "stuck", offset };
      }
    } else if (next <= offset) {
      if (++stalls > STALLS_MAX) {
        return { kind: "stuck", offset };
      }
    } else {
      stalls = 0;
    }
    offset = next;
  }
}

async function packetSize(client: SmpClient): Promise<number> {
  const parameters = await readParameters(client);
  const offered = parameters === undefined ? PACKET_BYTES_UNKNOWN : parameters.bufferBytes - client.transport.overhead;
  return Math.max(64 + SMP_HEADER_BYTES, Math.min(offered, client.transport.packetMax));
}

/** Bytes of image that fit beside the fields; at least an MCUboot header's 32. */
function pieceSize(fields: CborRecord, packetBytes: number): number {
  const overhead = SMP_HEADER_BYTES + encodeBody({ ...fields, data: new Uint8Array(0) }).length + 2;
  return Math.max(32, packetBytes - overhead);
}
