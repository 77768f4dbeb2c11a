// SPDX-License-Identifier: Apache-2.0
// The laboratory page: words that host and firmware share (firmware/qemu/README.md). Little endian.

import { CoalmineError } from "@coalmine/core";

const MAGIC = 0x4c41_4231; // "LAB1"
const IDENTITY_MAGIC = 0x4449_4d43; // "CMID"
const IDENTITY_AT = 0x100;
const IDENTITY_VERSION = 1;
const DEVICE_AT = IDENTITY_AT + 12;
const DEVICE_BYTES = 65;
const SECRET_BYTES = 65;

/** Offsets in the page of words that a running board changes or obeys. */
export const WORDS = { operations: 4, cutAt: 8, cutStyle: 12, violations: 24, cuts: 28 } as const;

/** `spin`: the CPU stands still until the host ends it. `reset`: it resets itself and goes on. */
export type CutStyle = "spin" | "reset";

/** What the host asks of the flash. */
export interface LaboratorySettings {
  /** Power is lost in the operation that makes the counter this number; 0 for never. */
  readonly cutAt?: number;
  readonly cutStyle?: CutStyle;
  /** Microseconds that erasing a page takes. */
  readonly eraseMicros?: number;
  /** Microseconds that a write takes. */
  readonly writeMicros?: number;
}

/** Who the board is. Written into the file and not built in, so that one build serves all boards. */
export interface Identity {
  readonly device: string;
  /** TCP port of the broker on the host's loopback; 0 for what was built in. */
  readonly brokerPort: number;
  readonly coapPort: number;
  readonly smpPort: number;
  /** What the board proves itself with (`coalmine secret create`), at most 64 characters; none where nothing has to be proved. */
  readonly secret?: string | undefined;
}

/** The page as it was read. */
export interface Laboratory {
  readonly operations: number;
  readonly cutAt: number;
  readonly cutStyle: CutStyle;
  readonly eraseMicros: number;
  readonly writeMicros: number;
  /** Bytes in which a write would have set a bit: a driver that breaks the rules of NOR flash. */
  readonly violations: number;
  readonly cuts: number;
  readonly identity: Identity | null;
}

/** The page's first bytes, with all counters at zero. @throws CoalmineError `boards/bad-identity`. */
export function encodeLaboratory(identity: Identity, settings: LaboratorySettings = {}): Uint8Array {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(identity.device)) {
    throw new CoalmineError("boards/bad-identity", `${JSON.stringify(identity.device)} is no device id: 1 to 64 letters, digits, "_" and "-"`);
  }
  if (!/^[\x21-\x7e]{0,64}$/.test(identity.secret ?? "")) {
    throw new CoalmineError("boards/bad-identity", `the secret of ${identity.device} is none: at most 64 printable characters`);
  }
  const bytes = new Uint8Array(DEVICE_AT + DEVICE_BYTES + SECRET_BYTES);
  const view = new DataView(bytes.buffer);
  const words = [MAGIC, 0, settings.cutAt ?? 0, settings.cutStyle === "reset" ? 1 : 0, settings.eraseMicros ?? 0, settings.writeMicros ?? 0, 0, 0];
  for (const [index, word] of words.entries()) {
    view.setUint32(4 * index, word, true);
  }
  view.setUint32(IDENTITY_AT, IDENTITY_MAGIC, true);
  const { brokerPort, coapPort, smpPort } = identity;
  for (const [index, half] of [IDENTITY_VERSION, brokerPort, coapPort, smpPort].entries()) {
    view.setUint16(IDENTITY_AT + 4 + 2 * index, half, true);
  }
  bytes.set(new TextEncoder().encode(identity.device), DEVICE_AT);
  bytes.set(new TextEncoder().encode(identity.secret ?? ""), DEVICE_AT + DEVICE_BYTES);
  return bytes;
}

/** Reads the page; nothing without its magic. An identity that is not one reads as none. */
export function decodeLaboratory(page: Uint8Array): Laboratory | undefined {
  if (page.length < IDENTITY_AT + 12 + DEVICE_BYTES) {
    return undefined;
  }
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  const word = (index: number): number => view.getUint32(4 * index, true);
  if (word(0) !== MAGIC) {
    return undefined;
  }
  return {
    operations: word(1), cutAt: word(2), cutStyle: word(3) === 1 ? "reset" : "spin", eraseMicros: word(4), writeMicros: word(5), violations: word(6), cuts: word(7),
    identity: decodeIdentity(page, view),
  };
}

function decodeIdentity(page: Uint8Array, view: DataView): Identity | null {
  if (view.getUint32(IDENTITY_AT, true) !== IDENTITY_MAGIC || view.getUint16(IDENTITY_AT + 4, true) !== IDENTITY_VERSION) {
    return null;
  }
  const text = page.subarray(IDENTITY_AT + 12, IDENTITY_AT + 12 + DEVICE_BYTES);
  const end = text.indexOf(0);
  const device = new TextDecoder("latin1").decode(text.subarray(0, end < 0 ? 0 : end));
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(device)) {
    return null;
  }
  const port = (index: number): number => view.getUint16(IDENTITY_AT + 6 + 2 * index, true);
  return { device, brokerPort: port(0), coapPort: port(1), smpPort: port(2) };
}
