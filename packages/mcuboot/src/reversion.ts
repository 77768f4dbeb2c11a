// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import { buildImage, type TlvInput } from "./build.ts";
import { ImageFlag, TlvType } from "./format.ts";
import type { SigningKey } from "./keys.ts";
import { type ParsedImage, parseImage } from "./parse.ts";
import { formatVersion, type ImageVersion } from "./version.ts";

export interface ReversionInput {
  readonly version: ImageVersion;
  readonly key: SigningKey;
  /** Instead of the one the image has, which a bootloader that compares counters may refuse. */
  readonly securityCounter?: number | undefined;
}

export interface Reversion {
  readonly image: Uint8Array;
  readonly from: ParsedImage;
  /** What is not as it was, and what the payload may still say of itself. For people. */
  readonly caveats: readonly string[];
}

/**
 * The same payload under another version, signed again: an earlier build that passes downgrade prevention (R34). Flags, load
 * address and protected TLVs stay.
 *
 * @throws CoalmineError `mcuboot/no-reversion` for bytes that are no image, and for encrypted or compressed ones: what their
 * hash covers is not in the file.
 */
export function reversionImage(bytes: Uint8Array, input: ReversionInput): Reversion {
  const from = parseImage(bytes);
  if (from.kind === "malformed") {
    throw new CoalmineError("mcuboot/no-reversion", `no MCUboot image: ${from.reason} (at byte ${from.offset})`);
  }
  const sealed = ImageFlag.encryptedAes128 | ImageFlag.encryptedAes256 | ImageFlag.compressedLzma1 | ImageFlag.compressedLzma2 | ImageFlag.compressedArmThumb;
  if ((from.flags & sealed) !== 0) {
    throw new CoalmineError("mcuboot/no-reversion", "the image is encrypted or compressed: what its hash covers is not in the file; build it again from its sources with the new version");
  }
  const kept = from.tlvs.filter((tlv) => tlv.isProtected && !(tlv.type === TlvType.securityCounter && input.securityCounter !== undefined));
  const image = buildImage({
    version: input.version,
    payload: bytes.subarray(from.payload.off, from.payload.off + from.payload.size),
    headerSize: from.hdrSize,
    loadAddr: from.loadAddr,
    flags: from.flags,
    ...(input.securityCounter === undefined ? {} : { securityCounter: input.securityCounter }),
    protectedTlvs: kept.map(({ type, value }): TlvInput => ({ type, value })),
    key: input.key,
  });
  return { image, from, caveats: caveatsOf(from, input) };
}

function caveatsOf(from: ParsedImage, { version, securityCounter }: ReversionInput): string[] {
  const [old, now] = [formatVersion(from.version), formatVersion(version)];
  const counter = securityCounter ?? from.securityCounter;
  return [
    `the payload is that of ${old}: where it was built with its own version it still says ${old}, while bootloader and reports say ${now}`,
    "the image hash is new, so no device holds it in slot 1: it is downloaded, never swapped back to",
    "a build id that is taken from the image hash is new; one inside the payload is still that of the old build, and so are its symbols",
    counter === undefined
      ? "it carries no security counter: a bootloader that compares counters refuses it over an image that has one"
      : `its security counter is ${counter}: a bootloader that compares counters refuses it over an image with a higher one`,
    `${now} now holds the code of ${old}: the next release needs a version above ${now}`,
    ...(from.tlvs.some((tlv) => tlv.isProtected && tlv.type === TlvType.bootRecord) ? [`its boot record is kept as it was and still names ${old}`] : []),
  ];
}
