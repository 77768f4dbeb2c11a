// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";
import { CoalmineError } from "@coalmine/core";
import { readProgram } from "@coalmine/device";
import { loadPublicKey, parseImage, slotCapacity, verifyImage } from "@coalmine/mcuboot";
import { describe, expect, test } from "vitest";
import { assembleFleet, describeFleet, deviceDescription } from "./fleet.ts";
import { parseFleet } from "./fleet-file.ts";
import { buildRelease, labKey } from "./release.ts";
import { parseScenario } from "./scenario.ts";
import { selectDevices } from "./select.ts";

const mixed = `
devices: 300
hardware:
  - { name: a, share: 3, board: pump, revision: A, slotSize: 64KiB }
  - { name: b, share: 1, board: pump, revision: B, slotSize: 64KiB, mode: swap-scratch, scratchSize: 8KiB }
connectivity: [{ name: wifi, share: 2 }, { name: lte, share: 1 }]
firmware: [{ version: "1.0.0", share: 3 }, { version: "0.9.0", share: 1 }]
power: [{ name: mains }, { name: cell, battery: { drainPerDay: 2 } }]
tags: [{ name: early, share: 20% }]
imageSize: 12KiB
`;
const fleetOf = (text: string) => assembleFleet(parseFleet(text), labKey(1));
/** The error a call throws, as code and message. */
const problem = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof CoalmineError) {
      return `${error.code} ${error.message}`;
    }
    throw error;
  }
  return "no error";
};

describe("descriptions", () => {
  test("a device is described by the seed and its id alone: a larger fleet begins with the same devices", () => {
    const small = fleetOf(mixed);
    const large = fleetOf(mixed.replace("300", "20000"));
    for (const index of [0, 17, 299]) {
      const { hardware, firmware, ...rest } = deviceDescription(large, index);
      const expected = deviceDescription(small, index);
      expect(rest).toEqual({ ...expected, hardware: undefined, firmware: undefined, ...rest });
      expect([hardware.name, firmware.version, rest.id, rest.frailty]).toEqual([expected.hardware.name, expected.firmware.version, expected.id, expected.frailty]);
    }
  });

  test("shares decide how many devices are of a kind, and each dimension sums to the fleet", () => {
    const { devices, dimensions } = describeFleet(fleetOf(mixed.replace("300", "4000")));
    for (const dimension of ["hardware", "connectivity", "power", "site", "firmware"] as const) {
      expect(Object.values(dimensions[dimension]).reduce((sum, count) => sum + count, 0)).toBe(devices);
    }
    expect((dimensions.hardware["a"] ?? 0) / devices).toBeCloseTo(0.75, 1);
    expect((dimensions.firmware["0.9.0"] ?? 0) / devices).toBeCloseTo(0.25, 1);
    expect((dimensions.tags["early"] ?? 0) / devices).toBeCloseTo(0.2, 1);
  });

  test("a weight may be written in per cent: the ratio decides", () => {
    const kindsOf = (fleet: ReturnType<typeof fleetOf>) => Array.from({ length: 300 }, (_, index) => deviceDescription(fleet, index).hardware.name);
    expect(kindsOf(fleetOf(mixed.replace("name: a, share: 3", "name: a, share: 75%").replace("name: b, share: 1", "name: b, share: 25 %")))).toEqual(kindsOf(fleetOf(mixed)));
  });

  test("adding a kind of connection moves no device to other hardware", () => {
    const before = fleetOf(mixed);
    const after = fleetOf(mixed.replace("{ name: lte, share: 1 }", "{ name: lte, share: 1 }, { name: nb, share: 5 }"));
    for (let index = 0; index < 300; index++) {
      expect(deviceDescription(after, index).hardware.name).toBe(deviceDescription(before, index).hardware.name);
    }
  });

  test("devices of a kind and version share kind and image", () => {
    const fleet = fleetOf(mixed);
    const kinds = new Set(Array.from({ length: 300 }, (_, index) => deviceDescription(fleet, index).hardware));
    const images = new Set(Array.from({ length: 300 }, (_, index) => deviceDescription(fleet, index).firmware.image));
    expect([kinds.size, images.size]).toEqual([2, 4]);
  });

  test("a selector picks by every part it gives; count and share are drawn by name", () => {
    const fleet = fleetOf(mixed);
    const all = selectDevices(fleet, "all", "x");
    const b = selectDevices(fleet, { revisions: ["B"], connectivity: ["lte"] }, "x");
    expect(all).toHaveLength(300);
    expect(b.length).toBeGreaterThan(5);
    expect(b.every((id) => all.includes(id))).toBe(true);
    const five = selectDevices(fleet, { revisions: ["B"], count: 5 }, "x");
    expect(five).toHaveLength(5);
    expect(selectDevices(fleet, { revisions: ["B"], count: 5 }, "x")).toEqual(five);
    expect(selectDevices(fleet, { revisions: ["B"], count: 5 }, "y")).not.toEqual(five);
    expect(selectDevices(fleet, { share: 0.5 }, "x").length / 300).toBeCloseTo(0.5, 1);
  });
});

