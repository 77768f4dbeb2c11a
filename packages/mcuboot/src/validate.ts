// SPDX-License-Identifier: Apache-2.0
import { hash } from "node:crypto";
import type { ImageHeader } from "./format.ts";
import { IMAGE_MAGIC, ImageFlag, TlvType, UNPROTECTED_ALLOWED, equalBytes, isCompressed, isEncrypted, u32 } from "./format.ts";
import type { PublicKey, SignatureKind } from "./keys.ts";
import { SIGNATURE_BYTES_MAX, SIGNATURE_TLV, verifySignature } from "./keys.ts";
import type { Read } from "./tlv.ts";
import { TlvCursor, locateTlvs } from "./tlv.ts";

/** Why a bootloader does not boot an image; also the exit reasons of `artifact verify`. */
export type RejectReason =
  | "header-erased"
  | "non-bootable"
  | "bad-magic"
  | "size-overflow"
  | "too-large"
  | "encrypted"
  | "compressed"
  | "unreadable"
  | "decryption"
  | "tlv-malformed"
  | "tlv-not-allowed"
  | "hash-missing"
  | "hash-mismatch"
  | "key-hash-too-long"
  | "signature-size"
  | "signature-missing"
  | "signature-mismatch"
  | "security-counter-missing"
  | "security-counter-malformed"
  | "security-counter-too-low";

export type Validation =
  | { readonly ok: true; readonly digest: Uint8Array; readonly keyIndex: number | undefined }
  | { readonly ok: false; readonly reason: RejectReason };

/** What one bootloader build checks (MCUboot configuration, see `BootConfig`). */
export interface ValidationRules {
  readonly sig: SignatureKind;
  readonly keys: readonly PublicKey[];
  readonly tlvAllowList: boolean;
  /** Bytes of header, payload and TLVs that the slot may hold in this mode. */
  readonly maxSize: number;
  /** The stored counter when hardware rollback protection is on. */
  readonly rollbackCounter?: number | undefined;
}

/** An image in place: how to read it and where it starts. `plain` undoes encryption of payload bytes read from `read`. */
export interface ImageSource {
  readonly read: Read;
  readonly start: number;
  readonly plain?: ((header: ImageHeader, bytes: Uint8Array) => Uint8Array | undefined) | undefined;
  /** A digest of the first `size` bytes known from before, when they are not encrypted; it must be that of these very bytes. */
  readonly knownDigest?: ((size: number, bytes: () => Uint8Array | undefined) => Uint8Array | undefined) | undefined;
}

/** The checks on header fields that come before any hashing. `areaSize` in bytes. */
export function checkHeader(header: ImageHeader, areaSize: number, encryptionSupported: boolean): RejectReason | undefined {
  if (header.magic !== IMAGE_MAGIC) {
    return "bad-magic";
  }
  const size = header.hdrSize + header.imgSize + header.protTlvSize;
  if (size > 0xffffffff) {
    return "size-overflow";
  }
  if (size >= areaSize) {
    return "too-large";
  }
  const both = ImageFlag.encryptedAes128 | ImageFlag.encryptedAes256;
  if (encryptionSupported ? (header.flags & both) === both : isEncrypted(header)) {
    return "encrypted";
  }
  return isCompressed(header) ? "compressed" : undefined;
}

/**
 * Hash, signature and counter checks over one image (mcuboot design, "Integrity check").
 *
 * The rules are those of the real bootutil with FIH off, oddities included: the last checked signature decides, a
 * signature is checked with the key of the key-hash TLV before it and that key is then forgotten, a key hash is
 * compared over the length its TLV gives, and every SHA-256 TLV met must be right.
 */
