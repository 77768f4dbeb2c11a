// SPDX-License-Identifier: Apache-2.0
// An image file as plain JSON: everything it says of itself, nothing about whether it would be run.
import { buildIdIn } from "@coalmine/coredump";
import { formatVersion, ImageFlag, type MalformedImage, parseImage, TlvType } from "@coalmine/mcuboot";
import { createHash } from "node:crypto";

export interface ImageDescription {
  readonly kind: "image";
  readonly version: string;
  readonly fileSize: number;
  readonly digest: string;
  readonly headerSize: number;
  readonly programSize: number;
  readonly protectedTlvSize: number;
  readonly tlvSize: number;
  readonly totalSize: number;
  readonly loadAddr: number;
  readonly flags: readonly string[];
  readonly imageHash: string | null;
  readonly computedHash: string;
  readonly hashMatches: boolean;
  /** The GNU build id in the program, as devices report it; null when its linker put none there. */
  readonly buildId: string | null;
  readonly keyHashes: readonly string[];
  readonly signatures: readonly string[];
  readonly securityCounter: number | null;
  readonly dependencies: readonly { readonly image: number; readonly version: string }[];
  readonly tlvs: readonly { readonly type: string; readonly protected: boolean; readonly offset: number; readonly size: number; readonly value: string }[];
  /** What follows the image in the file. */
  readonly padding: string;
}

const valueBytesShown = 512;

export function describeImage(bytes: Uint8Array): ImageDescription | MalformedImage {
  const image = parseImage(bytes);
  if (image.kind === "malformed") {
    return image;
  }
  const hash = image.imageHash?.toHex() ?? null;
  const rest = bytes.subarray(image.totalSize);
  return {
    kind: "image",
    version: formatVersion(image.version),
    fileSize: bytes.length,
    digest: createHash("sha256").update(bytes).digest("hex"),
    headerSize: image.hdrSize,
    programSize: image.imgSize,
    protectedTlvSize: image.protTlvSize,
    tlvSize: image.unprotectedTlvSize,
    totalSize: image.totalSize,
    loadAddr: image.loadAddr,
    flags: Object.entries(ImageFlag).flatMap(([name, bit]) => ((image.flags & bit) === 0 ? [] : [name])),
    imageHash: hash,
    computedHash: image.computedHash.toHex(),
    hashMatches: hash === image.computedHash.toHex(),
    buildId: buildIdIn(bytes.subarray(image.hdrSize, image.hdrSize + image.imgSize)),
    keyHashes: image.keyHashes.map((one) => one.toHex()),
    signatures: image.signatures.map(tlvName),
    securityCounter: image.securityCounter ?? null,
    dependencies: image.dependencies.map((one) => ({ image: one.image, version: formatVersion(one.version) })),
    tlvs: image.tlvs.map((tlv) => ({
      type: tlvName(tlv.type),
      protected: tlv.isProtected,
      offset: tlv.off,
      size: tlv.value.length,
      value: tlv.value.subarray(0, valueBytesShown).toHex(),
    })),
    padding: rest.length === 0 ? "nothing" : rest.every((byte) => byte === 0xff) ? `${rest.length} erased bytes` : `${rest.length} bytes, not all erased (a trailer?)`,
  };
}

function tlvName(type: number): string {
  const known = Object.entries(TlvType).find(([, number]) => number === type);
  return known?.[0] ?? `0x${type.toString(16).padStart(2, "0")}`;
}
