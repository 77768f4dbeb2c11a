// SPDX-License-Identifier: Apache-2.0
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { type MigrationTestOptions, testMigration } from "./migration-run.ts";

const scenario = fileURLToPath(new URL("../../../simulator/scenarios/settings-migration.yaml", import.meta.url));
const options: MigrationTestOptions = { release: scenario, seed: 7, hardware: ["revA"], from: ["1.0.0"] };

describe("migrate test", () => {
  test("a release of a scenario is tried from the fleet's versions and from older releases, and what is recorded names its images", async () => {
    const bad = await testMigration({ ...options, version: "1.1.0" });
    expect(bad.result).toMatchObject({ ok: false, from: ["1.0.0"], cells: 15, seed: 7 });
    expect(bad.result.failures[0]).toBe("revA from 1.0.0, clean, upgrade+revert: it: runs 1.0.0, identity lost, credentials lost, calibration lost, cannot speak");
    const good = await testMigration({ ...options, version: "1.2.0", from: undefined });
    expect(good.result).toMatchObject({ ok: true, from: ["1.0.0", "1.1.0"], cells: 30, failed: 0, failures: [], images: [expect.stringMatching(/^[0-9a-f]{64}$/)] });
    expect(good.result.cuts).toBeGreaterThan(100);
  });

  test.each<[string, Partial<MigrationTestOptions>, RegExp]>([
    ["a version that the scenario does not have", { version: "9.0.0" }, /--release 9\.0\.0: .*has 1\.1\.0, 1\.2\.0, 1\.2\.1/],
    ["a version to come from that nobody built", { from: ["0.1.0"] }, /--from 0\.1\.0: there is no build of it; there are 1\.0\.0, 1\.1\.0, 1\.2\.0/],
    ["hardware that the fleet does not have", { hardware: ["revZ"] }, /not for revZ/],
    ["a registered release without an orchestrator", { release: "1.2.0" }, /give --url/],
  ])("%s is bad input, said by name", async (_, wrong, message) => {
    await expect(testMigration({ ...options, ...wrong })).rejects.toThrow(message);
  });
});
