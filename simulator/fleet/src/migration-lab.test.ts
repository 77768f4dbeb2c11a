// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { type LabBuild, type Matrix, migrationMatrix } from "./migration-lab.ts";
import { buildRelease } from "./release.ts";
import { declarationOf, releaseFromData } from "./scenario.ts";
import { testFleet } from "./testing/bench.ts";

const fleet = testFleet({ hardware: { slotSize: "64KiB" } });

const overwriting = testFleet({ hardware: { slotSize: "64KiB", mode: "overwrite" } });

/** The same build, for the fleet whose bootloader overwrites. */
function forOverwriting({ spec, ...one }: LabBuild & { spec?: Parameters<typeof buildRelease>[0] }): LabBuild {
  return { ...one, release: buildRelease(spec as Parameters<typeof buildRelease>[0], overwriting.hardware, overwriting.signingKey) };
}

function build(version: string, data: object): LabBuild & { readonly spec: Parameters<typeof buildRelease>[0] } {
  const spec = releaseFromData({ version, size: "12KiB", ...data });
  const { storage } = declarationOf([spec], version);
  return { spec, release: buildRelease(spec, fleet.hardware, fleet.signingKey), reads: storage ?? null, writes: storage?.writes ?? null };
}

const first = build("1.0.0", { storage: {} });

/** Schema 2: other names, the key as text, the calibration in two. */
const layout = { identity: "id/name", credentials: { names: ["id/key"], as: "hex" }, calibration: ["app/gain", "app/offset"] };
const copies = [{ copy: "device/id", to: "id/name" }, { copy: "device/key", to: "id/key", as: "hex" }, { split: "app/cal", to: ["app/gain", "app/offset"], at: 4 }];
const deletes = [{ delete: "device/id" }, { delete: "device/key" }, { delete: "app/cal" }];
const second = (steps: object[], more: object = {}) => build("1.1.0", { storageSchema: 2, storage: { layout, steps, ...more } });

const matrixOf = (target: LabBuild, from: readonly LabBuild[] = [first]): Matrix => migrationMatrix({ fleet, target, from, seed: 7 });
const red = (matrix: Matrix): string[] => matrix.cells.filter((cell) => !cell.ok).map((cell) => `${cell.state} ${cell.path}`);

test("a migration that copies, and removes only once confirmed, is green in every cell, and the same again", () => {
  const matrix = matrixOf(second([{ apply: copies, retire: deletes }]));
  expect(red(matrix)).toEqual([]);
  expect(matrix.ok).toBe(true);
  expect(matrix.cuts).toBeGreaterThan(100);
  const cells = new Map(matrix.cells.map((cell) => [`${cell.state} ${cell.path}`, cell.actual]));
  expect(cells.get("clean upgrade")).toBe("runs 1.1.0, keeps all");
  expect(cells.get("clean upgrade+revert")).toBe("runs 1.0.0, keeps all");
  // Its values go once it is confirmed: then only what reads schema 2 is a way back, and preflight knows.
  expect(cells.get("clean upgrade+rollback")).toBe("preflight refuses: it reads 1");
  // Where a second copy finds no room the old image keeps its own.
  expect(cells.get("full upgrade")).toMatch(/^\d+ run 1\.0\.0, \d+ run 1\.1\.0, keeps all$/);
  expect(matrixOf(second([{ apply: copies, retire: deletes }]))).toEqual(matrix);
});

test("R44: a migration that moves what the old image reads is red in every revert", () => {
  const moves = [{ move: "device/id", to: "id/name" }, { move: "device/key", to: "id/key", as: "hex" }, { split: "app/cal", to: ["app/gain", "app/offset"], at: 4 }];
  const matrix = matrixOf(second([{ apply: moves }]));
  expect(red(matrix)).toEqual(expect.arrayContaining(["clean upgrade+revert", "worn upgrade+revert", "corrupt upgrade+revert", "cut upgrade", "cut upgrade+revert"]));
  expect(red(matrix)).not.toContain("clean upgrade");
  expect(matrix.cells.find((cell) => cell.state === "clean" && cell.path === "upgrade+revert")).toMatchObject({
    ok: false,
    expected: "runs 1.0.0, keeps all",
    actual: "runs 1.0.0; 1 of 1 wrong",
    failures: ["it: runs 1.0.0, identity lost, credentials lost, cannot speak"],
  });
});

test("a migration that deletes before it writes loses the identity only when power is lost in between", () => {
  const hasty = [{ move: "device/key", to: "id/key", as: "hex", deleteFirst: true }, { copy: "device/id", to: "id/name" }, { split: "app/cal", to: ["app/gain", "app/offset"], at: 4 }];
  const matrix = migrationMatrix({ fleet: overwriting, target: forOverwriting(second([{ apply: hasty }])), from: [forOverwriting(first)], seed: 7 });
  // Where nothing reverts, a storage without room for the new values is a dead end too, whatever the order.
  expect(red(matrix)).toEqual(["full upgrade", "cut upgrade"]);
  expect(matrix.cells.find((cell) => !cell.ok && cell.state === "cut")?.failures.every((line) => line.includes("credentials lost, cannot speak"))).toBe(true);
  expect(matrix.cells.find((cell) => cell.path === "upgrade+revert")?.actual).toBe("no revert: overwrite keeps no image");
});

test("a schema record written before its values are loses them when power is lost in between", () => {
  const early = ["commit", ...copies];
  const run = (apply: readonly (object | string)[]): Matrix => migrationMatrix({ fleet: overwriting, target: forOverwriting(second([{ apply }] as object[])), from: [forOverwriting(first)], seed: 7 });
  expect(red(run(early))).toEqual(["full upgrade", "cut upgrade"]);
  expect(red(run(copies))).toEqual(["full upgrade"]);
});

test("a version that declares to read what it does not is red in the rollback: it cannot speak and goes back up", () => {
  const boastful = build("1.0.0", { storage: { maxRead: 2 } });
  const rollback = matrixOf(second([{ apply: copies, retire: deletes }]), [boastful]).cells.find((cell) => cell.state === "clean" && cell.path === "upgrade+rollback");
  expect(rollback).toMatchObject({ ok: false, expected: "runs 1.0.0, keeps all", failures: ["it: runs 1.1.0, should run 1.0.0"] });
});

test("two steps: from each version, through the schema between", () => {
  const third = build("1.2.0", { storageSchema: 3, storage: { layout: { ...layout, identity: "sys/id" }, steps: [{ apply: copies, retire: deletes }, { apply: [{ copy: "id/name", to: "sys/id" }], retire: [{ delete: "id/name" }] }] } });
  const matrix = matrixOf(third, [first, second([{ apply: copies, retire: deletes }])]);
  expect(red(matrix)).toEqual([]);
  expect(matrix.from).toEqual(["1.0.0", "1.1.0"]);
});
