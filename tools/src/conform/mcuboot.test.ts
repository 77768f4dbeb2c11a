// SPDX-License-Identifier: Apache-2.0
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, expect, test } from "vitest";
import { conformMcuboot } from "./mcuboot.ts";
import type { IndexEntry } from "./mcuboot-vectors.ts";

const VECTORS = resolve(import.meta.dirname, "../../../../shared/vectors/mcuboot");
const present = existsSync(join(VECTORS, "index.json"));
const withVectors = test.skipIf(!present);
if (!present) {
  console.warn(`skipped: no MCUboot vectors in ${VECTORS}`);
}

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** One value of a JSON document by its path, and what becomes of it. */
interface Change {
  readonly path: string;
  readonly to: (old: unknown) => unknown;
}

const flip = (text: unknown): string => (String(text).startsWith("0") ? "1" : "0") + String(text).slice(1);
const plus = (by: number) => (old: unknown): number => Number(old) + by;
const become = (value: unknown) => (): unknown => value;

/** A folder with some of the vectors, one value changed in each file that has it. */
function copyOf(ids: readonly string[], change?: Change): string {
  const folder = mkdtempSync(join(tmpdir(), "conform-"));
  folders.push(folder);
  for (const shared of ["bin", "keys"]) {
    symlinkSync(join(VECTORS, shared), join(folder, shared));
  }
  const index = (JSON.parse(readFileSync(join(VECTORS, "index.json"), "utf8")) as IndexEntry[]).filter((entry) => ids.includes(entry.id));
  expect(index.map((entry) => entry.id).sort()).toEqual([...ids].sort());
  writeFileSync(join(folder, "index.json"), JSON.stringify(index));
  for (const { file } of index) {
    cpSync(join(VECTORS, dirname(file)), join(folder, dirname(file)), { recursive: true, filter: (from) => from.endsWith(file) || !from.includes(".json") });
    edit(join(folder, file), change);
  }
  return folder;
}

function edit(file: string, change: Change | undefined): void {
  const packed = file.endsWith(".gz");
  const bytes = readFileSync(file);
  const json = JSON.parse((packed ? gunzipSync(bytes) : bytes).toString("utf8")) as unknown;
  if (change !== undefined) {
    const path = change.path.split(".");
    const last = path.pop() ?? "";
    let holder: unknown = json;
    for (const name of path) {
      holder = (holder as Record<string, unknown> | undefined)?.[name];
    }
    if (holder !== undefined) {
      const record = holder as Record<string, unknown>;
      record[last] = change.to(record[last]);
    }
  }
  rmSync(file, { force: true });
  const text = JSON.stringify(json);
  writeFileSync(file, packed ? gzipSync(text) : text);
}

withVectors("the exact profile reproduces every vector, recorded defects included", async () => {
  const report = await conformMcuboot(VECTORS, { workers: 0 });
  expect(report.failures).toEqual([]);
  const { scenarios, images, powercuts, doubles, trailer } = report;
  const index = JSON.parse(readFileSync(join(VECTORS, "index.json"), "utf8")) as IndexEntry[];
  const total = index.filter((entry) => entry.kind === "scenario").length;
  expect(scenarios).toEqual({ total, outcome: total, state: total, ops: total });
  expect(images.agree).toBe(index.filter((entry) => entry.kind === "image").length);
  expect(powercuts.rows).toBeGreaterThan(3000);
  expect(powercuts.agree).toBe(powercuts.rows);
  expect(powercuts.anomalies.reproduced).toBe(powercuts.anomalies.rows);
  expect(powercuts.anomalies.rows).toBeGreaterThan(0);
  expect(doubles.agree).toBe(doubles.rows);
  expect(trailer.agree).toBe(trailer.rows);
}, 60_000);

withVectors("the safe profile ends every power-cut row bootable with the right image", async () => {
  const report = await conformMcuboot(VECTORS, { workers: 0, profile: "safe" });
  expect(report.failures).toEqual([]);
  for (const { anomalies } of [report.powercuts, report.doubles]) {
    expect(anomalies.safe + anomalies.reproduced).toBe(anomalies.rows);
    expect(anomalies.reproduced).toBe(0);
  }
}, 60_000);

const ID = { scenario: "move-app-pending0-cut2", cuts: "move-A-test", double: "move-A-test-double", image: "p256-basic" };

