// SPDX-License-Identifier: Apache-2.0
// SWUpdate's archives (SWUpdate documentation, "SWUpdate image format"): cpio, "new ASCII" or its "crc" form, whose first
// member is sw-description. Only what a release must know of one is read; the client checks signature and checksums itself.
import { CoalmineError } from "@coalmine/core";

const headerBytes = 110;
const descriptionBytesMax = 262_144;
/** Hexadecimal fields of eight digits behind the magic: the 7th is the file's size, the 12th that of its name. */
const field = (header: string, number: number): number => Number.parseInt(header.slice(6 + 8 * (number - 1), 6 + 8 * number), 16);

const versionLine = /(?:^|[\s{,;"])version"?\s*[=:]\s*"([A-Za-z0-9][A-Za-z0-9._+-]{0,31})"/;

/** The version that an archive's sw-description names. Throws `artifact/malformed` naming `where`. */
export function swuVersion(bytes: Uint8Array, where: string): string {
  const refuse = (why: string): never => {
    throw new CoalmineError("artifact/malformed", `${where}: no SWUpdate archive: ${why}`);
  };
  const text = (from: number, to: number): string => new TextDecoder("latin1").decode(bytes.subarray(from, to));
  const header = text(0, headerBytes);
  if (!/^07070[12][0-9a-fA-F]{104}$/.test(header)) {
    refuse("it does not begin with a cpio header (newc or crc)");
  }
  const nameEnd = headerBytes + field(header, 12);
  const begin = (nameEnd + 3) & ~3;
  const size = field(header, 7);
  if (text(headerBytes, nameEnd) !== "sw-description\0") {
    refuse("its first member is not sw-description");
  }
  if (size > descriptionBytesMax || begin + size > bytes.length) {
    refuse(`its sw-description of ${size} bytes is ${size > descriptionBytesMax ? "too large" : "cut off"}`);
  }
  const version = versionLine.exec(text(begin, begin + size))?.[1];
  return version ?? refuse('its sw-description names no version (version = "1.2.3";) of 1 to 32 letters, digits, . _ + -');
}