export function validateImage(header: ImageHeader, source: ImageSource, rules: ValidationRules): Validation {
  const signedSize = header.hdrSize + header.imgSize + header.protTlvSize;
  const stored = (): Uint8Array | undefined => source.read(source.start, signedSize);
  let plain: Uint8Array | undefined;
  let digest: Uint8Array | undefined;
  if (source.plain === undefined && source.knownDigest !== undefined) {
    digest = source.knownDigest(signedSize, stored);
  }
  if (digest === undefined) {
    const bytes = stored();
    if (bytes === undefined) {
      return { ok: false, reason: "unreadable" };
    }
    plain = source.plain === undefined ? bytes : source.plain(header, bytes);
    if (plain === undefined) {
      return { ok: false, reason: "decryption" };
    }
    digest = new Uint8Array(hash("sha256", plain, "buffer"));
  }
  const computed = digest;
  const signed = (): Uint8Array => plain ?? stored() ?? new Uint8Array(0);
  const area = locateTlvs(header, source.read, source.start);
  if (area === undefined) {
    return { ok: false, reason: "tlv-malformed" };
  }
  if ((area.end - source.start) >>> 0 > rules.maxSize) {
    return { ok: false, reason: "too-large" };
  }

  const signatureTlv = rules.sig === "none" ? undefined : SIGNATURE_TLV[rules.sig];
  let hashSeen = false;
  let counterSeen = false;
  let keyIndex = -1;
  let verdict: { good: boolean; keyIndex: number } | undefined;
  const cursor = new TlvCursor(header, area, source.read);
  for (;;) {
    const entry = cursor.next();
    if (entry === "end") {
      break;
    }
    if (entry === "malformed") {
      return { ok: false, reason: "tlv-malformed" };
    }
    // The bootloader compares the offset of the value: an empty last protected entry therefore counts as unprotected.
    if (rules.tlvAllowList && entry.off >= area.protectedEnd && !UNPROTECTED_ALLOWED.has(entry.type)) {
      return { ok: false, reason: "tlv-not-allowed" };
    }
    const value = (): Uint8Array | undefined => source.read(entry.off, entry.len);
    switch (entry.type) {
      case TlvType.sha256: {
        const claimed = entry.len === 32 ? value() : undefined;
        if (claimed === undefined || !equalBytes(claimed, computed)) {
          return { ok: false, reason: "hash-mismatch" };
        }
        hashSeen = true;
        break;
      }
      case TlvType.keyHash: {
        if (signatureTlv === undefined) {
          break;
        }
        const claimed = entry.len <= 32 ? value() : undefined;
        if (claimed === undefined) {
          return { ok: false, reason: "key-hash-too-long" };
        }
        keyIndex = rules.keys.findIndex((key) => equalBytes(key.hash.subarray(0, claimed.length), claimed));
        break;
      }
      case signatureTlv: {
        const key = rules.keys[keyIndex];
        if (rules.sig === "none" || key === undefined) {
          break;
        }
        const longest = SIGNATURE_BYTES_MAX[rules.sig];
        const fits = rules.sig === "ecdsa-p256" ? entry.len <= longest : entry.len === longest;
        const signature = fits ? value() : undefined;
        if (signature === undefined) {
          return { ok: false, reason: "signature-size" };
        }
        verdict = { good: key.kind === rules.sig && verifySignature(key, { signed, digest: computed, signature }), keyIndex };
        keyIndex = -1;
        break;
      }
      case TlvType.securityCounter: {
        if (rules.rollbackCounter === undefined) {
          break;
        }
        const counter = entry.len === 4 ? value() : undefined;
        if (counter === undefined) {
          return { ok: false, reason: "security-counter-malformed" };
        }
        if (u32(counter, 0) < rules.rollbackCounter) {
          return { ok: false, reason: "security-counter-too-low" };
        }
        counterSeen = true;
        break;
      }
      default:
        break;
    }
  }
  if (!hashSeen) {
    return { ok: false, reason: "hash-missing" };
  }
  if (rules.rollbackCounter !== undefined && !counterSeen) {
    return { ok: false, reason: "security-counter-missing" };
  }
  if (signatureTlv === undefined) {
    return { ok: true, digest: computed, keyIndex: undefined };
  }
  if (verdict === undefined) {
    return { ok: false, reason: "signature-missing" };
  }
  return verdict.good ? { ok: true, digest: computed, keyIndex: verdict.keyIndex } : { ok: false, reason: "signature-mismatch" };
}

/** The security counter of an image's protected TLVs; nothing when there is none or it is not 4 bytes. */
export function securityCounter(header: ImageHeader, read: Read, start: number): number | undefined {
  if (header.protTlvSize === 0) {
    return undefined;
  }
  const area = locateTlvs(header, read, start);
  const entry = area === undefined ? "malformed" : new TlvCursor(header, area, read, { protectedOnly: true }).nextOf(TlvType.securityCounter);
  if (typeof entry === "string" || entry.len !== 4) {
    return undefined;
  }
  const value = read(entry.off, 4);
  return value === undefined ? undefined : u32(value, 0);
}

/** Size of the whole image with all TLVs, and of its unprotected TLV area; nothing when the TLV areas contradict the header. */
export function imageSize(header: ImageHeader, read: Read, start: number): { total: number; unprotected: number } | undefined {
  const area = locateTlvs(header, read, start);
  if (area === undefined) {
    return undefined;
  }
  return { total: area.end - start, unprotected: area.end - area.protectedEnd };
}

