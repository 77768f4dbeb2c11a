// SPDX-License-Identifier: Apache-2.0
import type { ImageVersion } from "./version.ts";

// The image format of MCUboot's design document, sections "Image format" and "TLV area". Everything is little endian.

export const IMAGE_MAGIC = 0x96f3b83d;
/** Bytes of the header that have a meaning; `hdrSize` in the header says where the payload starts. */
export const HEADER_BYTES = 32;
export const TLV_MAGIC = 0x6907;
export const PROTECTED_TLV_MAGIC = 0x6908;
/** Bytes of a TLV area's own header, and of each entry's header. */
export const TLV_HEADER_BYTES = 4;

export const ImageFlag = {
  pic: 0x1,
  encryptedAes128: 0x4,
  encryptedAes256: 0x8,
  nonBootable: 0x10,
  ramLoad: 0x20,
  romFixed: 0x100,
  compressedLzma1: 0x200,
  compressedLzma2: 0x400,
  compressedArmThumb: 0x800,
} as const;

export const TlvType = {
  keyHash: 0x01,
  publicKey: 0x02,
  sha256: 0x10,
  sha384: 0x11,
  sha512: 0x12,
  rsa2048: 0x20,
  ecdsa224: 0x21,
  ecdsa: 0x22,
  rsa3072: 0x23,
  ed25519: 0x24,
  signaturePure: 0x25,
  encryptedRsa2048: 0x30,
  encryptedKeyWrap: 0x31,
  encryptedEc256: 0x32,
  encryptedX25519: 0x33,
  dependency: 0x40,
  securityCounter: 0x50,
  bootRecord: 0x60,
} as const;

/** Entry types a bootloader with the TLV allow list accepts outside the protected area. */
export const UNPROTECTED_ALLOWED: ReadonlySet<number> = new Set<number>([
  TlvType.keyHash,
  TlvType.publicKey,
  TlvType.sha256,
  TlvType.sha384,
  TlvType.sha512,
  TlvType.rsa2048,
  TlvType.ecdsa224,
  TlvType.ecdsa,
  TlvType.rsa3072,
  TlvType.ed25519,
  TlvType.encryptedRsa2048,
  TlvType.encryptedKeyWrap,
  TlvType.encryptedEc256,
  TlvType.encryptedX25519,
]);

/** The 32 bytes an image starts with. Sizes are in bytes. */
export interface ImageHeader {
  readonly magic: number;
  readonly loadAddr: number;
  readonly hdrSize: number;
  readonly protTlvSize: number;
  /** Payload only: neither header nor TLVs. */
  readonly imgSize: number;
  readonly flags: number;
  readonly version: ImageVersion;
}

/** What the loader's state holds before any header was read. */
export const ZERO_HEADER: ImageHeader = {
  magic: 0,
  loadAddr: 0,
  hdrSize: 0,
  protTlvSize: 0,
  imgSize: 0,
  flags: 0,
  version: { major: 0, minor: 0, revision: 0, build: 0 },
};

/** Reads a header from at least 32 bytes. Any bytes decode; whether they make sense is decided by who asked. */
export function decodeHeader(bytes: Uint8Array): ImageHeader {
  return {
    magic: u32(bytes, 0),
    loadAddr: u32(bytes, 4),
    hdrSize: u16(bytes, 8),
    protTlvSize: u16(bytes, 10),
    imgSize: u32(bytes, 12),
    flags: u32(bytes, 16),
    version: { major: bytes[20] ?? 0, minor: bytes[21] ?? 0, revision: u16(bytes, 22), build: u32(bytes, 24) },
  };
}

export function encodeHeader(header: ImageHeader): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  putU32(bytes, 0, header.magic);
  putU32(bytes, 4, header.loadAddr);
  putU16(bytes, 8, header.hdrSize);
  putU16(bytes, 10, header.protTlvSize);
  putU32(bytes, 12, header.imgSize);
  putU32(bytes, 16, header.flags);
  putVersion(bytes, 20, header.version);
  return bytes;
}

export function isEncrypted(header: ImageHeader): boolean {
  return (header.flags & (ImageFlag.encryptedAes128 | ImageFlag.encryptedAes256)) !== 0;
}

export function isCompressed(header: ImageHeader): boolean {
  return (header.flags & (ImageFlag.compressedLzma1 | ImageFlag.compressedLzma2 | ImageFlag.compressedArmThumb)) !== 0;
}

export function putVersion(bytes: Uint8Array, off: number, version: ImageVersion): void {
  bytes[off] = version.major;
  bytes[off + 1] = version.minor;
  putU16(bytes, off + 2, version.revision);
  putU32(bytes, off + 4, version.build);
}

export function readVersion(bytes: Uint8Array, off: number): ImageVersion {
  return { major: bytes[off] ?? 0, minor: bytes[off + 1] ?? 0, revision: u16(bytes, off + 2), build: u32(bytes, off + 4) };
}

export function u16(bytes: Uint8Array, off: number): number {
  return (bytes[off] ?? 0) | ((bytes[off + 1] ?? 0) << 8);
}

export function u32(bytes: Uint8Array, off: number): number {
  return (u16(bytes, off) | (u16(bytes, off + 2) << 16)) >>> 0;
}

export function putU16(bytes: Uint8Array, off: number, value: number): void {
  bytes[off] = value & 0xff;
  bytes[off + 1] = (value >>> 8) & 0xff;
}

export function putU32(bytes: Uint8Array, off: number, value: number): void {
  putU16(bytes, off, value & 0xffff);
  putU16(bytes, off + 2, (value >>> 16) & 0xffff);
}

export function alignUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}

export function alignDown(value: number, to: number): number {
  return Math.floor(value / to) * to;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) {
    return false;
  }
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i]) {
      return false;
    }
  }
  return true;
}

export function isErased(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] !== 0xff) {
      return false;
    }
  }
  return true;
}
