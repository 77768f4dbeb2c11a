// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import { Group } from "./frame.ts";

/** Codes common to all groups: `rc` of version 1, and of version 2 for errors of the protocol itself (Zephyr `mcumgr_err_t`). */
export const Rc = {
  ok: 0,
  unknown: 1,
  noMemory: 2,
  invalid: 3,
  timeout: 4,
  noEntry: 5,
  badState: 6,
  messageSize: 7,
  notSupported: 8,
  corrupt: 9,
  busy: 10,
  accessDenied: 11,
  tooOld: 12,
  tooNew: 13,
} as const;

/** Codes of the image group (Zephyr `img_mgmt_err_code_t`). */
export const ImageRc = {
  unknown: 1,
  noImage: 3,
  hashNotFound: 8,
  noFreeSlot: 9,
  flashWriteFailed: 12,
  flashEraseFailed: 13,
  invalidSlot: 14,
  invalidOffset: 20,
  invalidLength: 21,
  invalidImageHeader: 22,
  invalidImageHeaderMagic: 23,
  invalidHash: 24,
  versionGetFailed: 26,
  currentVersionIsNewer: 27,
  imageAlreadyPending: 28,
  invalidImageVectorTable: 29,
  imageTooLarge: 30,
  imageDataOverrun: 31,
  confirmationDenied: 32,
  testOfActiveDenied: 33,
} as const;

export const StatisticsRc = { unknown: 1, invalidGroup: 2, invalidStatName: 3 } as const;
export const SettingsRc = { unknown: 1, keyTooLong: 2, keyNotFound: 3, readNotSupported: 4, rootKeyNotFound: 5, writeNotSupported: 6, deleteNotSupported: 7, saveNotSupported: 8 } as const;

const COMMON = ["ok", "unknown error", "out of memory", "invalid value", "timeout", "no such entry", "not in this state", "message too large", "not supported", "corrupt", "busy", "access denied", "protocol version too old", "protocol version too new"];

const BY_GROUP: ReadonlyMap<number, { readonly name: string; readonly codes: readonly string[] }> = new Map([
  [Group.os, { name: "os", codes: ["ok", "unknown error", "invalid format", "query yields no answer"] }],
  [
    Group.image,
    {
      name: "image",
      codes: [
        "ok", "unknown error", "flash query failed", "no image in the slot", "image without TLVs", "invalid TLV", "more than one hash TLV", "TLV of invalid size",
        "no image with this hash", "no free slot", "flash open failed", "flash read failed", "flash write failed", "flash erase failed", "no such slot", "out of memory",
        "flash context already set", "flash context not set", "no flash device", "invalid page offset", "offset missing", "length missing", "shorter than an image header",
        "not an MCUboot image", "invalid hash", "image for another flash address", "version of the running image unknown", "the running image is not older",
        "another image is pending", "invalid vector table", "image too large for the slot", "more data than announced", "confirming this image is not allowed",
        "the running image cannot be tested", "active slot unknown",
      ],
    },
  ],
  [Group.statistics, { name: "statistics", codes: ["ok", "unknown error", "no such statistics", "invalid name", "invalid size", "reading was cut short"] }],
  [
    Group.settings,
    { name: "settings", codes: ["ok", "unknown error", "key too long", "no such key", "reading is not supported", "no such root key", "writing is not supported", "deleting is not supported", "saving is not supported"] },
  ],
]);

/** A board's no. `group` is missing for the common codes. */
export interface Refusal {
  readonly kind: "refused";
  readonly group: number | undefined;
  readonly rc: number;
  /** The code in words, and the board's own if it gave some. */
  readonly reason: string;
}

export function refusal(code: { readonly group?: number | undefined; readonly rc: number; readonly words?: string | undefined }): Refusal {
  const known = code.group === undefined ? undefined : BY_GROUP.get(code.group);
  const text = (code.group === undefined ? COMMON : known?.codes)?.[code.rc] ?? `code ${code.rc}`;
  const prefix = code.group === undefined ? "" : `${known?.name ?? `group ${code.group}`}: `;
  return { kind: "refused", group: code.group, rc: code.rc, reason: `${prefix}${text}${code.words === undefined ? "" : ` (${code.words.slice(0, 200)})`}` };
}

/** Thrown where a refusal leaves nothing to go on with. */
export class SmpRefused extends CoalmineError {
  readonly refusal: Refusal;

  constructor(what: string, refused: Refusal) {
    super("smp/refused", `the board refused ${what}: ${refused.reason}`);
    this.name = "SmpRefused";
    this.refusal = refused;
  }
}