describe("releases", () => {
  const fleet = fleetOf(mixed);

  test("every kind's bootloader accepts its artifact, and the program in it is what was asked for", () => {
    const defects = [{ kind: "silent", after_s: 5 }] as const;
    const release = buildRelease({ version: "1.1.0", size: 12_000, defects, storageSchema: 3 }, fleet.hardware, labKey(1));
    expect(new Set(release.artifacts.map((artifact) => artifact.imageHash)).size).toBe(2);
    for (const [index, artifact] of release.artifacts.entries()) {
      expect(verifyImage(artifact.bytes, [loadPublicKey(labKey(1))])).toMatchObject({ ok: true });
      expect(verifyImage(artifact.bytes, [loadPublicKey(labKey(2))])).toMatchObject({ ok: false });
      const parsed = parseImage(artifact.bytes);
      const payload = parsed.kind === "image" ? artifact.bytes.subarray(parsed.payload.off, parsed.payload.off + parsed.payload.size) : new Uint8Array(0);
      expect(readProgram(payload)).toEqual({ format: 1, version: "1.1.0", buildId: artifact.buildId, defects, storageSchema: 3 });
      expect(artifact.bytes.length).toBeLessThanOrEqual(slotCapacity((fleet.hardware[index] as (typeof fleet.hardware)[number]).bootloader, (fleet.hardware[index] as (typeof fleet.hardware)[number]).geometry));
    }
  });

  test("the same input gives the same bytes; a rebuild under another name does not", () => {
    const build = (build?: string) => buildRelease({ version: "1.1.0", size: 12_000, ...(build === undefined ? {} : { build }) }, fleet.hardware, labKey(1)).artifacts[0]?.imageHash;
    expect(build()).toBe(build());
    expect(build("again")).not.toBe(build());
  });

  test("an image too large for a slot is refused, naming the kind", () => {
    expect(problem(() => buildRelease({ version: "1.1.0", size: 62_000 }, fleet.hardware, labKey(1)))).toMatch(/^fleet\/image-too-large .*1\.1\.0 for a/);
  });
});

describe("bad fleets name the field and what is allowed", () => {
  test.each([
    ["devices: 0\nhardware: [{ name: a, board: x }]", /^fleet\/shape .*devices: /],
    ["devices: 1.5\nhardware: [{ name: a, board: x }]", /devices: must be a whole number/],
    ["devices: ten\nhardware: [{ name: a, board: x }]", /devices: /],
    ["devices: 5", /hardware: needs at least one kind|hardware: /],
    ["devices: 5\nhardware: []", /hardware: needs at least one kind/],
    ["devices: 5\nhardware: [{ name: a, board: x, colour: red }]", /hardware\.0: .*colour/],
    ["devices: 5\nhardwear: []\nhardware: [{ name: a, board: x }]", /hardwear/],
    ["devices: 5\nidPrefix: 'a/#'\nhardware: [{ name: a, board: x }]", /idPrefix: must be 1 to 48/],
    ["devices: 5\nhardware: [{ name: a, board: x, align: 3 }]", /hardware\.0\.align: must be 1, 2, 4, 8, 16 or 32/],
    ["devices: 5\nhardware: [{ name: a, board: x, slotSize: 5000 }]", /fleet\/geometry .*hardware\.0 \(a\): slotSize 5000/],
    ["devices: 5\nhardware: [{ name: a, board: x, slotSize: big }]", /hardware\.0\.slotSize: "big" is not a size/],
    ["devices: 5\nhardware: [{ name: a, board: x, mode: swap-scratch }]", /needs a scratchSize/],
    ["devices: 5\nhardware: [{ name: a, board: x, scratchSize: 4096 }]", /swap-scratch only/],
    ["devices: 5\nhardware: [{ name: a, board: x }, { name: a, board: y }]", /fleet\/name-twice .*"a"/],
    ["devices: 5\nhardware: [{ name: a, board: x, share: 0 }]", /fleet\/no-share hardware|fleet\/no-share .*hardware/],
    ["devices: 5\nhardware: [{ name: a, board: x, share: half }]", /hardware\.0\.share: "half" is not a weight: write 3, 0\.6 or 60%/],
    ["devices: 5\nhardware: [{ name: a, board: x, share: -1 }]", /hardware\.0\.share: -1 is not a weight/],
    ["devices: 5\nhardware: [{ name: a, board: x }]\nconnectivity: [{ name: w, loss: 101% }]", /connectivity\.0\.loss: "101%" is not a share/],
    ["devices: 5\nhardware: [{ name: a, board: x }]\nconnectivity: [{ name: w, interval: 5 }]", /connectivity\.0\.interval: write a duration/],
    ["devices: 5\nhardware: [{ name: a, board: x }]\nconnectivity: [{ name: w, interval: 0s }]", /connectivity\.0\.interval: must be longer/],
    ["devices: 5\nhardware: [{ name: a, board: x }]\nfirmware: [{ version: 1.0 }]", /firmware\.0\.version: must be a version/],
    ["devices: 5\ndevices: 6\nhardware: [{ name: a, board: x }]", /^yaml\/syntax/],
    ["devices: &n 5\nseed: *n\nhardware: [{ name: a, board: x }]", /^yaml\/alias .*not allowed/],
    ["a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c]", /^yaml\/alias/],
    [`devices: 5 # ${"x".repeat(70_000)}`, /^yaml\/size/],
    ["- just\n- a list", /^fleet\/shape .*document: /],
    ["[unclosed", /^yaml\/syntax/],
    ["", /^fleet\/shape/],
  ])("%s", (text, pattern) => {
    expect(problem(() => parseFleet(text, "fleet.yaml"))).toMatch(pattern);
    expect(problem(() => parseFleet(text, "fleet.yaml"))).toContain("fleet.yaml");
  });
});

