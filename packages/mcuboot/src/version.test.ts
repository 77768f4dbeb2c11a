// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { compareVersion, formatVersion, parseVersion } from "./version.ts";

test("versions are read and written with their build number", () => {
  expect(parseVersion("1.2.3+4")).toEqual({ major: 1, minor: 2, revision: 3, build: 4 });
  expect(formatVersion(parseVersion("1.2"))).toBe("1.2.0+0");
  expect(formatVersion(parseVersion("255.255.65535+4294967295"))).toBe("255.255.65535+4294967295");
});

test.each(["", "1.2.3.4", "256.0.0", "1.256.0", "1.2.65536", "1.2.3+4294967296", "-1.0.0", "1.2.x", "1.2.3+", " 1.2.3"])(
  "%j is no version",
  (text) => {
    expect(() => parseVersion(text)).toThrow(/major\.minor\.revision\+build/);
  },
);

test("the build number counts only where the bootloader was built to look at it", () => {
  const older = parseVersion("1.2.3+4");
  const newer = parseVersion("1.2.3+5");
  expect(compareVersion(older, newer)).toBe(0);
  expect(compareVersion(older, newer, { build: true })).toBe(-1);
  expect(compareVersion(parseVersion("1.10.0"), parseVersion("1.9.9"))).toBe(1);
});
