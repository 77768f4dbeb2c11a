// SPDX-License-Identifier: Apache-2.0
import { buildImage, parseImage, parseVersion } from "@coalmine/mcuboot";
import { matrixFields } from "@coalmine/orchestrator";
import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { matrixOfBoards, type MigrationCell } from "./migration.ts";

test("a matrix of boards says what release attest asks for: red cells by name, boards and cuts summed, the image by its hash", () => {
  const bytes = buildImage({ version: parseVersion("3.0.0"), payload: new Uint8Array(900), headerSize: 0x200, key: generateKeyPairSync("ed25519").privateKey });
  const cell = (over: Partial<MigrationCell>): MigrationCell => ({ from: "1.0.0", state: "clean", path: "upgrade", expected: "", actual: "", ok: true, boards: 1, cuts: 0, failures: [], ...over });
  const cells = [cell({}), cell({ state: "cut", boards: 11, cuts: 10 }), cell({ from: "2.0.0", path: "upgrade+revert", ok: false, failures: ["its period is 0, not 45"] })];
  const result = matrixOfBoards(cells, { sample: "mqtt-node", file: "", version: "3.0.0", bytes, elf: undefined }, 7);
  const image = parseImage(bytes);
  expect(result).toEqual({
    ok: false,
    from: ["1.0.0", "2.0.0"],
    images: [image.kind === "image" ? image.imageHash?.toHex() : ""],
    cells: 3,
    failed: 1,
    boards: 13,
    cuts: 10,
    seed: 7,
    failures: ["boards from 2.0.0, clean, upgrade+revert: its period is 0, not 45"],
  });
  expect(Object.keys(result)).toEqual(Object.keys(matrixFields));
  expect(Object.entries(matrixFields).map(([name, field]) => field.safeParse(result[name as keyof typeof result]).success)).not.toContain(false);
});
