// SPDX-License-Identifier: Apache-2.0
import { hash } from "node:crypto";
import { CoalmineError } from "@coalmine/core";
import type { ImageHeader } from "./format.ts";
import { HEADER_BYTES, IMAGE_MAGIC, PROTECTED_TLV_MAGIC, TLV_HEADER_BYTES, TLV_MAGIC, TlvType, encodeHeader, putU16, putU32, putVersion } from "./format.ts";
import type { SigningKey } from "./keys.ts";
import { SIGNATURE_TLV, keyKind, loadPublicKey, loadSigningKey, signBytes } from "./keys.ts";
import type { ImageDependency } from "./parse.ts";
import { parseImage } from "./parse.ts";
import type { TrailerConfig } from "./trailer.ts";
import { trailerMagic, trailerOffsets, trailerSize } from "./trailer.ts";
import type { ImageVersion } from "./version.ts";

/** A TLV to add; types are those of the MCUboot design document. */
export interface TlvInput {
  readonly type: number;
  readonly value: Uint8Array;
}

export interface ImageInput {
  readonly version: ImageVersion;
  readonly payload: Uint8Array;
  /** Bytes from the start of the image to the payload; the vector table's alignment decides it, 0x200 on most Cortex-M boards. */
  readonly headerSize: number;
  readonly loadAddr?: number;
  /** `ImageFlag` bits. */
  readonly flags?: number;
  readonly securityCounter?: number;
  readonly dependencies?: readonly ImageDependency[];
  /** Further TLVs covered by hash and signature. */
  readonly protectedTlvs?: readonly TlvInput[];
  /** Further TLVs outside the signature; a bootloader with the allow list refuses most types. */
  readonly unprotectedTlvs?: readonly TlvInput[];
  /** Signing key; without one the image carries its hash only. */
  readonly key?: SigningKey | undefined;
}

/**
 * Makes an image: header, payload, protected TLVs, then hash, key hash and signature, in imgtool's order.
 *
 * With Ed25519 (or no key) the same input gives the same bytes; ECDSA and RSA-PSS signatures differ from run to run.
 *
 * @throws CoalmineError `mcuboot/bad-image-input` naming the field that does not fit the format.
 */
export function buildImage(input: ImageInput): Uint8Array {
  const { payload, headerSize } = input;
  requireField(Number.isInteger(headerSize) && headerSize >= HEADER_BYTES && headerSize <= 0xffff, "headerSize", `must be ${HEADER_BYTES} to 65535 bytes`);
  requireField(payload.length <= 0xffffffff - headerSize, "payload", "is too large for a 32-bit size");
  const protectedTlvs: TlvInput[] = [];
  if (input.securityCounter !== undefined) {
    requireField(isU32(input.securityCounter), "securityCounter", "must be 0 to 4294967295");
    protectedTlvs.push({ type: TlvType.securityCounter, value: u32Value(input.securityCounter) });
  }
  for (const dependency of input.dependencies ?? []) {
    protectedTlvs.push({ type: TlvType.dependency, value: dependencyValue(dependency) });
  }
  protectedTlvs.push(...(input.protectedTlvs ?? []));
  const protectedArea = protectedTlvs.length === 0 ? new Uint8Array(0) : tlvArea(PROTECTED_TLV_MAGIC, protectedTlvs);

  const header: ImageHeader = {
    magic: IMAGE_MAGIC,
    loadAddr: input.loadAddr ?? 0,
    hdrSize: headerSize,
    protTlvSize: protectedArea.length,
    imgSize: payload.length,
    flags: input.flags ?? 0,
    version: input.version,
  };
  const signed = new Uint8Array(headerSize + payload.length + protectedArea.length);
  // Padding looks like erased flash, as imgtool writes it.
  signed.fill(0xff, HEADER_BYTES, headerSize);
  signed.set(encodeHeader(header));
  signed.set(payload, headerSize);
  signed.set(protectedArea, headerSize + payload.length);
  const digest = new Uint8Array(hash("sha256", signed, "buffer"));

  const unprotectedTlvs: TlvInput[] = [{ type: TlvType.sha256, value: digest }];
  if (input.key !== undefined) {
    const key = loadSigningKey(input.key);
    unprotectedTlvs.push({ type: TlvType.keyHash, value: loadPublicKey(key).hash });
    unprotectedTlvs.push({ type: SIGNATURE_TLV[keyKind(key)], value: signBytes(key, signed, digest) });
  }
  unprotectedTlvs.push(...(input.unprotectedTlvs ?? []));
  const unprotectedArea = tlvArea(TLV_MAGIC, unprotectedTlvs);
  const image = new Uint8Array(signed.length + unprotectedArea.length);
  image.set(signed);
  image.set(unprotectedArea, signed.length);
  return image;
}

