// SPDX-License-Identifier: Apache-2.0
import type { KeyObject } from "node:crypto";
import { unwrapKey, applyKeystream, wrappedKeyTlv } from "./encryption.ts";
import type { ImageHeader } from "./format.ts";
import { HEADER_BYTES, ImageFlag, decodeHeader, isEncrypted } from "./format.ts";
import type { PublicKey, SignatureKind } from "./keys.ts";
import { TlvCursor, locateTlvs } from "./tlv.ts";
import type { RejectReason } from "./validate.ts";
import { checkHeader, validateImage } from "./validate.ts";
import type { ImageVersion } from "./version.ts";

/** The bootloader an image is verified for. Everything left out takes Zephyr's default. */
export interface VerifyPolicy {
  /** Signature type of the bootloader; by default that of each given key in turn. `none` accepts on the hash alone. */
  readonly sig?: SignatureKind;
  readonly tlvAllowList?: boolean;
  /** Bytes of the slot: the file is read as if the rest of the slot were erased. Default: the slot ends with the file. */
  readonly slotSize?: number;
  /** Largest image the slot may hold in the bootloader's mode (`slotCapacity`), in bytes. */
  readonly maxSize?: number;
  /** Stored security counter, when the bootloader has hardware rollback protection. */
  readonly rollbackCounter?: number;
  /** Decryption key of the bootloader, for encrypted images. */
  readonly encryption?: { readonly kind: "x25519" | "ec256"; readonly key: KeyObject };
}

export type VerifyResult =
  | { readonly ok: true; readonly imageHash: Uint8Array; readonly version: ImageVersion; readonly keyIndex: number | undefined }
  | { readonly ok: false; readonly reason: RejectReason | "no-key" };

/**
 * Says whether a bootloader with these keys would run an image, and why not. Never throws, for any bytes.
 *
 * The checks and their order are the bootloader's own (`validateImage`), so a file verified here boots there, and one
 * refused here is erased there. With keys of several types each type is tried, as no bootloader has more than one.
 */
export function verifyImage(bytes: Uint8Array, keys: readonly PublicKey[], policy: VerifyPolicy = {}): VerifyResult {
  if (bytes.length < HEADER_BYTES) {
    return { ok: false, reason: "unreadable" };
  }
  const header = decodeHeader(bytes);
  if (header.magic === 0xffffffff) {
    return { ok: false, reason: "header-erased" };
  }
  if ((header.flags & ImageFlag.nonBootable) !== 0) {
    return { ok: false, reason: "non-bootable" };
  }
  const areaSize = policy.slotSize ?? bytes.length;
  const problem = bytes.length > areaSize ? "too-large" : checkHeader(header, areaSize, policy.encryption !== undefined);
  if (problem !== undefined) {
    return { ok: false, reason: problem };
  }
  const kinds: readonly SignatureKind[] = policy.sig === undefined ? [...new Set(keys.map((key) => key.kind))] : [policy.sig];
  let failure: VerifyResult = { ok: false, reason: "no-key" };
  for (const sig of kinds) {
    const candidates = keys.filter((key) => key.kind === sig);
    const source = imageSource(bytes, header, areaSize, policy);
    const verdict = validateImage(header, source, {
      sig,
      keys: candidates,
      tlvAllowList: policy.tlvAllowList ?? true,
      maxSize: policy.maxSize ?? areaSize,
      rollbackCounter: policy.rollbackCounter,
    });
    if (verdict.ok) {
      const key = verdict.keyIndex === undefined ? undefined : candidates[verdict.keyIndex];
      return { ok: true, imageHash: verdict.digest, version: header.version, keyIndex: key === undefined ? undefined : keys.indexOf(key) };
    }
    failure = verdict;
  }
  return failure;
}

function imageSource(bytes: Uint8Array, header: ImageHeader, areaSize: number, policy: VerifyPolicy): Parameters<typeof validateImage>[1] {
  const read = (off: number, len: number): Uint8Array | undefined => {
    if (off + len > areaSize) {
      return undefined;
    }
    if (off + len <= bytes.length) {
      return bytes.subarray(off, off + len);
    }
    const padded = new Uint8Array(len).fill(0xff);
    padded.set(bytes.subarray(Math.min(off, bytes.length)));
    return padded;
  };
  const { encryption } = policy;
  if (encryption === undefined || !isEncrypted(header)) {
    return { read, start: 0 };
  }
  const plain = (head: ImageHeader, stored: Uint8Array): Uint8Array | undefined => {
    const tlvs = locateTlvs(head, read);
    const entry = tlvs === undefined ? "end" : new TlvCursor(head, tlvs, read).nextOf(wrappedKeyTlv(encryption.kind).type);
    const wrapped = typeof entry === "string" ? undefined : read(entry.off, entry.len);
    const key = wrapped === undefined ? undefined : unwrapKey(encryption.kind, encryption.key, wrapped);
    if (key === undefined) {
      return undefined;
    }
    const out = stored.slice();
    out.set(applyKeystream(key, 0, stored.subarray(head.hdrSize, head.hdrSize + head.imgSize)), head.hdrSize);
    return out;
  };
  return { read, start: 0, plain };
}
