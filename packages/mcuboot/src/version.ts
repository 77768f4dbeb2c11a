// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";

/** The version in an MCUboot image header: `major.minor.revision+build`, of 8, 8, 16 and 32 bits. */
export interface ImageVersion {
  readonly major: number;
  readonly minor: number;
  readonly revision: number;
  readonly build: number;
}

const VERSION = /^(\d{1,3})(?:\.(\d{1,3})(?:\.(\d{1,5})(?:\+(\d{1,10}))?)?)?$/;

/**
 * Reads `1`, `1.2`, `1.2.3` or `1.2.3+4`; parts left out are 0, as imgtool does.
 *
 * @throws CoalmineError `mcuboot/bad-version` when the text has another shape or a part is too large for its field.
 */
export function parseVersion(text: string): ImageVersion {
  const match = VERSION.exec(text);
  const part = (index: number): number => Number(match?.[index] ?? 0);
  const version = { major: part(1), minor: part(2), revision: part(3), build: part(4) };
  if (match === null || version.major > 0xff || version.minor > 0xff || version.revision > 0xffff || version.build > 0xffffffff) {
    throw new CoalmineError(
      "mcuboot/bad-version",
      `version ${JSON.stringify(text)} is not major.minor.revision+build with at most 255.255.65535+4294967295`,
    );
  }
  return version;
}

/** `1.2.3+4`; the build number is always written, as in the image header. */
export function formatVersion(version: ImageVersion): string {
  return `${version.major}.${version.minor}.${version.revision}+${version.build}`;
}

/**
 * Orders two versions the way the bootloader does: -1, 0 or 1.
 *
 * The build number counts only when the bootloader was built with MCUBOOT_VERSION_CMP_USE_BUILD_NUMBER.
 */
export function compareVersion(a: ImageVersion, b: ImageVersion, options: { build?: boolean } = {}): -1 | 0 | 1 {
  const order =
    a.major - b.major || a.minor - b.minor || a.revision - b.revision || (options.build === true ? a.build - b.build : 0);
  return order < 0 ? -1 : order > 0 ? 1 : 0;
}