/** The slot a padded image is made for. */
export interface PadInput {
  /** Bytes of the slot. */
  readonly slotSize: number;
  /** Write alignment of the slot, bytes. */
  readonly align?: number;
  /** MCUBOOT_BOOT_MAX_ALIGN, bytes; at least 8. */
  readonly maxAlign?: number;
  /** MCUBOOT_MAX_IMG_SECTORS. */
  readonly maxImgSectors?: number;
  /** Marks the image permanent (`--confirm`); otherwise it is a test request. */
  readonly confirm?: boolean;
  /** Overwrite-only bootloaders take no image_ok (`--overwrite-only`). */
  readonly overwriteOnly?: boolean;
}

/**
 * Pads an image to its slot with a trailer that requests an upgrade, like imgtool's `--pad` and `--confirm`.
 *
 * @throws CoalmineError `mcuboot/image-too-large` when image and trailer do not fit the slot.
 */
export function padImage(image: Uint8Array, input: PadInput): Uint8Array {
  const maxAlign = input.maxAlign ?? 8;
  const config: TrailerConfig = {
    mode: input.overwriteOnly === true ? "overwrite" : "swap-move",
    maxAlign,
    maxImgSectors: input.maxImgSectors ?? 128,
    enc: null,
  };
  const align = input.align ?? 1;
  const trailer = trailerSize(config, align);
  const parsed = parseImage(image);
  const used = parsed.kind === "image" ? parsed.totalSize : image.length;
  if (used + trailer > input.slotSize || image.length > input.slotSize) {
    throw new CoalmineError(
      "mcuboot/image-too-large",
      `the image of ${used} bytes and its trailer of ${trailer} bytes do not fit a slot of ${input.slotSize} bytes`,
    );
  }
  const padded = new Uint8Array(input.slotSize).fill(0xff);
  padded.set(image.subarray(0, used));
  const at = trailerOffsets(config, { id: 2, size: input.slotSize, align });
  if (input.confirm === true && input.overwriteOnly !== true) {
    padded[at.imageOk] = 1;
  }
  padded.set(trailerMagic(maxAlign), at.magic);
  return padded;
}

function tlvArea(magic: number, tlvs: readonly TlvInput[]): Uint8Array {
  const size = tlvs.reduce((sum, tlv) => sum + TLV_HEADER_BYTES + tlv.value.length, TLV_HEADER_BYTES);
  requireField(size <= 0xffff, "TLVs", "must stay below 64 KiB per area");
  const bytes = new Uint8Array(size);
  putU16(bytes, 0, magic);
  putU16(bytes, 2, size);
  let at = TLV_HEADER_BYTES;
  for (const { type, value } of tlvs) {
    requireField(Number.isInteger(type) && type >= 0 && type < 0xffff, "TLV type", "must be 0 to 65534");
    putU16(bytes, at, type);
    putU16(bytes, at + 2, value.length);
    bytes.set(value, at + TLV_HEADER_BYTES);
    at += TLV_HEADER_BYTES + value.length;
  }
  return bytes;
}

function dependencyValue(dependency: ImageDependency): Uint8Array {
  requireField(Number.isInteger(dependency.image) && dependency.image >= 0 && dependency.image <= 0xff, "dependency", "must name an image from 0 to 255");
  const value = new Uint8Array(12);
  value[0] = dependency.image;
  putVersion(value, 4, dependency.version);
  return value;
}

function u32Value(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  putU32(bytes, 0, value);
  return bytes;
}

function isU32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffffffff;
}

function requireField(condition: boolean, field: string, what: string): asserts condition {
  if (!condition) {
    throw new CoalmineError("mcuboot/bad-image-input", `${field} ${what}`);
  }
}
