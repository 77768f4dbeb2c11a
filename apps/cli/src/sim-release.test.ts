// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import { readProgram } from "@coalmine/device";
import { assembleFleet, labKey } from "@coalmine/fleet";
import { loadPublicKey, parseImage, slotCapacity, verifyImage } from "@coalmine/mcuboot";
import { parseManifest } from "@coalmine/orchestrator";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { loadFleet } from "./fleet-source.ts";
import { generateKeys } from "./keys.ts";
import { type SimReleaseOptions, writeSimRelease } from "./sim-release.ts";

const folder = mkdtempSync(join(tmpdir(), "coalmine-sim-release-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string): string => join(folder, name);
const build = (options: Partial<SimReleaseOptions>) => writeSimRelease({ version: "1.2.0", seed: 7, out: file("out"), ...options });
const programOf = (path: string) => {
  const bytes = new Uint8Array(readFileSync(path));
  const image = parseImage(bytes);
  return image.kind === "image" ? readProgram(bytes.subarray(image.payload.off, image.payload.off + image.payload.size)) : undefined;
};

writeFileSync(file("fleet.yaml"), "devices: 10\nhardware: [{ name: a, board: pump, slotSize: 64KiB }, { name: b, board: pump, revision: B }]\n");

describe("a release for simulated devices", () => {
  test("what a scenario's release declares goes into a manifest that release create reads", () => {
    const scenario = fileURLToPath(new URL("../../../simulator/scenarios/settings-migration.yaml", import.meta.url));
    const made = build({ scenario, out: file("declared") });
    expect(made.commands.create).toBe(`npx coalmine release create --manifest ${file("declared/1.2.0.yaml")}`);
    expect(parseManifest(readFileSync(file("declared/1.2.0.yaml"), "utf8"))).toMatchObject({
      id: "1.2.0",
      storage: { minRead: 1, maxRead: 2, writes: 2 },
      from: [{ max: "1.0.9" }],
      artifacts: [{ variant: { board: "pump-board", revision: "revA" }, file: "1.2.0-revA.bin" }, { file: "1.2.0-revB.bin" }],
    });
  });

  test("every kind of hardware gets an image that its bootloader takes: the key and the place are those of sim fleet", () => {
    const made = build({ fleet: file("fleet.yaml"), seed: 11, out: file("kinds") });
    const fleet = assembleFleet({ ...loadFleet(file("fleet.yaml")), seed: 11 }, labKey(11));
    expect(made.artifacts.map(({ hardware, variant }) => [hardware, variant])).toEqual(fleet.hardware.map((kind) => [kind.name, `${kind.board}/${kind.revision}/${kind.partitionMap}`]));
    const key = loadPublicKey(readFileSync(made.publicKey, "utf8"));
    for (const [index, { file: path, size }] of made.artifacts.entries()) {
      const kind = fleet.hardware[index] as (typeof fleet.hardware)[number];
      expect(verifyImage(new Uint8Array(readFileSync(path)), [key])).toMatchObject({ ok: true });
      expect(key.hash).toEqual(fleet.publicKey.hash);
      expect(size).toBeLessThanOrEqual(slotCapacity(kind.bootloader, kind.geometry));
    }
    expect(made.commands.create).toBe(`npx coalmine release create 1.2.0 ${made.artifacts.map(({ variant, file: path }) => `--artifact ${variant}=${path}`).join(" ")}`);
  });

  test("the same call writes the same bytes, and another seed signs with another key", () => {
    const bytesOf = (out: string, seed: number) => build({ out: file(out), seed }).artifacts.map((artifact) => readFileSync(artifact.file).toString("hex"));
    expect(bytesOf("again", 7)).toEqual(bytesOf("again", 7));
    expect(bytesOf("other", 8)).not.toEqual(bytesOf("again", 7));
  });

  test("defects travel in the image, written as a rehearsal or as a scenario writes them", () => {
    const made = build({ defect: ["hardware=revB,boot-failure=20%", "hang-before-confirm", "{ kind: leak, exhausted: 2h }"] });
    expect(programOf(made.artifacts[0]?.file ?? "")?.defects).toMatchObject([
      { kind: "hang-before-confirm", only: { revisions: ["B"], share: 0.2 } },
      { kind: "hang-before-confirm", after_s: 5 },
      { kind: "leak", exhausted_s: 7_200 },
    ]);
  });

  test("a scenario's release is built with its own defects, for its own fleet", () => {
    const scenario = new URL("../../../simulator/scenarios/one-revision.yaml", import.meta.url).pathname;
    const made = build({ version: "1.1.0", scenario });
    expect(made.defects).not.toEqual([]);
    expect(made.commands.fleet).toContain(`--fleet ${scenario}`);
    expect(loadFleet(scenario).hardware.map((kind) => kind.name)).toEqual(made.artifacts.map((artifact) => artifact.hardware));
  });

  test("a key of one's own signs instead of the lab's, and sim fleet is told of it", () => {
    const { privatePem, publicPem } = generateKeys("ecdsa-p256");
    writeFileSync(file("own.pem"), privatePem);
    const made = build({ key: file("own.pem"), out: file("own") });
    expect(readFileSync(made.publicKey, "utf8")).toBe(publicPem);
    expect(made.commands.fleet).toContain(`--key ${file("own.pem")}`);
  });

  test.each([
    ["an unknown defect", { defect: ["explode"] }, /--defect explode: defects\.0.*kind must be one of boot-loop/],
    ["a defect without what it needs", { defect: ["leak"] }, /--defect leak: defects\.0\.exhausted: write a duration/],
    ["a size that is none", { size: "much" }, /size: "much" is not a size/],
    ["a size that no slot takes", { size: "900KiB" }, /1\.2\.0 for revA: \d+ bytes do not fit/],
    ["a fleet that is not there", { fleet: "nowhere.yaml" }, /cannot read fleet nowhere\.yaml/],
    ["a scenario without this release", { version: "9.9.9", scenario: new URL("../../../simulator/scenarios/demo.yaml", import.meta.url).pathname }, /has no release 9\.9\.9; it has 1\.1\.0, 1\.2\.0/],
    ["a scenario and a defect", { scenario: "x.yaml", defect: ["leak"] }, /leave --fleet, --defect/],
  ])("%s is refused, and nothing is written", (_name, options, pattern) => {
    const attempt = () => build({ out: file("never"), ...options });
    expect(attempt).toThrow(CoalmineError);
    expect(attempt).toThrow(pattern);
    expect(readdirSync(folder)).not.toContain("never");
  });
});