describe("scenarios", () => {
  const folder = new URL("../../scenarios/", import.meta.url);
  const files = readdirSync(folder).filter((name) => name.endsWith(".yaml"));
  const readFleet = (name: string): string => readFileSync(new URL(name, folder), "utf8");

  test.each(files)("%s is a scenario, and its releases fit its fleet", (name) => {
    const scenario = parseScenario(readFleet(name), { source: name, readFleet });
    expect(`${scenario.name}.yaml`).toBe(name);
    const fleet = assembleFleet(scenario.fleet, labKey(scenario.seed));
    for (const release of scenario.releases) {
      expect(buildRelease(release, fleet.hardware, fleet.signingKey).artifacts.length).toBeGreaterThan(0);
    }
  });

  const base = `
name: x
fleet: { devices: 5, hardware: [{ name: a, board: p }] }
releases: [{ version: "1.1.0" }]
plan: { gates: default }
expect: [{ rollout: "1.1.0", outcome: complete }]
`;

  test("defaults are filled in: every release rolls out once, in order", () => {
    const scenario = parseScenario(base.replace('[{ version: "1.1.0" }]', '[{ version: "1.1.0" }, { version: "1.2.0", defects: [{ kind: leak, exhausted: 2h, only: { share: 10% } }] }]'));
    expect(scenario.rollouts.map((rollout) => "release" in rollout && rollout.release)).toEqual(["1.1.0", "1.2.0"]);
    expect(scenario.releases[1]?.defects).toEqual([{ kind: "leak", exhausted_s: 7_200, only: { share: 0.1 } }]);
    expect(scenario.plan).toEqual({ gates: "default" });
  });

  test.each([
    ["an unknown field", base + "colour: red\n", /^scenario\/shape .*colour/],
    ["no expectation", base.replace(/expect: .*/, "expect: []"), /expect: a scenario without expectations/],
    ["an unknown defect", base.replace('"1.1.0" }]\nplan', '"1.1.0", defects: [{ kind: explode }] }]\nplan'), /releases\.0\.defects\.0.*kind must be one of boot-loop/],
    ["a defect without its parameter", base.replace('"1.1.0" }]\nplan', '"1.1.0", defects: [{ kind: leak }] }]\nplan'), /releases\.0\.defects\.0\.exhausted/],
    ["a rollout of nothing", base + 'rollouts: [{ release: "9.9.9" }]\n', /rollouts\.0\.release: there is no release 9\.9\.9; there are 1\.1\.0/],
    ["an expectation of nothing", base.replace('rollout: "1.1.0"', 'rollout: "2.0.0"'), /expect\.0\.rollout/],
    ["a state that does not exist", base.replace("outcome: complete", "states: { happy: 5 }"), /expect\.0\.states/],
    ["a release for unknown hardware", base.replace('"1.1.0" }]\nplan', '"1.1.0", hardware: [z] }]\nplan'), /releases\.0\.hardware: the fleet has no kind "z"/],
    ["a release twice", base.replace('[{ version: "1.1.0" }]\nplan', '[{ version: "1.1.0" }, { version: "1.1.0" }]\nplan'), /scenario\/release-twice/],
    ["an unknown fault", base + "faults: [{ kind: fire, at: 1h }]\n", /faults\.0.*kind must be one of power-cut/],
    ["a fleet that is wrong", base.replace("devices: 5", "devices: -5"), /^fleet\/shape .*fleet: devices/],
    ["a fleet file that nobody can read", base.replace(/fleet: .*/, "fleet: other.yaml"), /^scenario\/fleet-file/],
  ])("%s is refused by name", (_name, text, pattern) => {
    expect(problem(() => parseScenario(text, { source: "s.yaml" }))).toMatch(pattern);
  });
});