withVectors.each<[string, string, string, Change]>([
  ["a scenario's outcome", ID.scenario, "outcome", { path: "steps.1.expect.outcome", to: become("fail") }],
  ["a scenario's booted version", ID.scenario, "outcome", { path: "steps.1.expect.hdr.version", to: become("9.9.9+9") }],
  ["a scenario's swap type", ID.scenario, "outcome", { path: "steps.0.expect.swapType", to: become("perm") }],
  ["a scenario's return code", ID.scenario, "outcome", { path: "steps.0.expect.rc", to: become(3) }],
  ["a scenario's flash digest", ID.scenario, "state", { path: "steps.2.expect.sha", to: flip }],
  ["a scenario's slot digest", ID.scenario, "state", { path: "state0.areas.primary.sha", to: flip }],
  ["a scenario's trailer", ID.scenario, "state", { path: "steps.1.expect.areas.primary.trailer.imageOk", to: become("set") }],
  ["a scenario's operation count", ID.scenario, "ops", { path: "steps.1.expect.ops.writes", to: plus(1) }],
  ["a scenario's final flash", ID.scenario, "state", { path: "finalFlash.sha256", to: flip }],
  ["a cut's operation", ID.cuts, "row", { path: "rows.4.1.2", to: plus(8) }],
  ["the state at a cut", ID.cuts, "row", { path: "rows.20.2", to: become(0) }],
  ["a boot after a cut", ID.cuts, "row", { path: "rows.20.3.1.4", to: become("2.0.0+2") }],
  ["the operations after a cut", ID.cuts, "row", { path: "rows.20.3.0.2", to: plus(1) }],
  ["the state after a cut", ID.cuts, "row", { path: "rows.20.3.2.5", to: become(0) }],
  ["a recorded state", ID.cuts, "row", { path: "states.5", to: flip }],
  ["the reference boot", ID.cuts, "reference", { path: "reference.0.sha", to: flip }],
  ["the length of the trace", ID.cuts, "trace", { path: "total", to: plus(1) }],
  ["a double cut", ID.double, "row", { path: "doubles.3.rows.2.3.0.1", to: become("perm") }],
  ["the operations of a recovery boot", ID.double, "ops", { path: "doubles.1.total2", to: plus(1) }],
  ["an image's verdict in the primary slot", ID.image, "image", { path: "verdicts.0.primary", to: become("fail") }],
  ["an image's verdict in the secondary slot", ID.image, "image", { path: "verdicts.2.secondary", to: become("rejected-slot-erased") }],
  ["an image's size", ID.image, "image", { path: "parsed.totalSize", to: plus(1) }],
  ["an image's TLV", ID.image, "image", { path: "parsed.tlvs.0.value", to: flip }],
])("a changed expectation is a failure: %s", async (_, id, level, change) => {
  const untouched = await conformMcuboot(copyOf([id]), { workers: 0 });
  expect(untouched.failures).toEqual([]);
  const { failures } = await conformMcuboot(copyOf([id], change), { workers: 0 });
  expect(failures.map((failure) => failure.level)).toContain(level);
  expect(failures.every((failure) => failure.id === id)).toBe(true);
});

withVectors.each<[string, Change]>([
  ["layout.json.gz", { path: "0.primary.swapInfoOff", to: plus(1) }],
  ["layout.json.gz", { path: "1.maxImage", to: plus(1) }],
  ["bytes.json.gz", { path: "1.nonErased.0.1", to: flip }],
  ["ops-by-size.json.gz", { path: "0.ops.total", to: plus(1) }],
])("a changed row of the trailer tables is a failure: %s", async (table, change) => {
  const folder = copyOf([]);
  cpSync(join(VECTORS, "trailer"), join(folder, "trailer"), { recursive: true });
  for (const file of readdirSync(join(folder, "trailer"))) {
    if (file === table) {
      edit(join(folder, "trailer", file), change);
    } else {
      rmSync(join(folder, "trailer", file), { force: true });
    }
  }
  const { trailer, failures } = await conformMcuboot(folder, { workers: 0 });
  expect(failures).toHaveLength(1);
  expect(trailer.agree).toBe(trailer.rows - 1);
});

withVectors("a case that cannot be read is a failure of its own, and the others still run", async () => {
  const folder = copyOf([ID.scenario, ID.image], { path: "flash0.file", to: become("bin/missing.gz") });
  const report = await conformMcuboot(folder, { workers: 0 });
  expect(report.failures).toMatchObject([{ id: ID.scenario, level: "error" }]);
  expect(report.scenarios).toMatchObject({ total: 1, outcome: 0 });
  expect(report.images).toEqual({ total: 1, agree: 1 });
});

withVectors("several threads find what one finds", async () => {
  const folder = copyOf([ID.scenario, ID.cuts, ID.image]);
  const one = await conformMcuboot(folder, { workers: 0 });
  const two = await conformMcuboot(folder, { workers: 2 });
  expect({ ...two, wallSeconds: 0 }).toEqual({ ...one, wallSeconds: 0 });
  expect(one.powercuts.rows).toBe(78);
});
