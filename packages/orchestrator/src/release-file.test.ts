// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { checkDeclaration, mayComeFrom } from "./declaration.ts";
import { parseManifest } from "./release-file.ts";

describe("a manifest", () => {
  test("says everything a release declares", () => {
    const text = `
id: 1.2.0
notes: new settings
artifacts: { nrf52840dk/nrf52840/revA/pm1: revA.bin }
storage: { minRead: 1, maxRead: 2, writes: 2 }
migration: true
from: [{ min: "1.1.0", max: "1.1.9" }, { min: "1.2.0-rc", max: "1.2.0" }]
hop: "1.1.0"
`;
    expect(() => parseManifest(text)).toThrow(/from\.1\.min: must be a version in quotes/);
    expect(parseManifest(text.replace("-rc", ""))).toEqual({
      id: "1.2.0",
      notes: "new settings",
      artifacts: [{ variant: { board: "nrf52840dk/nrf52840", revision: "revA", partitionMap: "pm1" }, file: "revA.bin" }],
      storage: { minRead: 1, maxRead: 2, writes: 2 },
      migration: true,
      from: [{ min: "1.1.0", max: "1.1.9" }, { min: "1.2.0", max: "1.2.0" }],
      hop: "1.1.0",
    });
    expect(parseManifest("{}")).toEqual({ artifacts: [] });
  });

  test.each([
    ["artifacts: { revA: a.bin }", /"revA" is no variant: write BOARD\/REVISION\/PARTITIONMAP/],
    ["storage: { minRead: 1, writes: 2 }", /storage\.maxRead/],
    ["storage: { minRead: 1, maxRead: 70000, writes: 2 }", /storage\.maxRead/],
    ["from: []", /from/],
    ["schema: 2", /schema/],
  ])("%s is refused, and the message names the field", (text, message) => {
    expect(() => parseManifest(text, "release.yaml")).toThrow(message);
  });
});

test.each([
  [{ storage: { minRead: 1, maxRead: 1, writes: 2 } }, /writes schema 2 and reads 1 alone/],
  [{ storage: { minRead: 2, maxRead: 1, writes: 1 } }, /must read what it writes/],
  [{ from: [{}] }, /from\.0: says neither/],
  [{ from: [{ min: "2.0.0", max: "1.0.0" }] }, /from\.0: min 2\.0\.0 is above max 1\.0\.0/],
  [{ hop: "1.1.0" }, /hop: 1\.1\.0 is for devices outside "from"/],
  [{ from: [{ min: "1.1.0" }], hop: "1.0.0" }, /hop: 1\.0\.0 is itself outside "from" \(from 1\.1\.0\)/],
  [{ from: [{ min: "1.1.0" }], hop: "1.2.0" }, /own version/],
])("a declaration that contradicts itself is refused: %j", (declaration, message) => {
  expect(() => checkDeclaration(declaration, "1.2.0")).toThrow(message);
});

test("ranges include their bounds, whatever the build number; what nobody can order lies in none", () => {
  const from = [{ min: "1.1.0", max: "1.1.9" }, { min: "2.0.0" }];
  expect(["1.0.9", "1.1.0", "1.1.0+4", "1.1.9+1", "1.2.0", "2.0.0", "3.1.0", "unknown"].map((version) => mayComeFrom(from, version))).toEqual([false, true, true, true, false, true, true, false]);
  expect(mayComeFrom([], "unknown")).toBe(true);
});
