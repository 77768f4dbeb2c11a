// SPDX-License-Identifier: Apache-2.0
import { compareVersion, type ImageVersion, parseVersion } from "@coalmine/mcuboot";

/** How a version stands to another. `rebuilt`: only the build number differs, which bootloaders ignore unless told. */
export type VersionOrder = "newer" | "same" | "rebuilt" | "older" | "unknown";

/** Orders two version texts as bootloaders do; unknown when one is no MCUboot version. */
export function orderOf(version: string, other: string): VersionOrder {
  const [a, b] = [read(version), read(other)];
  if (a === undefined || b === undefined) {
    return "unknown";
  }
  const order = compareVersion(a, b);
  return order > 0 ? "newer" : order < 0 ? "older" : compareVersion(a, b, { build: true }) === 0 ? "same" : "rebuilt";
}

/** Versions of a fleet are few and asked for with every report. */
const known = new Map<string, ImageVersion | undefined>();
const knownMax = 1_024;

function read(text: string): ImageVersion | undefined {
  if (!known.has(text)) {
    if (known.size >= knownMax) {
      known.clear();
    }
    known.set(text, parsed(text));
  }
  return known.get(text);
}

function parsed(text: string): ImageVersion | undefined {
  try {
    return parseVersion(text);
  } catch {
    return undefined;
  }
}
