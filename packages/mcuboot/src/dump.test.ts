// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { bootDump, readBootSetup, setConfirmedDump, setPendingDump, trailerReport } from "./dump.ts";
import { ED25519, board, configFor, device, image } from "./testing/boards.ts";

const AREAS = board("swap-move");
const KEYS = { publicKey: () => ED25519 };

test("a dump goes through request, trial and confirmation", () => {
  const setup = readBootSetup({ config: { mode: "swap-move", keys: ["a"], maxImgSectors: 32 }, areas: AREAS }, KEYS);
  let dump = device(configFor("swap-move"), AREAS, image(1), image(2)).dump();
  expect(trailerReport(setup, dump)).toMatchObject({ swapTypes: ["none"], trailers: [{ area: "primary", magic: "unset" }, { area: "secondary", magic: "unset" }] });
  const pending = setPendingDump(setup, dump, { permanent: false });
  expect(pending.report).toMatchObject({ outcome: "done", rc: 0, writes: 2, swapTypes: ["test"] });
  const booted = bootDump(setup, pending.dump);
  expect(booted.report).toMatchObject({ outcome: "boot", slot: "primary", version: "2.0.0+0", swapTypeBefore: "test", swapTypes: ["revert"] });
  expect(booted.report.imageHash).toMatch(/^[0-9a-f]{64}$/);
  dump = setConfirmedDump(setup, booted.dump).dump;
  expect(bootDump(setup, dump).report).toMatchObject({ version: "2.0.0+0", swapTypes: ["none"], ops: { total: 0 } });
  expect(bootDump(setup, pending.dump, { cutBefore: 10 }).report).toMatchObject({ outcome: "cut", ops: { total: 9 } });
});

test("bytes of the dump outside all areas are kept", () => {
  const shifted = AREAS.map((area) => ({ ...area, off: area.off + 1000 }));
  const setup = readBootSetup({ config: { mode: "swap-move", keys: ["a"], maxImgSectors: 32 }, areas: shifted }, KEYS);
  const dump = new Uint8Array(1000 + 17 * 4096 + 50).fill(0x77);
  const { dump: after } = setPendingDump(setup, dump, { permanent: true });
  expect(after.subarray(0, 1000)).toEqual(dump.subarray(0, 1000));
  expect(after.subarray(-50)).toEqual(dump.subarray(-50));
});

test.each([
  [null, /configuration must be an object/],
  [{ config: { mode: "swap-around" }, areas: AREAS }, /config\.mode must be one of swap-move/],
  [{ config: { mode: "swap-move", maxAlign: 12 }, areas: AREAS }, /config\.maxAlign/],
  [{ config: { mode: "swap-move", bootstrap: 1 }, areas: AREAS }, /config\.bootstrap/],
  [{ config: { mode: "swap-move", keys: "a" }, areas: AREAS }, /config\.keys/],
  [{ config: { mode: "swap-move" } }, /areas must be a list/],
  [{ config: { mode: "swap-move" }, areas: [AREAS[0]] }, /no area with id 2/],
  [{ config: { mode: "swap-scratch" }, areas: AREAS }, /no scratch area/],
  [{ config: { mode: "swap-move" }, areas: [{ ...AREAS[0], align: 3 }, AREAS[1]] }, /write alignment 3/],
  [{ config: { mode: "swap-move" }, areas: [{ ...AREAS[0], sectors: [[2]] }, AREAS[1]] }, /areas\[0\]\.sectors/],
])("a bad configuration is refused by the name of its field: %#", (json, message) => {
  expect(() => readBootSetup(json, KEYS)).toThrow(message);
});

test("a dump that is too short is refused", () => {
  const setup = readBootSetup({ config: { mode: "swap-move" }, areas: AREAS }, KEYS);
  expect(() => trailerReport(setup, new Uint8Array(100))).toThrow(/100 bytes; the areas end at 69632/);
});
