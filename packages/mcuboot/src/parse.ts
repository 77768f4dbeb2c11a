// SPDX-License-Identifier: Apache-2.0
import { hash } from "node:crypto";
import type { ImageHeader } from "./format.ts";
import { HEADER_BYTES, IMAGE_MAGIC, PROTECTED_TLV_MAGIC, TLV_HEADER_BYTES, TLV_MAGIC, TlvType, decodeHeader, readVersion, u16, u32 } from "./format.ts";
import type { ImageVersion } from "./version.ts";

/** One TLV of an image file. */
export interface ImageTlv {
  readonly type: number;
  readonly isProtected: boolean;
  /** Offset of the value in the file. */
  readonly off: number;
  readonly value: Uint8Array;
}

/** "This image needs image `image` at version `version` or later" (build number ignored by default builds). */
export interface ImageDependency {
  readonly image: number;
  readonly version: ImageVersion;
}

export interface ParsedImage extends ImageHeader {
  readonly kind: "image";
  readonly payload: { readonly off: number; readonly size: number };
  readonly tlvs: readonly ImageTlv[];
  /** Bytes of the unprotected TLV area with its header. */
  readonly unprotectedTlvSize: number;
  /** Bytes of header, payload and all TLVs; what follows in the file is padding or a trailer. */
  readonly totalSize: number;
  /** The first SHA-256 TLV: what the image claims, and what devices report. */
  readonly imageHash: Uint8Array | undefined;
  /** SHA-256 over header, payload and protected TLVs: what an intact, unencrypted image must claim. */
  readonly computedHash: Uint8Array;
  /** Key-hash TLVs, in order. */
  readonly keyHashes: readonly Uint8Array[];
  /** Signature TLV types present, in order. */
  readonly signatures: readonly number[];
  readonly securityCounter: number | undefined;
  readonly dependencies: readonly ImageDependency[];
}

export interface MalformedImage {
  readonly kind: "malformed";
  readonly reason: string;
  /** Byte of the file the reason is about. */
  readonly offset: number;
}

export interface ParseLimits {
  /** Bytes a file may have at most. */
  readonly sizeMax?: number;
  /** Entries the TLV areas may have at most together. */
  readonly tlvsMax?: number;
}

const SIGNATURES: ReadonlySet<number> = new Set<number>([TlvType.rsa2048, TlvType.ecdsa224, TlvType.ecdsa, TlvType.rsa3072, TlvType.ed25519]);

/**
 * Reads the structure of an image file without judging it: a parsed image may still be refused by a bootloader
 * (`verifyImage`). Never throws, for any bytes; the work is bounded by the file's size.
 */
export function parseImage(bytes: Uint8Array, limits: ParseLimits = {}): ParsedImage | MalformedImage {
  const sizeMax = limits.sizeMax ?? 64 * 1024 * 1024;
  const tlvsMax = limits.tlvsMax ?? 1024;
  const malformed = (reason: string, offset: number): MalformedImage => ({ kind: "malformed", reason, offset });
  if (bytes.length > sizeMax) {
    return malformed(`the file has ${bytes.length} bytes, more than ${sizeMax}`, sizeMax);
  }
  if (bytes.length < HEADER_BYTES) {
    return malformed(`the file ends within the ${HEADER_BYTES}-byte header`, bytes.length);
  }
  const header = decodeHeader(bytes);
  if (header.magic !== IMAGE_MAGIC) {
    return malformed(`no MCUboot image magic (found 0x${header.magic.toString(16)})`, 0);
  }
  const tlvOff = header.hdrSize + header.imgSize;
  if (tlvOff + header.protTlvSize + TLV_HEADER_BYTES > bytes.length) {
    return malformed(`the header announces ${tlvOff + header.protTlvSize} bytes and TLVs, the file has ${bytes.length}`, 12);
  }
  const tlvs: ImageTlv[] = [];
  let at = tlvOff;
  if (u16(bytes, at) === PROTECTED_TLV_MAGIC || header.protTlvSize !== 0) {
    const problem = readArea(bytes, at, PROTECTED_TLV_MAGIC, tlvs, tlvsMax);
    if (problem !== undefined) {
      return problem;
    }
    if (u16(bytes, at + 2) !== header.protTlvSize) {
      return malformed(`the protected TLV area has ${u16(bytes, at + 2)} bytes, the header says ${header.protTlvSize}`, at + 2);
    }
    at += header.protTlvSize;
  }
  const problem = readArea(bytes, at, TLV_MAGIC, tlvs, tlvsMax);
  if (problem !== undefined) {
    return problem;
  }
  const unprotectedTlvSize = u16(bytes, at + 2);
  const all = (type: number): readonly ImageTlv[] => tlvs.filter((tlv) => tlv.type === type);
  const counter = all(TlvType.securityCounter).find((tlv) => tlv.isProtected && tlv.value.length === 4);
  return {
    kind: "image",
    ...header,
    payload: { off: header.hdrSize, size: header.imgSize },
    tlvs,
    unprotectedTlvSize,
    totalSize: at + unprotectedTlvSize,
    imageHash: all(TlvType.sha256).find((tlv) => tlv.value.length === 32)?.value,
    computedHash: new Uint8Array(hash("sha256", bytes.subarray(0, tlvOff + header.protTlvSize), "buffer")),
    keyHashes: all(TlvType.keyHash).map((tlv) => tlv.value),
    signatures: tlvs.filter((tlv) => SIGNATURES.has(tlv.type)).map((tlv) => tlv.type),
    securityCounter: counter === undefined ? undefined : u32(counter.value, 0),
    dependencies: all(TlvType.dependency)
      .filter((tlv) => tlv.isProtected && tlv.value.length === 12)
      .map((tlv) => ({ image: tlv.value[0] ?? 0, version: readVersion(tlv.value, 4) })),
  };

  function readArea(file: Uint8Array, off: number, magic: number, into: ImageTlv[], most: number): MalformedImage | undefined {
    if (off + TLV_HEADER_BYTES > file.length) {
      return malformed("the file ends before the TLV area", file.length);
    }
    if (u16(file, off) !== magic) {
      return malformed(`no TLV area magic 0x${magic.toString(16)} (found 0x${u16(file, off).toString(16)})`, off);
    }
    const end = off + u16(file, off + 2);
    if (end < off + TLV_HEADER_BYTES || end > file.length) {
      return malformed(`the TLV area of ${end - off} bytes does not fit the file`, off + 2);
    }
    for (let entry = off + TLV_HEADER_BYTES; entry < end; ) {
      const value = entry + TLV_HEADER_BYTES;
      const length = u16(file, entry + 2);
      if (value > end || value + length > end) {
        return malformed("a TLV leaves its area", entry);
      }
      if (into.length >= most) {
        return malformed(`more than ${most} TLVs`, entry);
      }
      into.push({ type: u16(file, entry), isProtected: magic === PROTECTED_TLV_MAGIC, off: value, value: file.subarray(value, value + length) });
      entry = value + length;
    }
    return undefined;
  }
}
